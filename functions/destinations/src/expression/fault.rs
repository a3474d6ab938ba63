//! The faults of an expression or of its result, in words that contain no value of the JSON.

use std::fmt;

use expressions::{Bound, Failure};
use jsonata_core::{
    ast::AstNode,
    evaluator::EvaluatorError,
    parser::{self, ParserError},
};

use super::{MAX_EVALUATION_MS, MAX_ITEMS, MAX_LEVELS};

/// Why an expression or its evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    fault: ExpressionFault,
    message: String,
}

/// The kind of an [`ExpressionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressionFault {
    /// It cannot be evaluated on this JSON, or at all: every attempt fails.
    Wrong,
    /// It needs more memory or more steps than it may use: every attempt fails.
    TooLarge,
    /// It exceeded the timeout this time: a less busy machine may be in time.
    TooSlow,
}

impl ExpressionError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { fault: ExpressionFault::Wrong, message: message.into() }
    }

    /// Whether the evaluation timed out: another attempt may complete.
    pub fn is_timeout(&self) -> bool {
        self.fault == ExpressionFault::TooSlow
    }

    /// The library's sentence, and the place where the source becomes wrong.
    pub(super) fn syntax(source: &str, error: &ParserError) -> Self {
        let whole = error.display_message();
        let message = without_code(&whole);
        Self::new(match place(source, &whole) {
            Some(at) => format!("{message} (at character {at})"),
            None => message.to_owned(),
        })
    }

    /// `quotable` are the texts of `$error` and `$assert` that are literals in the source.
    pub(super) fn evaluation(failure: &Failure, quotable: &[String]) -> Self {
        match failure {
            Failure::Bound(bound) => Self::bound(*bound),
            Failure::Error(error) => Self::new(reason(error, quotable)),
        }
    }

    fn bound(bound: Bound) -> Self {
        let message = match bound {
            Bound::Bytes(bytes) => format!("it makes more than {bytes} bytes"),
            Bound::Time => format!("it took longer than {} s", MAX_EVALUATION_MS / 1_000),
            Bound::Depth => format!("it nests deeper than {MAX_LEVELS} calls, blocks and operators"),
            Bound::Items => format!("it makes an array of more than {MAX_ITEMS} items"),
            other => other.to_string(),
        };
        let fault = if bound == Bound::Time { ExpressionFault::TooSlow } else { ExpressionFault::TooLarge };
        Self { fault, message }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// The reason of a failure, by its code alone: the library's sentence may quote a value.
fn reason(error: &EvaluatorError, quotable: &[String]) -> String {
    let message = error.message();
    let code = error.code().unwrap_or_default();
    let operator =
        || word(message, &["+", "-", "*", "/", "%", "<=", ">=", "<", ">"]).unwrap_or("an operator");
    match code {
        "D3137" => call("$error", "it called $error", message, quotable),
        "D3141" => call("$assert", "an $assert of it does not hold", message, quotable),
        "D3030" => "$number was given something that is no number".to_owned(),
        "D1001" | "D3001" => "it counts with a number that is too large".to_owned(),
        "D1002" => "the value behind a - is no number".to_owned(),
        "D1004" => "a regular expression matches a text without length".to_owned(),
        "D1009" => "it makes an object with the same name twice".to_owned(),
        "D3010" => "the pattern of $replace is an empty text".to_owned(),
        "D3012" => "the function of $replace gave something that is no text".to_owned(),
        "D3050" => "the function of $reduce takes fewer than two arguments".to_owned(),
        "D3060" => "$sqrt was given a number below zero".to_owned(),
        "D3061" => "$power gave no number, or one that is too large".to_owned(),
        "D3070" => "$sort was given values that are not all numbers or all texts".to_owned(),
        "D3100" => "the base of $formatBase is not between 2 and 36".to_owned(),
        "D3110" | "D3136" => "a date or a number does not have the form that its picture says".to_owned(),
        "D3138" => "$single found more than one value".to_owned(),
        "D3139" => "$single found no value".to_owned(),
        "D3140" => "it decodes something that is no encoded URL".to_owned(),
        "T1003" => "it makes an object with a name that is no text".to_owned(),
        "T1005" | "T1006" | "T1007" | "T1008" | "T2006" => {
            "it calls something that is not a function".to_owned()
        }
        "T2001" => format!("the left side of {} is no number", operator()),
        "T2002" => format!("the right side of {} is no number", operator()),
        "T2003" => "the left side of .. is no whole number".to_owned(),
        "T2004" => "the right side of .. is no whole number".to_owned(),
        "T2007" | "T2008" => "it sorts by values that are not all numbers or all texts".to_owned(),
        "T2009" | "T2010" => "it compares things that cannot be compared".to_owned(),
        "T2011" => "the second part of |..|..| is no object".to_owned(),
        "T2012" => "the third part of |..|..| is no array of texts".to_owned(),
        code if code.starts_with("T04") => argument(message),
        code if code.starts_with("D308") || code.starts_with("D309") || code.starts_with("D313") => {
            format!("the picture of a number or a date is wrong (JSONata {code})")
        }
        "" => "it cannot be evaluated on this".to_owned(),
        code => format!("it cannot be evaluated on this (JSONata {code})"),
    }
}

/// `$error` and `$assert` may receive a value; only a literal of the source may be quoted.
fn call(name: &str, action: &str, message: &str, quotable: &[String]) -> String {
    let text = message.split_once(": ").map_or("", |(_, text)| text);
    match quotable.iter().find(|literal| *literal == text) {
        Some(text) => format!("{name}: {text}"),
        None => action.to_owned(),
    }
}

/// The sentence about an argument, if the library names its number or its type.
fn argument(message: &str) -> String {
    let action = "it calls a function with something that the function does not take";
    let number = message.split_once("rgument ").and_then(|(_, rest)| rest.split(' ').next());
    match number.and_then(|number| number.parse::<usize>().ok()) {
        Some(number) => format!("{action} (argument {number})"),
        None => action.to_owned(),
    }
}

/// The one of these words that occurs as a word in a sentence.
fn word<'w>(message: &str, words: &[&'w str]) -> Option<&'w str> {
    let mut parts = message.split(' ').map(|part| part.trim_matches('"'));
    parts.find_map(|part| words.iter().find(|word| **word == part).copied())
}

