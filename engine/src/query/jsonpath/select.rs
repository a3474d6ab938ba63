//! The search for the values of a path.

use std::fmt::Write;

use super::{JsonPath, Step};
use crate::value::{Array, Object, Value};

/// The reason why a path has no value, with AWS's message.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// The last step is an index past the end of its list.
    IndexBeyondEnd(String),
    /// Any other reason.
    Other(String),
}

/// The maximum number of steps of one search. `$..*..*..*` visits the same values again and again.
const MAX_SEARCH_STEPS: usize = 4_000_000;

/// The state of a search.
struct Search {
    values: Vec<Value>,
    /// The remaining number of steps.
    steps_left: usize,
    /// Whether an index past the end of a list gives null, if it is the last step.
    nulls: bool,
}

impl NotFound {
    /// AWS's message.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::IndexBeyondEnd(reason) | Self::Other(reason) => reason,
        }
    }
}

impl JsonPath {
    /// The value in a document. An indefinite path gives the list of all values.
    pub(super) fn find(&self, document: &Value) -> Result<Value, NotFound> {
        self.search(document, false)
    }

    /// The same, with null where the last step is an index past the end of a list.
    pub(super) fn find_with_nulls(&self, document: &Value) -> Result<Value, NotFound> {
        match self.search(document, true) {
            Err(NotFound::IndexBeyondEnd(_)) => Ok(Value::Null),
            found => found,
        }
    }

    fn search(&self, document: &Value, nulls: bool) -> Result<Value, NotFound> {
        let found = if self.is_definite() {
            self.find_one(document)?
        } else {
            let mut found = Search { values: Vec::new(), steps_left: MAX_SEARCH_STEPS, nulls };
            collect_all(&self.steps, document, document, &mut found);
            if found.steps_left == 0 {
                return Err(NotFound::Other(format!("The path {} visits too many values", self.source)));
            }
            found.values.into()
        };
        match self.function {
            None => Ok(found),
            Some(function) => function
                .of(&found)
                .ok_or_else(|| NotFound::Other(format!("No results for path: {}", self.source))),
        }
    }

    fn find_one(&self, document: &Value) -> Result<Value, NotFound> {
        let mut place = document;
        for (at, step) in self.steps.iter().enumerate() {
            let next = match (step, place) {
                (Step::Name(name), Value::Object(members)) => members.get(name),
                (Step::Index(index), Value::Array(items)) => nth(items, *index),
                (Step::Names(names), Value::Object(members)) => {
                    return Ok(Value::Object(pick_members(members, names)));
                }
                _ => None,
            };
            place = next.ok_or_else(|| self.not_found(at, place))?;
        }
        Ok(place.clone())
    }

    /// The error of a path that stops at step `at`, with the value `place` before it.
    fn not_found(&self, at: usize, place: &Value) -> NotFound {
        let last = at + 1 == self.steps.len();
        let (before, here) = (path_text(&self.steps[..at]), path_text(&self.steps[at..=at]));
        match (&self.steps[at], place) {
            (Step::Index(_), Value::Array(_)) if last => {
                NotFound::IndexBeyondEnd(format!("No results for path: {before}{}", &here[1..]))
            }
            (Step::Name(_), Value::Object(_)) if !last => {
                NotFound::Other(format!("Missing property in path {before}{}", &here[1..]))
            }
            (Step::Name(_), Value::Object(_)) | (Step::Index(_), Value::Array(_)) => {
                NotFound::Other(format!("No results for path: {}", path_text(&self.steps)))
            }
            (Step::Index(_), Value::Null) => NotFound::Other(format!("The path {before} is null")),
            (Step::Index(_), place) => NotFound::Other(format!(
                "Filter: {} can only be applied to arrays. Current context is: {place}",
                &here[1..]
            )),
            (_, place) => NotFound::Other(format!(
                "Expected to find an object with property {} in path {before} but found '{}'. This is not a json object according to the JsonProvider: 'com.jayway.jsonpath.spi.json.JacksonJsonProvider'.",
                &here[1..],
                java_class(place),
            )),
        }
    }
}

