//! The pump of a lane: reads what is due, keeps as many calls on their way as the destination takes, and writes down
//! what came of them while others go on.

mod writing;

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    WorkerContext,
    ahead::Prefetch,
    attempt::{self, CallResult, Target},
    breaker::Permit,
    health::StateChange,
    lease::Lease,
    load::DeliveryTask,
    order::{Dequeued, OrderedQueue},
    pending_filter::{self, FilterResult},
    rate,
    record::{Disposition, DispositionWriter, Settlement},
};
use crate::model::Wakeup;
use destinations::destination::{Destination, Ordering};
use kernel::{error::Error, queue::Queue, store::Store};
use writing::{BatchWrite, StorageFailure};

/// How often the destination is looked at without a bell, and the lease renewed.
const LOOK_AT_DESTINATION: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(15);
/// For how long the destination may be out of sight.
const UNSEEN: Duration = Duration::from_secs(25);
/// The longest wait without a look at the lane while calls are on their way.
const TICK: Duration = Duration::from_millis(200);
/// What is due as soon as this is waited for.
const SOON: SignedDuration = SignedDuration::from_millis(1_100);
/// So long after a failure storage is asked once more.
const PAUSE: Duration = Duration::from_secs(1);

/// How a lane was left.
#[derive(Debug)]
pub(super) enum StopReason {
    /// Nothing waits.
    NothingQueued,
    /// Nothing may be sent before this time.
    NothingBefore(Timestamp),
    /// The time for this lane is over.
    MaxHoldReached,
    /// The destination was changed by somebody.
    DestinationChanged,
    /// The destination is to be changed.
    ChangeDestination(StateChange),
}

type InFlightCall = Pin<Box<dyn Future<Output = Completed> + Send>>;
type PendingWrite = Pin<Box<dyn Future<Output = BatchWrite> + Send>>;

/// What was on its way, and has come in.
enum Completed {
    Called(CallResult),
    Filtered(FilterResult),
}

/// A lane at work.
pub(super) struct Dispatcher<'a, S, Q> {
    tools: &'a WorkerContext<S, Q>,
    book: DispositionWriter<S>,
    bell: &'a Notify,
    lease: &'a mut Lease<S>,
    target: Arc<Target>,
    until: Instant,
    ahead: Prefetch,
    flying: FuturesUnordered<InFlightCall>,
    /// What the filter has let through, and is to be sent next.
    passed: VecDeque<Box<DeliveryTask>>,
    landed: Vec<Settlement>,
    writing: Option<PendingWrite>,
    /// Why nothing more is sent.
    closing: Option<StopReason>,
    /// What went wrong.
    trouble: Option<StorageFailure>,
    next: Deadlines,
}

/// When things are to be looked at next.
struct Deadlines {
    destination: Instant,
    lease: Instant,
    /// When the destination was seen last.
    seen: Instant,
}

impl<'a, S: Store, Q: Queue> Dispatcher<'a, S, Q> {
    pub(super) async fn new(
        tools: &'a WorkerContext<S, Q>,
        book: DispositionWriter<S>,
        bell: &'a Notify,
        lease: &'a mut Lease<S>,
        target: Arc<Target>,
        until: Instant,
    ) -> Result<Self, Error> {
        let destination = target.destination();
        let is_ordered = destination.ordering == Ordering::User;
        let hold = destination.hold();
        let stuck = if is_ordered { book.stuck(destination).await? } else { Vec::new() };
        let now = Instant::now();
        let recovers = lease.lane.unsettled.then(|| (tools.now)());
        let mut ahead =
            Prefetch::new(OrderedQueue::new(is_ordered, hold, stuck), recovers, Arc::clone(&target));
        if let Some(ended_at) = lease.lane.recovered_at {
            ahead.bring_forward(ended_at, (tools.now)());
        }
        Ok(Self {
            ahead,
            tools,
            book,
            bell,
            lease,
            target,
            until,
            flying: FuturesUnordered::new(),
            passed: VecDeque::new(),
            landed: Vec::new(),
            writing: None,
            closing: None,
            trouble: None,
            next: Deadlines { destination: now + LOOK_AT_DESTINATION, lease: now + RENEW, seen: now },
        })
    }

