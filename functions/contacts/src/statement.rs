//! A consent statement as people and programs read it: the members of the API and of exports.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::stored::{History, OptIn};
use kernel::{batch::BatchId, error::Error, outcome::Outcome};

/// A consent statement as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    name: String,
    email: String,
    opt_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    interests: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Box<RawValue>>,
    since: Timestamp,
    batch_id: BatchId,
    index: u64,
    source: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
}

impl Statement {
    /// The statement, with its extra fields as JSON.
    pub fn new(stored: OptIn) -> Result<Self, Error> {
        let extra = stored.extra.map(RawValue::from_string).transpose();
        Ok(Self {
            extra: extra
                .map_err(|_| Error::StorageRefused("the extra fields of a contact are not JSON".into()))?,
            name: stored.name,
            email: stored.email,
            opt_in: stored.opt_in,
            interests: stored.interests,
            since: stored.since,
            batch_id: stored.batch_id,
            index: stored.index,
            source: stored.source,
            outcome: stored.outcome,
            late: stored.late,
        })
    }
}

/// A contact with all statements, in the order in which they were made; the last one is the current one.
#[derive(Debug, Serialize)]
pub struct ContactWithHistory {
    /// The address in the one spelling of comparisons.
    pub key: String,
    /// The current statement.
    #[serde(flatten)]
    pub current: Statement,
    /// All statements.
    pub history: Vec<Statement>,
}

impl ContactWithHistory {
    /// The contact with this key.
    pub fn new(key: &str, history: History) -> Result<Self, Error> {
        let History { current, past } = history;
        let all = past.into_iter().chain([current.clone()]);
        Ok(Self {
            key: key.to_owned(),
            current: Statement::new(current.statement)?,
            history: all.map(|stored| Statement::new(stored.statement)).collect::<Result<_, _>>()?,
        })
    }
}
