//! The children of a Map or Parallel state, and what they came to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Dataset;
use crate::ids::{MapRunId, StrandId};
use crate::value::{Array, Value};

/// Children to take up again: each one's index, and the strand it was.
pub(super) type ToRedrive = VecDeque<(usize, StrandId)>;

/// What a Map or Parallel state waits for.
#[derive(Debug)]
pub(crate) struct Children {
    /// The items, or the inputs of branches or batches.
    pub dataset: Dataset,
    /// How many items each input has, when it is a batch.
    pub(super) batches: Option<Vec<usize>>,
    pub(super) outputs: Vec<Option<Value>>,
    /// Those that fell and are to go on.
    pub(super) to_redrive: ToRedrive,
    /// Those that failed and were tolerated.
    failed: BTreeSet<usize>,
    /// The next one to start.
    pub next: usize,
    pub running: BTreeMap<StrandId, usize>,
    pub concurrency: usize,
    /// A distributed Map's run.
    pub map_run: Option<MapRunId>,
}

/// What a child of a distributed Map came to.
#[derive(Clone, Debug)]
pub(crate) struct ChildResult {
    pub succeeded: bool,
    /// Its output, or all that is known of it.
    pub value: Value,
}

impl Children {
    pub(crate) fn branches(inputs: Vec<Value>) -> Self {
        Self::items(Array::from(inputs).into(), usize::MAX)
    }

    pub(crate) fn items(dataset: Dataset, concurrency: usize) -> Self {
        Self {
            outputs: vec![None; dataset.values.len()],
            dataset,
            batches: None,
            to_redrive: ToRedrive::new(),
            failed: BTreeSet::new(),
            next: 0,
            running: BTreeMap::new(),
            concurrency,
            map_run: None,
        }
    }

    /// Inputs that hold so many items each.
    pub(crate) fn batches(inputs: Array, items: Vec<usize>) -> Self {
        Self { batches: Some(items), ..Self::items(inputs.into(), 0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.dataset.values.len()
    }

    /// What the children came to that have ended.
    pub(crate) fn results(&self) -> Vec<ChildResult> {
        let results = self.outputs.iter().enumerate();
        results
            .filter_map(|(index, value)| {
                Some(ChildResult { succeeded: !self.failed.contains(&index), value: value.clone()? })
            })
            .collect()
    }

    /// Takes these up again; the others have ended well, or never started.
    pub(super) fn redrive(&mut self, failed: ToRedrive) {
        self.running.clear();
        for (index, _) in &failed {
            self.failed.remove(index);
            self.outputs[*index] = None;
        }
        self.to_redrive = failed;
    }

    /// Keeps what a child came to.
    pub(super) fn record_result(&mut self, child: StrandId, index: usize, value: Value, succeeded: bool) {
        self.running.remove(&child);
        if let Some(place) = self.outputs.get_mut(index) {
            *place = Some(value);
        }
        if !succeeded {
            self.failed.insert(index);
        }
    }

    /// How many items a child has.
    pub(super) fn items_of(&self, index: usize) -> u64 {
        let items = self.batches.as_ref().and_then(|batches| batches.get(index));
        items.map_or(1, |items| *items as u64)
    }
}
