//! Functions on lists and objects.

use super::numbers::whole;
use crate::value::{Array, Object, Value};

/// AWS's limit for the length of a range.
const MAX_RANGE_ITEMS: i64 = 1000;

fn list(value: &Value) -> Result<&Array, String> {
    value.as_array().ok_or_else(|| "the first argument must be an array".into())
}

pub(super) fn contains(items: &Value, item: &Value) -> Result<Value, String> {
    Ok(list(items)?.contains(item).into())
}

pub(super) fn item(items: &Value, index: &Value) -> Result<Value, String> {
    let index = index.as_number().and_then(crate::value::Number::as_i64);
    let index = index.and_then(|index| usize::try_from(index).ok());
    let item = list(items)?.get(index.ok_or("the index must be a whole number from 0")?);
    item.cloned().ok_or_else(|| "the index lies outside of the array".into())
}

pub(super) fn length(items: &Value) -> Result<Value, String> {
    Ok(list(items)?.len().into())
}

pub(super) fn partition(items: &Value, size: &Value) -> Result<Value, String> {
    let size = usize::try_from(whole(size)?).ok().filter(|size| *size > 0);
    let size = size.ok_or("the size must be a whole number above 0")?;
    Ok(list(items)?.chunks(size).map(|part| Value::from(part.to_vec())).collect::<Vec<_>>().into())
}

pub(super) fn range(first: &Value, last: &Value, step: &Value) -> Result<Value, String> {
    let (first, last, step) = (whole(first)?, whole(last)?, whole(step)?);
    if step == 0 {
        return Err("the step must not be 0".into());
    }
    let steps = i128::from(last).wrapping_sub(first.into()) / i128::from(step);
    if steps < 0 || (last < first) != (step < 0) && first != last {
        return Ok(Vec::new().into());
    }
    let steps = i64::try_from(steps).ok().filter(|steps| *steps < MAX_RANGE_ITEMS);
    let steps = steps.ok_or_else(|| format!("the range has more than {MAX_RANGE_ITEMS} items"))?;
    Ok((0..=steps).map(|index| Value::from(first + index * step)).collect::<Vec<_>>().into())
}

pub(super) fn unique(items: &Value) -> Result<Value, String> {
    let mut kept: Vec<Value> = Vec::new();
    for item in list(items)?.iter() {
        if !kept.contains(item) {
            kept.push(item.clone());
        }
    }
    Ok(kept.into())
}

/// Merges two objects. AWS has only the shallow merge.
pub(super) fn merge(first: &Value, second: &Value, deep: &Value) -> Result<Value, String> {
    let (Some(first), Some(second)) = (first.as_object(), second.as_object()) else {
        return Err("the first two arguments must be objects".into());
    };
    if deep.as_bool() != Some(false) {
        return Err("the third argument must be false: the deep merging mode is not supported".into());
    }
    let members = first.iter().chain(second.iter());
    Ok(Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect::<Object>()))
}