    /// Works until nothing is due, or nothing more may be sent; all that was begun is written down then.
    pub(super) async fn run(mut self) -> Result<StopReason, Error> {
        loop {
            self.look_around().await?;
            if let Err(error) = self.read().await {
                self.close_for(error, None);
            }
            let blocked = self.launch();
            self.write();
            if !self.is_quiet() {
                self.wait(blocked).await?;
                continue;
            }
            match (self.closing.take(), self.trouble.take()) {
                // It is known, whatever else is not.
                (Some(left @ StopReason::ChangeDestination(_)), _) | (Some(left), None) => return Ok(left),
                (_, Some(trouble)) => return Err(trouble.error),
                (None, None) => {}
            }
            if self.ahead.start_again() {
                continue;
            }
            let wait = blocked.or(self.ahead.next_due());
            match wait {
                Some(due) if due <= (self.tools.now)() + SOON => self.wait(Some(due)).await?,
                // Everything that was due has ended.
                _ => {
                    self.lease.lane.unsettled = false;
                    return Ok(wait.map_or(StopReason::NothingQueued, StopReason::NothingBefore));
                }
            }
        }
    }

    /// Whether nothing is on its way, and nothing can be sent now.
    fn is_quiet(&self) -> bool {
        let is_idle = self.flying.is_empty() && self.landed.is_empty() && self.writing.is_none();
        is_idle && (self.closing.is_some() || self.ahead.is_read())
    }

    /// Renews the lease, and sees whether the destination is still what it was. Where storage does not answer, it is
    /// asked again while the lease lasts; who has lost the lease leaves everything to the one who has it.
    async fn look_around(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now >= self.until {
            self.close(StopReason::MaxHoldReached);
        }
        let is_ending = self.lease.is_ending((self.tools.now)());
        if is_ending || now >= self.next.lease {
            match self.lease.renew((self.tools.now)()).await {
                Ok(()) => self.next.lease = now + RENEW,
                Err(error) if is_ending || self.lease.is_lost() => return Err(error),
                Err(error) => {
                    self.next.lease = now + PAUSE;
                    self.tell("the lease could not be renewed", &error);
                }
            }
            if self.lease.take_rung() {
                self.ahead.ring();
            }
        }
        if self.closing.is_none() && now >= self.next.destination {
            self.next.destination = now + LOOK_AT_DESTINATION;
            let (tenant, name) = (&self.book.wake.tenant, &self.book.wake.destination);
            match Destination::find(tenant, name, &self.tools.store).await {
                Ok(found)
                    if found.as_ref().is_none_or(|found| found.version != self.target.stored.version) =>
                {
                    self.close(StopReason::DestinationChanged);
                }
                Ok(_) => self.next.seen = now,
                Err(error) if now - self.next.seen >= UNSEEN => self.close_for(error, None),
                Err(error) => self.tell("the destination could not be looked at", &error),
            }
        }
        Ok(())
    }

    fn tell(&self, what: &str, error: &Error) {
        let Wakeup { tenant, destination } = &self.book.wake;
        tracing::warn!(
            tenant = %tenant,
            destination = %destination,
            error.name = error.name(),
            "{what} at work on the lane of {destination}, and will be once more: {error}"
        );
    }

    /// Sends nothing more: what is not on its way yet stays in the lane.
    fn close(&mut self, left: StopReason) {
        let is_change = matches!(left, StopReason::ChangeDestination(_));
        if self.closing.is_none() || is_change {
            self.closing = Some(left);
        }
        self.target.filtering.call_off();
        self.passed.clear();
        self.ahead.clear();
    }

