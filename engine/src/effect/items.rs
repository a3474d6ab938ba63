//! What a distributed Map has its host read and write.

use std::sync::Arc;

use crate::ids::TaskId;
use crate::value::{Object, Value};

/// Items to read for a distributed Map.
#[derive(Clone, Debug)]
pub struct ItemSource {
    /// What to answer to.
    pub id: TaskId,
    /// How to read, as the definition names it: `arn:aws:states:::s3:getObject`.
    pub resource: Arc<str>,
    /// Where to read: `Bucket` with `Key`, or with `Prefix` when objects are listed.
    pub arguments: Value,
    /// Which objects hold the items.
    pub objects: ObjectSet,
    /// How each of these objects is written.
    pub format: ItemFormat,
    /// Items beyond these are not wanted.
    pub max_items: Option<usize>,
    /// The state that asks.
    pub state: Arc<str>,
    /// The execution that asks.
    pub execution: Arc<str>,
}

/// Which objects hold the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectSet {
    /// The one at `Key`.
    Named,
    /// Every one under `Prefix`.
    Listed,
    /// Every one that the manifest at `Key` names: a line of CSV each, `s3://bucket/key`.
    Manifest,
}

/// How objects with items are written. Any of them may be packed with gzip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemFormat {
    /// A JSON array, or an object whose members are the items; it may sit inside the document.
    Json {
        /// JSON Pointer to it; `None`: the document is the list.
        pointer: Option<Arc<str>>,
    },
    /// A JSON value a line.
    JsonLines,
    /// Rows of texts; each becomes an object.
    Csv {
        /// The columns' names; `None`: the first line has them.
        headers: Option<Vec<Arc<str>>>,
        /// What stands between two texts.
        delimiter: char,
    },
    /// Rows of columns with types; each becomes an object.
    Parquet,
    /// The objects are not opened: what S3 lists of each is an item, with `Etag`, `Key`, `LastModified` in
    /// seconds, `Size` and `StorageClass`.
    Listing,
    /// The object is the `manifest.json` of an S3 inventory; each row of its CSV files is an item.
    Inventory,
}

/// What a distributed Map iterates over.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Items {
    /// The items in their order.
    pub values: Vec<Value>,
    /// The items' names, when they are the members of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Arc<str>>>,
    /// Which object the items come from when it is not the one that was asked for: `S3://bucket/key` for
    /// the items from this index on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<(usize, Arc<str>)>,
}

/// The results of a distributed Map, to be written to S3 or what stands for it.
#[derive(Clone, Debug)]
pub struct ResultFiles {
    /// What to answer to.
    pub id: TaskId,
    /// How to write, as the definition names it: `arn:aws:states:::s3:putObject`.
    pub resource: Arc<str>,
    /// Where to write.
    pub bucket: Arc<str>,
    /// What to write; the manifest comes last.
    pub files: Vec<ResultFile>,
    /// The state that asks.
    pub state: Arc<str>,
    /// The execution that asks.
    pub execution: Arc<str>,
}

/// One object to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFile {
    /// The object's key.
    pub key: String,
    /// What is in it: JSON, or JSON Lines.
    pub body: String,
}

impl Items {
    /// An item for each member of an object.
    pub fn members(object: &Object) -> Self {
        let (keys, values) = object.iter().map(|(name, value)| (Arc::clone(name), value.clone())).unzip();
        Self { values, keys: Some(keys), sources: Vec::new() }
    }

    /// Items of an array or of an object; `None`: the value is neither.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Array(items) => Some(items.to_vec().into()),
            Value::Object(members) => Some(Self::members(members)),
            _ => None,
        }
    }

    /// Leaves the first so many.
    pub fn truncate(&mut self, most: usize) {
        self.values.truncate(most);
        if let Some(keys) = &mut self.keys {
            keys.truncate(most);
        }
    }
}

impl From<Vec<Value>> for Items {
    fn from(values: Vec<Value>) -> Self {
        Self { values, keys: None, sources: Vec::new() }
    }
}
