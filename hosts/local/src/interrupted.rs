//! Batches whose command was broken off: they wait until their operator says whether they go on. Somebody may have
//! pressed Ctrl-C since it was the wrong file; nobody was promised that it would be stored.

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

/// The commands that resume or cancel a batch, for a person who calls the program like this.
pub(crate) fn ways(program: &str, id: BatchId) -> String {
    format!(
        "`{program} batches resume {id}` goes on with it, `{program} batches cancel {id}` drops what is not stored yet"
    )
}

/// Has the batches wait whose command was broken off, and names them: nobody goes on with their executions.
pub(crate) async fn hold(flow: &LocalFlow) -> Result<(), Exit> {
    let mut held = HashSet::new();
    for execution in flow.executions.running()? {
        let Ok(id) = execution.name.parse::<BatchId>() else { continue };
        let known = BatchStatus::find(&Name::default_tenant(), id, &flow.services().host.store).await?;
        if known.is_some_and(|batch| is_held(&batch, &execution.arn)) {
            mark(flow, id, Status::Running, Status::Interrupted).await?;
            tracing::warn!(batch.id = %id, "batch {id} waits, since its command was broken off: {}", ways("crmflow", id));
            held.insert(execution.arn);
        }
    }
    flow.executions.suspend(held);
    Ok(())
}

/// Whether a batch whose execution nobody works on waits for its operator.
fn is_held(batch: &BatchStatus, arn: &str) -> bool {
    is_attended(batch) && !batch.status.has_ended() && batch.execution_arn.as_deref() == Some(arn)
}

/// Whether somebody watched it at a terminal. A version before this one did not write that down.
fn is_attended(batch: &BatchStatus) -> bool {
    batch.attended || batch.provider.as_str() == "file"
}

/// Writes that a batch whose command is being broken off waits; whether there is one that has not ended.
pub(crate) async fn interrupt(flow: &LocalFlow, id: BatchId) -> Result<bool, Exit> {
    Ok(mark(flow, id, Status::Running, Status::Interrupted).await?)
}

/// Changes where a batch stands, unless it stands elsewhere; whether it was changed. In one write: it may end meanwhile.
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
            "batch {id} was accepted by the server, which promised to store it; it goes on by itself"
        )));
    }
    let execution = match &batch.execution_arn {
        Some(arn) => flow.executions.find(arn)?,
        None => None,
    };
    let execution = execution.ok_or_else(|| {
        Exit::failed(format!("batch {id} has not begun; run the command that took it in once more"))
    })?;
    if flow.executions.is_running(&execution.arn) {
        return Err(Exit::failed(format!("batch {id} does not wait: it is being worked on")));
    }
    Ok((batch, execution))
}

/// Goes on with a batch that waits; gives it, and the ARN of its execution.
pub(crate) async fn resume(flow: &LocalFlow, id: BatchId) -> Result<(BatchStatus, String), Exit> {
    let (batch, execution) = find(flow, id).await?;
    mark(flow, id, Status::Interrupted, Status::Running).await?;
    go_on(flow, execution.clone()).await?;
    Ok((batch, execution.arn))
}

/// Goes on with an execution that was left; or with one that could not even keep what it left undecided, from there.
pub(crate) async fn go_on(flow: &LocalFlow, execution: Execution) -> Result<(), Exit> {
    let arn = execution.arn.clone();
    flow.executions.release(&arn);
    if execution.status == Stage::Running {
        return Ok(flow.executions.resume_one(execution).await?);
    }
    flow.executions.redrive(&arn).await.map_err(|error| Exit::failed(error.to_string()))?;
    Ok(())
}

/// Ends a batch that waits: nothing more of it is stored. Says what became of it.
pub(crate) async fn cancel(flow: &LocalFlow, id: BatchId) -> Result<String, Exit> {
    let (_, execution) = find(flow, id).await?;
    let host = &flow.services().host;
    if execution.status == Stage::Running {
        let why = Failure {
            error: Some("BatchCancelled".into()),
            cause: Some("its operator dropped the batch".into()),
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
        "batch {id} is cancelled: of its {all} records {dropped} were not decided, and are dropped{others}"
    ))
}
