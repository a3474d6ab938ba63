//! Batches of interrupted commands: they wait until their operator resumes or cancels them. The operator may have pressed
//! Ctrl-C because of a wrong file, and no client was promised that it would be stored.

use std::collections::HashSet;

use batches::{
    cancel,
    stored::{BatchStatus, Status},
};
use kernel::{
    BatchId, Name, Outcome,
    store::{StoreError, Table},
};
use rusqlite::params;
use states::Failure;
use step_functions::{
    clock,
    executions::{Execution, Status as Stage},
};

use crate::{exit::Exit, flow::LocalFlow, import::Import};

/// The commands that resume or cancel a batch, as a person types them.
pub(crate) fn ways(program: &str, id: BatchId) -> String {
    format!(
        "`{program} batches resume {id}` resumes it, `{program} batches cancel {id}` drops the records that are not stored yet"
    )
}

/// Marks the batches of interrupted commands as waiting, and logs them. Their executions do not resume.
pub(crate) async fn mark_waiting(flow: &LocalFlow) -> Result<(), Exit> {
    let mut held = HashSet::new();
    for execution in flow.executions.running()? {
        let Ok(id) = execution.name.parse::<BatchId>() else { continue };
        let known = BatchStatus::find(&Name::default_tenant(), id, &flow.services().host.store).await?;
        if known.is_some_and(|batch| is_held(&batch, &execution.arn)) {
            mark(flow, id, Status::Running, Status::Interrupted).await?;
            tracing::warn!(batch.id = %id, "batch {id} waits because its command was interrupted: {}", ways("crmflow", id));
            held.insert(execution.arn);
        }
    }
    flow.executions.suspend(held);
    Ok(())
}

/// Whether a batch with an idle execution waits for its operator.
fn is_held(batch: &BatchStatus, arn: &str) -> bool {
    is_attended(batch) && !batch.status.has_ended() && batch.execution_arn.as_deref() == Some(arn)
}

/// Whether a person watched it at a terminal. Earlier versions did not store that.
fn is_attended(batch: &BatchStatus) -> bool {
    batch.attended || batch.provider.as_str() == "file"
}

/// Marks the batch of an interrupted command as waiting; returns whether it has not ended.
pub(crate) async fn interrupt(flow: &LocalFlow, id: BatchId) -> Result<bool, Exit> {
    Ok(mark(flow, id, Status::Running, Status::Interrupted).await?)
}

/// Changes the status of a batch if it has the expected one; returns whether it did. One conditional write, since the
/// batch may end meanwhile.
async fn mark(flow: &LocalFlow, id: BatchId, from: Status, to: Status) -> Result<bool, StoreError> {
    let tenant = Name::default_tenant().to_string();
    let marked = flow.services().host.store.writer.write(move |connection| {
        let table = Table::Batches.name();
        let sql = format!(
            "UPDATE {table} SET body = json_set(body, '$.status', ?3) \
             WHERE partition = ?1 AND sort = ?2 AND body ->> '$.status' = ?4"
        );
        connection.execute(&sql, params![tenant, id.to_string(), to.name(), from.name()])
    });
    Ok(marked.await? > 0)
}

/// A batch that waits, and its execution.
async fn find(flow: &LocalFlow, id: BatchId) -> Result<(BatchStatus, Execution), Exit> {
    let store = &flow.services().host.store;
    let batch = BatchStatus::find(&Name::default_tenant(), id, store).await?;
    let batch = batch.ok_or_else(|| Exit::usage(format!("there is no batch {id}")))?;
    if batch.status.has_ended() {
        return Err(Exit::failed(format!("batch {id} has ended: {}", batch.status.name())));
    }
    if !is_attended(&batch) {
        return Err(Exit::failed(format!(
            "the server accepted batch {id} and promised to store it; it continues by itself"
        )));
    }
    let execution = match &batch.execution_arn {
        Some(arn) => flow.executions.find(arn)?,
        None => None,
    };
    let execution = execution
        .ok_or_else(|| Exit::failed(format!("batch {id} has not started; run its command again")))?;
    if flow.executions.is_running(&execution.arn) {
        return Err(Exit::failed(format!("batch {id} does not wait: it is running")));
    }
    Ok((batch, execution))
}

/// Resumes a waiting batch; returns it with the ARN of its execution.
pub(crate) async fn resume(flow: &LocalFlow, id: BatchId) -> Result<(BatchStatus, String), Exit> {
    let (batch, execution) = find(flow, id).await?;
    mark(flow, id, Status::Interrupted, Status::Running).await?;
    resume_execution(flow, execution.clone()).await?;
    Ok((batch, execution.arn))
}

/// Resumes an idle execution. One that failed while it stored its undecided records is redriven from that state.
pub(crate) async fn resume_execution(flow: &LocalFlow, execution: Execution) -> Result<(), Exit> {
    let arn = execution.arn.clone();
    flow.executions.release(&arn);
    if execution.status == Stage::Running {
        return Ok(flow.executions.resume_one(execution).await?);
    }
    flow.executions.redrive(&arn).await.map_err(|error| Exit::failed(error.to_string()))?;
    Ok(())
}

/// Cancels a waiting batch: none of its other records is stored. Returns a report for people.
pub(crate) async fn cancel(flow: &LocalFlow, id: BatchId) -> Result<String, Exit> {
    let (_, execution) = find(flow, id).await?;
    let host = &flow.services().host;
    if execution.status == Stage::Running {
        let why = Failure {
            error: Some("BatchCancelled".into()),
            cause: Some("its operator cancelled the batch".into()),
        };
        flow.executions.stop_idle(execution.clone(), why).await?;
    }
    flow.executions.release(&execution.arn);
    let outcomes = cancel::cancel(&execution.input, &host.store, &host.objects, clock::now()).await?;
    let tenant = Name::default_tenant();
    Import::forget_batch(&tenant, id, &host.store).await?;
    flow.clear_staging(&tenant, &execution.name).await;
    let (all, dropped) = (outcomes.total(), outcomes.of(Outcome::Cancelled));
    let others = Outcome::ALL.into_iter().filter(|it| *it != Outcome::Cancelled && outcomes.of(*it) > 0);
    let others: String =
        others.map(|outcome| format!(", {} {}", outcomes.of(outcome), outcome.name())).collect();
    Ok(format!(
        "batch {id} is cancelled: {dropped} of its {all} records were not decided, and are dropped{others}"
    ))
}
