//! A Map in a test: its items are processed, and a mock replaces the results of its iterations.

use super::Map;
use super::distributed::Distributed;
use crate::effect::{ItemFormat, Items};
use crate::failure::Failure;
use crate::query::Stage;
use crate::run::{Dataset, EvalInputs, Fault, MapRunUpdate, Source, Visit, VisitResult, tolerance_exceeded};
use crate::value::Value;

impl Map {
    /// Whether the Map writes its results to storage and outputs only their location.
    pub(crate) fn writes(&self) -> bool {
        self.distributed.as_ref().is_some_and(Distributed::writes)
    }

    /// Runs the test. Without `items`, the mocked items of the ItemReader are used.
    pub(super) fn tested(
        &self,
        visit: &mut Visit<'_>,
        items: Option<Value>,
        concurrency: usize,
    ) -> VisitResult {
        let dataset = match items {
            Some(items) => Dataset::new(Items::of(&items).unwrap_or_default(), Source::State),
            None => self.read(visit)?,
        };
        let all = dataset.values.len();
        let selected =
            (0..all).filter_map(|index| dataset.item(index)).map(|item| visit.iteration_input(self, item));
        let selected = selected.collect::<Result<Vec<_>, _>>()?;
        if self.selector.is_some() {
            visit.inspect(Stage::AfterItemSelector, &selected.clone().into());
        }
        let mut limits = MapRunUpdate::default();
        if let Some(distributed) = &self.distributed {
            limits = self.limits(visit, concurrency)?;
            if let Some(batcher) = &distributed.batcher {
                let batches = batcher.batches(visit, selected)?.inputs;
                visit.inspect(Stage::AfterItemBatcher, &batches.into());
            }
        }
        visit.inspect(Stage::MaxConcurrency, &concurrency.into());
        if let Some(count) = limits.tolerated_failure_count {
            visit.inspect(Stage::ToleratedFailureCount, &count.into());
        }
        if let Some(share) = limits.tolerated_failure_percentage {
            visit.inspect(Stage::ToleratedFailurePercentage, &crate::value::Number::Float(share).into());
        }
        let result = self.mocked(visit, all, &limits)?;
        visit.leave(&self.exit, "", EvalInputs::result(&result))
    }

    /// The mocked items of the ItemReader.
    fn read(&self, visit: &mut Visit<'_>) -> Result<Dataset, Fault> {
        let reader = self.distributed.as_ref().and_then(|distributed| distributed.reader.as_ref());
        let Some(reader) = reader else {
            return Ok(Dataset::new(Items::default(), Source::State));
        };
        let source = reader.source(visit)?;
        let mut items =
            visit.inspection().and_then(|inspection| inspection.items.clone()).unwrap_or_default();
        if let Some(most) = reader.max_items(visit)? {
            items.truncate(most);
        }
        if let Some(ItemFormat::Json { pointer: Some(_) }) = reader.format() {
            visit.inspect(Stage::AfterItemsPointer, &items.values.clone().into());
        }
        Ok(Dataset::new(items, source))
    }

    /// The mocked result of `all` iterations.
    fn mocked(&self, visit: &mut Visit<'_>, all: usize, limits: &MapRunUpdate) -> Result<Value, Fault> {
        let Some(inspection) = visit.inspection() else {
            return Ok(Value::Null);
        };
        let failed = inspection.failed_iterations.unwrap_or_default();
        let mock: Result<Value, Failure> = inspection.mock.clone().unwrap_or_else(|| Ok(Value::Null));
        let outputs = match &mock {
            Ok(Value::Array(outputs)) => Some(outputs.len()),
            _ => None,
        };
        if failed > all {
            let why =
                "Map iteration failure count must be less than or equal to the number of Map iterations.";
            inspection.mock_error = Some(why);
        }
        let (count, share) = (limits.tolerated_failure_count, limits.tolerated_failure_percentage);
        // Without a threshold in the definition, a mocked error is the error of the Map.
        let mock_decides = mock.is_err() && count.is_none() && share.is_none();
        if self.distributed.is_some()
            && !mock_decides
            && let Some(failure) = tolerance_exceeded(count, share, failed as u64, all as u64)
        {
            return Err(failure.into());
        }
        // The mocked result may omit the failed iterations.
        if outputs.is_some_and(|outputs| outputs != all && outputs + failed != all) {
            inspection.mock_error = Some("Input array does not equal the mocked result array's size.");
        }
        mock.map_err(Fault::from)
    }
}
