//! The executions that run in this process: how to reach them, and how to wait for their end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use states::Input;
use tokio::sync::watch;

use super::journal_acks::JournalAcks;

/// Runs by ARN.
#[derive(Debug, Default)]
pub(super) struct Running {
    runs: Mutex<HashMap<Arc<str>, Run>>,
}

#[derive(Debug)]
struct Run {
    inputs: UnboundedSender<Input>,
    ended: watch::Receiver<()>,
    acks: Weak<JournalAcks>,
}

/// The run owns this until it has ended.
#[derive(Debug)]
pub(super) struct RunGuard {
    pub(super) inputs: UnboundedReceiver<Input>,
    /// Acknowledges inputs once they are in the journal.
    pub(super) acks: Arc<JournalAcks>,
    /// Dropped with the guard, which ends `wait_for_end`.
    pub(super) end: watch::Sender<()>,
}

impl Running {
    /// A run begins; `None`: it is here already.
    pub(super) fn insert(&self, arn: Arc<str>) -> Option<RunGuard> {
        let mut runs = self.runs.lock().ok()?;
        if runs.contains_key(&arn) {
            return None;
        }
        let (sender, inputs) = mpsc::unbounded();
        let (end, ended) = watch::channel(());
        let acks = Arc::new(JournalAcks::default());
        runs.insert(arn, Run { inputs: sender, ended, acks: Arc::downgrade(&acks) });
        Some(RunGuard { inputs, acks, end })
    }

    /// A run has ended.
    pub(super) fn remove(&self, arn: &str) {
        if let Ok(mut runs) = self.runs.lock() {
            runs.remove(arn);
        }
    }

    /// Sends an input to a run; `false`: it does not run here.
    pub(super) fn send(&self, arn: &str, input: Input) -> bool {
        let sent = |runs: &HashMap<Arc<str>, Run>| runs.get(arn)?.inputs.unbounded_send(input).ok();
        self.runs.lock().ok().and_then(|runs| sent(&runs)).is_some()
    }

    /// Sends an input to a run, and waits until its journal has it; `false`: it does not run here, or ended before.
    pub(super) async fn send_and_journal(&self, arn: &str, input: Input) -> bool {
        let told = |runs: &HashMap<Arc<str>, Run>| {
            let run = runs.get(arn)?;
            let acks = run.acks.upgrade()?.wait(input.clone());
            run.inputs.unbounded_send(input).ok().map(|()| acks)
        };
        let acks = self.runs.lock().ok().and_then(|runs| told(&runs));
        match acks {
            Some(acks) => acks.await.is_ok(),
            None => false,
        }
    }

    /// Whether a run is here.
    pub(super) fn contains(&self, arn: &str) -> bool {
        self.runs.lock().is_ok_and(|runs| runs.contains_key(arn))
    }

    /// Waits until a run is not here any longer.
    pub(super) async fn wait_for_end(&self, arn: &str) {
        let ended = self.runs.lock().ok().and_then(|runs| Some(runs.get(arn)?.ended.clone()));
        if let Some(mut ended) = ended {
            // Nothing is ever sent: the error says that the run has dropped its side.
            while ended.changed().await.is_ok() {}
        }
    }
}
