//! The changes that wait for the writer. Those at the front door go first: somebody waits for them whose request is
//! small, and what is being worked off in bulk behind it would hold them up.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use kernel::store::StoreError;
use tokio::runtime::Handle;

use super::Change;

/// How long a change may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Before all that is in bulk.
    Interactive,
    /// Until its turn comes; it comes with every commit.
    Background,
}

/// Tells somebody what came of a commit.
pub(super) type OnCommit = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change, and who is told once it is on the disk, or is not.
pub(super) struct Job {
    pub(super) change: Change,
    /// Where it is waited for.
    pub(super) runtime: Option<Handle>,
    pub(super) done: OnCommit,
}

#[derive(Default)]
struct Jobs {
    interactive: VecDeque<Job>,
    background: VecDeque<Job>,
    is_closed: bool,
}

/// The line.
#[derive(Default)]
pub(super) struct WriteQueue {
    jobs: Mutex<Jobs>,
    there: Condvar,
}

impl WriteQueue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Nothing that holds the lock panics between two changes that belong together.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; `false`: the line is closed.
    pub(super) fn push(&self, job: Job, priority: Priority) -> bool {
        let mut jobs = self.lock();
        if jobs.is_closed {
            return false;
        }
        match priority {
            Priority::Interactive => jobs.interactive.push_back(job),
            Priority::Background => jobs.background.push_back(job),
        }
        drop(jobs);
        self.there.notify_one();
        true
    }

    /// The next job at a place.
    pub(super) fn next(&self, priority: Priority) -> Option<Job> {
        let mut jobs = self.lock();
        match priority {
            Priority::Interactive => jobs.interactive.pop_front(),
            Priority::Background => jobs.background.pop_front(),
        }
    }

    /// The next job: one at the front, if there is one.
    pub(super) fn next_of_any(&self) -> Option<Job> {
        let mut jobs = self.lock();
        jobs.interactive.pop_front().or_else(|| jobs.background.pop_front())
    }

    /// Waits until there is a job; `false`: there will be none.
    pub(super) fn wait(&self) -> bool {
        let mut jobs = self.lock();
        while jobs.interactive.is_empty() && jobs.background.is_empty() {
            if jobs.is_closed {
                return false;
            }
            jobs = self.there.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.there.notify_all();
    }
}