/// Where the parser stopped: the end of the shortest prefix that fails in the same way.
fn place(source: &str, whole: &str) -> Option<usize> {
    let ends: Vec<usize> = source.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let fails = |count: usize| {
        let end = count.checked_sub(1).and_then(|at| ends.get(at)).copied().unwrap_or(0);
        matches!(parser::parse(&source[..end]), Err(error) if error.display_message() == whole)
    };
    let (mut below, mut at) = (0, ends.len());
    if fails(0) {
        return None;
    }
    while below + 1 < at {
        let middle = below.midpoint(at);
        if fails(middle) { at = middle } else { below = middle }
    }
    // At the end, the whole expression is wrong.
    (at < ends.len()).then_some(at)
}

/// The literals that are arguments of `$error` and `$assert`.
pub(super) fn literals(tree: &AstNode) -> Vec<String> {
    let mut found = Vec::new();
    expressions::visit(tree, &mut |node| {
        if let AstNode::Function { name, args, .. } = node
            && matches!(name.as_str(), "error" | "assert")
        {
            let texts = args.iter().filter_map(|arg| match arg {
                AstNode::String(text) => Some(text.clone()),
                _ => None,
            });
            found.extend(texts);
        }
    });
    found
}

/// The library's sentence without its code.
fn without_code(message: &str) -> &str {
    let is_code = |end: usize| {
        let code = message.get(end.saturating_sub(5)..end).unwrap_or_default().as_bytes();
        matches!(code, [letter, digits @ ..] if letter.is_ascii_uppercase() && digits.len() == 4 && digits.iter().all(u8::is_ascii_digit))
    };
    let code = message.match_indices(": ").find(|(end, _)| is_code(*end));
    let message = code.map_or(message, |(end, _)| &message[end + 2..]);
    message.strip_prefix("Parse error: ").unwrap_or(message)
}
