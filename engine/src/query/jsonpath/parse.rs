//! Text to path.

use std::sync::Arc;

use regex::Regex;

use super::filter::{Filter, Operand, Operator};
use super::function::PathFunction;
use super::{JsonPath, Root, Step};
use crate::value::{Number, Value};

/// A position in the text. Every method moves it behind the text that it has read, or gives `None`.
struct Cursor<'t> {
    rest: &'t str,
    /// The number of enclosing conditions. Inside one, a name also ends where an operator may begin.
    depth: usize,
}

/// The maximum number of steps in a path. More are a mistake, or an attack.
const MAX_PATH_STEPS: usize = 256;

/// The maximum depth of nested conditions. More are a mistake, or an attack.
const MAX_FILTER_DEPTH: usize = 32;

/// Parses a path, without the blanks around it. Messages show the original text.
pub(super) fn path(text: &str) -> Option<JsonPath> {
    let mut cursor = Cursor { rest: text.trim(), depth: 0 };
    let path = cursor.path()?;
    cursor.rest.is_empty().then(|| JsonPath { source: text.into(), ..path })
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn need(&mut self, token: &str) -> Option<()> {
        self.take(token).then_some(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Everything before a character that `ends` it.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'t str {
        let (read, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        read
    }

    fn path(&mut self) -> Option<JsonPath> {
        let all = self.rest;
        let root = if self.take("$$") {
            Root::Context
        } else if self.take("$") {
            match self.until(|c| !c.is_alphanumeric() && c != '_') {
                "" => Root::Input,
                name => Root::Variable(name.into()),
            }
        } else {
            self.need("@").filter(|()| self.depth > 0)?;
            Root::Item
        };
        let mut steps = Vec::new();
        let mut function = None;
        while function.is_none() && steps.len() <= MAX_PATH_STEPS {
            if self.take("..") {
                steps.push(Step::Scan);
                if self.peek() != Some('[') {
                    steps.push(self.dotted()?);
                }
            } else if self.take(".") {
                // A dot may precede a bracket: `$.['a']`.
                if self.peek() != Some('[') {
                    steps.push(self.dotted()?);
                }
            } else if !self.take("[") {
                break;
            } else {
                steps.push(self.bracketed()?);
            }
            if self.take("()") {
                function = Some(match steps.pop()? {
                    Step::Name(name) => PathFunction::named(&name)?,
                    _ => return None,
                });
            }
        }
        let source = &all[..all.len() - self.rest.len()];
        (steps.len() <= MAX_PATH_STEPS).then(|| JsonPath { source: source.into(), root, steps, function })
    }

    fn dotted(&mut self) -> Option<Step> {
        if self.take("*") {
            return Some(Step::Wildcard);
        }
        let filter = self.depth > 0;
        let name = self.until(|c| {
            matches!(c, '.' | '[' | '(' | ' ' | '\t' | '\n') || filter && ")=!<>&|,~]".contains(c)
        });
        (!name.is_empty() && !name.contains(['\'', '"', '@', '?', '*'])).then(|| Step::Name(name.into()))
    }

    /// The step between `[` and `]`.
    fn bracketed(&mut self) -> Option<Step> {
        self.space();
        let step = if self.take("*") {
            Step::Wildcard
        } else if self.take("?") {
            Step::Filter(Arc::new(self.condition()?))
        } else if matches!(self.peek()?, '\'' | '"') {
            let mut names = self.list(Self::quoted)?;
            if names.len() == 1 { Step::Name(names.remove(0)) } else { Step::Names(names) }
        } else {
            self.numbers()?
        };
        self.space();
        self.need("]")?;
        Some(step)
    }

    /// `1`, `0,2`, `1:`, `-2:-1`.
    fn numbers(&mut self) -> Option<Step> {
        let first = self.integer();
        self.space();
        if self.take(":") {
            self.space();
            return Some(Step::Slice(first, self.integer()));
        }
        let mut numbers = vec![first?];
        while self.take(",") {
            self.space();
            numbers.push(self.integer()?);
            self.space();
        }
        Some(if let [one] = numbers[..] { Step::Index(one) } else { Step::Indexes(numbers) })
    }

    fn integer(&mut self) -> Option<i64> {
        let negative = self.rest.starts_with('-');
        let digits = &self.rest[usize::from(negative)..];
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let number = self.rest[..usize::from(negative) + end].parse().ok()?;
        self.rest = &digits[end..];
        Some(number)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        loop {
            self.space();
            items.push(item(self)?);
            self.space();
            if !self.take(",") {
                return Some(items);
            }
        }
    }

    /// A text in single or double quotes. A backslash escapes the quote. Any other backslash is literal.
    fn quoted(&mut self) -> Option<Arc<str>> {
        let quote = self.peek()?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.push(chars.next_if(|(_, next)| *next == quote).map_or(c, |(_, quote)| quote)),
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Some(text.into());
                }
                c => text.push(c),
            }
        }
        None
    }

    /// A condition in parentheses.
    fn condition(&mut self) -> Option<Filter> {
        self.need("(").filter(|()| self.depth < MAX_FILTER_DEPTH)?;
        self.depth += 1;
        let condition = self.either()?;
        self.depth -= 1;
        self.need(")")?;
        Some(condition)
    }

    fn either(&mut self) -> Option<Filter> {
        let mut any = vec![self.both()?];
        while self.take("||") {
            any.push(self.both()?);
        }
        Some(if any.len() == 1 { any.remove(0) } else { Filter::Any(any) })
    }

    fn both(&mut self) -> Option<Filter> {
        let mut all = vec![self.test()?];
        while self.take("&&") {
            all.push(self.test()?);
        }
        Some(if all.len() == 1 { all.remove(0) } else { Filter::All(all) })
    }

    fn test(&mut self) -> Option<Filter> {
        self.space();
        let test = if self.take("!") {
            self.space();
            let negated =
                if self.peek() == Some('(') { self.condition()? } else { Filter::Exists(self.operand()?) };
            Filter::Not(Box::new(negated))
        } else if self.peek() == Some('(') {
            self.condition()?
        } else {
            let left = self.operand()?;
            self.space();
            match Operator::ALL.iter().find(|(token, _)| self.take(token)) {
                None => Filter::Exists(left),
                Some((_, operator)) => {
                    self.space();
                    Filter::Compare(left, *operator, self.compared()?)
                }
            }
        };
        self.space();
        Some(test)
    }

    fn operand(&mut self) -> Option<Operand> {
        match self.peek()? {
            '$' | '@' => self.path().map(Operand::Path),
            '/' => self.pattern().map(Operand::Pattern),
            _ => self.literal(false).map(Operand::Literal),
        }
    }

    /// The operand behind an operator. A word there is a text, with or without quotes.
    fn compared(&mut self) -> Option<Operand> {
        match self.peek()? {
            '$' | '@' | '/' => self.operand(),
            _ => self.literal(true).map(Operand::Literal),
        }
    }

    /// `/text/i`: a regular expression for a whole text, and its flags.
    fn pattern(&mut self) -> Option<Regex> {
        self.need("/")?;
        let mut end = None;
        let mut letters = self.rest.char_indices();
        while let (None, Some((at, letter))) = (end, letters.next()) {
            match letter {
                '\\' => drop(letters.next()?),
                '/' => end = Some(at),
                _ => {}
            }
        }
        let (text, rest) = self.rest.split_at(end?);
        self.rest = &rest[1..];
        let flags = self.until(|c| !"imsux".contains(c));
        let flags = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
        Regex::new(&format!("{flags}^(?:{})$", text.replace("\\/", "/"))).ok()
    }

    /// A constant. `words` permits a text without quotes.
    fn literal(&mut self, words: bool) -> Option<Value> {
        match self.peek()? {
            '\'' | '"' => self.quoted().map(Value::String),
            '[' if self.depth < MAX_FILTER_DEPTH => {
                self.need("[")?;
                self.depth += 1;
                self.space();
                if self.take("]") {
                    self.depth -= 1;
                    return Some(Vec::new().into());
                }
                let items = self.list(|cursor| cursor.literal(words))?;
                self.depth -= 1;
                self.need("]")?;
                Some(items.into())
            }
            _ => match self.until(|c| !c.is_alphanumeric() && !"+-._".contains(c)) {
                "true" => Some(true.into()),
                "false" => Some(false.into()),
                "null" => Some(Value::Null),
                word if words && word.starts_with(char::is_alphabetic) => Some(Value::from(word)),
                number => match number.parse::<i64>() {
                    Ok(number) => Some(number.into()),
                    Err(_) => {
                        let number = number.parse().ok().filter(|number: &f64| number.is_finite());
                        number.map(|number| Value::Number(Number::Float(number)))
                    }
                },
            },
        }
    }
}