/// Adds every value of the steps. Values that a step does not apply to are skipped.
fn collect_all(steps: &[Step], place: &Value, document: &Value, found: &mut Search) {
    let Some(steps_left) = found.steps_left.checked_sub(1) else {
        return;
    };
    found.steps_left = steps_left;
    let Some((step, rest)) = steps.split_first() else {
        found.values.push(place.clone());
        return;
    };
    let absent = (found.nulls && rest.is_empty()).then_some(&Value::Null);
    let mut follow = |place: &Value| collect_all(rest, place, document, found);
    match (step, place) {
        (Step::Name(name), Value::Object(members)) => {
            members.get(name).into_iter().for_each(follow);
        }
        (Step::Names(names), Value::Object(members)) => {
            if rest.is_empty() {
                follow(&Value::Object(pick_members(members, names)));
            } else {
                names.iter().filter_map(|name| members.get(name)).for_each(follow);
            }
        }
        (Step::Index(index), Value::Array(items)) => {
            nth(items, *index).or(absent).into_iter().for_each(follow)
        }
        (Step::Indexes(indexes), Value::Array(items)) => {
            indexes.iter().filter_map(|index| nth(items, *index).or(absent)).for_each(follow);
        }
        (Step::Slice(from, to), Value::Array(items)) => slice(items, *from, *to).iter().for_each(follow),
        (Step::Wildcard, Value::Array(items)) => items.iter().for_each(follow),
        (Step::Wildcard, Value::Object(members)) => members.iter().for_each(|(_, value)| follow(value)),
        (Step::Filter(filter), Value::Array(items)) => {
            items.iter().filter(|item| filter.passes(item, document)).for_each(follow);
        }
        (Step::Filter(filter), Value::Object(_)) if filter.passes(place, document) => follow(place),
        (Step::Scan, place) => scan(rest, place, document, found),
        _ => {}
    }
}

/// Applies the steps to a value and to all values below it.
fn scan(steps: &[Step], place: &Value, document: &Value, found: &mut Search) {
    collect_all(steps, place, document, found);
    match place {
        Value::Array(items) => items.iter().for_each(|item| scan(steps, item, document, found)),
        Value::Object(members) => members.iter().for_each(|(_, value)| scan(steps, value, document, found)),
        _ => {}
    }
}

fn pick_members(members: &Object, names: &[std::sync::Arc<str>]) -> Object {
    names.iter().filter_map(|name| Some((name.clone(), members.get(name)?.clone()))).collect()
}

pub(super) fn nth(items: &[Value], index: i64) -> Option<&Value> {
    items.get(index_from_start(items.len(), index)?)
}

/// An index counted from the start; `None`: it is before the start.
pub(super) fn index_from_start(length: usize, index: i64) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { length.checked_sub(distance) } else { Some(distance) }
}

fn slice(items: &Array, from: Option<i64>, to: Option<i64>) -> &[Value] {
    let clamp = |index: i64| index_from_start(items.len(), index).unwrap_or(0).min(items.len());
    let (from, to) = (from.map_or(0, clamp), to.map_or(items.len(), clamp));
    items.get(from..to).unwrap_or_default()
}

/// Steps in Jayway's form: `$['a'][0]`.
fn path_text(steps: &[Step]) -> String {
    let mut text = String::from("$");
    for step in steps {
        // A write to a String cannot fail.
        let _ = match step {
            Step::Name(name) => write!(text, "['{name}']"),
            Step::Index(index) => write!(text, "[{index}]"),
            Step::Names(names) => write!(text, "['{}']", names.join("','")),
            _ => write!(text, "[*]"),
        };
    }
    text
}

fn java_class(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "java.lang.Boolean",
        Value::Number(crate::value::Number::Float(_)) => "java.lang.Double",
        Value::Number(_) => "java.lang.Integer",
        Value::String(_) => "java.lang.String",
        Value::Array(_) => "java.util.ArrayList",
        Value::Object(_) => "java.util.LinkedHashMap",
    }
}
