//! The dispatcher of a lane. It reads the due rows, has as many calls in flight as the destination allows,
//! and stores the dispositions of completed calls while others are in flight.

mod write_behind;

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    attempt::{self, CallResult, Target},
    breaker::Permit,
    context::WorkerContext,
    disposition_writer::DispositionWriter,
    health::StateChange,
    lease::Lease,
    ordered_queue::{Dequeued, OrderedQueue},
    pending_filter::{self, FilterResult},
    prefetch::Prefetch,
    rate_limit,
    settlement::{Disposition, Settlement},
    task::DeliveryTask,
};
use crate::model::Wakeup;
use destinations::destination::{Destination, Ordering};
use kernel::{error::Error, queue::Queue, store::Store};
use write_behind::{BatchWrite, StorageFailure};

/// How often the dispatcher reads the destination, unless it is notified.
const DESTINATION_READ_INTERVAL: Duration = Duration::from_secs(1);
/// How often the dispatcher renews the lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(15);
/// For how long the dispatcher sends without having read the destination.
const DESTINATION_STALE_AFTER: Duration = Duration::from_secs(25);
/// The longest wait before the next look for due rows while calls are in flight.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The dispatcher waits for what is due within this time, and does not release the lease.
const MAX_WAIT_BEFORE_RELEASE: SignedDuration = SignedDuration::from_millis(1_100);
/// How long the dispatcher waits after a storage failure before it tries once more.
const STORAGE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why the dispatcher stopped.
#[derive(Debug)]
pub(super) enum StopReason {
    /// The lane has no row.
    NothingQueued,
    /// Nothing may be sent before this time.
    NothingBefore(Timestamp),
    /// The time of the session is over.
    MaxHoldReached,
    /// A client changed the destination.
    DestinationChanged,
    /// The dispatcher found a reason to change the destination.
    ChangeDestination(StateChange),
}

type InFlightCall = Pin<Box<dyn Future<Output = Completed> + Send>>;
type PendingWrite = Pin<Box<dyn Future<Output = BatchWrite> + Send>>;

/// A call or an evaluation that was in flight.
enum Completed {
    Called(CallResult),
    Filtered(FilterResult),
}

/// The dispatcher of one lane.
pub(super) struct Dispatcher<'a, S, Q> {
    context: &'a WorkerContext<S, Q>,
    writer: DispositionWriter<S>,
    notify: &'a Notify,
    lease: &'a mut Lease<S>,
    target: Arc<Target>,
    deadline: Instant,
    prefetch: Prefetch,
    in_flight: FuturesUnordered<InFlightCall>,
    /// Deliveries that passed the filter, and are sent next.
    filter_passed: VecDeque<Box<DeliveryTask>>,
    completed: Vec<Settlement>,
    pending_write: Option<PendingWrite>,
    /// Why the dispatcher sends nothing more.
    stopping: Option<StopReason>,
    /// The first storage failure.
    storage_failure: Option<StorageFailure>,
    deadlines: Deadlines,
}

/// When the dispatcher reads or writes next.
struct Deadlines {
    destination: Instant,
    lease: Instant,
    /// When the destination was read last.
    destination_read_at: Instant,
}

impl<'a, S: Store, Q: Queue> Dispatcher<'a, S, Q> {
    pub(super) async fn new(
        context: &'a WorkerContext<S, Q>,
        writer: DispositionWriter<S>,
        notify: &'a Notify,
        lease: &'a mut Lease<S>,
        target: Arc<Target>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let destination = target.destination();
        let is_ordered = destination.ordering == Ordering::User;
        let max_block = destination.hold();
        let blockers = if is_ordered { writer.blockers(destination).await? } else { Vec::new() };
        let now = Instant::now();
        let recover_until = lease.lane.needs_recovery.then(|| (context.now)());
        let mut prefetch = Prefetch::new(
            OrderedQueue::new(is_ordered, max_block, blockers),
            recover_until,
            Arc::clone(&target),
        );
        if let Some(ended_at) = lease.lane.recovered_at {
            prefetch.retry_early(ended_at, (context.now)());
        }
        Ok(Self {
            prefetch,
            context,
            writer,
            notify,
            lease,
            target,
            deadline,
            in_flight: FuturesUnordered::new(),
            filter_passed: VecDeque::new(),
            completed: Vec::new(),
            pending_write: None,
            stopping: None,
            storage_failure: None,
            deadlines: Deadlines {
                destination: now + DESTINATION_READ_INTERVAL,
                lease: now + RENEW_INTERVAL,
                destination_read_at: now,
            },
        })
    }

