//! Input and output of the steps that decide records of a batch.

use serde::{Deserialize, Serialize};

use crate::{batch::Batch, ledger::StagedPart, records::Records};

/// The input of most steps: some records of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The batch.
    pub batch: Batch,
    /// The records that the step decides.
    pub records: Records,
}

/// The output of a step that decides all of its records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// Their outcomes.
    pub part: StagedPart,
}
