//! Map runs, from a replay of their executions' journals.

use kernel::store::StoreError;
use states::{HistoryEvent, Input, MapRun, MapRunUpdate};

use super::{Execution, Executions, Status, history};

impl Executions {
    /// The Map runs of an execution, in the order they began.
    pub(crate) fn map_runs(&self, arn: &str) -> Result<Vec<MapRun>, StoreError> {
        let Some(execution) = self.find(arn)? else { return Ok(Vec::new()) };
        Ok(self.replayed(&execution, drop)?.map(|run| run.map_runs().to_vec()).unwrap_or_default())
    }

    /// The Map run with this ARN.
    pub(crate) fn map_run(&self, arn: &str) -> Result<Option<MapRun>, StoreError> {
        let Some(machine) = history::machine_of(arn, ":mapRun:") else { return Ok(None) };
        history::search(&self.services.host.store.readers, machine, |execution| {
            let run = self.replayed(execution, drop)?;
            Ok(run.and_then(|run| run.map_runs().iter().find(|run| *run.arn == *arn).cloned()))
        })
    }

    /// An execution, made again from its journal; `None`: this version cannot read it.
    pub(super) fn replayed(
        &self,
        execution: &Execution,
        seen: impl FnMut(HistoryEvent),
    ) -> Result<Option<states::Execution>, StoreError> {
        history::replayed(&self.services.host.store.readers, &self.shared.definitions, execution, seen)
    }

    /// Changes a Map run that runs. The change is in the journal when this returns.
    pub(crate) async fn update_map_run(&self, run: &MapRun, update: MapRunUpdate) -> Result<(), StoreError> {
        let input = Input::MapRunUpdated { arn: run.arn.clone(), update };
        let is_kept = self.send_and_journal(&run.execution, input).await;
        let runs = self.find(&run.execution)?.is_some_and(|execution| execution.status == Status::Running);
        if is_kept || !runs {
            return Ok(());
        }
        Err(StoreError::Unavailable("the execution does not run here yet".into()))
    }
}
