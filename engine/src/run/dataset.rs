//! The items of a Map, and their part of the context object.

use std::sync::Arc;

use crate::effect::Items;
use crate::value::{Array, Value};

/// The origin of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The state's own data.
    State,
    /// An object: `S3://bucket/key`, or `S3://bucket` for a listing.
    Object(Arc<str>),
}

/// The item of an iteration.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub index: usize,
    pub value: Value,
    pub key: Option<Arc<str>>,
    pub source: Source,
}

/// The items of a Map.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub values: Array,
    keys: Option<Vec<Arc<str>>>,
    source: Source,
    sources: Vec<(usize, Arc<str>)>,
}

impl From<Array> for Dataset {
    fn from(values: Array) -> Self {
        Self { values, keys: None, source: Source::State, sources: Vec::new() }
    }
}

impl Dataset {
    pub(crate) fn new(items: Items, source: Source) -> Self {
        Self { values: items.values.into(), keys: items.keys, source, sources: items.sources }
    }

    pub(crate) fn item(&self, index: usize) -> Option<Arc<Item>> {
        let value = self.values.get(index)?.clone();
        let key = self.keys.as_ref().and_then(|keys| keys.get(index)).cloned();
        let own = self.sources.partition_point(|(first, _)| *first <= index);
        let own = own.checked_sub(1).and_then(|own| self.sources.get(own));
        let source = own.map_or_else(|| self.source.clone(), |(_, uri)| Source::Object(Arc::clone(uri)));
        Some(Arc::new(Item { index, value, key, source }))
    }
}

impl Item {
    /// The input of an iteration without an `ItemSelector`: the item, or the name and value of an object's
    /// member.
    pub(super) fn input(&self) -> Value {
        match &self.key {
            None => self.value.clone(),
            Some(key) => {
                Value::from([("Key", Value::String(Arc::clone(key))), ("Value", self.value.clone())])
            }
        }
    }

    /// `Map.Item` of the context object.
    pub(super) fn context(&self) -> Value {
        let mut item = vec![(Arc::from("Index"), Value::from(self.index))];
        item.extend(self.key.clone().map(|key| ("Key".into(), Value::String(key))));
        item.push(("Value".into(), self.value.clone()));
        let source = match &self.source {
            Source::State => "STATE_DATA".into(),
            Source::Object(uri) => Arc::clone(uri),
        };
        item.push(("Source".into(), Value::String(source)));
        item.into_iter().collect()
    }
}
