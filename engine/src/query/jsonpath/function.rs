//! Functions at the end of a path: `$.list.length()`.

use crate::value::{Number, Value};

#[derive(Clone, Copy, Debug)]
pub(super) enum PathFunction {
    Length,
    Keys,
    First,
    Last,
    Sum,
    Average,
    Min,
    Max,
    StdDev,
}

impl PathFunction {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "length" | "size" => Self::Length,
            "keys" => Self::Keys,
            "first" => Self::First,
            "last" => Self::Last,
            "sum" => Self::Sum,
            "avg" => Self::Average,
            "min" => Self::Min,
            "max" => Self::Max,
            "stddev" => Self::StdDev,
            _ => return None,
        })
    }

    /// The function's value; `None`: the function does not apply to this value.
    pub(super) fn of(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Length, Value::Array(items)) => Some(items.len().into()),
            (Self::Length, Value::Object(members)) => Some(members.len().into()),
            (Self::Keys, Value::Object(members)) => {
                Some(members.iter().map(|(name, _)| Value::String(name.clone())).collect::<Vec<_>>().into())
            }
            (Self::First, Value::Array(items)) => items.first().cloned(),
            (Self::Last, Value::Array(items)) => items.last().cloned(),
            (_, Value::Array(items)) => {
                let numbers = items.iter().filter_map(|item| Some(item.as_number()?.as_f64()));
                self.number(&numbers.collect::<Vec<_>>())
            }
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 items")]
    fn number(self, numbers: &[f64]) -> Option<Value> {
        if numbers.is_empty() {
            return None;
        }
        let count = numbers.len() as f64;
        let sum: f64 = numbers.iter().sum();
        let number = match self {
            Self::Sum => sum,
            Self::Average => sum / count,
            Self::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::StdDev => {
                let mean = sum / count;
                (numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / count).sqrt()
            }
            _ => return None,
        };
        // As in Jayway, each of these functions gives a double, even for a whole number.
        number.is_finite().then_some(Value::Number(Number::Float(number)))
    }
}
