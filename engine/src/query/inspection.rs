//! What a state computes on its way, for whoever tests it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::value::Value;

/// What a state under test has computed.
pub(crate) type InspectionData = BTreeMap<Stage, Value>;

/// InspectionData that expressions add to while they are read.
pub(crate) type InspectionCell = RefCell<InspectionData>;

/// A value that a state computes on its way.
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
