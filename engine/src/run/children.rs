//! The children of a Map or Parallel state, and their results.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Dataset;
use crate::ids::{MapRunId, StrandId};
use crate::value::{Array, Value};

/// Children to redrive: each child's index, and its strand from the failed run.
pub(super) type ToRedrive = VecDeque<(usize, StrandId)>;

/// The children that a Map or Parallel state waits for.
#[derive(Debug)]
pub(crate) struct Children {
    /// The items, or the inputs of branches or batches.
    pub dataset: Dataset,
    /// The number of items in each input, when the inputs are batches.
    pub(super) batches: Option<Vec<usize>>,
    pub(super) outputs: Vec<Option<Value>>,
    /// Children that failed and must be redriven.
    pub(super) to_redrive: ToRedrive,
    /// Children whose failure was tolerated.
    failed: BTreeSet<usize>,
    /// The index of the next child to start.
    pub next: usize,
    pub running: BTreeMap<StrandId, usize>,
    pub concurrency: usize,
    /// The Map run of a distributed Map.
    pub map_run: Option<MapRunId>,
}

/// The result of a child of a distributed Map.
#[derive(Clone, Debug)]
pub(crate) struct ChildResult {
    pub succeeded: bool,
    /// The child's output, or a report on its execution.
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

    /// Batches as inputs; `items` has the number of items in each batch.
    pub(crate) fn batches(inputs: Array, items: Vec<usize>) -> Self {
        Self { batches: Some(items), ..Self::items(inputs.into(), 0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.dataset.values.len()
    }

    /// The results of the children that have ended.
    pub(crate) fn results(&self) -> Vec<ChildResult> {
        let results = self.outputs.iter().enumerate();
        results
            .filter_map(|(index, value)| {
                Some(ChildResult { succeeded: !self.failed.contains(&index), value: value.clone()? })
            })
            .collect()
    }

    /// Marks these children for a redrive. All other children have succeeded or have never started.
    pub(super) fn redrive(&mut self, failed: ToRedrive) {
        self.running.clear();
        for (index, _) in &failed {
            self.failed.remove(index);
            self.outputs[*index] = None;
        }
        self.to_redrive = failed;
    }

    /// Stores the result of a child.
    pub(super) fn record_result(&mut self, child: StrandId, index: usize, value: Value, succeeded: bool) {
        self.running.remove(&child);
        if let Some(place) = self.outputs.get_mut(index) {
            *place = Some(value);
        }
        if !succeeded {
            self.failed.insert(index);
        }
    }

    /// The number of items that a child has.
    pub(super) fn items_of(&self, index: usize) -> u64 {
        let items = self.batches.as_ref().and_then(|batches| batches.get(index));
        items.map_or(1, |items| *items as u64)
    }
}
