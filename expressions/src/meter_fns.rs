//! The functions by which a rewritten expression charges its meter. No source text can contain their names.

use std::collections::BTreeSet;
use std::rc::Rc;

use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::functions::string::string;
use jsonata_core::value::JValue;

use crate::bounds::Bound;
use crate::builtins::numbered;
use crate::costs::{charge_call, check_comparisons, check_search, stringify};
use crate::meter::{ITEM_BYTES, Meter};

/// A metering function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MeterFn {
    /// `(value)`: charges a value that the expression will keep, and gives it.
    Value,
    /// `(value)`: the same for the rows of a path that binds variables.
    Rows,
    /// `(bytes)`: charges the literals of repeated code before each run of it; gives `true`.
    Bytes,
    /// The same, and gives nothing.
    BytesThenNothing,
    /// `(text, ...)`: joins the texts.
    Concat,
    /// `(argument)`: keeps an argument for [`MeterFn::Call`].
    KeepArgument,
    /// `(function, count, context, last argument)`: charges the value of a function call.
    Call,
    /// `(function, data, callback)`: the same for a function that calls another for each item.
    Each,
    /// `(targets, input)`: charges the value of a transform.
    Transform,
    /// `(argument, function)`: charges the call if the function is a regular expression.
    RegexCall,
    /// `(value)`: refuses a regular expression where its calls are not charged.
    RefuseRegex,
    /// `(value)`: whether it is a function of the language, which charges nothing by itself.
    IsBuiltin,
    /// `(value)`: refuses such a function where its calls are not charged.
    RefuseBuiltin,
}

const ALL: [(MeterFn, &str); 13] = [
    (MeterFn::IsBuiltin, "\u{1}is builtin"),
    (MeterFn::Value, "\u{1}value"),
    (MeterFn::Rows, "\u{1}rows"),
    (MeterFn::Bytes, "\u{1}bytes"),
    (MeterFn::BytesThenNothing, "\u{1}bytes then nothing"),
    (MeterFn::Concat, "\u{1}concat"),
    (MeterFn::KeepArgument, "\u{1}keep argument"),
    (MeterFn::Call, "\u{1}call"),
    (MeterFn::Each, "\u{1}each"),
    (MeterFn::Transform, "\u{1}transform"),
    (MeterFn::RegexCall, "\u{1}regex call"),
    (MeterFn::RefuseRegex, "\u{1}refuse regex"),
    (MeterFn::RefuseBuiltin, "\u{1}refuse builtin"),
];

/// The size of a row in a path that binds variables, without its values.
const ROW_BYTES: u64 = 800;

impl MeterFn {
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(function, _)| *function == self).map_or("", |(_, name)| name)
    }
}

/// Registers the metering functions of an expression in its evaluator.
pub(crate) fn register(
    evaluator: &mut Evaluator,
    used: &BTreeSet<MeterFn>,
    meter: &Rc<Meter>,
) -> Result<(), EvaluatorError> {
    used.iter().try_for_each(|function| {
        let (function, meter) = (*function, Rc::clone(meter));
        evaluator.register_fn(function.name(), move |args: &[JValue]| run(function, &meter, args))
    })
}

