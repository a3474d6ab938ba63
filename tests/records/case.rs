//! A case as `cases/*.json` has it; README.md describes the format.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::events::flow;

/// Batches that are sent one after the other, and what is stored when they have ended.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Made before anything is sent; bodies of `POST /destinations`.
    #[serde(default)]
    pub(super) destinations: Vec<Value>,
    pub(crate) batches: Vec<Batch>,
    #[serde(default)]
    pub(super) events: Vec<flow::Stored>,
    #[serde(default)]
    pub(super) contacts: Vec<Contact>,
    /// Addresses of which nothing is stored.
    #[serde(default)]
    pub(super) unknown: Vec<String>,
}

/// What is sent, and what becomes of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Batch {
    #[serde(default)]
    pub(super) records: Option<Box<RawValue>>,
    /// In place of `records`: events, the body of one request.
    #[serde(default)]
    pub(super) events: Option<Box<RawValue>>,
    /// In place of `records`: a body to the letter.
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(rename = "type", default = "json")]
    pub(super) media: String,
    /// How often the records stand in the body, one after the other.
    #[serde(default = "once")]
    pub(super) times: usize,
    /// The query of the request, with its question mark.
    #[serde(default)]
    pub(super) query: String,
    /// Sent by way of `POST /uploads`.
    #[serde(default)]
    pub(super) upload: bool,
    #[serde(default = "succeeded")]
    pub(super) status: String,
    pub(crate) path: Vec<String>,
    /// Those that are not zero.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// By index: some of the records.
    #[serde(default)]
    pub(super) rows: BTreeMap<u64, Row>,
    /// By index: all that lie there.
    #[serde(default)]
    pub(super) quarantine: BTreeMap<u64, Entry>,
}

fn json() -> String {
    "application/json".to_owned()
}

fn once() -> usize {
    1
}

fn succeeded() -> String {
    "SUCCEEDED".to_owned()
}

/// What became of one record.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) outcome: String,
    #[serde(default)]
    pub(super) duplicate_of: Option<u64>,
    #[serde(default)]
    pub(super) conflicts_with: Option<u64>,
}

/// A record in quarantine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) error_type: String,
    /// Each as pointer and rule.
    pub(super) faults: BTreeSet<(String, String)>,
    #[serde(default)]
    pub(super) line: Option<u64>,
    /// The record, to the letter.
    #[serde(default)]
    pub(super) raw: Option<String>,
}

/// A contact as it is stored.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Contact {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) opt_in: bool,
    #[serde(default)]
    pub(super) interests: Option<Vec<String>>,
    /// The fields that the schema does not name: the text of a JSON object, to the letter.
    #[serde(default)]
    pub(super) extra: Option<String>,
    /// How often something was said of them.
    pub(super) history: usize,
}
