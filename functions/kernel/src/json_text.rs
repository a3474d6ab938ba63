//! Checks and the canonical form of JSON as a text, without parsing it into values: its depth, half characters, and the
//! one form in which two texts of the same value are equal.

use std::{borrow::Cow, ops::Range};

/// Maximum depth of a record (design, Numbers to hold).
pub const MAX_DEPTH: usize = 64;

/// Whether objects and lists nest deeper than `limit`.
pub fn nests_deeper(text: &[u8], limit: usize) -> bool {
    let opened = memchr::memchr2_iter(b'{', b'[', text).count();
    opened > limit && depth(text) > limit
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Whether the text has an escape that may be a lone surrogate. A parser that skips a value does not find one. No text
/// can contain it (RFC 7493, 2.1), so every reader that decodes or quotes the record would fail.
pub fn may_hold_half_a_character(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', text).any(|at| matches!(text.get(at + 1..at + 3), Some(b"ud" | b"uD")))
}

/// The canonical form of a JSON text: no white space, sorted names, strings with the fewest escapes, numbers by their
/// digits. It omits the members for which `leave_out` is true. For a member of the outermost object, `leave_out` gets
/// `None`. For a member of an object inside that, it gets the name of the outer member.
///
/// For a text that is not JSON the result is some bytes, the same every time.
pub fn canonical(text: &str, leave_out: LeaveOut) -> Vec<u8> {
    let mut writer = Canonical { text, at: 0, out: Vec::with_capacity(text.len()), leave_out };
    writer.value(0, None);
    writer.out
}

/// Decides whether a member is left out, by the name of the outermost member around its object and by its own name.
type LeaveOut = fn(Option<&str>, &str) -> bool;

/// Maximum depth that [`canonical`] parses: more than any accepted record has.
const MAX_PARSED_DEPTH: usize = MAX_DEPTH + 1;

struct Canonical<'a> {
    text: &'a str,
    at: usize,
    out: Vec<u8>,
    leave_out: LeaveOut,
}

impl<'a> Canonical<'a> {
    /// Writes the value that begins here; `parent` is its name if it is a member of the outermost object.
    fn value(&mut self, depth: usize, parent: Option<&str>) {
        match self.peek() {
            Some(b'{') if depth < MAX_PARSED_DEPTH => self.object(depth, parent),
            Some(b'[') if depth < MAX_PARSED_DEPTH => self.list(depth),
            Some(b'"') => {
                let string = self.string();
                push_string(&mut self.out, string);
            }
            Some(_) => self.plain(),
            None => {}
        }
    }

    fn object(&mut self, depth: usize, parent: Option<&str>) {
        self.at += 1;
        self.out.push(b'{');
        let begin = self.out.len();
        let mut members: Vec<(Cow<'a, str>, Range<usize>)> = Vec::new();
        while let Some(b'"') = self.peek() {
            let start = self.out.len();
            let string = self.string();
            push_string(&mut self.out, string);
            self.out.push(b':');
            self.skip(b':');
            let name = unescaped(string);
            self.value(depth + 1, (depth == 0).then_some(&*name));
            self.skip(b',');
            if (depth == 0 || parent.is_some()) && (self.leave_out)(parent, &name) {
                self.out.truncate(start);
            } else {
                members.push((name, start..self.out.len()));
            }
        }
        self.skip(b'}');
        self.sort(begin, members);
        self.out.push(b'}');
    }

    /// Sorts the members that were written from `begin` on by their names, and writes commas between them.
    fn sort(&mut self, begin: usize, mut members: Vec<(Cow<'a, str>, Range<usize>)>) {
        members.sort_by(|one, other| one.0.cmp(&other.0));
        let written = self.out.split_off(begin);
        for (number, (_, range)) in members.into_iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&written[range.start - begin..range.end - begin]);
        }
    }

    fn list(&mut self, depth: usize) {
        self.at += 1;
        self.out.push(b'[');
        let mut is_first = true;
        while self.peek().is_some_and(|next| !matches!(next, b']' | b'}' | b':' | b',')) {
            if !is_first {
                self.out.push(b',');
            }
            is_first = false;
            self.value(depth + 1, None);
            self.skip(b',');
        }
        self.skip(b']');
        self.out.push(b']');
    }

    /// Writes a number, a word, or text that is not JSON, up to the next mark.
    fn plain(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let is_end =
            |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b'"' | b' ' | b'\n' | b'\r' | b'\t');
        let length = rest.iter().position(is_end).unwrap_or(rest.len()).max(1);
        self.out.extend_from_slice(&rest[..length]);
        self.at += length;
    }

    /// Reads the string that begins here, with its quotes.
    fn string(&mut self) -> &'a str {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        let mut at = begin + 1;
        while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            at += next;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return &self.text[begin..self.at];
            }
            at += 2;
        }
        self.at = bytes.len();
        &self.text[begin..]
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at +=
            rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).unwrap_or(rest.len());
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, mark: u8) {
        if self.peek() == Some(mark) {
            self.at += 1;
        }
    }
}

/// The content of a quoted string; its characters unchanged if it is not valid.
fn unescaped(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(quoted).map_or(Cow::Borrowed(inner), Cow::Owned)
}

fn push_string(to: &mut Vec<u8>, quoted: &str) {
    if quoted.contains('\\')
        && let Ok(text) = serde_json::from_str::<String>(quoted)
        && let Ok(written) = serde_json::to_vec(&text)
    {
        to.extend_from_slice(&written);
    } else {
        to.extend_from_slice(quoted.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, form: &str) {
        let found = canonical(text, |parent, name| match parent {
            None => name == "gone",
            Some(parent) => parent == "in" && name == "gone",
        });
        assert_eq!(String::from_utf8(found).unwrap(), form, "{text}");
    }

    #[test]
    fn each_value_has_one_form() {
        check(" 1.50 ", "1.50");
        check("1e5", "1e5");
        check(r#""\u0061\/\n""#, r#""a/\n""#);
        check("[ 1 , [ ] , {} ]", "[1,[],{}]");
        check(r#"{ "b" : 2 , "a" : [ true , null ] }"#, r#"{"a":[true,null],"b":2}"#);
        check(r#"{"\u0062":{"z":1,"y":"}\"{"},"a":0}"#, r#"{"a":0,"b":{"y":"}\"{","z":1}}"#);
        check(r#"{"gone":1,"a":{"gone":2},"go\u006ee":{}}"#, r#"{"a":{"gone":2}}"#);
        check(r#"{"in":{"gone":2,"in":{"gone":3}}}"#, r#"{"in":{"in":{"gone":3}}}"#);
        check(r#"{"in":[{"gone":2}]}"#, r#"{"in":[{"gone":2}]}"#);
        check(r#"[{"gone":2}]"#, r#"[{"gone":2}]"#);
        check(r#"{"a":1,"a":0}"#, r#"{"a":1,"a":0}"#);
        check(r#""half \ud800""#, r#""half \ud800""#);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:\\\\ a-c0-9né]{0,40}") {
            let once = canonical(&text, |_, _| false);
            prop_assert_eq!(once, canonical(&text, |_, _| false));
        }
    }
}
