//! The history of an execution: nothing of it is stored, replaying the journal tells it.

use std::sync::Arc;

use functions::store::StoreError;
use states::{HistoryEvent, REVISION, StateMachine, Value};

use super::{
    about,
    definitions::Definitions,
    journal,
    row::{self, Execution, ListFilter},
};
use crate::sqlite::Readers;

/// The events of the execution with this ARN so far; none for one whose journal this version cannot read.
/// The ARN may be that of a child of a distributed Map.
pub(crate) fn history(
    readers: &Readers,
    definitions: &Definitions,
    arn: &str,
) -> Result<Option<Vec<HistoryEvent>>, StoreError> {
    if let Some(execution) = readers.with(|connection| row::one(connection, arn))? {
        return events(readers, definitions, &execution, arn).map(Some);
    }
    let Some(machine) = parent(arn) else {
        return Ok(None);
    };
    let mut filter = ListFilter { machine_arn: Some(machine), limit: 100, ..ListFilter::default() };
    loop {
        let page = readers.with(|connection| row::list(connection, &filter))?;
        for execution in &page {
            let found = events(readers, definitions, execution, arn)?;
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        match page.last() {
            Some(last) => filter.before = Some(last.id),
            None => return Ok(None),
        }
    }
}

/// The machine whose execution has started this child: `..:execution:MACHINE/LABEL:NAME`.
pub(super) fn parent(child: &str) -> Option<String> {
    let (machine, _) = child.rsplit_once(':')?.0.rsplit_once('/')?;
    Some(machine.replacen(":execution:", ":stateMachine:", 1))
}

/// The events with this ARN that an execution's journal tells of.
fn events(
    readers: &Readers,
    definitions: &Definitions,
    execution: &Execution,
    arn: &str,
) -> Result<Vec<HistoryEvent>, StoreError> {
    let mut events = Vec::new();
    if execution.revision == REVISION {
        let machine = definitions.machine(&execution.definition, readers).map_err(StoreError::Refused)?;
        replay(readers, machine, execution, |event| {
            if *event.execution == *arn {
                events.push(event);
            }
        })?;
    }
    Ok(events)
}

/// Makes a run again from its journal; gives it and the number of the journal's lines.
pub(super) fn replay(
    readers: &Readers,
    machine: Arc<StateMachine>,
    execution: &Execution,
    seen: impl FnMut(HistoryEvent),
) -> Result<(states::Execution, i64), StoreError> {
    let input = Value::parse(&execution.input).map_err(|error| StoreError::Refused(error.to_string()))?;
    let journal = readers.with(|connection| journal::load(connection, execution.id))?;
    let lines = i64::try_from(journal.len()).unwrap_or(i64::MAX);
    let about = about(execution);
    let run = states::Execution::replay(machine, about, input, execution.started_at, journal, seen);
    Ok((run, lines))
}