    /// Works until nothing is due, or nothing more may be sent. By then the dispositions of all calls are
    /// stored.
    pub(super) async fn run(mut self) -> Result<StopReason, Error> {
        loop {
            self.heartbeat().await?;
            if let Err(error) = self.prefetch_due().await {
                self.stop_on_error(error, None);
            }
            let next_allowed = self.dispatch_ready();
            self.start_write();
            if !self.is_idle() {
                self.wait(next_allowed).await?;
                continue;
            }
            match (self.stopping.take(), self.storage_failure.take()) {
                // This is known, even if the dispositions could not be stored.
                (Some(reason @ StopReason::ChangeDestination(_)), _) | (Some(reason), None) => {
                    return Ok(reason);
                }
                (_, Some(failure)) => return Err(failure.error),
                (None, None) => {}
            }
            if self.prefetch.restart() {
                continue;
            }
            let wait = next_allowed.or(self.prefetch.next_due());
            match wait {
                Some(due) if due <= (self.context.now)() + MAX_WAIT_BEFORE_RELEASE => {
                    self.wait(Some(due)).await?
                }
                // Every row that was due is settled, so no crash left a trace.
                _ => {
                    self.lease.lane.needs_recovery = false;
                    return Ok(wait.map_or(StopReason::NothingQueued, StopReason::NothingBefore));
                }
            }
        }
    }

    /// Whether nothing is in flight or unstored, and nothing can be sent now.
    fn is_idle(&self) -> bool {
        let is_quiet = self.in_flight.is_empty() && self.completed.is_empty() && self.pending_write.is_none();
        is_quiet && (self.stopping.is_some() || self.prefetch.is_read())
    }

    /// Renews the lease, and checks that the destination is unchanged. If storage fails, both are tried again
    /// while the lease lasts. A worker without the lease stops at once: the new holder does the rest.
    async fn heartbeat(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now >= self.deadline {
            self.stop(StopReason::MaxHoldReached);
        }
        let must_renew = self.lease.must_renew((self.context.now)());
        if must_renew || now >= self.deadlines.lease {
            match self.lease.renew((self.context.now)()).await {
                Ok(()) => self.deadlines.lease = now + RENEW_INTERVAL,
                Err(error) if must_renew || self.lease.is_lost() => return Err(error),
                Err(error) => {
                    self.deadlines.lease = now + STORAGE_RETRY_DELAY;
                    self.log_retry("renew its lease", &error);
                }
            }
            if self.lease.take_flag() {
                self.prefetch.mark_stale();
            }
        }
        if self.stopping.is_none() && now >= self.deadlines.destination {
            self.deadlines.destination = now + DESTINATION_READ_INTERVAL;
            let (tenant, name) = (&self.writer.wakeup.tenant, &self.writer.wakeup.destination);
            match Destination::find(tenant, name, &self.context.store).await {
                Ok(found)
                    if found.as_ref().is_none_or(|found| found.version != self.target.stored.version) =>
                {
                    self.stop(StopReason::DestinationChanged);
                }
                Ok(_) => self.deadlines.destination_read_at = now,
                Err(error) if now - self.deadlines.destination_read_at >= DESTINATION_STALE_AFTER => {
                    self.stop_on_error(error, None)
                }
                Err(error) => self.log_retry("read the destination", &error),
            }
        }
        Ok(())
    }

    fn log_retry(&self, what: &str, error: &Error) {
        let Wakeup { tenant, destination } = &self.writer.wakeup;
        tracing::warn!(
            tenant = %tenant,
            destination = %destination,
            error.name = error.name(),
            "the delivery worker of {destination} could not {what}, and tries again: {error}"
        );
    }

    /// Sends nothing more: deliveries that are not in flight stay in the lane.
    fn stop(&mut self, reason: StopReason) {
        let is_change = matches!(reason, StopReason::ChangeDestination(_));
        if self.stopping.is_none() || is_change {
            self.stopping = Some(reason);
        }
        self.target.filter_evaluations.cancel();
        self.filter_passed.clear();
        self.prefetch.clear();
    }

