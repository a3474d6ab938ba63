//! The input of an execution: a batch with its records, or a bare list that a person typed into the console.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
    json, order,
    raw_record::RawRecord,
    records::Records,
};

/// The execution's input, as the machine received it, and the machine's facts about the execution.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The input: `{"batch": {..}, "records": {..}}`, or a list of records.
    pub input: Box<RawValue>,
    /// The execution.
    pub execution: Execution,
}

/// The facts about an execution in the context object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Execution {
    /// Its name.
    pub name: String,
    /// When it was started.
    pub started_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    batch: Batch,
    records: Records,
}

impl Start {
    /// How many bytes of records an execution with this input has; zero if it is not an execution of the flow, or the
    /// size is not known.
    pub fn bytes_of(input: &str) -> u64 {
        #[derive(Deserialize)]
        struct Sized {
            records: Records,
        }
        serde_json::from_str::<Sized>(input).map_or(0, |input| input.records.bytes())
    }

    /// The batch and its records. A bare list (S2-002: at least one record, S2-003) becomes a batch whose id follows
    /// from the execution, so that a second attempt makes the same one.
    pub fn read(&self) -> Result<(Batch, Records), Error> {
        let text = self.input.get();
        if !text.starts_with('[') {
            let Input { batch, records } = json::decode(text.as_bytes())?;
            return Ok((batch, records));
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| Error::BadInput(json::describe(&error)))?;
        if items.is_empty() {
            return Err(Error::BadInput("the list holds no record; at least one is needed".into()));
        }
        let mut lines = Vec::new();
        for (index, item) in (0..).zip(items) {
            RawRecord::json(index, 0, item).write(&mut lines)?;
            lines.push(b'\n');
        }
        Ok((self.batch()?, Records::inline(&lines)?))
    }

    fn batch(&self) -> Result<Batch, Error> {
        let Execution { name, started_at } = &self.execution;
        let by_name = || BatchId::new(*started_at, xxhash_rust::xxh3::xxh3_128(name.as_bytes()));
        Ok(Batch {
            batch_id: name.parse().unwrap_or_else(|_| by_name()),
            tenant: Name::default_tenant(),
            provider: "console".parse()?,
            kind: Kind::Contact,
            received_at: *started_at,
            order: order::at(*started_at),
            replay: 0,
            chunk: None,
            rules: crate::Rules::default(),
        })
    }
}
