//! Functions on numbers.

use crate::rng::Rng;
use crate::value::Value;

/// A number rounded as on AWS: a half rounds up.
#[expect(clippy::cast_possible_truncation, reason = "beyond the range is the range's end, as in Java")]
pub(super) fn whole(value: &Value) -> Result<i64, String> {
    let number = value.as_number().ok_or("an argument must be a number")?;
    Ok(number.as_i64().unwrap_or_else(|| (number.as_f64() + 0.5).floor() as i64))
}

pub(super) fn add(a: &Value, b: &Value) -> Result<Value, String> {
    let sum = whole(a)?.checked_add(whole(b)?);
    sum.map(Value::from).ok_or_else(|| "the sum is too large".into())
}

/// A number in the range from `from` to `to`, without `to` itself.
pub(super) fn random(from: &Value, to: &Value, seed: Option<&Value>, rng: &mut Rng) -> Result<Value, String> {
    let (from, to) = (whole(from)?, whole(to)?);
    let width = to.checked_sub(from).filter(|width| *width > 0).and_then(|width| u64::try_from(width).ok());
    let width = width.ok_or("the second argument must be greater than the first")?;
    let bits = match seed {
        Some(seed) => Rng::new(whole(seed)?.unsigned_abs()).bits(),
        None => rng.bits(),
    };
    let offset = i64::try_from(bits % width).map_err(|_| "the range is too wide")?;
    Ok(Value::from(from + offset))
}
