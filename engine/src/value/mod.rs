//! JSON values with shared containers and strings: a clone copies a pointer, never a payload.

mod json;
mod number;

use std::fmt;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

pub use number::Number;

/// The maximum nesting of lists and objects in parsed values and in outputs of states. A host wraps a value
/// in more levels to store it, and the reader of stored JSON permits 128.
pub(crate) const MAX_DEPTH: usize = 100;

/// A JSON value.
///
/// Strings, arrays and objects are behind an `Arc`. So a state that outputs its input, or a part of it,
/// shares the memory of the parsed text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number. Integers that fit 64 bits keep every digit.
    Number(Number),
    /// A text.
    String(Arc<str>),
    /// A list.
    Array(Array),
    /// Members in the order of the source.
    Object(Object),
}

/// A shared list of values.
#[derive(Clone, Debug, Default)]
pub struct Array(Arc<Measured<Vec<Value>>>);

/// A shared map from names to values that keeps its order.
#[derive(Clone, Debug, Default)]
pub struct Object(Arc<Measured<IndexMap<Arc<str>, Value>>>);

/// A container with its size. The size is computed once, and all clones share it.
#[derive(Debug, Default)]
struct Measured<T> {
    items: T,
    size: OnceLock<Size>,
}

/// The size of a value.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// The length of its compact JSON text.
    bytes: usize,
    /// The nesting depth of lists and objects, with the value itself.
    depth: usize,
}

impl Size {
    /// The size of a container of such parts, with `more` bytes for each.
    fn of_container(parts: impl Iterator<Item = Self>, more: usize) -> Self {
        let all = parts.fold(Self { bytes: 0, depth: 0 }, |all, part| Self {
            bytes: all.bytes + part.bytes + more,
            depth: all.depth.max(part.depth),
        });
        Self { bytes: 1 + all.bytes.max(1), depth: all.depth + 1 }
    }
}

impl Value {
    /// Parses JSON text.
    ///
    /// # Errors
    /// The text is not one JSON value.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// A text value.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// The member of this name, if the value is an object with it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// The text, if the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The list, if the value is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object, if the value is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The boolean, if the value is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The number, if the value is one.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// JSON's name for the value's type: `null`, `boolean`, `number`, `string`, `array` or `object`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The length of the value as compact JSON in UTF-8.
    pub fn json_len(&self) -> usize {
        self.size().bytes
    }

    /// Whether the nesting exceeds the limit for parsed values.
    pub(crate) fn is_too_deep(&self) -> bool {
        self.size().depth > MAX_DEPTH
    }

    fn size(&self) -> Size {
        let bytes = match self {
            Self::Null => 4,
            Self::Bool(truth) => 5 - usize::from(*truth),
            Self::Number(number) => number.json_len(),
            Self::String(text) => string_len(text),
            Self::Array(items) => return items.size(),
            Self::Object(members) => return members.size(),
        };
        Size { bytes, depth: 0 }
    }
}

impl Array {
    /// The list with another item at an existing index.
    pub(crate) fn with(&self, index: usize, item: Value) -> Self {
        let mut items = self.to_vec();
        if let Some(place) = items.get_mut(index) {
            *place = item;
        }
        items.into()
    }

    fn size(&self) -> Size {
        *self.0.size.get_or_init(|| Size::of_container(self.iter().map(Value::size), 1))
    }
}

impl Object {
    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.items.get(name)
    }

    /// The members in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> {
        self.0.items.iter()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.0.items.len()
    }

    /// Whether the object has no member.
    pub fn is_empty(&self) -> bool {
        self.0.items.is_empty()
    }

    /// The object with this member added or replaced.
    pub(crate) fn with(&self, name: &Arc<str>, value: Value) -> Self {
        let mut items = self.0.items.clone();
        items.insert(Arc::clone(name), value);
        Self(Arc::new(Measured { items, size: OnceLock::new() }))
    }

    fn size(&self) -> Size {
        *self.0.size.get_or_init(|| {
            let members = self.iter().map(|(name, value)| {
                let size = value.size();
                Size { bytes: string_len(name) + size.bytes, ..size }
            });
            Size::of_container(members, 2)
        })
    }
}

/// The length of a text as JSON, with its quotes and escapes.
fn string_len(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
        0x00..0x20 => 6,
        _ => 1,
    });
    2 + escaped.sum::<usize>()
}

impl std::ops::Deref for Array {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.items
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.items == other.0.items
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items.into())
    }
}

impl From<Vec<Value>> for Array {
    fn from(items: Vec<Value>) -> Self {
        Self(Arc::new(Measured { items, size: OnceLock::new() }))
    }
}

impl FromIterator<(Arc<str>, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(members: I) -> Self {
        Self(Arc::new(Measured { items: members.into_iter().collect(), size: OnceLock::new() }))
    }
}

impl FromIterator<(Arc<str>, Value)> for Value {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(members: I) -> Self {
        Self::Object(members.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(members: [(&str, Value); N]) -> Self {
        members.into_iter().map(|(name, value)| (Arc::from(name), value)).collect()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl<N: Into<Number>> From<N> for Value {
    fn from(number: N) -> Self {
        Self::Number(number.into())
    }
}

impl fmt::Display for Value {
    /// Compact JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
