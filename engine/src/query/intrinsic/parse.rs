//! Text to calls.

use super::{Argument, Call, Function};
use crate::query::jsonpath::JsonPath;
use crate::value::{Number, Value};

/// AWS's limit for the depth of nested calls.
const MAX_CALL_DEPTH: usize = 10;

/// Parses a whole text as one call.
pub(super) fn call(text: &str) -> Option<Call> {
    let (call, rest) = read_call(text.trim(), 1)?;
    rest.is_empty().then_some(call)
}

fn read_call(text: &str, depth: usize) -> Option<(Call, &str)> {
    let (name, mut rest) = text.split_once('(')?;
    let function = Function::ALL.into_iter().find(|function| function.name() == name)?;
    if depth > MAX_CALL_DEPTH {
        return None;
    }
    let mut arguments = Vec::new();
    if let Some(rest) = rest.trim_start().strip_prefix(')') {
        return Some((Call { function, arguments }, rest));
    }
    loop {
        let (argument, after) = read_argument(rest.trim_start(), depth)?;
        arguments.push(argument);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((Call { function, arguments }, after.strip_prefix(')')?)),
        }
    }
}

fn read_argument(text: &str, depth: usize) -> Option<(Argument, &str)> {
    if text.starts_with("States.") {
        let (call, rest) = read_call(text, depth + 1)?;
        return Some((Argument::Call(call), rest));
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let end = end_of_text(quoted)?;
        return Some((Argument::Text(quoted[..end].into()), &quoted[end + 1..]));
    }
    let (word, rest) = text.split_at(end_of_word(text)?);
    let word = word.trim_end();
    let argument = match word {
        "true" => Argument::Value(true.into()),
        "false" => Argument::Value(false.into()),
        "null" => Argument::Value(Value::Null),
        path if path.starts_with('$') => Argument::Path(JsonPath::parse(path)?),
        number => Argument::Value(match number.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => Value::Number(Number::from_f64(number.parse().ok()?)?),
        }),
    };
    Some((argument, rest))
}

/// The position of the closing quote. A backslash escapes one of `'{}\` and may precede nothing else.
fn end_of_text(text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next().filter(|(_, next)| "'{}\\".contains(*next))?),
            '\'' => return Some(at),
            _ => {}
        }
    }
    None
}

/// The end of a path or a number: a comma or parenthesis that is no part of it.
fn end_of_word(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => drop(letters.next()?),
            (Some(closing), letter) => quote = Some(closing).filter(|closing| *closing != letter),
            (None, '\'' | '"') if open > 0 => quote = Some(letter),
            (None, '[' | '(') => open += 1,
            (None, ',' | ')') if open == 0 => return Some(at),
            (None, ']' | ')') => open = open.checked_sub(1)?,
            _ => {}
        }
    }
    None
}
