//! Gates: a figure of a run, and the most or the least that it may be.

use std::fmt;

/// A figure with its bound. Most figures are ratios to a peer of the same run, since machines differ.
#[derive(Clone, Debug)]
pub struct Gate {
    what: String,
    figure: f64,
    bound: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Gate {
    /// A figure that is better the higher it is.
    pub fn at_least(what: impl Into<String>, figure: f64, bound: f64) -> Self {
        Self { what: what.into(), figure, bound: Bound::AtLeast(bound) }
    }

    /// A figure that is better the lower it is.
    pub fn at_most(what: impl Into<String>, figure: f64, bound: f64) -> Self {
        Self { what: what.into(), figure, bound: Bound::AtMost(bound) }
    }

    /// Whether the figure is within its bound.
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.figure >= bound,
            Bound::AtMost(bound) => self.figure <= bound,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, figure, bound } = self;
        let (word, bound) = match bound {
            Bound::AtLeast(bound) => ("least", bound),
            Bound::AtMost(bound) => ("most", bound),
        };
        let verdict = if self.is_met() { "met" } else { "missed" };
        write!(f, "{what}: {}, at {word} {}: {verdict}", Short(*figure), Short(*bound))
    }
}

/// A number for people: two digits behind the point below 100, none above.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.abs() < 100.0 { write!(f, "{:.2}", self.0) } else { write!(f, "{:.0}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_says_met_or_missed() {
        let shown = |gate: Gate| gate.to_string();
        assert_eq!(
            shown(Gate::at_least("ratio to DuckDB", 6.314, 6.0)),
            "ratio to DuckDB: 6.31, at least 6.00: met"
        );
        assert_eq!(shown(Gate::at_least("x", 5.99, 6.0)), "x: 5.99, at least 6.00: missed");
        assert_eq!(shown(Gate::at_most("MiB", 301.2, 256.0)), "MiB: 301, at most 256: missed");
        assert_eq!(shown(Gate::at_most("MiB", 256.0, 256.0)), "MiB: 256, at most 256: met");
    }
}
