//! One lease session on a lane: from acquiring the lease to releasing it.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use super::{
    attempt::Target,
    breaker::Permit,
    context::WorkerContext,
    dispatcher::{Dispatcher, StopReason},
    disposition_writer::DispositionWriter,
    drain::{DESTINATION_DELETED, drain},
    health,
    lease::Lease,
    wakeup,
};
use crate::model::{self, Wakeup};
use destinations::destination::{Destination, State, Stored};
use kernel::{batch::BatchId, error::Error, queue::Queue, store::Store};

/// When the next run on the lane is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextRun {
    /// At the next wake-up.
    OnWakeup,
    /// At this time.
    At(Timestamp),
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// Nothing is due.
    Idle,
    /// The time of the session is over, and more may be due.
    MaxHoldReached,
}

/// Works on a lane until nothing is due, or the deadline is over. If another worker has the lease, this one
/// only sets a flag for it.
pub(super) async fn run<S: Store, Q: Queue>(
    context: &WorkerContext<S, Q>,
    writer: &DispositionWriter<S>,
    notify: &Notify,
    deadline: Instant,
) -> Result<SessionEnd, Error> {
    let Some(mut lease) = acquire(context, &writer.wakeup).await? else { return Ok(SessionEnd::Idle) };
    let done = run_until_idle(context, writer, notify, &mut lease, deadline).await;
    if done.is_err() && !lease.is_lost() {
        // The first error is the one to report. If the release fails too, the lease expires, which also means
        // that the lane needs recovery.
        lease.lane.needs_recovery = true;
        while lease.try_release().await.is_ok_and(|is_released| !is_released) {}
    }
    done
}

/// Acquires the lease; `None`: another worker has it, and will see the flag before it releases the lease.
async fn acquire<S: Store, Q: Queue>(
    context: &WorkerContext<S, Q>,
    wakeup: &Wakeup,
) -> Result<Option<Lease<S>>, Error> {
    let WorkerContext { store, queue, holder, .. } = context;
    let partition = model::partition(&wakeup.tenant, &wakeup.destination);
    let our_flag = format!("{:032x}", (context.random)());
    let mut first = None;
    loop {
        let now = (context.now)();
        let mut held = match Lease::acquire(store, &partition, holder, now).await? {
            Ok(lease) => return Ok(Some(lease)),
            Err(held) => held,
        };
        // If the holder dies, this wake-up starts a worker at the end of the lease.
        let due = held.lane.expires_at.unwrap_or(now).max(now + wakeup::MIN_HELD_DELAY);
        let is_scheduled = wakeup::is_scheduled(held.lane.wake_at, due, now);
        let flag_before = first.get_or_insert_with(|| held.lane.wakeup_by.clone());
        let is_ours = held.lane.wakeup_by.as_ref() == Some(&our_flag);
        // A worker that started after this one set the flag, and also schedules the wake-up.
        let is_newer = held.lane.wakeup_by != *flag_before && !is_ours;
        if is_newer || (held.lane.wakeup_pending && is_scheduled) {
            return Ok(None);
        }
        if !is_ours {
            (held.lane.wakeup_by, held.lane.wakeup_pending) = (Some(our_flag.clone()), true);
            if !held.write(store, &partition).await? {
                continue;
            }
        }
        if !is_scheduled {
            wakeup::schedule(wakeup, &mut held.lane, due, now, queue).await?;
            // If the lane changed meanwhile, this write is lost, and another worker sends one more message.
            held.write(store, &partition).await?;
        }
        return Ok(None);
    }
}

async fn run_until_idle<S: Store, Q: Queue>(
    context: &WorkerContext<S, Q>,
    writer: &DispositionWriter<S>,
    notify: &Notify,
    lease: &mut Lease<S>,
    deadline: Instant,
) -> Result<SessionEnd, Error> {
    while Instant::now() < deadline {
        let Some(next_run) = run_once(context, writer, notify, lease, deadline).await? else { continue };
        if let NextRun::At(due) = next_run {
            wakeup::schedule(&writer.wakeup, &mut lease.lane, due, (context.now)(), &context.queue).await?;
        }
        if lease.release_or_renew((context.now)()).await? {
            return Ok(SessionEnd::Idle);
        }
    }
    // A flag that was set meanwhile needs no pass of this session: the next session reads the lane again.
    while !lease.try_release().await? {}
    Ok(SessionEnd::MaxHoldReached)
}

/// Does one pass that fits the state of the destination; `None`: the destination must be read once more.
async fn run_once<S: Store, Q: Queue>(
    context: &WorkerContext<S, Q>,
    writer: &DispositionWriter<S>,
    notify: &Notify,
    lease: &mut Lease<S>,
    deadline: Instant,
) -> Result<Option<NextRun>, Error> {
    let wakeup = &writer.wakeup;
    let found = Destination::find(&wakeup.tenant, &wakeup.destination, &context.store).await?;
    let ended = match &found {
        None => Some(DESTINATION_DELETED),
        Some(Stored { destination, .. }) if destination.state == State::Active => None,
        Some(Stored { destination, .. }) => {
            let id = BatchId::new((context.now)(), (context.random)());
            health::notify(wakeup, destination, &mut lease.lane, id, &context.queue).await?;
            if destination.state == State::Paused {
                return Ok(Some(NextRun::OnWakeup));
            }
            Some("destination_disabled")
        }
    };
    if let Some(reason) = ended {
        lease.renew((context.now)()).await?;
        let is_empty = drain(context, writer, reason).await?;
        return Ok(is_empty.then_some(NextRun::OnWakeup));
    }
    let Some(stored) = found else { return Ok(None) };
    lease.lane.observe(&stored);
    if let Permit::After(end) = lease.lane.permits((context.now)()) {
        return Ok(Some(NextRun::At(end)));
    }
    let target = Arc::new(Target::new(stored, context.outbound.guard(), context.evaluator.clone()));
    let stop_reason = Dispatcher::new(context, writer.clone(), notify, lease, Arc::clone(&target), deadline)
        .await?
        .run()
        .await?;
    Ok(match stop_reason {
        StopReason::NothingQueued => Some(NextRun::OnWakeup),
        StopReason::NothingBefore(due) => Some(NextRun::At(due)),
        StopReason::MaxHoldReached | StopReason::DestinationChanged => None,
        StopReason::ChangeDestination(change) => {
            health::apply(wakeup, change, &target.stored, (context.now)(), &context.store).await?;
            None
        }
    })
}
