//! The maximum size of a call's value, computed from its arguments before the call.

use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::functions::string::{RegexMatches, build_regex};
use jsonata_core::value::JValue;

use crate::bounds::Bound;
use crate::builtins::{Builtin, Cost};
use crate::meter::{ITEM_BYTES, Meter, text_bytes};

/// The maximum length of a picture of a number or a date.
const MAX_PICTURE_BYTES: usize = 256;
/// The maximum width in a picture of a date. The library counts in 64 bits, and panics for a year of 64
/// digits.
const MAX_PICTURE_WIDTH: u64 = 18;
/// The maximum length of a part in brackets in a picture of a date. The number of its digits is a width too.
const MAX_PICTURE_PART: usize = 20;
/// The maximum length of a text that is parsed by a picture.
const MAX_PICTURED_BYTES: usize = 4 * 1024;
/// The maximum number of steps of one search by a regular expression: about two seconds in the worst case.
const MAX_SEARCH_STEPS: u64 = 400_000_000;
/// The maximum number of comparisons of one call: about a second.
const MAX_COMPARISONS: u64 = 100_000_000;
/// The limits where a function finds the matches: of the text, of the replacement, and of the number of `$0`
/// in it. So each match makes only a few times the bytes that the function has charged for it.
const MAX_MATCHED_BYTES: usize = 1_024;
const MAX_INSERTED_BYTES: usize = 256;
const MAX_INSERTED_GROUPS: usize = 8;
/// The size of a match of `$match`, without its texts.
const MATCH_BYTES: u64 = 800;
/// The size of a part of `$split`, without its text.
const PART_BYTES: u64 = 64;
/// The size of a formatted number or date, without its picture.
const FORMATTED_BYTES: u64 = 2_048;
/// The size of a value parsed from JSON, for each byte of its text. `[[],[],..]` is the worst case.
const READ_BYTES: u64 = 48;

type ChargeResult = Result<(), EvaluatorError>;

/// Charges a call. `context` replaces a missing first argument.
pub(crate) fn charge_call(
    meter: &Meter,
    builtin: &Builtin,
    args: &[JValue],
    context: &JValue,
) -> ChargeResult {
    match builtin.cost {
        Cost::None => Ok(()),
        Cost::Values(times) => args.iter().try_for_each(|arg| {
            let bytes = meter.weigh(arg)?;
            meter.charge(bytes.saturating_mul(times))
        }),
        Cost::Items => {
            let items = match args.first() {
                Some(JValue::Array(items)) => items.len(),
                Some(JValue::Object(members)) => members.len(),
                _ => 1,
            };
            meter.charge(ITEM_BYTES * items as u64)
        }
        Cost::Text(times) => {
            let text = args.first().filter(|arg| arg.is_string()).unwrap_or(context);
            meter.charge(ITEM_BYTES + times * length(Some(text)))
        }
        Cost::Custom => charge_custom(meter, builtin.name, args, context),
    }
}

fn charge_custom(meter: &Meter, name: &str, args: &[JValue], context: &JValue) -> ChargeResult {
    match name {
        "string" => stringify(meter, args.first(), matches!(args.get(1), Some(JValue::Bool(true)))),
        "join" => join(meter, args),
        "pad" => pad(meter, args),
        "split" | "match" | "replace" | "contains" => {
            // Without a text, the pattern is the first argument.
            let alone = match name {
                "match" => !matches!(args.first(), Some(JValue::String(_))),
                "replace" => !matches!(args.get(2), Some(value) if !matches!(value, JValue::Number(_))),
                _ => args.len() == 1,
            };
            let (text, rest) =
                if alone { (Some(context), args) } else { (args.first(), args.get(1..).unwrap_or_default()) };
            match text {
                Some(JValue::String(text)) => search(meter, name, text, rest),
                _ => Ok(()),
            }
        }
        "distinct" => distinct(meter, args.first()),
        "keys" => keys(meter, args.first()),
        "formatNumber" | "formatInteger" | "parseInteger" | "fromMillis" | "toMillis" | "now" => {
            pictured(meter, args, context)
        }
        "parse" => meter.charge(READ_BYTES.saturating_mul(length(args.first()) + 1)),
        "range" => range(meter, args),
        _ => meter.charge(FORMATTED_BYTES),
    }
}

