//! Intermediate values of a state, for a test of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::value::Value;

/// The intermediate values of a state under test.
pub(crate) type InspectionData = BTreeMap<Stage, Value>;

/// A cell for the values that expressions compute during an evaluation.
pub(crate) type InspectionCell = RefCell<InspectionData>;

/// A stage of a state's processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    AfterArguments,
    AfterInputPath,
    AfterParameters,
    AfterItemsPath,
    AfterItemsPointer,
    AfterItemSelector,
    AfterItemBatcher,
    MaxConcurrency,
    ToleratedFailureCount,
    ToleratedFailurePercentage,
    Result,
    AfterResultSelector,
    AfterResultPath,
}
