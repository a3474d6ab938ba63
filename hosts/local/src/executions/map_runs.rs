//! Map runs, as replaying the journal of their executions tells of them.

use functions::store::StoreError;
use states::{HistoryEvent, Input, MapRun, MapRunUpdate, REVISION};

use super::{Executions, ListFilter, Status, history};

impl Executions {
    /// The Map runs of an execution, in the order they began.
    pub(crate) fn map_runs(&self, arn: &str) -> Result<Vec<MapRun>, StoreError> {
        Ok(self.replayed(arn, drop)?.map(|run| run.map_runs().to_vec()).unwrap_or_default())
    }

    /// The Map run with this ARN.
    pub(crate) fn map_run(&self, arn: &str) -> Result<Option<MapRun>, StoreError> {
        let Some(machine) = machine_of(arn) else { return Ok(None) };
        self.search(&machine, |execution| {
            Ok(self.map_runs(execution)?.into_iter().find(|run| *run.arn == *arn))
        })
    }

    /// An execution, made again from its journal; `None`: there is none that this version can read.
    pub(super) fn replayed(
        &self,
        arn: &str,
        seen: impl FnMut(HistoryEvent),
    ) -> Result<Option<states::Execution>, StoreError> {
        let Some(execution) = self.find(arn)?.filter(|execution| execution.revision == REVISION) else {
            return Ok(None);
        };
        let readers = &self.engine.host.store.readers;
        let machine = self.shared.definitions.machine(&execution.definition, readers);
        let machine = machine.map_err(StoreError::Refused)?;
        Ok(Some(history::replay(readers, machine, &execution, seen)?.0))
    }

    /// The first thing found among the executions of a machine, the latest first.
    pub(super) fn search<T>(
        &self,
        machine_arn: &str,
        find: impl Fn(&str) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let machine_arn = Some(machine_arn.to_owned());
        let mut filter = ListFilter { machine_arn, limit: 100, ..ListFilter::default() };
        loop {
            let page = self.list(&filter)?;
            for execution in &page {
                if let Some(found) = find(&execution.arn)? {
                    return Ok(Some(found));
                }
            }
            match page.last() {
                Some(last) => filter.before = Some(last.id),
                None => return Ok(None),
            }
        }
    }

    /// Changes a Map run that runs. The change is in the journal when this returns.
    pub(crate) async fn update_map_run(&self, run: &MapRun, update: MapRunUpdate) -> Result<(), StoreError> {
        let input = Input::MapRunUpdated { arn: run.arn.clone(), update };
        let is_kept = self.tell_and_keep(&run.execution, input).await;
        let runs = self.find(&run.execution)?.is_some_and(|execution| execution.status == Status::Running);
        if is_kept || !runs {
            return Ok(());
        }
        Err(StoreError::Unavailable("the execution does not run here yet".into()))
    }
}

/// The machine that a Map run is of: `..:mapRun:MACHINE/LABEL:ID`.
fn machine_of(map_run: &str) -> Option<String> {
    let (machine, _) = map_run.rsplit_once(':')?.0.rsplit_once('/')?;
    Some(machine.replacen(":mapRun:", ":stateMachine:", 1))
}
