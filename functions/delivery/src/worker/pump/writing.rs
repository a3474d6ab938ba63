//! What came in, and how it is written down: in groups, while calls are on their way, and again when storage fails.

use std::collections::HashSet;

use tokio::time::Instant;

use super::{Completed, Dispatcher, PAUSE, StopReason};
use crate::worker::{
    attempt::CallResult,
    health, landing,
    order::Blocker,
    pending_filter::{FilterResult, FilterVerdict},
    record::{Disposition, Settlement},
};
use kernel::{batch::BatchId, error::Error, queue::Queue, store::Store};

/// What was written down, under which id, and the sequences of those whose rows were left.
pub(super) struct BatchWrite {
    ended: Vec<Settlement>,
    id: BatchId,
    /// Whether it began after trouble.
    is_last: bool,
    left: Result<HashSet<String>, Error>,
}

/// Storage failed: what is known is written down once more.
pub(super) struct StorageFailure {
    pub(super) error: Error,
    at: Instant,
    /// The id under which some of it may be written down already.
    id: Option<BatchId>,
}

impl<S: Store, Q: Queue> Dispatcher<'_, S, Q> {
    /// Sends nothing more because of an error, which is given back when what is on its way has come in.
    pub(super) fn close_for(&mut self, error: Error, id: Option<BatchId>) {
        self.close(StopReason::MaxHoldReached);
        let known = self.trouble.take();
        let id = id.or(known.as_ref().and_then(|trouble| trouble.id));
        let error = known.map_or(error, |trouble| trouble.error);
        self.trouble = Some(StorageFailure { error, at: Instant::now(), id });
    }

    /// Begins to write down what has ended since the last write began; after trouble, when everything has.
    pub(super) fn write(&mut self) {
        let is_early = match &self.trouble {
            Some(trouble) => !self.flying.is_empty() || trouble.at.elapsed() < PAUSE,
            None => false,
        };
        let now = (self.tools.now)();
        if self.writing.is_some() || self.landed.is_empty() || is_early || self.lease.is_ending(now) {
            return;
        }
        let (book, mut ended) = (self.book.clone(), std::mem::take(&mut self.landed));
        let is_last = self.trouble.is_some();
        let known = self.trouble.as_ref().and_then(|trouble| trouble.id);
        let id = known.unwrap_or_else(|| BatchId::new(now, (self.tools.random)()));
        self.writing = Some(Box::pin(async move {
            let left = book.record(&mut ended, id).await;
            BatchWrite { ended, id, is_last, left }
        }));
    }

    /// What was written down, or was not: then it is known still, and written once more.
    pub(super) fn wrote(
        &mut self,
        BatchWrite { mut ended, id, is_last, left }: BatchWrite,
    ) -> Result<(), Error> {
        match left {
            Ok(left) => self.settle(&ended, &left),
            Err(error) => {
                if let Some(trouble) = self.trouble.take_if(|_| is_last) {
                    return Err(trouble.error);
                }
                ended.append(&mut self.landed);
                self.landed = ended;
                self.close_for(error, Some(id));
            }
        }
        Ok(())
    }

    /// Something came in that was on its way.
    pub(super) fn land(&mut self, landed: Completed) {
        match landed {
            Completed::Called(called) => self.land_call(called),
            Completed::Filtered(result) => self.land_filter(result),
        }
    }

    /// A filter was evaluated.
    fn land_filter(&mut self, result: FilterResult) {
        let (now, random) = ((self.tools.now)(), (self.tools.random)());
        match result.judge(&self.book.wake, self.target.destination(), now, random) {
            FilterVerdict::Passed(parcel) if self.closing.is_none() => self.passed.push_back(parcel),
            FilterVerdict::Passed(_) | FilterVerdict::Cancelled => {}
            FilterVerdict::Settled(ended) => self.keep(*ended),
        }
    }

    /// A call ended: what it means for the delivery, and for the destination.
    fn land_call(&mut self, called: CallResult) {
        let now = (self.tools.now)();
        let destination = self.target.destination();
        let lane = &mut self.lease.lane;
        let rests = lane.throttle.before(called.is_probe);
        let landing = landing::judge(&called, destination, rests, now, (self.tools.random)());
        match landing.rest {
            Some(until) => lane.throttle.ask(until, called.is_probe),
            None => lane.throttle.note(landing.sign, called.is_probe),
        }
        let sequence = &called.parcel.row.sequence;
        let refuses = lane.refusals.note(landing.sign, sequence, called.is_probe, now);
        if lane.breaker.note(landing.sign, called.is_probe, now) {
            tracing::warn!(
                tenant = %self.book.wake.tenant,
                destination = %destination.destination_name,
                "half of the calls to {} fail; it is left alone for a minute",
                destination.destination_name
            );
        }
        let known = lane.recovered_at;
        let is_early = called.is_early();
        let change =
            landing.counts.then(|| health::note(lane, landing.is_delivered(), is_early, now)).flatten();
        if let Some(ended_at) = lane.recovered_at.filter(|ended_at| known != Some(*ended_at)) {
            self.ahead.bring_forward(ended_at, now);
        }
        landing.log(&self.book.wake, &called);
        let paused = refuses.then(|| health::refuses(&called.attempt));
        self.keep(Settlement::landed(called, landing.fate));
        if let Some(change) = landing.change.or(change).or(paused) {
            self.close(StopReason::ChangeDestination(change));
        }
    }

    pub(super) fn keep(&mut self, ended: Settlement) {
        self.ahead.land(&ended);
        self.landed.push(ended);
    }

    /// What is written down makes room, and lets the next one of its user go.
    fn settle(&mut self, written: &[Settlement], left: &HashSet<String>) {
        if !left.is_empty() {
            // Their rows are there still, and say nothing of their end.
            self.lease.lane.unsettled = true;
            self.ahead.recover((self.tools.now)());
        }
        let (hold, now) = (self.target.destination().hold(), (self.tools.now)());
        for Settlement { row, fate, was_sent, .. } in written {
            let due = match fate {
                Disposition::Retry { due, .. }
                | Disposition::Blocked { due }
                | Disposition::Deferred { due } => Some(*due),
                _ => None,
            };
            self.ahead.settle(&row.sequence, due);
            if row.due > now
                && matches!(fate, Disposition::Delivered | Disposition::Failed { .. } | Disposition::Filtered)
            {
                self.ahead.ended_early(now);
            }
            let Some(user) = &row.queued.user else { continue };
            let stuck = match fate {
                // It is known to be held up already, and where another row stands for it, it is still.
                Disposition::Blocked { .. } | Disposition::Superseded => continue,
                Disposition::Retry { due, queued } => Some(Blocker::since(queued.stuck_since, *due, hold)),
                Disposition::Requeued { queued } => Some(Blocker::since(queued.stuck_since, row.due, hold)),
                _ => None,
            };
            self.ahead.line.settle(user, &row.sequence, *was_sent, stuck);
        }
    }
}