    /// Reads due rows, if the queue runs low.
    async fn prefetch_due(&mut self) -> Result<(), Error> {
        if self.stopping.is_none() {
            let (concurrency, now) = (self.concurrency(), (self.context.now)());
            let settled = self.prefetch.read(&self.writer, concurrency, self.in_flight.len(), now).await?;
            self.completed.extend(settled);
            self.lease.lane.recovered_at = self.prefetch.outage_ended_at();
        }
        Ok(())
    }

    fn concurrency(&self) -> usize {
        usize::try_from(self.target.destination().concurrency.max(1)).unwrap_or(usize::MAX)
    }

    /// Sends as much as the concurrency allows. Returns when more may be sent, if that depends on the time
    /// and not on a completed call.
    fn dispatch_ready(&mut self) -> Option<Timestamp> {
        while self.stopping.is_none() {
            let now = (self.context.now)();
            let (limit, is_probe) = match self.lease.lane.permits(now) {
                Permit::All => (self.concurrency(), false),
                Permit::Probe => (1, true),
                Permit::Wait => return None,
                // The buffered deliveries stay in the queue meanwhile.
                Permit::After(end) if end <= now + MAX_WAIT_BEFORE_RELEASE => return Some(end),
                Permit::After(end) => {
                    self.stop(StopReason::NothingBefore(end));
                    return None;
                }
            };
            if self.in_flight.len() >= limit {
                return None;
            }
            let rate = self.target.destination().rate_limit;
            let has_none = self.prefetch.queue.len() == 0 && self.filter_passed.is_empty();
            let next_allowed_at = self.lease.lane.next_allowed_at.filter(|_| rate.is_some() && !has_none);
            if let Some(next_allowed_at) = rate_limit::wait(next_allowed_at, now) {
                return Some(next_allowed_at);
            }
            let passed = self.filter_passed.pop_front().map(Dequeued::Send);
            match passed.or_else(|| self.prefetch.queue.dequeue(now))? {
                Dequeued::Blocked(task, due) => {
                    self.complete(Settlement::not_sent(*task, Disposition::Blocked { due }));
                }
                Dequeued::Send(task) if task.row.queued.filter_pending => {
                    let result = pending_filter::evaluate(Arc::clone(&self.target), task, now);
                    self.in_flight.push(Box::pin(async { Completed::Filtered(result.await) }));
                }
                Dequeued::Send(task) => {
                    if is_probe {
                        self.lease.lane.start_probe();
                    }
                    if let Some(rate) = rate {
                        self.lease.lane.next_allowed_at =
                            Some(rate_limit::after_call(self.lease.lane.next_allowed_at, now, rate));
                    }
                    let (target, outbound) = (Arc::clone(&self.target), self.context.outbound.clone());
                    let request_timeout = self.context.request_timeout;
                    let call = attempt::send(target, task, outbound, now, request_timeout, is_probe);
                    self.in_flight.push(Box::pin(async { Completed::Called(call.await) }));
                }
            }
        }
        None
    }

    /// Waits for a completed call, a completed write, a notification, or the deadline.
    async fn wait(&mut self, deadline: Option<Timestamp>) -> Result<(), Error> {
        let longest = Instant::now() + POLL_INTERVAL;
        let deadline = deadline.map(|deadline| {
            let wait = deadline.duration_since((self.context.now)());
            Instant::now() + Duration::try_from(wait).unwrap_or_default()
        });
        let tick = match deadline {
            Some(deadline) if self.in_flight.is_empty() => deadline,
            Some(deadline) => deadline.min(longest),
            None => longest,
        };
        let written = async {
            match &mut self.pending_write {
                Some(pending_write) => pending_write.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(completed) = self.in_flight.next(), if !self.in_flight.is_empty() => self.on_completed(completed),
            result = written => {
                self.pending_write = None;
                self.on_written(result)?;
            }
            () = self.notify.notified() => {
                self.prefetch.mark_stale();
                // A client may have changed the destination: the change must affect the next event.
                self.deadlines.destination = Instant::now();
            }
            () = sleep_until(tick) => {
                if self.prefetch.queue.len() == 0 && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    self.prefetch.expect_due();
                }
            }
        }
        // Other calls that are complete by now.
        while let Some(Some(completed)) = self.in_flight.next().now_or_never() {
            self.on_completed(completed);
        }
        Ok(())
    }
}
