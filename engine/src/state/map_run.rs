//! The run of a distributed Map: the host reads the items, each child is an execution, and the host writes
//! the results.

use super::Map;
use super::distributed::Distributed;
use super::writer::StartedWrite;
use crate::effect::Items;
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::ids::MapRunId;
use crate::run::{
    Children, Dataset, Fault, MapRunStatus, MapRunUpdate, Source, Visit, VisitOutcome, VisitResult, Waiting,
};
use crate::value::Value;

/// A read of items in flight.
#[derive(Debug)]
pub(crate) struct PendingRead {
    pub run: MapRunId,
    source: Source,
}

/// A write of results in flight, after all children have ended.
#[derive(Debug)]
pub(crate) struct PendingWrite {
    pub run: MapRunId,
    written: StartedWrite,
    /// The failure of the Map run, if it failed.
    failure: Option<Failure>,
}

impl Map {
    /// Starts the Map run. Without items the host reads them first.
    pub(super) fn start_run(
        &self,
        visit: &mut Visit<'_>,
        distributed: &Distributed,
        items: Option<Items>,
        concurrency: usize,
    ) -> VisitResult {
        let limits = self.limits(visit, concurrency)?;
        let run = visit.start_map_run(distributed.label.as_deref(), limits);
        let begun = match (items, &distributed.reader) {
            (None, Some(reader)) => reader.start(visit).map(|(id, source)| {
                visit.wait(Waiting::Items { id, pending: Box::new(PendingRead { run, source }) }, None);
                VisitOutcome::Wait
            }),
            (items, _) => {
                let dataset = Dataset::new(items.unwrap_or_default(), Source::State);
                self.start_children(visit, distributed, run, dataset)
            }
        };
        begun.map_err(|fault| fail(visit, run, fault))
    }

    pub(super) fn limits(&self, visit: &mut Visit<'_>, concurrency: usize) -> Result<MapRunUpdate, Fault> {
        let (tolerated_failure_count, tolerated_failure_percentage) =
            visit.evaluate_in_map(|scope| self.tolerated.limits(scope))?;
        Ok(MapRunUpdate {
            max_concurrency: Some(concurrency),
            tolerated_failure_count,
            tolerated_failure_percentage,
        })
    }

    /// Continues with the items that the host has read.
    pub(crate) fn items_read(
        &self,
        visit: &mut Visit<'_>,
        distributed: &Distributed,
        pending: PendingRead,
        items: Result<Items, Failure>,
    ) -> VisitResult {
        let PendingRead { run, source } = pending;
        let begun =
            items.map_err(|failure| named(failure, reserved::ITEM_READER_FAILED)).and_then(|mut items| {
                let most = distributed.reader.as_ref().map(|reader| reader.max_items(visit));
                if let Some(most) = most.transpose()?.flatten() {
                    items.truncate(most);
                }
                self.start_children(visit, distributed, run, Dataset::new(items, source))
            });
        begun.map_err(|fault| fail(visit, run, fault))
    }

    /// Prepares one child per item or batch. They start after this visit.
    fn start_children(
        &self,
        visit: &mut Visit<'_>,
        distributed: &Distributed,
        run: MapRunId,
        dataset: Dataset,
    ) -> VisitResult {
        let items = dataset.values.len();
        let mut children = Children::items(dataset, 0);
        if let Some(batcher) = &distributed.batcher {
            let selected = (0..items).filter_map(|index| children.dataset.item(index));
            let selected =
                selected.collect::<Vec<_>>().into_iter().map(|item| visit.iteration_input(self, item));
            let selected = selected.collect::<Result<Vec<_>, _>>()?;
            let batches = batcher.batches(visit, selected)?;
            children = Children::batches(batches.inputs.into(), batches.items);
        }
        children.map_run = Some(run);
        if let Some(record) = visit.run.map_run(run) {
            children.concurrency = record.concurrency();
            record.set_totals(items, children.len());
        }
        visit.wait_for_children(children);
        Ok(VisitOutcome::Wait)
    }

    /// Continues after the last child, or after too many failures.
    pub(crate) fn children_ended(
        &self,
        visit: &mut Visit<'_>,
        distributed: &Distributed,
        failure: Option<Failure>,
    ) -> VisitResult {
        let Some((run, results)) = visit
            .strand
            .ended_children
            .as_ref()
            .and_then(|children| Some((children.map_run?, children.results())))
        else {
            return Ok(VisitOutcome::Wait);
        };
        let record = visit.run.map_run(run).cloned();
        if let (Some(writer), Some(record)) = (&distributed.writer, record) {
            match writer.start(visit, &record, results.clone()) {
                Ok(Some(written)) => {
                    let id = written.id;
                    let pending = Box::new(PendingWrite { run, written, failure });
                    visit.wait(Waiting::Results { id, pending }, None);
                    return Ok(VisitOutcome::Wait);
                }
                Ok(None) => {}
                Err(fault) => return Err(fail(visit, run, fault)),
            }
        }
        match failure {
            Some(failure) => Err(fail(visit, run, failure.into())),
            None => self.succeed_run(visit, run, &distributed.transformation().list(results).into()),
        }
    }

    /// Continues after the host has written the results.
    pub(crate) fn results_written(
        &self,
        visit: &mut Visit<'_>,
        pending: PendingWrite,
        result: Result<(), Failure>,
    ) -> VisitResult {
        let PendingWrite { run, written, failure } = pending;
        if let (Ok(()), Some(record)) = (&result, visit.run.map_run(run)) {
            record.results_written();
        }
        match (failure, result) {
            (Some(failure), _) => Err(fail(visit, run, failure.into())),
            (None, Err(failure)) => Err(fail(visit, run, named(failure, reserved::RESULT_WRITER_FAILED))),
            (None, Ok(())) => self.succeed_run(visit, run, &written.output),
        }
    }

    fn succeed_run(&self, visit: &mut Visit<'_>, run: MapRunId, output: &Value) -> VisitResult {
        visit.end_map_run(run, MapRunStatus::Succeeded);
        visit.event(EventType::MapRunSucceeded, Details::None);
        self.succeed(visit, output)
    }
}

fn fail(visit: &mut Visit<'_>, run: MapRunId, fault: Fault) -> Fault {
    let fault = visit.record_fault(fault);
    visit.end_map_run(run, MapRunStatus::Failed);
    visit.event(EventType::MapRunFailed, Details::Failed(fault.failure.clone()));
    fault
}

/// A failure of the host, with the host's name for it or else this one.
fn named(failure: Failure, otherwise: &str) -> Fault {
    let error = failure.error.or_else(|| Some(otherwise.to_owned()));
    Failure { error, cause: failure.cause }.into()
}
