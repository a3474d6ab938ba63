//! The pump of a lane: reads what is due, keeps as many calls on their way as the destination takes, and writes down
//! what came of them while others go on.

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    Tools,
    attempt::{self, Called, Target},
    breaker::Permit,
    due, health,
    health::Change,
    landing,
    lease::Lease,
    load::{self, Loaded},
    order::{Line, Next, Stuck},
    rate,
    record::{Book, Ended, Fate},
};
use crate::{
    batch::BatchId,
    destination::{Destination, Ordering},
    error::Error,
    queue::Queue,
    store::Store,
};

/// How many deliveries are read ahead for each call that may be on its way, and how many at least and at most.
const AHEAD: usize = 8;
const WINDOW: std::ops::RangeInclusive<usize> = 64..=512;
/// How often the destination is looked at, the lease renewed, and the lane looked at while calls are on their way.
const LOOK_AT_DESTINATION: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(15);
const LOOK_AT_LANE: Duration = Duration::from_millis(200);
/// What is due as soon as this is waited for.
const SOON: SignedDuration = SignedDuration::from_millis(1_100);

/// How a lane was left.
#[derive(Debug)]
pub(super) enum Left {
    /// Nothing waits.
    Empty,
    /// Nothing may be sent before this time.
    Until(Timestamp),
    /// The time for this lane is over.
    Over,
    /// The destination was changed by somebody.
    Changed,
    /// The destination is to be changed.
    Change(Change),
}

type Flight = Pin<Box<dyn Future<Output = Called> + Send>>;
type Writing = Pin<Box<dyn Future<Output = Result<Vec<Ended>, Error>> + Send>>;

/// A lane at work.
pub(super) struct Pump<'a, S, Q> {
    tools: &'a Tools<S, Q>,
    book: Book<S>,
    bell: &'a Notify,
    lease: &'a mut Lease<S>,
    target: Arc<Target>,
    until: Instant,
    /// What was due by then may be half written down.
    recovers: Option<Timestamp>,
    line: Line,
    /// The sequences of all that was read and whose end is not written down.
    at_hand: HashSet<String>,
    flying: FuturesUnordered<Flight>,
    landed: Vec<Ended>,
    writing: Option<Writing>,
    /// Whether there may be more due than was read.
    more: bool,
    next_due: Option<Timestamp>,
    /// Whether something was written down since: another row of the same delivery may be left.
    unseen: bool,
    /// Why nothing more is sent.
    closing: Option<Left>,
    looked: Looked,
}

/// When things were looked at last.
struct Looked {
    destination: Instant,
    lease: Instant,
    lane: Instant,
}

impl<'a, S: Store, Q: Queue> Pump<'a, S, Q> {
    pub(super) async fn new(
        tools: &'a Tools<S, Q>,
        book: Book<S>,
        bell: &'a Notify,
        lease: &'a mut Lease<S>,
        target: Arc<Target>,
        until: Instant,
    ) -> Result<Self, Error> {
        let destination = target.destination();
        let is_ordered = destination.ordering == Ordering::User;
        let hold = SignedDuration::from_secs(destination.hold_seconds.into());
        let stuck = if is_ordered { book.stuck(hold).await? } else { Vec::new() };
        let now = Instant::now();
        Ok(Self {
            line: Line::new(is_ordered, hold, stuck),
            recovers: lease.lane.unsettled.then(|| (tools.now)()),
            tools,
            book,
            bell,
            lease,
            target,
            until,
            at_hand: HashSet::new(),
            flying: FuturesUnordered::new(),
            landed: Vec::new(),
            writing: None,
            more: true,
            next_due: None,
            unseen: false,
            closing: None,
            looked: Looked { destination: now, lease: now, lane: now },
        })
    }

