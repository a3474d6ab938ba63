//! Errors of JSONata expressions in the messages of jsonata-js, which AWS shows.
//!
//! The library has the codes of jsonata-js and messages of its own. This file maps a code to the message of
//! jsonata-js, and takes its values from the library's message, the expression and its functions. A message
//! ends before a value that none of them gives.

use std::collections::BTreeSet;

use super::{signatures, without_code};

/// Messages without a value, where those of the library differ.
const SENTENCES: [(&str, &str); 30] = [
    ("D1002", "Cannot negate a non-numeric value"),
    ("D3010", "Second argument of replace function cannot be an empty string"),
    ("D3011", "Fourth argument of replace function must evaluate to a positive number"),
    ("D3020", "Third argument of split function must evaluate to a positive number"),
    ("D3040", "Third argument of match function must evaluate to a positive number"),
    ("D3080", "The picture string must only contain a maximum of two sub-pictures"),
    ("D3081", "The sub-picture must not contain more than one instance of the 'decimal-separator' character"),
    ("D3082", "The sub-picture must not contain more than one instance of the 'percent' character"),
    ("D3083", "The sub-picture must not contain more than one instance of the 'per-mille' character"),
    ("D3084", "The sub-picture must not contain both a 'percent' and a 'per-mille' character"),
    (
        "D3085",
        "The mantissa part of a sub-picture must contain at least one character that is either an 'optional digit character' or a member of the 'decimal digit family'",
    ),
    (
        "D3086",
        "The sub-picture must not contain a passive character that is preceded by an active character and that is followed by another active character",
    ),
    (
        "D3087",
        "The sub-picture must not contain a 'grouping-separator' character that appears adjacent to a 'decimal-separator' character",
    ),
    ("D3088", "The sub-picture must not contain a 'grouping-separator' at the end of the integer part"),
    (
        "D3089",
        "The sub-picture must not contain two adjacent instances of the 'grouping-separator' character",
    ),
    (
        "D3090",
        "The integer part of the sub-picture must not contain a member of the 'decimal digit family' that is followed by an instance of the 'optional digit character'",
    ),
    (
        "D3091",
        "The fractional part of the sub-picture must not contain an instance of the 'optional digit character' that is followed by a member of the 'decimal digit family'",
    ),
    (
        "D3092",
        "A sub-picture that contains a 'percent' or 'per-mille' character must not contain a character treated as an 'exponent-separator'",
    ),
    (
        "D3093",
        "The exponent part of the sub-picture must comprise only of one or more characters that are members of the 'decimal digit family'",
    ),
    ("D3131", "In a decimal digit pattern, all digits must be from the same decimal group"),
    ("D3134", "The timezone integer format specifier cannot have more than four digits"),
    ("D3135", "No matching closing bracket ']' in date/time picture string"),
    ("D3136", "The date/time picture string is missing specifiers required to parse the timestamp"),
    ("T2003", "The left side of the range operator (..) must evaluate to an integer"),
    ("T2004", "The right side of the range operator (..) must evaluate to an integer"),
    ("T2006", "The right side of the function application operator ~> must be a function"),
    ("T2008", "The expressions within an order-by clause must evaluate to numeric or string values"),
    ("T2011", "The insert/update clause of the transform expression must evaluate to an object"),
    ("T2012", "The delete clause of the transform expression must evaluate to a string or array of strings"),
    ("D3050", "The second argument of reduce function must be a function with at least two arguments"),
];

/// The error of an evaluation: the code and its message. `called` has the functions that the expression
/// calls.
pub(super) fn evaluation(source: &str, message: &str, called: &BTreeSet<String>) -> String {
    let Some((code, text)) = message.split_once(": ").filter(|(code, _)| is_code(code)) else {
        return message.to_owned();
    };
    let table =
        SENTENCES.iter().find(|(known, _)| *known == code).map(|(_, sentence)| (*sentence).to_owned());
    let sentence = table.or_else(|| match code {
        "T0410" | "T0412" => argument(code, text, called),
        "T2001" | "T2002" => operator_quoted(text),
        "T2010" => compared(source),
        "D3030" => between(text, "Cannot convert '", "' to number")
            .map(|text| format!("Unable to cast value to a number: {}", quoted(text))),
        "D3100" => text.rsplit_once("got ").map(|(_, radix)| {
            format!("The radix of the formatBase function must be between 2 and 36.  It was given {radix}")
        }),
        "D3130" => Some(format!(
            "Formatting or parsing an integer as a sequence starting with {} is not supported by this implementation",
            quoted(text)
        )),
        "D3132" => Some(format!("Unknown component specifier {} in date/time picture string", quoted(text))),
        "D3133" => Some(format!(
            "The 'name' modifier can only be applied to months and days in the date/time picture string, not {}",
            quoted(text)
        )),
        _ => None,
    });
    sentence.map_or_else(|| message.to_owned(), |sentence| format!("{code}: {sentence}"))
}

