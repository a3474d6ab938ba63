//! Who told a run something may wait until it is in the run's journal.

use std::sync::Mutex;

use states::{Entry, Input};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Those who wait, each with what they told. Dropped with the run: then their wait is over, too.
#[derive(Debug, Default)]
pub(super) struct JournalAcks {
    waiting: Mutex<Vec<(Input, Sender<()>)>>,
}

impl JournalAcks {
    /// Begins to wait.
    pub(super) fn wait(&self, input: Input) -> Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.push((input, sender));
        }
        receiver
    }

    /// A line is on the disk.
    pub(super) fn tell(&self, entry: &Entry) {
        let Ok(mut waiting) = self.waiting.lock() else { return };
        for (_, sender) in waiting.extract_if(.., |(input, _)| entry.inputs.contains(input)) {
            // Who does not wait any longer need not be told.
            let _ = sender.send(());
        }
    }
}