    /// Reads what is due, when little is left in line.
    async fn read(&mut self) -> Result<(), Error> {
        if self.closing.is_none() {
            let (concurrency, now) = (self.concurrency(), (self.tools.now)());
            let ended = self.ahead.read(&self.book, concurrency, self.flying.len(), now).await?;
            self.landed.extend(ended);
            self.lease.lane.recovered_at = self.ahead.brings_forward();
        }
        Ok(())
    }

    fn concurrency(&self) -> usize {
        usize::try_from(self.target.destination().concurrency.max(1)).unwrap_or(usize::MAX)
    }

    /// Sends as much as may be on its way; gives when more may be sent, where something other than an answer is waited
    /// for.
    fn launch(&mut self) -> Option<Timestamp> {
        while self.closing.is_none() {
            let now = (self.tools.now)();
            let (limit, is_probe) = match self.lease.lane.permits(now) {
                Permit::All => (self.concurrency(), false),
                Permit::Probe => (1, true),
                Permit::Wait => return None,
                // What was read stays in line meanwhile.
                Permit::After(end) if end <= now + SOON => return Some(end),
                Permit::After(end) => {
                    self.close(StopReason::NothingBefore(end));
                    return None;
                }
            };
            if self.flying.len() >= limit {
                return None;
            }
            let rate = self.target.destination().rate_limit;
            let is_idle = self.ahead.line.len() == 0 && self.passed.is_empty();
            let free_at = self.lease.lane.free_at.filter(|_| rate.is_some() && !is_idle);
            if let Some(free_at) = rate::wait(free_at, now) {
                return Some(free_at);
            }
            let passed = self.passed.pop_front().map(Dequeued::Send);
            match passed.or_else(|| self.ahead.line.next(now))? {
                Dequeued::Blocked(parcel, due) => {
                    self.keep(Settlement::new(*parcel, Disposition::Blocked { due }));
                }
                Dequeued::Send(parcel) if parcel.row.queued.filter_pending => {
                    let result = pending_filter::evaluate(Arc::clone(&self.target), parcel, now);
                    self.flying.push(Box::pin(async { Completed::Filtered(result.await) }));
                }
                Dequeued::Send(parcel) => {
                    if is_probe {
                        self.lease.lane.probe();
                    }
                    if let Some(rate) = rate {
                        self.lease.lane.free_at = Some(rate::after(self.lease.lane.free_at, now, rate));
                    }
                    let (target, outbound) = (Arc::clone(&self.target), self.tools.outbound.clone());
                    let patience = self.tools.patience;
                    let call = attempt::send(target, parcel, outbound, now, patience, is_probe);
                    self.flying.push(Box::pin(async { Completed::Called(call.await) }));
                }
            }
        }
        None
    }

    /// Waits for an answer, for what is being written, for the bell, or until there is something else to do.
    async fn wait(&mut self, until: Option<Timestamp>) -> Result<(), Error> {
        let longest = Instant::now() + TICK;
        let until = until.map(|until| {
            let wait = until.duration_since((self.tools.now)());
            Instant::now() + Duration::try_from(wait).unwrap_or_default()
        });
        let tick = match until {
            Some(until) if self.flying.is_empty() => until,
            Some(until) => until.min(longest),
            None => longest,
        };
        let writing = async {
            match &mut self.writing {
                Some(writing) => writing.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(landed) = self.flying.next(), if !self.flying.is_empty() => self.land(landed),
            written = writing => {
                self.writing = None;
                self.wrote(written)?;
            }
            () = self.bell.notified() => {
                self.ahead.ring();
                // It may have been rung for a change, which is in effect with the next event.
                self.next.destination = Instant::now();
            }
            () = sleep_until(tick) => {
                if self.ahead.line.len() == 0 && until.is_some_and(|until| until <= Instant::now()) {
                    self.ahead.look();
                }
            }
        }
        // What else has come in meanwhile.
        while let Some(Some(landed)) = self.flying.next().now_or_never() {
            self.land(landed);
        }
        Ok(())
    }
}