    /// Works until nothing is due, or nothing more may be sent; all that was begun is written down then.
    pub(super) async fn run(mut self) -> Result<Left, Error> {
        loop {
            self.look_around().await?;
            self.read().await?;
            let blocked = self.launch();
            self.write();
            if !self.is_quiet() {
                self.wait(blocked).await?;
                continue;
            }
            if let Some(left) = self.closing.take() {
                return Ok(left);
            }
            if std::mem::take(&mut self.unseen) {
                self.more = true;
                continue;
            }
            let wait = blocked.or(self.next_due);
            match wait {
                Some(due) if due <= (self.tools.now)() + SOON => self.wait(Some(due)).await?,
                // Everything that was due has ended.
                _ => {
                    self.lease.lane.unsettled = false;
                    return Ok(wait.map_or(Left::Empty, Left::Until));
                }
            }
        }
    }

    /// Whether nothing is on its way, and nothing can be sent now.
    fn is_quiet(&self) -> bool {
        let is_idle = self.flying.is_empty() && self.landed.is_empty() && self.writing.is_none();
        is_idle && (self.closing.is_some() || !self.more)
    }

    /// Renews the lease, and sees whether the destination is still what it was.
    async fn look_around(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now >= self.until {
            self.close(Left::Over);
        }
        if now - self.looked.lease >= RENEW {
            self.looked.lease = now;
            self.lease.renew((self.tools.now)()).await?;
            self.more |= self.lease.take_rung();
        }
        if self.closing.is_none() && now - self.looked.destination >= LOOK_AT_DESTINATION {
            self.looked.destination = now;
            let (tenant, name) = (&self.book.wake.tenant, &self.book.wake.destination);
            let found = Destination::find(tenant, name, &self.tools.store).await?;
            if found.is_none_or(|found| found.version != self.target.stored.version) {
                self.close(Left::Changed);
            }
        }
        Ok(())
    }

    /// Sends nothing more: what is not on its way yet stays in the lane.
    fn close(&mut self, left: Left) {
        let is_change = matches!(left, Left::Change(_));
        if self.closing.is_none() || is_change {
            self.closing = Some(left);
        }
        self.clear();
    }

    fn clear(&mut self) {
        for sequence in self.line.clear() {
            self.at_hand.remove(&sequence);
        }
    }

    /// Reads what is due, when little is left in line.
    async fn read(&mut self) -> Result<(), Error> {
        let window = self.concurrency().saturating_mul(AHEAD).clamp(*WINDOW.start(), *WINDOW.end());
        if self.looked.lane.elapsed() >= LOOK_AT_LANE && !self.flying.is_empty() {
            self.more = true;
        }
        // What has ended and waits to be written down takes room too.
        let is_full = self.line.len() * 2 > window || self.at_hand.len() > window * 4;
        if self.closing.is_some() || !self.more || is_full {
            return Ok(());
        }
        let now = (self.tools.now)();
        self.looked.lane = Instant::now();
        let store = &self.tools.store;
        let page = due::read(store, &self.book.partition(), now, window, &self.at_hand).await?;
        (self.more, self.next_due) = (page.is_full, page.next_due);
        if !page.is_full && page.rows.is_empty() {
            self.recovers = None;
        }
        let mut seen = HashSet::new();
        // A second row of the same delivery is looked at when the first one has ended.
        let rows = page.rows.into_iter().filter(|row| seen.insert(row.sequence.clone())).collect();
        for loaded in load::load(&self.book.wake, rows, self.recovers, now, store).await? {
            match loaded {
                Loaded::Ready(parcel) => {
                    self.at_hand.insert(parcel.row.sequence.clone());
                    self.line.push(parcel);
                }
                Loaded::Ended(ended) => {
                    self.at_hand.insert(ended.row.sequence.clone());
                    self.landed.push(*ended);
                }
            }
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
            let (limit, is_probe) = match self.lease.lane.breaker.permits(now) {
                Permit::All => (self.concurrency(), false),
                Permit::Probe => (1, true),
                Permit::Wait => return None,
                Permit::After(end) => {
                    self.close(Left::Until(end));
                    return None;
                }
            };
            if self.flying.len() >= limit {
                return None;
            }
            let rate = self.target.destination().rate_limit;
            let free_at = self.lease.lane.free_at.filter(|_| rate.is_some() && self.line.len() > 0);
            if let Some(free_at) = rate::wait(free_at, now) {
                return Some(free_at);
            }
            match self.line.next(now)? {
                Next::PutOff(parcel, due) => {
                    self.landed.push(Ended::new(*parcel, Fate::Held { due }));
                }
                Next::Send(parcel) => {
                    if is_probe {
                        self.lease.lane.breaker.probe();
                    }
                    if let Some(rate) = rate {
                        self.lease.lane.free_at = Some(rate::after(self.lease.lane.free_at, now, rate));
                    }
                    let (target, outbound) = (Arc::clone(&self.target), self.tools.outbound.clone());
                    let patience = self.tools.patience;
                    let call = attempt::send(target, parcel, outbound, now, patience, is_probe);
                    self.flying.push(Box::pin(call));
                }
            }
        }
        None
    }

