//! The deployed stack stays cheap: the model notices a state for each record.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;

use benches::b13::{MAX_ORCHESTRATION_DOLLARS, Stack, events, records};
use serde_json::{Value, json};

const BATCH: &str = "BatchStateMachine";
const RECORDS: &str = "RecordsExpressStateMachine";

fn stack() -> Stack {
    Stack::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// A map over single records, followed by `next`.
fn each_record(next: &str) -> Value {
    let put = json!({ "Type": "Task", "Resource": "${FunctionPrefix}PutOptIns", "End": true });
    json!({
        "Type": "Map", "Items": "{% $records %}", "Next": next,
        "ItemProcessor": { "StartAt": "Put", "States": { "Put": put } },
    })
}

#[test]
fn a_million_records_are_orchestrated_for_a_cent() {
    let cost = records(&stack()).unwrap();
    assert!((0.001..=MAX_ORCHESTRATION_DOLLARS).contains(&cost.orchestration()), "{cost}");
    assert!(cost.lambda_requests >= 250.0, "{cost}");
}

#[track_caller]
fn check(id: &str, express: bool, edit: impl FnOnce(&mut Value)) {
    let cost = records(&stack().with(id, express, edit)).unwrap();
    assert!(cost.orchestration() > MAX_ORCHESTRATION_DOLLARS, "{cost}");
}

#[test]
fn a_state_for_each_record_is_noticed() {
    check(BATCH, false, |machine| {
        machine["States"]["EachRecord"] = each_record("AllDecided");
        machine["States"]["SummarizeBatch"]["Next"] = "EachRecord".into();
    });
    check(BATCH, false, |machine| {
        let processor = &mut machine["States"]["RunChunks"]["ItemProcessor"];
        processor["States"]["EachRecord"] = each_record("RunRecords");
        processor["StartAt"] = "EachRecord".into();
    });
    check(BATCH, false, |machine| {
        machine["States"]["RunChunks"]["ItemReader"]["Arguments"]["Key"] = "{% $batch.records %}".into();
    });
    // The machine of the chunks, were it deployed as STANDARD; with a map over records it is dearer by far.
    check(RECORDS, false, |_| {});
    check(RECORDS, false, |machine| {
        machine["States"]["EachRecord"] = each_record("AnyOptedOut");
        machine["States"]["PutOptIns"]["Next"] = "EachRecord".into();
    });
}

#[test]
fn calls_for_each_record_are_noticed_in_express() {
    let per_record = |machine: &mut Value| {
        machine["States"]["EachRecord"] = each_record("AnyOptedOut");
        machine["States"]["PutOptIns"]["Next"] = "EachRecord".into();
    };
    let cost = records(&stack().with(RECORDS, true, per_record)).unwrap();
    assert!(cost.lambda_requests >= 1_000_000.0, "{cost}");
}

#[test]
fn a_million_events_are_orchestrated_for_a_cent() {
    let cost = events(&stack()).unwrap();
    assert!((0.001..=MAX_ORCHESTRATION_DOLLARS).contains(&cost.orchestration()), "{cost}");
    assert!(cost.queue_requests >= 1_200_000.0, "{cost}");
}

#[test]
fn a_state_for_each_event_is_noticed() {
    let check = |express, edit: &dyn Fn(&mut Value)| {
        let cost = events(&stack().with(RECORDS, express, edit)).unwrap();
        assert!(cost.orchestration() > MAX_ORCHESTRATION_DOLLARS, "{cost}");
    };
    // One STANDARD execution for each event, as the seed has it, and one for each batch of them.
    let alone = |stack: Stack| events(&stack.with_batch_size("ConsumeEventsFunction", 1.0)).unwrap();
    let cost = alone(stack().with(RECORDS, false, |_| {}));
    assert!(cost.orchestration() > 100.0, "{cost}");
    check(false, &|_| {});
    check(false, &|machine| {
        machine["States"]["EachRecord"] = each_record("AnyFresh");
        machine["States"]["PutEvents"]["Next"] = "EachRecord".into();
    });
    // One EXPRESS execution for each event.
    let cost = alone(stack());
    assert!(cost.orchestration() > 1.0, "{cost}");
}