/// The error of a source that does not parse, without its code.
pub(super) fn syntax(source: &str, message: &str) -> String {
    let text = without_code(message);
    let text = text.strip_prefix("Parse error: ").unwrap_or(text);
    if text.starts_with("String literal must be terminated") && ends_in_regex(source) {
        return "No terminating / in regular expression".to_owned();
    }
    if text == "Unclosed comment" {
        return "Comment has no closing tag".to_owned();
    }
    if text.starts_with("Unexpected end") {
        return expected_closer(source).map_or_else(
            || text.to_owned(),
            |closer| format!("Expected {} before end of expression", quoted(closer)),
        );
    }
    let fill = |before: &str, after: &str| {
        between(text, before, after).map(|name| format!("{before}{}{after}", token(name)))
    };
    let expected = || {
        let (wanted, found) = text.strip_prefix("Expected ")?.split_once(", got ")?;
        Some(format!("Expected {}, got {}", token(wanted), token(found)))
    };
    fill("Syntax error: ", "")
        .or_else(|| fill("The symbol ", " cannot be used as a unary operator"))
        .or_else(|| fill("Expected ", " before end of expression"))
        .or_else(expected)
        .or_else(|| fill("Unknown operator: ", ""))
        .or_else(|| fill("Number out of range: ", ""))
        .or_else(|| {
            let sign = text.strip_prefix("Expected a variable reference after ")?;
            Some(format!("The right side of {} must be a variable name (start with $)", quoted(sign)))
        })
        .or_else(|| {
            let escape = text.strip_prefix("Unsupported escape sequence: \\")?;
            Some(format!("Unsupported escape sequence: \\{}", quoted(escape)))
        })
        .unwrap_or_else(|| text.to_owned())
}

