//! Acknowledgements: the sender of an input may wait until the input is in the run's journal.

use std::sync::Mutex;

use states::{Entry, Input};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// The senders that wait, each with its input. The run drops them at its end, which ends their wait too.
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
            // The send fails if the sender has stopped waiting.
            let _ = sender.send(());
        }
    }
}
