//! Reference paths: paths to one place of a document, which may not exist yet.

use std::sync::Arc;

use super::select::index_from_start;
use super::{JsonPath, Root, Step};
use crate::value::{Array, Object, Value};

/// A path of names and indexes from `$`, as the target of a write.
#[derive(Clone, Debug)]
pub(crate) struct ReferencePath {
    source: Arc<str>,
    steps: Vec<Step>,
}

impl JsonPath {
    /// Whether the path has only names and indexes.
    pub(crate) fn is_reference(&self) -> bool {
        self.function.is_none()
            && self.steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(0..)))
    }
}

impl ReferencePath {
    /// `None`: no write to this path is possible.
    pub(crate) fn new(path: JsonPath) -> Option<Self> {
        (path.is_reference() && path.root == Root::Input)
            .then_some(Self { source: path.source, steps: path.steps })
    }

    /// Whether the path names the whole document.
    pub(crate) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// The document with `value` in this place. The error is AWS's message.
    pub(crate) fn write(&self, document: &Value, value: Value) -> Result<Value, String> {
        put(&self.steps, Some(document), value)
            .ok_or_else(|| format!("Unable to apply ReferencePath {} to input {document}", self.source))
    }
}

/// Creates missing objects. A list keeps its length.
fn put(steps: &[Step], at: Option<&Value>, value: Value) -> Option<Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match (step, at) {
        (Step::Name(name), None) => {
            Some(Value::Object([(Arc::clone(name), put(rest, None, value)?)].into_iter().collect()))
        }
        (Step::Name(name), Some(Value::Object(members))) => {
            let below = put(rest, members.get(name), value)?;
            Some(Value::Object(Object::with(members, name, below)))
        }
        (Step::Index(index), Some(Value::Array(items))) => {
            let index = index_from_start(items.len(), *index)?;
            let below = put(rest, Some(items.get(index)?), value)?;
            Some(Value::Array(Array::with(items, index, below)))
        }
        _ => None,
    }
}
