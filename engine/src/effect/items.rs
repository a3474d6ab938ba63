//! The reads and writes of a distributed Map, which its host does.

use std::sync::Arc;

use crate::ids::TaskId;
use crate::value::{Object, Value};

/// Items to read for a distributed Map.
#[derive(Clone, Debug)]
pub struct ItemSource {
    /// The id for the answer.
    pub id: TaskId,
    /// The resource that the definition names: `arn:aws:states:::s3:getObject`.
    pub resource: Arc<str>,
    /// The place to read from: `Bucket` with `Key`, or with `Prefix` to list objects.
    pub arguments: Value,
    /// The objects that contain the items.
    pub objects: ObjectSet,
    /// The format of each of these objects.
    pub format: ItemFormat,
    /// The maximum number of items; the Map ignores further ones.
    pub max_items: Option<usize>,
    /// The state that reads.
    pub state: Arc<str>,
    /// The execution that reads.
    pub execution: Arc<str>,
}

/// The objects that contain the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectSet {
    /// The object at `Key`.
    Named,
    /// Every object under `Prefix`.
    Listed,
    /// Every object that the manifest at `Key` lists: one CSV line each, `s3://bucket/key`.
    Manifest,
}

/// The format of objects with items. Any object may be compressed with gzip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemFormat {
    /// A JSON array, or an object whose members are the items. It may be nested in the document.
    Json {
        /// JSON Pointer to the list; `None`: the document is the list.
        pointer: Option<Arc<str>>,
    },
    /// One JSON value per line.
    JsonLines,
    /// Rows of texts; each row becomes an object.
    Csv {
        /// The column names; `None`: the first line has them.
        headers: Option<Vec<Arc<str>>>,
        /// The character between two cells.
        delimiter: char,
    },
    /// Rows of typed columns; each row becomes an object.
    Parquet,
    /// The host opens no object. S3's listing of each object is an item, with `Etag`, `Key`, `LastModified`
    /// in seconds, `Size` and `StorageClass`.
    Listing,
    /// The object is the `manifest.json` of an S3 inventory. Each row of its CSV files is an item.
    Inventory,
}

/// The items of a distributed Map.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Items {
    /// The items in their order.
    pub values: Vec<Value>,
    /// The items' names, when they are the members of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Arc<str>>>,
    /// The objects that the items come from, when these differ from the requested object: `S3://bucket/key`
    /// for the items from this index on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<(usize, Arc<str>)>,
}

/// The results of a distributed Map, for S3 or the host's replacement of it.
#[derive(Clone, Debug)]
pub struct ResultFiles {
    /// The id for the answer.
    pub id: TaskId,
    /// The resource that the definition names: `arn:aws:states:::s3:putObject`.
    pub resource: Arc<str>,
    /// The bucket to write to.
    pub bucket: Arc<str>,
    /// The objects to write; the manifest is the last.
    pub files: Vec<ResultFile>,
    /// The state that writes.
    pub state: Arc<str>,
    /// The execution that writes.
    pub execution: Arc<str>,
}

/// One object to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFile {
    /// The object's key.
    pub key: String,
    /// The object's content: JSON or JSON Lines.
    pub body: String,
}

impl Items {
    /// One item per member of an object.
    pub fn members(object: &Object) -> Self {
        let (keys, values) = object.iter().map(|(name, value)| (Arc::clone(name), value.clone())).unzip();
        Self { values, keys: Some(keys), sources: Vec::new() }
    }

    /// The items of an array or of an object; `None` for any other value.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Array(items) => Some(items.to_vec().into()),
            Value::Object(members) => Some(Self::members(members)),
            _ => None,
        }
    }

    /// Drops all items after the first `most`.
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