fn length(value: Option<&JValue>) -> u64 {
    match value {
        Some(JValue::String(text)) => text.len() as u64,
        _ => 0,
    }
}

/// Charges a value as text.
pub(crate) fn stringify(meter: &Meter, value: Option<&JValue>, indented: bool) -> ChargeResult {
    let bytes = match value {
        Some(JValue::String(text)) => Some(text.len() as u64),
        Some(value) => text_bytes(value, indented, meter.left()),
        None => Some(0),
    };
    meter.charge(bytes.unwrap_or(u64::MAX).saturating_add(ITEM_BYTES))
}

fn join(meter: &Meter, args: &[JValue]) -> ChargeResult {
    let Some(JValue::Array(parts)) = args.first() else {
        return meter.charge(ITEM_BYTES + length(args.first()));
    };
    let parts_bytes: u64 = parts.iter().map(|part| length(Some(part))).sum();
    let between = (parts.len() as u64).saturating_mul(length(args.get(1)));
    meter.charge(ITEM_BYTES.saturating_add(parts_bytes).saturating_add(between))
}

fn pad(meter: &Meter, args: &[JValue]) -> ChargeResult {
    // A character takes four bytes, and the library makes the padding separately from the whole.
    let width = args.iter().find_map(JValue::as_f64).unwrap_or_default().abs() as u64;
    let texts: u64 = args.iter().map(|arg| length(Some(arg))).sum();
    meter.charge(ITEM_BYTES.saturating_add(texts).saturating_add(width.saturating_mul(8)))
}

/// Searches as the function does, and charges the matches. The meter checks the time after each match.
fn search(meter: &Meter, name: &str, text: &str, args: &[JValue]) -> ChargeResult {
    let replacement = if name == "replace" { args.get(1) } else { None };
    let limit = args.iter().find_map(JValue::as_f64).map_or(u64::MAX, |limit| limit.max(0.0) as u64);
    let each = |matched: u64, groups: u64| match name {
        "split" => PART_BYTES,
        "match" => MATCH_BYTES + 2 * matched + groups,
        "contains" => 0,
        _ => replaced(replacement, matched, groups),
    };
    meter.charge(ITEM_BYTES + text.len() as u64)?;
    match args.first() {
        Some(JValue::String(pattern)) if pattern.is_empty() => {
            meter.charge(each(0, 0).saturating_mul(text.len() as u64 + 1))
        }
        Some(JValue::String(pattern)) if name != "contains" => {
            let found = (text.matches(&**pattern).count() as u64).min(limit) + 1;
            meter.charge(each(pattern.len() as u64, 0).saturating_mul(found))
        }
        Some(JValue::Regex { pattern, flags }) => {
            check_search(meter, pattern, flags, text.len())?;
            if name == "contains" {
                return Ok(());
            }
            // The function itself reports a pattern that does not compile.
            let Ok(regex) = build_regex(pattern, flags) else {
                return Ok(());
            };
            let mut matches = RegexMatches::new(&regex, text);
            let mut found = 0;
            while let Ok(Some(one)) = matches.next_match() {
                let groups =
                    one.groups.iter().map(|group| PART_BYTES + group.map_or(0, str::len) as u64).sum();
                meter.charge(each(one.text.len() as u64, groups))?;
                meter.check_time()?;
                found += 1;
                if found > limit {
                    break;
                }
            }
            Ok(())
        }
        // The pattern function decides the number and the places of the matches. It charges its own values.
        Some(JValue::Lambda(_) | JValue::Builtin { .. }) if name == "replace" => {
            let inserted = replacement.and_then(JValue::as_str).unwrap_or_default();
            let is_small = text.len() <= MAX_MATCHED_BYTES && inserted.len() <= MAX_INSERTED_BYTES;
            let groups = inserted.bytes().filter(|byte| *byte == b'$').count();
            if is_small && groups <= MAX_INSERTED_GROUPS { Ok(()) } else { Err(meter.exceed(Bound::Matcher)) }
        }
        _ => Ok(()),
    }
}

