//! Numbers: 64-bit integers stay exact, and all other numbers are doubles.

/// A JSON number.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// An integer that fits `i64`.
    Int(i64),
    /// An integer above `i64::MAX` that fits `u64`.
    Uint(u64),
    /// Any other number; always finite.
    Float(f64),
}

/// The bound of the integers that a double represents exactly.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// The number as a double. Integers beyond 2^53 lose their last digits.
    #[expect(clippy::cast_precision_loss, reason = "what JSON readers with doubles do too")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Uint(n) => n as f64,
            Self::Float(n) => n,
        }
    }

    /// The number, if it is an integer that fits `i64`.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(n),
            Self::Uint(_) => None,
            Self::Float(n) => (n.fract() == 0.0 && n.abs() <= MAX_EXACT_INTEGER).then_some(n as i64),
        }
    }

    /// A double as the simplest number of its value; `None` for infinities and NaN.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
    pub fn from_f64(n: f64) -> Option<Self> {
        if !n.is_finite() {
            return None;
        }
        Some(if n.fract() == 0.0 && n.abs() < MAX_EXACT_INTEGER {
            Self::Int(n as i64)
        } else {
            Self::Float(n)
        })
    }

    pub(super) fn json_len(self) -> usize {
        match self {
            Self::Int(n) => usize::from(n < 0) + digits(n.unsigned_abs()),
            Self::Uint(n) => digits(n),
            Self::Float(n) => serde_json::to_string(&n).map_or(0, |text| text.len()),
        }
    }
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

impl PartialEq for Number {
    /// Equality by value: `1` equals `1.0`.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Int(_), Self::Uint(_)) | (Self::Uint(_), Self::Int(_)) => false,
            _ => self.as_f64() == other.as_f64(),
        }
    }
}

impl From<i64> for Number {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        i64::try_from(n).map_or(Self::Uint(n), Self::Int)
    }
}

impl From<u32> for Number {
    fn from(n: u32) -> Self {
        Self::Int(n.into())
    }
}

impl From<i32> for Number {
    fn from(n: i32) -> Self {
        Self::Int(n.into())
    }
}

impl From<usize> for Number {
    fn from(n: usize) -> Self {
        Self::from(n as u64)
    }
}
