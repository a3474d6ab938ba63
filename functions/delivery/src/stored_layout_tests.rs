//! The JSON of stored items is a contract: a folder or table of an earlier version must read and write back unchanged.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{Delivery, Queued, Wakeup},
    worker::LaneState,
};

/// Reads a stored text and writes it back.
#[track_caller]
fn check<T: Serialize + DeserializeOwned>(stored: &str) {
    let stored: String = stored.lines().map(str::trim_start).collect();
    let read: T = kernel::json::decode(stored.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), stored);
}

#[test]
fn a_lane_item_with_every_field_is_unchanged() {
    check::<LaneState>(
        r#"{"holder":"0123","expiresAt":"2026-01-01T00:01:00Z","unsettled":true,"ring":"4567","rung":true,
        "wakeAt":"2026-01-01T00:15:00Z","seen":{"createdAt":"2025-12-01T00:00:00.123456789Z","version":3},
        "breaker":{"spans":[{"number":58907520,"failed":5,"all":9},{"number":58907521,"failed":6,"all":6}],
        "openSince":"2026-01-01T00:00:30Z"},
        "throttle":{"until":"2026-01-01T00:02:00Z","inRow":2},
        "refusals":{"since":"2026-01-01T00:00:01Z","deliveries":["01ARZ3NDEKTSV4RRFFQ69G5FAV-00001"],
        "until":"2026-01-01T00:00:04Z"},
        "failingSince":"2025-12-31T23:00:00Z","outageSince":"2025-12-31T23:00:01Z",
        "recoveredAt":"2025-12-31T22:00:00Z","freeAt":"2026-01-01T00:00:00.02Z",
        "notice":{"state":"paused","reason":"http_401"}}"#,
    );
}

#[test]
fn a_new_lane_item_is_unchanged() {
    check::<LaneState>(r#"{"breaker":{}}"#);
}

#[test]
fn a_queue_row_with_every_field_is_unchanged() {
    check::<Queued>(
        r#"{"messageId":"m1","receivedAt":"2026-01-01T00:00:00Z","of":1764547200123,"user":"u","channel":"email",
        "tries":2,"replays":1,"stuckSince":"2026-01-01T00:00:01Z","failedAt":"2026-01-01T00:00:02Z",
        "throttledSince":"2026-01-01T00:00:03Z","filterPending":true}"#,
    );
}

#[test]
fn a_delivery_record_with_every_field_is_unchanged() {
    check::<Delivery>(
        r#"{"messageId":"m1","destination":"A","status":"pending","attempts":[
        {"at":"2026-01-01T00:00:00Z","durationMs":7,"status":503},
        {"at":"2026-01-01T00:00:05Z","durationMs":0,"error":"mapping","message":"it gives nothing"}],
        "nextAttemptAt":"2026-01-01T00:05:00Z","stuckSince":"2026-01-01T00:00:01Z","reason":"http_503","user":"u",
        "channel":"email","receivedAt":"2026-01-01T00:00:00Z","of":1764547200123,"replays":1,"filterPending":true}"#,
    );
}

#[test]
fn a_wakeup_message_is_unchanged() {
    check::<Wakeup>(r#"{"tenant":"default","destination":"A"}"#);
}