/// The size of one replacement. Each `$0` or `$1` in it may stand for the whole match.
fn replaced(replacement: Option<&JValue>, matched: u64, groups: u64) -> u64 {
    match replacement {
        Some(JValue::String(text)) => {
            let inserted = text.bytes().filter(|byte| *byte == b'$').count() as u64;
            (text.len() as u64).saturating_add(inserted.saturating_mul(matched))
        }
        // A function charges its value, and receives the match.
        _ => MATCH_BYTES + 2 * matched + groups,
    }
}

/// Refuses a search that could take too long.
pub(crate) fn check_search(meter: &Meter, pattern: &str, flags: &str, text: usize) -> ChargeResult {
    let steps = meter.regexes.steps_a_byte(pattern, flags).saturating_mul(text as u64 + 1);
    if steps > MAX_SEARCH_STEPS { Err(meter.exceed(Bound::Search)) } else { Ok(()) }
}

fn distinct(meter: &Meter, value: Option<&JValue>) -> ChargeResult {
    let Some(JValue::Array(items)) = value else {
        return value.map_or(Ok(()), |value| meter.charge_value(value));
    };
    let bytes = meter.weigh(value.unwrap_or(&JValue::Undefined))?;
    meter.charge(bytes)?;
    // The library compares each item with all items before it. One comparison reads at most the whole item.
    let count = items.len() as u64;
    check_comparisons(meter, count.saturating_mul(bytes / ITEM_BYTES / 2))
}

fn keys(meter: &Meter, value: Option<&JValue>) -> ChargeResult {
    let Some(value) = value else {
        return Ok(());
    };
    let bytes = meter.weigh(value)?;
    meter.charge(bytes)?;
    let JValue::Array(items) = value else {
        return Ok(());
    };
    let mut names = std::collections::HashSet::new();
    let mut all = 0;
    for members in items.iter().filter_map(JValue::as_object) {
        all += members.len() as u64;
        names.extend(members.keys());
    }
    check_comparisons(meter, all.saturating_mul(names.len() as u64))
}

/// Refuses a call with too many comparisons.
pub(crate) fn check_comparisons(meter: &Meter, comparisons: u64) -> ChargeResult {
    if comparisons > MAX_COMPARISONS { Err(meter.exceed(Bound::Comparisons)) } else { Ok(()) }
}

/// Checks pictures: they must be short and have small widths. A number in Roman numerals is as long as it is
/// large.
fn pictured(meter: &Meter, args: &[JValue], context: &JValue) -> ChargeResult {
    let texts = || args.iter().chain([context]).filter_map(JValue::as_str);
    let pictures = args.iter().filter_map(JValue::as_str);
    if pictures.clone().any(|text| text.len() > MAX_PICTURED_BYTES) {
        return Err(meter.exceed(Bound::Picture));
    }
    let is_wide = |text: &str| {
        let mut parts = text.split('[').skip(1).filter_map(|part| part.split(']').next());
        parts.any(|part| {
            let mut numbers =
                part.split(|c: char| !c.is_ascii_digit()).skip(1).filter(|digits| !digits.is_empty());
            let is_large =
                |digits: &str| digits.parse::<u64>().map_or(true, |number| number > MAX_PICTURE_WIDTH);
            part.chars().count() > MAX_PICTURE_PART || part.contains(',') && numbers.any(is_large)
        })
    };
    let is_long = args.last().and_then(JValue::as_str).is_some_and(|text| text.len() > MAX_PICTURE_BYTES);
    if is_long || pictures.clone().any(is_wide) {
        return Err(meter.exceed(Bound::Picture));
    }
    let is_roman = texts().any(|text| text.contains(['I', 'i']));
    let largest =
        args.iter().chain([context]).filter_map(JValue::as_f64).fold(0.0, |a: f64, b| a.max(b.abs()));
    let roman = if is_roman { (largest / 1_000.0) as u64 } else { 0 };
    let bytes: usize = pictures.map(str::len).sum();
    meter.charge(FORMATTED_BYTES.saturating_add(roman).saturating_add(bytes as u64 * 64))
}

fn range(meter: &Meter, args: &[JValue]) -> ChargeResult {
    let numbers: Vec<f64> = args.iter().filter_map(JValue::as_f64).collect();
    let [first, last, step] = numbers[..] else {
        return Ok(());
    };
    let items = ((last - first) / step).abs();
    meter.charge(if items.is_finite() { (items as u64).saturating_mul(2 * ITEM_BYTES) } else { 0 })
}
