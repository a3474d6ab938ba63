//! Write-behind: dispositions of completed calls are stored in groups, while other calls are in flight, and
//! once more after a storage failure.

use std::collections::HashSet;

use tokio::time::Instant;

use super::{Completed, Dispatcher, STORAGE_RETRY_DELAY, StopReason};
use crate::worker::{
    attempt::CallResult,
    call_outcome, health,
    pending_filter::{FilterResult, FilterVerdict},
    settlement::{Disposition, Settlement},
    task::Blocker,
};
use kernel::{batch::BatchId, error::Error, queue::Queue, store::Store};

/// A completed write: its settlements, the batch id of its quarantine objects, and the sequences whose rows
/// remain because their responses could not be updated.
pub(super) struct BatchWrite {
    settlements: Vec<Settlement>,
    id: BatchId,
    /// Whether it is the write after a storage failure.
    is_last: bool,
    unfinished: Result<HashSet<String>, Error>,
}

/// Storage failed. The dispatcher stores all settlements once more, then stops.
pub(super) struct StorageFailure {
    pub(super) error: Error,
    at: Instant,
    /// The id under which quarantine objects may be written already.
    id: Option<BatchId>,
}

impl<S: Store, Q: Queue> Dispatcher<'_, S, Q> {
    /// Sends nothing more. The error is returned after all calls in flight are complete.
    pub(super) fn stop_on_error(&mut self, error: Error, id: Option<BatchId>) {
        self.stop(StopReason::MaxHoldReached);
        let earlier = self.storage_failure.take();
        let id = id.or(earlier.as_ref().and_then(|failure| failure.id));
        let error = earlier.map_or(error, |failure| failure.error);
        self.storage_failure = Some(StorageFailure { error, at: Instant::now(), id });
    }

    /// Starts to store what was completed since the last write; after a storage failure, once all calls are
    /// complete.
    pub(super) fn start_write(&mut self) {
        let is_early = match &self.storage_failure {
            Some(failure) => !self.in_flight.is_empty() || failure.at.elapsed() < STORAGE_RETRY_DELAY,
            None => false,
        };
        let now = (self.context.now)();
        if self.pending_write.is_some() || self.completed.is_empty() || is_early || self.lease.must_renew(now)
        {
            return;
        }
        let (writer, mut settlements) = (self.writer.clone(), std::mem::take(&mut self.completed));
        let is_last = self.storage_failure.is_some();
        let earlier = self.storage_failure.as_ref().and_then(|failure| failure.id);
        let id = earlier.unwrap_or_else(|| BatchId::new(now, (self.context.random)()));
        self.pending_write = Some(Box::pin(async move {
            let unfinished = writer.store_all(&mut settlements, id).await;
            BatchWrite { settlements, id, is_last, unfinished }
        }));
    }

    /// After a failed write the settlements return to the completed ones, and are stored once more.
    pub(super) fn on_written(
        &mut self,
        BatchWrite { mut settlements, id, is_last, unfinished }: BatchWrite,
    ) -> Result<(), Error> {
        match unfinished {
            Ok(unfinished) => self.on_stored(&settlements, &unfinished),
            Err(error) => {
                if let Some(failure) = self.storage_failure.take_if(|_| is_last) {
                    return Err(failure.error);
                }
                settlements.append(&mut self.completed);
                self.completed = settlements;
                self.stop_on_error(error, Some(id));
            }
        }
        Ok(())
    }

    /// Interprets a completed call or evaluation.
    pub(super) fn on_completed(&mut self, completed: Completed) {
        match completed {
            Completed::Called(call) => self.on_call(call),
            Completed::Filtered(result) => self.on_filter(result),
        }
    }

    /// Interprets the evaluation of a filter.
    fn on_filter(&mut self, result: FilterResult) {
        let (now, random) = ((self.context.now)(), (self.context.random)());
        match result.interpret(&self.writer.wakeup, self.target.destination(), now, random) {
            FilterVerdict::Passed(task) if self.stopping.is_none() => self.filter_passed.push_back(task),
            FilterVerdict::Passed(_) | FilterVerdict::Cancelled => {}
            FilterVerdict::Settled(settlement) => self.complete(*settlement),
        }
    }

    /// Interprets a call: for its delivery, for the lane and for the destination.
    fn on_call(&mut self, call: CallResult) {
        let now = (self.context.now)();
        let destination = self.target.destination();
        let lane = &mut self.lease.lane;
        let backoffs = lane.throttle.consecutive_before(call.is_probe);
        let outcome = call_outcome::interpret(&call, destination, backoffs, now, (self.context.random)());
        match outcome.backoff_until {
            Some(until) => lane.throttle.back_off(until, call.is_probe),
            None => lane.throttle.record(outcome.signal, call.is_probe),
        }
        let sequence = &call.task.row.sequence;
        let refuses = lane.refusals.record(outcome.signal, sequence, call.is_probe, now);
        if lane.breaker.record(outcome.signal, call.is_probe, now) {
            tracing::warn!(
                tenant = %self.writer.wakeup.tenant,
                destination = %destination.destination_name,
                "half of the calls to {} fail; the circuit breaker stops calls for a minute",
                destination.destination_name
            );
        }
        let earlier = lane.recovered_at;
        let started_early = call.is_early();
        let change = outcome
            .affects_health
            .then(|| health::record_call(lane, outcome.is_delivered(), started_early, now))
            .flatten();
        if let Some(ended_at) = lane.recovered_at.filter(|ended_at| earlier != Some(*ended_at)) {
            self.prefetch.retry_early(ended_at, now);
        }
        outcome.log(&self.writer.wakeup, &call);
        let paused = refuses.then(|| health::pause_for(&call.attempt));
        self.complete(Settlement::from_call(call, outcome.disposition));
        if let Some(change) = outcome.change.or(change).or(paused) {
            self.stop(StopReason::ChangeDestination(change));
        }
    }

    pub(super) fn complete(&mut self, settlement: Settlement) {
        self.prefetch.account_completed(&settlement);
        self.completed.push(settlement);
    }

    /// Frees the memory of stored settlements, and unblocks the next event of each user.
    fn on_stored(&mut self, written: &[Settlement], unfinished: &HashSet<String>) {
        if !unfinished.is_empty() {
            // Their rows remain, and do not show that the deliveries are settled.
            self.lease.lane.needs_recovery = true;
            self.prefetch.recover((self.context.now)());
        }
        let (max_block, now) = (self.target.destination().hold(), (self.context.now)());
        for Settlement { row, disposition, was_sent, .. } in written {
            let due = match disposition {
                Disposition::Retry { due, .. }
                | Disposition::Blocked { due }
                | Disposition::Deferred { due } => Some(*due),
                _ => None,
            };
            self.prefetch.on_stored(&row.sequence, due);
            if row.due > now
                && matches!(
                    disposition,
                    Disposition::Delivered | Disposition::Failed { .. } | Disposition::Filtered
                )
            {
                self.prefetch.on_early_end(now);
            }
            let Some(user) = &row.queued.user else { continue };
            let blocker = match disposition {
                // The queue knows this blocker already. A superseded row has another row, which still blocks.
                Disposition::Blocked { .. } | Disposition::Superseded => continue,
                Disposition::Retry { due, queued } => {
                    Some(Blocker::since(queued.blocking_since, *due, max_block))
                }
                Disposition::Requeued { queued } => {
                    Some(Blocker::since(queued.blocking_since, row.due, max_block))
                }
                _ => None,
            };
            self.prefetch.queue.finish(user, &row.sequence, *was_sent, blocker);
        }
    }
}
