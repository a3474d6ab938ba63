//! The children of Map runs, from a replay of their parents' journals.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use kernel::store::StoreError;
use states::{Details, EventType, Failure, HistoryEvent, MapRun, Value};

use super::{Execution, Executions, Status, history};

/// An execution that a Map run has started.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub arn: Arc<str>,
    /// The run that has started it; `None`: two runs of one label overlapped, and either may have started it.
    pub(crate) map_run: Option<Arc<str>>,
    pub status: Status,
    pub input: Value,
    pub output: Option<Value>,
    pub(crate) failure: Failure,
    pub started_at: Timestamp,
    pub stopped_at: Option<Timestamp>,
    pub redrive_count: u32,
    pub redriven_at: Option<Timestamp>,
}

/// The events of a child so far.
#[derive(Debug)]
struct ChildEvents {
    input: Value,
    started_at: Timestamp,
    end: Option<HistoryEvent>,
    redrives: Vec<Timestamp>,
}

impl Executions {
    /// The children of an execution's Map runs, in the order they began.
    pub(crate) fn children(&self, parent: &str) -> Result<Vec<Child>, StoreError> {
        self.find(parent)?.map_or_else(|| Ok(Vec::new()), |parent| self.children_of(&parent))
    }

    fn children_of(&self, parent: &Execution) -> Result<Vec<Child>, StoreError> {
        let (mut order, mut events) = (Vec::new(), HashMap::new());
        let run = self.replayed(parent, |event| {
            if *event.execution != *parent.arn {
                record(event, &mut order, &mut events);
            }
        })?;
        let Some(run) = run else { return Ok(Vec::new()) };
        let runs = run.map_runs();
        Ok(order.into_iter().filter_map(|arn| child(&events.remove(&arn)?, arn, runs)).collect())
    }

    /// The child with this ARN.
    pub(crate) fn child(&self, arn: &str) -> Result<Option<Child>, StoreError> {
        let Some(machine) = history::machine_of(arn, ":execution:") else { return Ok(None) };
        history::search(&self.services.host.store.readers, machine, |parent| {
            Ok(self.children_of(parent)?.into_iter().find(|child| *child.arn == *arn))
        })
    }
}

fn record(event: HistoryEvent, order: &mut Vec<Arc<str>>, events: &mut HashMap<Arc<str>, ChildEvents>) {
    use EventType as E;
    let arn = Arc::clone(&event.execution);
    match (event.kind, &event.details) {
        (E::ExecutionStarted, Details::Started { input, .. }) => {
            order.push(Arc::clone(&arn));
            events.insert(
                arn,
                ChildEvents {
                    input: input.clone(),
                    started_at: event.timestamp,
                    end: None,
                    redrives: Vec::new(),
                },
            );
        }
        (E::ExecutionSucceeded | E::ExecutionFailed | E::ExecutionTimedOut | E::ExecutionAborted, _) => {
            events.get_mut(&arn).into_iter().for_each(|events| events.end = Some(event.clone()));
        }
        (E::ExecutionRedriven, _) => events.get_mut(&arn).into_iter().for_each(|events| {
            events.end = None;
            events.redrives.push(event.timestamp);
        }),
        _ => {}
    }
}

fn child(events: &ChildEvents, arn: Arc<str>, runs: &[MapRun]) -> Option<Child> {
    let stem = arn.rsplit_once(':')?.0.replacen(":execution:", ":mapRun:", 1);
    let mut started_by = runs.iter().filter(|run| {
        let is_over = run.stop_date.is_some_and(|stop| stop < events.started_at);
        run.arn.rsplit_once(':').is_some_and(|(label, _)| label == stem)
            && run.start_date <= events.started_at
            && !is_over
    });
    let map_run = started_by.next().filter(|_| started_by.next().is_none()).map(|run| run.arn.clone());
    let (status, output, failure) = end(events.end.as_ref());
    Some(Child {
        arn,
        map_run,
        status,
        input: events.input.clone(),
        output,
        failure,
        started_at: events.started_at,
        stopped_at: events.end.as_ref().map(|event| event.timestamp),
        redrive_count: u32::try_from(events.redrives.len()).unwrap_or(u32::MAX),
        redriven_at: events.redrives.last().copied(),
    })
}

fn end(event: Option<&HistoryEvent>) -> (Status, Option<Value>, Failure) {
    let Some(event) = event else { return (Status::Running, None, Failure::default()) };
    let failure = match &event.details {
        Details::Output(output) => return (Status::Succeeded, Some(output.clone()), Failure::default()),
        Details::Failed(failure) => failure.clone(),
        _ => Failure::default(),
    };
    let status = match event.kind {
        EventType::ExecutionTimedOut => Status::TimedOut,
        EventType::ExecutionAborted => Status::Aborted,
        _ => Status::Failed,
    };
    (status, None, failure)
}
