//! A shift at a lane: from taking its lease to letting it go.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use super::{
    WorkerContext,
    attempt::Target,
    breaker::Permit,
    drain::{DELETED, drain},
    health,
    lease::Lease,
    pump::{Dispatcher, StopReason},
    record::DispositionWriter,
    wakes,
};
use crate::model::{self, Wakeup};
use destinations::destination::{Destination, State, Stored};
use kernel::{batch::BatchId, error::Error, queue::Queue, store::Store};

/// When a lane is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextRun {
    /// When something new comes.
    OnWakeup,
    /// At this time.
    At(Timestamp),
}

/// How a shift ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// There is nothing to do now.
    Idle,
    /// The time was over, and there may be more to do.
    MaxHoldReached,
}

/// Works on a lane until there is nothing to do now, or the time is over. Whoever holds the lane is told, and that is
/// all.
pub(super) async fn run<S: Store, Q: Queue>(
    tools: &WorkerContext<S, Q>,
    book: &DispositionWriter<S>,
    bell: &Notify,
    until: Instant,
) -> Result<SessionEnd, Error> {
    let Some(mut lease) = take(tools, &book.wake).await? else { return Ok(SessionEnd::Idle) };
    let done = work(tools, book, bell, &mut lease, until).await;
    if done.is_err() && !lease.is_lost() {
        // The error is the one to tell. Where this fails too, the lease expires, and says the same.
        lease.lane.unsettled = true;
        while lease.leave().await.is_ok_and(|left| !left) {}
    }
    done
}

/// Takes the lease; `None`: another has it, and looks again before it lets go.
async fn take<S: Store, Q: Queue>(
    tools: &WorkerContext<S, Q>,
    wake: &Wakeup,
) -> Result<Option<Lease<S>>, Error> {
    let WorkerContext { store, queue, holder, .. } = tools;
    let partition = model::partition(&wake.tenant, &wake.destination);
    let ours = format!("{:032x}", (tools.random)());
    let mut first = None;
    loop {
        let now = (tools.now)();
        let mut busy = match Lease::take(store, &partition, holder, now).await? {
            Ok(lease) => return Ok(Some(lease)),
            Err(busy) => busy,
        };
        // Should the holder die, somebody comes when its lease is over.
        let due = busy.lane.expires_at.unwrap_or(now).max(now + wakes::NEXT);
        let is_armed = wakes::is_armed(busy.lane.wake_at, due, now);
        let before = first.get_or_insert_with(|| busy.lane.ring.clone());
        let has_rung = busy.lane.ring.as_ref() == Some(&ours);
        // By somebody who came since, and who sees to the message too.
        let is_heard = busy.lane.ring != *before && !has_rung;
        if is_heard || (busy.lane.rung && is_armed) {
            return Ok(None);
        }
        if !has_rung {
            (busy.lane.ring, busy.lane.rung) = (Some(ours.clone()), true);
            if !busy.write(store, &partition).await? {
                continue;
            }
        }
        if !is_armed {
            wakes::arm(wake, &mut busy.lane, due, now, queue).await?;
            // Where the lane changed meanwhile it does not say so, and another sends one more.
            busy.write(store, &partition).await?;
        }
        return Ok(None);
    }
}

async fn work<S: Store, Q: Queue>(
    tools: &WorkerContext<S, Q>,
    book: &DispositionWriter<S>,
    bell: &Notify,
    lease: &mut Lease<S>,
    until: Instant,
) -> Result<SessionEnd, Error> {
    while Instant::now() < until {
        let Some(again) = turn(tools, book, bell, lease, until).await? else { continue };
        if let NextRun::At(due) = again {
            wakes::arm(&book.wake, &mut lease.lane, due, (tools.now)(), &tools.queue).await?;
        }
        if lease.let_go((tools.now)()).await? {
            return Ok(SessionEnd::Idle);
        }
    }
    // Whoever came by meanwhile is heard in the next shift.
    while !lease.leave().await? {}
    Ok(SessionEnd::MaxHoldReached)
}

/// Does what the destination's state asks for; `None`: look at the destination once more.
async fn turn<S: Store, Q: Queue>(
    tools: &WorkerContext<S, Q>,
    book: &DispositionWriter<S>,
    bell: &Notify,
    lease: &mut Lease<S>,
    until: Instant,
) -> Result<Option<NextRun>, Error> {
    let wake = &book.wake;
    let found = Destination::find(&wake.tenant, &wake.destination, &tools.store).await?;
    let ended = match &found {
        None => Some(DELETED),
        Some(Stored { destination, .. }) if destination.state == State::Active => None,
        Some(Stored { destination, .. }) => {
            let id = BatchId::new((tools.now)(), (tools.random)());
            health::tell(wake, destination, &mut lease.lane, id, &tools.queue).await?;
            if destination.state == State::Paused {
                return Ok(Some(NextRun::OnWakeup));
            }
            Some("destination_disabled")
        }
    };
    if let Some(reason) = ended {
        lease.renew((tools.now)()).await?;
        let is_empty = drain(tools, book, reason).await?;
        return Ok(is_empty.then_some(NextRun::OnWakeup));
    }
    let Some(stored) = found else { return Ok(None) };
    lease.lane.meet(&stored);
    if let Permit::After(end) = lease.lane.permits((tools.now)()) {
        return Ok(Some(NextRun::At(end)));
    }
    let target = Arc::new(Target::new(stored, tools.outbound.guard(), tools.evaluator.clone()));
    let left =
        Dispatcher::new(tools, book.clone(), bell, lease, Arc::clone(&target), until).await?.run().await?;
    Ok(match left {
        StopReason::NothingQueued => Some(NextRun::OnWakeup),
        StopReason::NothingBefore(due) => Some(NextRun::At(due)),
        StopReason::MaxHoldReached | StopReason::DestinationChanged => None,
        StopReason::ChangeDestination(change) => {
            health::apply(wake, change, &target.stored, (tools.now)(), &tools.store).await?;
            None
        }
    })
}
