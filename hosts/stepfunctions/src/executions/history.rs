//! The history of an execution: a replay of the journal makes it, and nothing of it is stored.

use std::sync::Arc;

use kernel::store::StoreError;
use sqlite_store::Readers;
use states::{HistoryEvent, REVISION, StateMachine, Value};

use super::{
    about,
    definitions::Definitions,
    journal,
    row::{self, Execution, ListFilter},
};

/// The events of the execution with this ARN so far; none for one whose journal this version cannot read.
/// The ARN may be that of a child of a distributed Map.
pub fn history(
    readers: &Readers,
    definitions: &Definitions,
    arn: &str,
) -> Result<Option<Vec<HistoryEvent>>, StoreError> {
    if let Some(execution) = readers.with(|connection| row::one(connection, arn))? {
        return events(readers, definitions, &execution, arn).map(Some);
    }
    let Some(machine) = machine_of(arn, ":execution:") else {
        return Ok(None);
    };
    search(readers, machine, |execution| {
        let found = events(readers, definitions, execution, arn)?;
        Ok(Some(found).filter(|found| !found.is_empty()))
    })
}

/// The machine of the execution that has started the Map run or the child with this ARN:
/// `..:execution:MACHINE/LABEL:NAME`, with `kind` for `:execution:`.
pub(super) fn machine_of(arn: &str, kind: &str) -> Option<String> {
    let (machine, _) = arn.rsplit_once(':')?.0.rsplit_once('/')?;
    Some(machine.replacen(kind, ":stateMachine:", 1))
}

/// The first thing found among the executions of a machine, the latest first.
pub(super) fn search<T>(
    readers: &Readers,
    machine_arn: String,
    find: impl Fn(&Execution) -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut filter = ListFilter { machine_arn: Some(machine_arn), limit: 100, ..ListFilter::default() };
    loop {
        let page = readers.with(|connection| row::list(connection, &filter))?;
        for execution in &page {
            if let Some(found) = find(execution)? {
                return Ok(Some(found));
            }
        }
        match page.last() {
            Some(last) => filter.before = Some(last.id),
            None => return Ok(None),
        }
    }
}

/// The events of this ARN in the replay of an execution's journal.
fn events(
    readers: &Readers,
    definitions: &Definitions,
    execution: &Execution,
    arn: &str,
) -> Result<Vec<HistoryEvent>, StoreError> {
    let mut events = Vec::new();
    replayed(readers, definitions, execution, |event| {
        if *event.execution == *arn {
            events.push(event);
        }
    })?;
    Ok(events)
}

/// An execution, made again from its journal; `None`: this version cannot read it.
pub(super) fn replayed(
    readers: &Readers,
    definitions: &Definitions,
    execution: &Execution,
    seen: impl FnMut(HistoryEvent),
) -> Result<Option<states::Execution>, StoreError> {
    if execution.revision != REVISION {
        return Ok(None);
    }
    let machine = definitions.machine(&execution.definition, readers).map_err(StoreError::Refused)?;
    Ok(Some(replay(readers, machine, execution, seen)?.0))
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
