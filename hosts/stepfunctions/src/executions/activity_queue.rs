//! Work for activities: tasks that wait for a worker, and workers that wait for a task.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

/// The tasks that wait for a worker, by activity.
#[derive(Debug, Default)]
pub(crate) struct ActivityQueue {
    pending: Mutex<HashMap<String, VecDeque<PendingTask>>>,
    arrived: Notify,
    /// No worker receives a task any more.
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct PendingTask {
    task: ActivityTask,
    /// Receives the name of the worker; closed when the run does not need the task any more.
    taken: oneshot::Sender<Option<String>>,
}

/// A task, as a worker receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActivityTask {
    pub(crate) token: String,
    pub input: String,
}

impl ActivityQueue {
    /// Offers a task and waits until a worker polls it; gives the worker's name.
    pub(crate) async fn offer(&self, activity: &str, task: ActivityTask) -> Option<String> {
        let (taken, worker) = oneshot::channel();
        if let Ok(mut pending) = self.pending.lock() {
            pending.entry(activity.to_owned()).or_default().push_back(PendingTask { task, taken });
        }
        self.arrived.notify_waiters();
        worker.await.ok().flatten()
    }

    /// Gives the task that has waited longest, or the next one to arrive; `None`: no task arrived in time.
    pub(crate) async fn take(
        &self,
        activity: &str,
        worker: Option<String>,
        limit: Duration,
    ) -> Option<ActivityTask> {
        let next = async {
            loop {
                let arrival = self.arrived.notified();
                if self.is_closed.load(Ordering::Relaxed) {
                    return None;
                }
                if let Some(task) = self.first(activity, worker.as_deref()) {
                    return Some(task);
                }
                arrival.await;
            }
        };
        timeout(limit, next).await.ok().flatten()
    }

    /// Ends the polls of all workers: the program stops.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.arrived.notify_waiters();
    }

    fn first(&self, activity: &str, worker: Option<&str>) -> Option<ActivityTask> {
        let mut pending = self.pending.lock().ok()?;
        let offers = pending.get_mut(activity)?;
        while let Some(PendingTask { task, taken }) = offers.pop_front() {
            if taken.send(worker.map(ToOwned::to_owned)).is_ok() {
                return Some(task);
            }
        }
        pending.remove(activity);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(n: u32) -> ActivityTask {
        ActivityTask { token: n.to_string(), input: "{}".into() }
    }

    #[tokio::test]
    async fn a_task_is_taken_once_in_order_unless_given_up() {
        let work = ActivityQueue::default();
        let short = Duration::from_millis(5);
        assert_eq!(work.take("a", None, short).await, None);
        let (first, given_up) = (work.offer("a", task(1)), timeout(short, work.offer("a", task(2))));
        let taking = async {
            tokio::time::sleep(4 * short).await;
            let other = work.take("b", None, short).await;
            (work.take("a", Some("w".into()), short).await, work.take("a", None, short).await, other)
        };
        let (worker, gone, taken) = tokio::join!(first, given_up, taking);
        assert_eq!((worker.as_deref(), gone.is_err()), (Some("w"), true));
        assert_eq!(taken, (Some(task(1)), None, None));
    }

    #[tokio::test]
    async fn a_worker_may_come_first() {
        let work = ActivityQueue::default();
        let taking = work.take("a", Some("w".into()), Duration::from_secs(10));
        let (task_taken, worker) = tokio::join!(taking, work.offer("a", task(1)));
        assert_eq!((task_taken, worker.as_deref()), (Some(task(1)), Some("w")));
    }
}
