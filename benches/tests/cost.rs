//! What is deployed stays cheap: a state for each record is noticed.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;

use benches::b13::{Stack, TARGET, cost};
use serde_json::{Value, json};

const BATCH: &str = "BatchStateMachine";
const RECORDS: &str = "RecordsExpressStateMachine";

fn stack() -> Stack {
    Stack::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// A map over single records, followed by `next`.
fn each_record(next: &str) -> Value {
    let put = json!({ "Type": "Task", "Resource": "${PutOptInsFunctionArn}", "End": true });
    json!({
        "Type": "Map", "Items": "{% $records %}", "Next": next,
        "ItemProcessor": { "StartAt": "Put", "States": { "Put": put } },
    })
}

#[test]
fn a_million_records_are_orchestrated_for_a_cent() {
    let cost = cost(&stack()).unwrap();
    assert!((0.001..=TARGET).contains(&cost.orchestration()), "{cost}");
    assert!(cost.lambda_requests >= 250.0, "{cost}");
}

#[track_caller]
fn check(id: &str, express: bool, edit: impl FnOnce(&mut Value)) {
    let cost = cost(&stack().with(id, express, edit)).unwrap();
    assert!(cost.orchestration() > TARGET, "{cost}");
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
fn calls_for_each_record_are_noticed_in_an_express_machine() {
    let per_record = |machine: &mut Value| {
        machine["States"]["EachRecord"] = each_record("AnyOptedOut");
        machine["States"]["PutOptIns"]["Next"] = "EachRecord".into();
    };
    let cost = cost(&stack().with(RECORDS, true, per_record)).unwrap();
    assert!(cost.lambda_requests >= 1_000_000.0, "{cost}");
}