    /// Begins to write down what has ended since the last write began.
    fn write(&mut self) {
        if self.writing.is_some() || self.landed.is_empty() {
            return;
        }
        let (book, ended) = (self.book.clone(), std::mem::take(&mut self.landed));
        let id = BatchId::new((self.tools.now)(), (self.tools.random)());
        self.writing = Some(Box::pin(async move {
            book.record(&ended, id).await?;
            Ok(ended)
        }));
    }

    /// Waits for an answer, for what is being written, for the bell, or until there is something else to do.
    async fn wait(&mut self, until: Option<Timestamp>) -> Result<(), Error> {
        let longest = Instant::now() + LOOK_AT_LANE;
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
            Some(called) = self.flying.next(), if !self.flying.is_empty() => self.land(called),
            written = writing => {
                self.writing = None;
                self.settle(&written?);
            }
            () = self.bell.notified() => self.more = true,
            () = sleep_until(tick) => {
                self.more |= self.line.len() == 0 && until.is_some_and(|until| until <= Instant::now());
            }
        }
        // What else has come in meanwhile.
        while let Some(Some(called)) = self.flying.next().now_or_never() {
            self.land(called);
        }
        Ok(())
    }

    /// A call ended: what it means for the delivery, and for the destination.
    fn land(&mut self, called: Called) {
        let now = (self.tools.now)();
        let destination = self.target.destination();
        let landing = landing::judge(&called, destination, now, (self.tools.random)());
        let lane = &mut self.lease.lane;
        if lane.breaker.note(landing.sign, called.is_probe, now) {
            tracing::warn!(
                tenant = %self.book.wake.tenant,
                destination = %destination.destination_name,
                "half of the calls to {} fail; it is left alone for a minute",
                destination.destination_name
            );
        }
        let change = if landing.counts { health::note(lane, landing.is_delivered(), now) } else { None };
        landing.log(&self.book.wake, &called);
        self.landed.push(Ended::landed(called, landing.fate));
        if let Some(change) = landing.change.or(change) {
            self.close(Left::Change(change));
        }
    }

    /// What is written down makes room, and lets the next one of its user go.
    fn settle(&mut self, written: &[Ended]) {
        let hold = SignedDuration::from_secs(self.target.destination().hold_seconds.into());
        self.unseen = true;
        for Ended { row, fate, was_sent, .. } in written {
            self.at_hand.remove(&row.sequence);
            let due = match fate {
                Fate::Again { due, .. } | Fate::Held { due } | Fate::PutOff { due } => Some(*due),
                _ => None,
            };
            if let Some(due) = due {
                self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
            }
            let Some(user) = &row.queued.user else { continue };
            let stuck = match fate {
                // It is known to be held up already.
                Fate::Held { .. } => continue,
                Fate::Again { due, queued } => {
                    let since = queued.stuck_since.unwrap_or(*due);
                    Some(Stuck { due: *due, free_at: since + hold })
                }
                _ => None,
            };
            self.line.settle(user, &row.sequence, *was_sent, stuck);
        }
    }
}
