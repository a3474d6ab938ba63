//! What steps take and give that decide records of a batch.

use serde::{Deserialize, Serialize};

use crate::{batch::Batch, ledger::StagedPart, records::Records};

/// What most steps take: some records of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The batch.
    pub batch: Batch,
    /// The records that the step is for.
    pub records: Records,
}

/// What a step gives that decides every record it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// What became of them.
    pub part: StagedPart,
}
