//! The functions that a rewritten expression calls to keep its account. Their names cannot be written in a source.

use std::collections::BTreeSet;
use std::rc::Rc;

use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::functions::string::string;
use jsonata_core::value::JValue;

use crate::bounds::Bound;
use crate::builtins::numbered;
use crate::costs::{book, check_search, compare, stringify};
use crate::meter::{ITEM_BYTES, Meter};

/// What one of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// `(value)`: books a value that is about to be kept, and gives it.
    Hold,
    /// `(value)`: the same for the rows of a path that binds variables.
    Rows,
    /// `(bytes)`: books what the code behind it makes each time; gives `true`.
    Tick,
    /// The same, and gives nothing.
    TickNothing,
    /// `(text, ...)`: the texts as one.
    Concat,
    /// `(argument)`: keeps an argument for [`Check::Call`].
    Argument,
    /// `(function, count, context, last argument)`: books what the function makes of its arguments.
    Call,
    /// `(function, data, callback)`: the same for a function that calls another for each item.
    Each,
    /// `(targets, input)`: books what a transform makes.
    Targets,
    /// `(argument, function)`: an argument of a function that may be a regular expression.
    Subject,
    /// `(value)`: a value in a place where a regular expression cannot be counted.
    NoRegex,
    /// `(value)`: whether it is a function of the language, which keeps no account by itself.
    IsBuiltin,
    /// `(value)`: a value in a place where such a function cannot be told.
    NoBuiltin,
}

const ALL: [(Check, &str); 13] = [
    (Check::IsBuiltin, "\u{1}is builtin"),
    (Check::Hold, "\u{1}hold"),
    (Check::Rows, "\u{1}rows"),
    (Check::Tick, "\u{1}tick"),
    (Check::TickNothing, "\u{1}tick nothing"),
    (Check::Concat, "\u{1}concat"),
    (Check::Argument, "\u{1}argument"),
    (Check::Call, "\u{1}call"),
    (Check::Each, "\u{1}each"),
    (Check::Targets, "\u{1}targets"),
    (Check::Subject, "\u{1}subject"),
    (Check::NoRegex, "\u{1}no regex"),
    (Check::NoBuiltin, "\u{1}no builtin"),
];

/// What a row of a path that binds variables takes, beside its values.
const ROW_BYTES: u64 = 800;

impl Check {
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(check, _)| *check == self).map_or("", |(_, name)| name)
    }
}

/// Gives an evaluator the checks that its expression calls.
pub(crate) fn register(
    evaluator: &mut Evaluator,
    used: &BTreeSet<Check>,
    meter: &Rc<Meter>,
) -> Result<(), EvaluatorError> {
    used.iter().try_for_each(|check| {
        let (check, meter) = (*check, Rc::clone(meter));
        evaluator.register_fn(check.name(), move |args: &[JValue]| run(check, &meter, args))
    })
}

fn run(check: Check, meter: &Meter, args: &[JValue]) -> Result<JValue, EvaluatorError> {
    let value = || args.first().cloned().unwrap_or(JValue::Undefined);
    let number = |at: usize| args.get(at).and_then(JValue::as_f64).unwrap_or_default() as u64;
    match check {
        Check::Hold => {
            args.first().map_or(Ok(()), |value| meter.charge_value(value))?;
            Ok(value())
        }
        Check::Rows => {
            let rows = value().as_array().map_or(1, Vec::len) as u64;
            meter.charge(rows * ROW_BYTES)?;
            args.first().map_or(Ok(()), |value| meter.charge_value(value))?;
            Ok(value())
        }
        Check::Tick => meter.charge(number(0)).map(|()| JValue::Bool(true)),
        Check::TickNothing => meter.charge(number(0)).map(|()| JValue::Undefined),
        Check::Concat => concat(meter, args),
        Check::Argument => {
            meter.arguments.borrow_mut().push(value());
            Ok(value())
        }
        Check::Call => {
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
                .map_or(Ok(()), |builtin| book(meter, builtin, &arguments, context))?;
            Ok(last)
        }
        Check::Each => {
            each(meter, number(0) as usize, args.get(1).unwrap_or(&JValue::Undefined), args.get(2))
        }
        Check::Targets => targets(meter, args),
        Check::Subject => {
            if let [value, JValue::Regex { pattern, flags }] = args {
                subject(meter, value, pattern, flags)?;
            }
            Ok(value())
        }
        Check::NoRegex => match value() {
            JValue::Regex { .. } => Err(meter.exceed(Bound::LooseRegex)),
            value => Ok(value),
        },
        Check::IsBuiltin => Ok(JValue::Bool(matches!(args, [JValue::Builtin { .. }]))),
        Check::NoBuiltin => match value() {
            JValue::Builtin { .. } => Err(meter.exceed(Bound::FunctionPath)),
            value => Ok(value),
        },
    }
}

/// As the operator `&`: nothing is an empty text, and so is a function.
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

fn each(
    meter: &Meter,
    number: usize,
    data: &JValue,
    callback: Option<&JValue>,
) -> Result<JValue, EvaluatorError> {
    if let Some(builtin) = numbered(number) {
        book(meter, builtin, std::slice::from_ref(data), &JValue::Undefined)?;
    }
    if let Some(JValue::Regex { pattern, flags }) = callback {
        match data {
            JValue::Array(items) => items.iter().try_for_each(|item| subject(meter, item, pattern, flags))?,
            JValue::Object(members) => {
                members.values().try_for_each(|member| subject(meter, member, pattern, flags))?;
            }
            value => subject(meter, value, pattern, flags)?,
        }
    }
    Ok(data.clone())
}

/// Books what a regular expression makes of a value when it is called: the value as text, and the match.
fn subject(meter: &Meter, value: &JValue, pattern: &str, flags: &str) -> Result<(), EvaluatorError> {
    let before = meter.left();
    stringify(meter, Some(value), false)?;
    let text = before - meter.left();
    meter.charge(text.saturating_mul(3) + ROW_BYTES)?;
    check_search(meter, pattern, flags, text as usize)
}

/// A transform copies its input, and compares every part of it with every target.
fn targets(meter: &Meter, args: &[JValue]) -> Result<JValue, EvaluatorError> {
    let [targets, input] = args else {
        return Ok(args.first().cloned().unwrap_or(JValue::Undefined));
    };
    let bytes = meter.weigh(input)?;
    meter.charge(bytes)?;
    let count = targets.as_array().map_or(1, Vec::len) as u64;
    compare(meter, count.saturating_mul(bytes / ITEM_BYTES))?;
    Ok(targets.clone())
}