fn run(function: MeterFn, meter: &Meter, args: &[JValue]) -> Result<JValue, EvaluatorError> {
    let value = || args.first().cloned().unwrap_or(JValue::Undefined);
    let number = |at: usize| args.get(at).and_then(JValue::as_f64).unwrap_or_default() as u64;
    match function {
        MeterFn::Value => {
            args.first().map_or(Ok(()), |value| meter.charge_value(value))?;
            Ok(value())
        }
        MeterFn::Rows => {
            let rows = value().as_array().map_or(1, Vec::len) as u64;
            meter.charge(rows * ROW_BYTES)?;
            args.first().map_or(Ok(()), |value| meter.charge_value(value))?;
            Ok(value())
        }
        MeterFn::Bytes => meter.charge(number(0)).map(|()| JValue::Bool(true)),
        MeterFn::BytesThenNothing => meter.charge(number(0)).map(|()| JValue::Undefined),
        MeterFn::Concat => concat(meter, args),
        MeterFn::KeepArgument => {
            meter.arguments.borrow_mut().push(value());
            Ok(value())
        }
        MeterFn::Call => {
            let last = args.get(3).cloned().unwrap_or(JValue::Undefined);
            let before = (number(1) as usize).saturating_sub(1);
            let mut arguments = {
                let mut kept = meter.arguments.borrow_mut();
                let from = kept.len().saturating_sub(before);
                kept.split_off(from)
            };
            arguments.push(last.clone());
            let context = args.get(2).unwrap_or(&JValue::Undefined);
            numbered(number(0) as usize)
                .map_or(Ok(()), |builtin| charge_call(meter, builtin, &arguments, context))?;
            Ok(last)
        }
        MeterFn::Each => {
            callback_each(meter, number(0) as usize, args.get(1).unwrap_or(&JValue::Undefined), args.get(2))
        }
        MeterFn::Transform => transform(meter, args),
        MeterFn::RegexCall => {
            if let [value, JValue::Regex { pattern, flags }] = args {
                regex_call(meter, value, pattern, flags)?;
            }
            Ok(value())
        }
        MeterFn::RefuseRegex => match value() {
            JValue::Regex { .. } => Err(meter.exceed(Bound::LooseRegex)),
            value => Ok(value),
        },
        MeterFn::IsBuiltin => Ok(JValue::Bool(matches!(args, [JValue::Builtin { .. }]))),
        MeterFn::RefuseBuiltin => match value() {
            JValue::Builtin { .. } => Err(meter.exceed(Bound::FunctionPath)),
            value => Ok(value),
        },
    }
}

/// Works like the operator `&`: a missing value is an empty text, and so is a function.
fn concat(meter: &Meter, args: &[JValue]) -> Result<JValue, EvaluatorError> {
    let mut whole = String::new();
    for arg in args {
        match arg {
            JValue::String(text) => {
                meter.charge(text.len() as u64)?;
                whole.push_str(text);
            }
            JValue::Undefined | JValue::Lambda(_) | JValue::Builtin { .. } | JValue::Regex { .. } => {}
            other => {
                stringify(meter, Some(other), false)?;
                if let JValue::String(text) = string(other, None)? {
                    whole.push_str(&text);
                }
            }
        }
    }
    meter.charge(ITEM_BYTES)?;
    Ok(JValue::string(whole))
}

fn callback_each(
    meter: &Meter,
    number: usize,
    data: &JValue,
    callback: Option<&JValue>,
) -> Result<JValue, EvaluatorError> {
    if let Some(builtin) = numbered(number) {
        charge_call(meter, builtin, std::slice::from_ref(data), &JValue::Undefined)?;
    }
    if let Some(JValue::Regex { pattern, flags }) = callback {
        match data {
            JValue::Array(items) => {
                items.iter().try_for_each(|item| regex_call(meter, item, pattern, flags))?
            }
            JValue::Object(members) => {
                members.values().try_for_each(|member| regex_call(meter, member, pattern, flags))?;
            }
            value => regex_call(meter, value, pattern, flags)?,
        }
    }
    Ok(data.clone())
}

/// Charges the call of a regular expression: the value as text, and the match.
fn regex_call(meter: &Meter, value: &JValue, pattern: &str, flags: &str) -> Result<(), EvaluatorError> {
    let before = meter.left();
    stringify(meter, Some(value), false)?;
    let text = before - meter.left();
    meter.charge(text.saturating_mul(3) + ROW_BYTES)?;
    check_search(meter, pattern, flags, text as usize)
}

/// A transform copies its input, and compares every part of it with every target.
fn transform(meter: &Meter, args: &[JValue]) -> Result<JValue, EvaluatorError> {
    let [targets, input] = args else {
        return Ok(args.first().cloned().unwrap_or(JValue::Undefined));
    };
    let bytes = meter.weigh(input)?;
    meter.charge(bytes)?;
    let count = targets.as_array().map_or(1, Vec::len) as u64;
    check_comparisons(meter, count.saturating_mul(bytes / ITEM_BYTES))?;
    Ok(targets.clone())
}
