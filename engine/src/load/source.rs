//! The definition's text: the line of each place, and duplicate names in an object.
//!
//! The walk expects valid JSON and does not check it again.

use std::collections::HashMap;

use crate::problem::{Code, Problem, escape};

/// A walk over the text that records the line of every place.
struct Walk<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    lines: HashMap<String, usize>,
    /// Places whose name occurs twice in its object.
    duplicates: Vec<String>,
}

/// Members that hide an earlier one of the same name.
pub(super) fn duplicate_fields(text: &str) -> Vec<Problem> {
    let walk = Walk::over(text);
    let duplicates = walk.duplicates.into_iter();
    duplicates
        .map(|pointer| Problem {
            field: pointer.rsplit('/').next().map(str::to_owned),
            ..Problem::error(Code::InvalidJsonDescription, pointer, "The field is given twice")
        })
        .collect()
}

/// The error of a text that is no JSON, in the words of Jackson, as AWS shows it.
pub(super) fn syntax_error(text: &str, error: &serde_json::Error) -> Problem {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // The column counts bytes from one. It may point to the last byte of the token.
    let mut at = (before + error.column().saturating_sub(1)).min(text.len());
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = text.as_bytes();
    while at > before && bytes.get(at - 1).is_some_and(is_word) {
        at -= 1;
    }
    let word: String =
        text.get(at..).unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let (message, end) = if word.starts_with(|c: char| c.is_alphabetic()) {
        let expected =
            "was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
        (format!("Unrecognized token '{word}': {expected}"), at + word.len())
    } else {
        (error.to_string(), at)
    };
    let shown: String = text.chars().take(500).collect();
    let rest = text.chars().count() - shown.chars().count();
    let rest = if rest > 0 { format!("[truncated {rest} chars]") } else { String::new() };
    let location =
        format!("[Source: (String)\"{shown}\"{rest}; line: {}, column: {}]", error.line(), end - before + 1);
    Problem {
        location: Some(location.clone()),
        line: Some(error.line()),
        ..Problem::error(Code::InvalidJsonDescription, "", format!("{message}\n at {location}"))
    }
}

/// Adds its line to each problem.
pub(super) fn number_lines(text: &str, problems: &mut [Problem]) {
    if problems.is_empty() {
        return;
    }
    let walk = Walk::over(text);
    for problem in problems {
        problem.line = walk.lines.get(&problem.pointer).copied();
    }
}

impl<'t> Walk<'t> {
    fn over(text: &'t str) -> Self {
        let mut walk =
            Self { text: text.as_bytes(), at: 0, line: 1, lines: HashMap::new(), duplicates: Vec::new() };
        walk.value(String::new());
        walk
    }

    fn peek(&mut self) -> u8 {
        while let Some(space) = self.text.get(self.at).filter(|byte| byte.is_ascii_whitespace()) {
            self.line += usize::from(*space == b'\n');
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or_default()
    }

    fn value(&mut self, pointer: String) {
        let first = self.peek();
        self.lines.entry(pointer.clone()).or_insert(self.line);
        match first {
            b'{' => self.items(b'}', |walk, _| {
                walk.peek();
                let line = walk.line;
                let name = walk.string();
                // Skips the colon.
                walk.peek();
                walk.at += 1;
                let place = format!("{pointer}/{}", escape(&name));
                if walk.lines.insert(place.clone(), line).is_some() {
                    walk.duplicates.push(place.clone());
                }
                walk.value(place);
            }),
            b'[' => self.items(b']', |walk, index| walk.value(format!("{pointer}/{index}"))),
            b'"' => drop(self.string()),
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let end = rest.iter().position(|byte| b",]} \n\r\t".contains(byte));
                self.at += end.unwrap_or(rest.len());
            }
        }
    }

    /// Walks the items between brackets.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self, usize)) {
        self.at += 1;
        let mut index = 0;
        while self.at < self.text.len() {
            match self.peek() {
                b',' => self.at += 1,
                byte if byte == close => break,
                _ => {
                    item(self, index);
                    index += 1;
                }
            }
        }
        self.at += 1;
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.text.get(self.at).filter(|byte| **byte != b'"') {
            self.at += if *byte == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_slice(quoted).unwrap_or_default()
    }
}
