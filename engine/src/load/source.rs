//! The definition's text: on which line a place is, and names that are given twice.
//!
//! The text is known to be JSON, so this walks it without checking it again.

use std::collections::HashMap;

use crate::problem::{Code, Problem, escape};

/// Walks the text and notes where every place begins.
struct Walk<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    lines: HashMap<String, usize>,
    /// Places whose name stands twice in its object.
    twice: Vec<String>,
}

/// Members that hide an earlier one of the same name.
pub(super) fn repeated(text: &str) -> Vec<Problem> {
    let walk = Walk::over(text);
    let twice = walk.twice.into_iter();
    twice
        .map(|pointer| Problem {
            code: Code::InvalidJsonDescription,
            field: pointer.rsplit('/').next().map(str::to_owned),
            message: "The field is given twice".into(),
            pointer,
            state: None,
            line: None,
        })
        .collect()
}

/// Tells each problem its line.
pub(super) fn number_lines(text: &str, problems: &mut [Problem]) {
    let walk = Walk::over(text);
    for problem in problems {
        problem.line = walk.lines.get(&problem.pointer).copied();
    }
}

impl<'t> Walk<'t> {
    fn over(text: &'t str) -> Self {
        let mut walk =
            Self { text: text.as_bytes(), at: 0, line: 1, lines: HashMap::new(), twice: Vec::new() };
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
                // The colon.
                walk.peek();
                walk.at += 1;
                let place = format!("{pointer}/{}", escape(&name));
                if walk.lines.insert(place.clone(), line).is_some() {
                    walk.twice.push(place.clone());
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

    /// What stands between brackets, item by item.
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