fn is_code(code: &str) -> bool {
    matches!(code.as_bytes(), [letter, digits @ ..] if letter.is_ascii_uppercase() && digits.len() == 4 && digits.iter().all(u8::is_ascii_digit))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Names the argument of the wrong type and its function. If several functions of the expression are
/// possible, the library's own message stays.
fn argument(code: &str, text: &str, called: &BTreeSet<String>) -> Option<String> {
    let number = match between(text, "Argument count mismatch: expected ", "") {
        Some(counts) => counts.split_once(", got ")?.1.parse::<usize>().ok()? + 1,
        None => text.strip_prefix("Argument ")?.split_once(' ')?.0.parse().ok()?,
    };
    let mut meant = called.iter().filter(|name| signatures::may_refuse(name, number, code == "T0412"));
    let (name, None) = (meant.next()?, meant.next()) else { return None };
    Some(if code == "T0412" {
        let items = signatures::items(name)?;
        format!("Argument {number} of function {} must be an array of {}", quoted(name), quoted(items))
    } else {
        format!("Argument {number} of function {} does not match function signature", quoted(name))
    })
}

/// `The left side of the + operator must ..`, with the operator in quotes.
fn operator_quoted(text: &str) -> Option<String> {
    let (before, rest) = text.split_once(" of the ")?;
    let (operator, after) = rest.split_once(" operator ")?;
    Some(format!("{before} of the {} operator {after}", quoted(operator)))
}

/// The comparison operator, if the expression has only one kind of them.
fn compared(source: &str) -> Option<String> {
    let mut found = BTreeSet::new();
    let text = source.replace("~>", " ");
    for (at, _) in text.match_indices(['<', '>']) {
        let operator = if text[at + 1..].starts_with('=') { &text[at..at + 2] } else { &text[at..=at] };
        found.insert(operator);
    }
    let (operator, None) = (found.pop_first()?, found.pop_first()) else { return None };
    Some(format!(
        "The expressions either side of operator {} must evaluate to numeric or string values",
        quoted(operator)
    ))
}

/// A token of the library's parser, in the spelling of the source.
fn token(name: &str) -> String {
    let inner = |kind: &str| name.strip_prefix(kind).and_then(|rest| between(rest, "(", ")"));
    if let Some(text) = ["Identifier", "String", "Variable"].into_iter().find_map(inner) {
        return text.to_owned();
    }
    if let Some(number) = inner("Number") {
        return number.strip_suffix(".0").unwrap_or(number).to_owned();
    }
    let spelt = match name {
        "LeftParen" => "(",
        "RightParen" => ")",
        "LeftBracket" => "[",
        "RightBracket" => "]",
        "LeftBrace" => "{",
        "RightBrace" => "}",
        "Comma" => ",",
        "Semicolon" => ";",
        "Colon" => ":",
        "Question" => "?",
        "Dot" => ".",
        "DotDot" | "Range" => "..",
        "Plus" => "+",
        "Minus" => "-",
        "Star" | "Multiply" => "*",
        "StarStar" => "**",
        "Slash" | "Divide" => "/",
        "Percent" | "Modulo" => "%",
        "Ampersand" => "&",
        "Equal" => "=",
        "NotEqual" => "!=",
        "Less" | "LessThan" => "<",
        "Greater" | "GreaterThan" => ">",
        "LessEqual" => "<=",
        "GreaterEqual" => ">=",
        "Caret" => "^",
        "Pipe" => "|",
        "Hash" => "#",
        "At" => "@",
        "Assign" | "ColonEqual" => ":=",
        "Chain" | "TildeArrow" => "~>",
        other => other,
    };
    quoted(spelt)
}

/// An open bracket at the end of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Paren,
    Bracket,
    /// An object or a function's body. The flag says whether a member's name comes next.
    Brace {
        wants_colon: bool,
    },
}

/// The closing bracket for the innermost open one at the source's end.
fn expected_closer(source: &str) -> Option<&'static str> {
    let mut open = Vec::new();
    let mut characters = source.chars();
    let mut last = ' ';
    while let Some(character) = characters.next() {
        match character {
            '"' | '\'' | '`' => skip(&mut characters, character),
            '(' => open.push(Open::Paren),
            '[' => open.push(Open::Bracket),
            '{' => open.push(Open::Brace { wants_colon: last != ')' }),
            ')' | ']' | '}' => _ = open.pop(),
            ':' => {
                if let Some(Open::Brace { wants_colon }) = open.last_mut() {
                    *wants_colon = false
                }
            }
            ',' => {
                if let Some(Open::Brace { wants_colon }) = open.last_mut() {
                    *wants_colon = true
                }
            }
            _ => {}
        }
        if !character.is_whitespace() {
            last = character;
        }
    }
    Some(match open.last()? {
        Open::Paren => ")",
        Open::Bracket => "]",
        Open::Brace { wants_colon: true } => ":",
        Open::Brace { wants_colon: false } => "}",
    })
}

/// Whether the unterminated literal is a regular expression.
fn ends_in_regex(source: &str) -> bool {
    let mut characters = source.chars();
    let mut last = None;
    while let Some(character) = characters.next() {
        let begins_operand = last.is_none_or(|last: char| "([{,;:?+-*=<>&|!~^.".contains(last));
        match character {
            '"' | '\'' | '`' => {
                skip(&mut characters, character);
                last = Some(character);
            }
            '/' if begins_operand => {
                if !characters.as_str().contains('/') {
                    return true;
                }
                skip(&mut characters, '/');
                last = Some('a');
            }
            character if character.is_whitespace() => {}
            character => last = Some(character),
        }
    }
    false
}

/// Skips a literal.
fn skip(characters: &mut std::str::Chars<'_>, end: char) {
    while let Some(character) = characters.next() {
        match character {
            '\\' => _ = characters.next(),
            character if character == end => return,
            _ => {}
        }
    }
}
