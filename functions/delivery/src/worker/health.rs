//! The health of a destination. A destination that refuses everything is paused; one that is gone, or failed
//! for five days, is disabled. Both are reported by a notification.

use std::{borrow::Cow, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::{
    breaker::Breaker,
    lane_state::{LaneState, Notified},
};
use crate::model::{Attempt, Wakeup};
use destinations::destination::{Destination, State, Stored};
use kernel::{
    batch::BatchId,
    error::Error,
    json,
    provenance::{IngestEvent, IngestRequest, Source},
    queue::{Message, Queue, QueueName},
    store::Store,
};

/// After an outage of this length, the first success sends waiting retries before they are due.
const MIN_OUTAGE_DURATION: SignedDuration = SignedDuration::from_secs(5);
/// A destination whose calls all failed for this time is disabled.
const MAX_FAILING_DURATION: SignedDuration = SignedDuration::from_hours(5 * 24);
/// The reason of such a change.
const FAILING_REASON: &str = "failing";

/// A new state of a destination, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateChange {
    pub(super) state: State,
    pub(super) reason: String,
}

/// Records a call. Returns the change that is due if it was one failure too many. A failure before its due
/// time begins no outage: otherwise each success would cause another early call.
pub(super) fn record_call(
    lane: &mut LaneState,
    is_delivered: bool,
    is_early: bool,
    now: Timestamp,
) -> Option<StateChange> {
    if is_delivered {
        lane.failing_since = None;
        let outage = lane.outage_since.take().map(|since| now.duration_since(since));
        if outage.is_some_and(|outage| outage >= MIN_OUTAGE_DURATION) {
            lane.recovered_at = Some(now);
            // Failures before the outage ended say nothing about the next calls.
            lane.breaker = Breaker::default();
        }
        return None;
    }
    if !is_early {
        lane.outage_since.get_or_insert(now);
    }
    let since = *lane.failing_since.get_or_insert(now);
    let is_over = now.duration_since(since) >= MAX_FAILING_DURATION;
    is_over.then(|| StateChange { state: State::Disabled, reason: FAILING_REASON.to_owned() })
}

/// The pause of a destination that refuses everything.
pub(super) fn pause_for(last: &Attempt) -> StateChange {
    StateChange { state: State::Paused, reason: last.failure().unwrap_or_default() }
}

/// Changes a destination, unless a client changed it since it was read: then the finding is out of date.
pub(super) async fn apply(
    wakeup: &Wakeup,
    change: StateChange,
    stored: &Stored,
    now: Timestamp,
    store: &impl Store,
) -> Result<(), Error> {
    let destination = Destination {
        state: change.state,
        reason: Some(change.reason),
        updated_at: now,
        ..stored.destination.clone()
    };
    destination.save(&wakeup.tenant, Some(stored.version), store).await?;
    Ok(())
}

/// The event of a notification (an operational webhook).
#[derive(Serialize)]
struct OperationalEvent<'a> {
    event: String,
    timestamp: Timestamp,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    destination: &'a str,
    state: State,
    reason: &'a str,
}

/// Reports that crmflow no longer sends to a destination: in the log, and by an event that is routed as any
/// other. The report is made once, until the next call or a new reason. A change by a client is not reported.
pub(super) async fn notify<Q: Queue>(
    wakeup: &Wakeup,
    destination: &Destination,
    lane: &mut LaneState,
    id: BatchId,
    queue: &Q,
) -> Result<(), Error> {
    let reason = destination
        .reason
        .as_deref()
        .filter(|reason| *reason == FAILING_REASON || reason.starts_with("http_"));
    let Some(reason) = reason else { return Ok(()) };
    let notified = Notified { state: destination.state, reason: reason.to_owned() };
    if lane.notified.as_ref() == Some(&notified) {
        return Ok(());
    }
    let (name, timestamp) = (&destination.destination_name, destination.updated_at);
    let what = if destination.state == State::Paused { "paused" } else { "disabled" };
    tracing::error!(
        tenant = %wakeup.tenant,
        destination = %name,
        reason,
        "destination {name} is {what}: {reason}"
    );
    let event = OperationalEvent {
        event: format!("crmflow destination {what}"),
        timestamp,
        metadata: Metadata { destination: name.as_str(), state: destination.state, reason },
    };
    let refused = |error: serde_json::Error| Error::BadInput(json::describe(&error));
    let request = IngestRequest {
        id,
        tenant: wakeup.tenant.clone(),
        via: Source::Crmflow,
        received_at: id.made_at(),
        sent_at: None,
        retry: 0,
        events: vec![IngestEvent {
            // The id is the same for every report of the same change.
            message_id: format!("crmflow-{what}-{name}-{}", timestamp.as_millisecond()).into(),
            record: Cow::Owned(to_raw_value(&event).map_err(refused)?),
        }],
    };
    let body = serde_json::to_string(&request).map_err(refused)?;
    queue.send(QueueName::Events, vec![Message { body, delay: Duration::ZERO }]).await?;
    lane.notified = Some(notified);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` is a delivered call, `-` a failed one, `.` an hour, `|` a day.
    #[track_caller]
    fn check(calls: &str, is_disabled: bool) {
        let mut lane = LaneState::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut change = None;
        for call in calls.chars() {
            match call {
                '.' => now += SignedDuration::from_hours(1),
                '|' => now += SignedDuration::from_hours(24),
                call => change = record_call(&mut lane, call == '+', false, now),
            }
        }
        assert_eq!(change.is_some(), is_disabled, "{calls}");
    }

    #[test]
    fn five_days_of_failures_disable() {
        check("-", false);
        check("-||||-", false);
        check("-|||||-", true);
        check("-|-|-|-|-.-", false);
        check("-|-|-|-|-|-", true);
        check("-||+|||-", false);
        check("+|||||-", false);
        check("-||||+-|||||-", true);
        check("-|||||+", false);
    }
}
