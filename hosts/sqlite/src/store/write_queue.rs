//! The changes that wait for the writer. Interactive changes come first: a client waits for them, and background work
//! would delay them.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use kernel::store::StoreError;
use tokio::runtime::Handle;

use super::Change;

/// The priority of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Before all background changes.
    Interactive,
    /// After interactive changes; every commit has at least one.
    Background,
}

/// Called with the result of a commit.
pub(super) type OnCommit = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change, and the callback for the result of its commit.
pub(super) struct Job {
    pub(super) change: Change,
    /// The runtime of the caller.
    pub(super) runtime: Option<Handle>,
    pub(super) done: OnCommit,
}

#[derive(Default)]
struct Jobs {
    interactive: VecDeque<Job>,
    background: VecDeque<Job>,
    is_closed: bool,
}

/// The queue of changes.
#[derive(Default)]
pub(super) struct WriteQueue {
    jobs: Mutex<Jobs>,
    there: Condvar,
}

impl WriteQueue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // No holder of the lock panics between two changes that belong together.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; `false`: the queue is closed.
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

    /// The next job of a priority.
    pub(super) fn next(&self, priority: Priority) -> Option<Job> {
        let mut jobs = self.lock();
        match priority {
            Priority::Interactive => jobs.interactive.pop_front(),
            Priority::Background => jobs.background.pop_front(),
        }
    }

    /// The next job, an interactive one if there is any.
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

    /// Closes the queue: no job is added any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.there.notify_all();
    }
}
