//! The comparison of a recorded value with the engine's value.
//!
//! The recorder replaced values that differ between runs by placeholders: `<uuid:1>` for any text, `date` for
//! any timestamp, and the case's own `wildcards`. JSON texts are compared as JSON, and numbers by value.

use serde_json::Value as Json;

/// Data of the transport, which the engine does not have.
const IGNORED: [&str; 3] = ["SdkHttpMetadata", "SdkResponseMetadata", "ExecutedVersion"];

pub(crate) struct Comparator {
    /// Texts that match any text. A text with `!` before it matches only itself.
    wildcards: Vec<String>,
}

impl Comparator {
    pub(crate) fn new(case: &Json) -> Self {
        let wildcards = case["wildcards"].as_array().into_iter().flatten();
        Self { wildcards: wildcards.filter_map(|text| text.as_str().map(str::to_owned)).collect() }
    }

    /// The first difference, with its place.
    pub(crate) fn first(&self, at: &str, wanted: &Json, found: &Json) -> Option<String> {
        self.differ(at, "", wanted, found)
    }

    fn differ(&self, at: &str, name: &str, wanted: &Json, found: &Json) -> Option<String> {
        let timed =
            name.to_lowercase().contains("timestamp") || matches!(name, "creationTime" | "ingestionTime");
        if timed && wanted == "timestamp" || wanted.as_str().is_some_and(|text| self.is_any(text)) {
            return None;
        }
        let parsed = found.as_str().filter(|_| wanted.is_object() || wanted.is_array());
        let parsed: Option<Json> = parsed.and_then(|text| serde_json::from_str(text).ok());
        let found = parsed.as_ref().filter(|json| json.is_object() || json.is_array()).unwrap_or(found);
        match (wanted, found) {
            (Json::Object(wanted), Json::Object(found)) => self.members(at, wanted, found),
            (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => {
                let items = wanted.iter().zip(found).enumerate();
                items
                    .into_iter()
                    .find_map(|(i, (wanted, found))| self.differ(&format!("{at}[{i}]"), "", wanted, found))
            }
            (Json::Number(wanted), Json::Number(found)) if close(wanted.as_f64(), found.as_f64()) => None,
            (Json::String(wanted), Json::String(found)) if self.same_text(wanted, found) => None,
            _ if wanted == found => None,
            _ => Some(format!("{at}: expected {}, got {}", short(wanted), short(found))),
        }
    }

    fn members(
        &self,
        at: &str,
        wanted: &serde_json::Map<String, Json>,
        found: &serde_json::Map<String, Json>,
    ) -> Option<String> {
        let relevant = |name: &&String| !IGNORED.contains(&name.as_str());
        let mut extra: Vec<_> =
            found.keys().filter(relevant).filter(|name| !wanted.contains_key(*name)).collect();
        for (name, wanted) in wanted.iter().filter(|(name, _)| relevant(name)) {
            let own = if found.contains_key(name) {
                name
            } else {
                // A placeholder may replace a name.
                match extra.iter().position(|extra| self.same_text(name, extra)) {
                    Some(index) => extra.remove(index),
                    None => return Some(format!("{at}.{name}: missing")),
                }
            };
            let difference = self.differ(&format!("{at}.{own}"), own, wanted, &found[own]);
            if difference.is_some() {
                return difference;
            }
        }
        extra.first().map(|name| format!("{at}.{name}: unexpected"))
    }

    /// Whether the whole text is a placeholder.
    fn is_any(&self, text: &str) -> bool {
        let token = token(text) == Some(text.len()) && !self.is_genuine(text);
        token || self.wildcards.iter().any(|wildcard| wildcard == text)
    }

    fn is_genuine(&self, token: &str) -> bool {
        self.wildcards.iter().any(|wildcard| wildcard.strip_prefix('!') == Some(token))
    }

    fn same_text(&self, wanted: &str, found: &str) -> bool {
        let (dated, own) = (without_dates(wanted), without_dates(found));
        if wanted == found || dated == own || self.is_any(wanted) {
            return true;
        }
        let pieces = self.pieces(&dated);
        if pieces.len() > 1 && (fits(&pieces, &own, true) || fits(&pieces, found, true)) {
            return true;
        }
        let json = |text: &str| -> Option<Json> {
            text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
        };
        match (json(wanted), json(found)) {
            (Some(wanted), Some(found)) => self.first("", &wanted, &found).is_none(),
            _ => false,
        }
    }

    /// The pieces of a text between its placeholders.
    fn pieces(&self, text: &str) -> Vec<String> {
        let mut pieces = vec![String::new()];
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let own =
                self.wildcards.iter().filter(|wildcard| wildcard.len() > 5 && rest.starts_with(*wildcard));
            let own = own.map(String::len).max();
            match token(rest).filter(|end| !self.is_genuine(&rest[..*end])).or(own) {
                Some(end) => {
                    pieces.push(String::new());
                    rest = &rest[end..];
                }
                None => {
                    pieces.last_mut().into_iter().for_each(|piece| piece.push(first));
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        pieces
    }
}

/// Whether the pieces occur in this order in the text, with at least one character between two of them.
fn fits(pieces: &[String], text: &str, first: bool) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return text.is_empty();
    };
    if first {
        return text.strip_prefix(piece.as_str()).is_some_and(|text| fits(rest, text, false));
    }
    if rest.is_empty() {
        return text.len() > piece.len() && text.ends_with(piece.as_str());
    }
    let starts = text.char_indices().skip(1).map(|(at, _)| at);
    starts
        .into_iter()
        .any(|at| text[at..].strip_prefix(piece.as_str()).is_some_and(|text| fits(rest, text, false)))
}

/// The length of the placeholder at the start of a text: `<name>` or `<name:1>`.
fn token(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let name = &inner[..end];
    let name = match name.rsplit_once(':') {
        Some((name, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    };
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.- ".contains(c));
    sound.then_some(end + 2)
}

/// The text with `date` in place of every timestamp.
fn without_dates(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(end) = moment(rest) {
            plain.push_str("date");
            rest = &rest[end..];
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    plain
}

/// The length of the timestamp at the start of a text: a date, a time and an offset.
fn moment(text: &str) -> Option<usize> {
    let digits = |from: usize| text.bytes().skip(from).take_while(u8::is_ascii_digit).count();
    let shape = "dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'd' { byte.is_ascii_digit() } else { byte == wanted };
    let head = text.get(..shape.len())?;
    if !head.bytes().zip(shape.bytes()).all(fits) || format!("{head}Z").parse::<jiff::Timestamp>().is_err() {
        return None;
    }
    let mut end = shape.len();
    if text[end..].starts_with('.') && (1..=9).contains(&digits(end + 1)) {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with('Z') {
        return Some(end + 1);
    }
    let offset = text[end..].starts_with(['+', '-']) && digits(end + 1) >= 2;
    let colon = offset && text[end + 3..].starts_with(':');
    let minutes = end + 3 + usize::from(colon);
    offset.then(|| if digits(minutes) >= 2 { minutes + 2 } else { minutes })
}

fn close(wanted: Option<f64>, found: Option<f64>) -> bool {
    let (Some(wanted), Some(found)) = (wanted, found) else { return false };
    wanted == found || (wanted - found).abs() <= 1e-12 * wanted.abs().max(found.abs())
}

fn short(json: &Json) -> String {
    json.to_string().chars().take(500).collect()
}
