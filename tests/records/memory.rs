//! `crmflow process` stays under 256 MiB, whatever the records are like.

use std::{path::Path, process::Stdio, thread, time::Duration};

use serde_json::{Value, json};

use crate::harness::program::{Killed, Place};

const RECORDS: usize = 400;
const MAX_MIB: u64 = 256;

/// The records of a file, each with a note of so many bytes that gzip does not make small.
fn records(address: impl Fn(usize) -> String, opt_in: bool, note: usize) -> String {
    let mut draw = 1_u64;
    let mut letter = || {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + u8::try_from(draw >> 58).unwrap())
    };
    let mut note: String = (0..note).map(|_| letter()).collect::<String>().replace('\\', "z");
    let mut text = String::new();
    for n in 0..RECORDS {
        let record = json!({ "name": "N", "email": address(n), "optIn": opt_in, "note": note });
        text.push_str(&record.to_string());
        text.push('\n');
        // The next one is another, and as long.
        note.truncate(note.len().saturating_sub(8));
        if opt_in {
            note.push_str(&format!("{n:08}"));
        }
    }
    text
}

/// Processes the records, and looks at how much memory that takes.
#[track_caller]
fn check(place: &Place, records: String, outcomes: &Value) {
    let file = place.file("records.ndjson", records);
    let mut command = place.command([Path::new("process"), Path::new("--json"), &file]);
    let mut process = Killed(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut peak = 0;
    let ended = loop {
        peak = peak.max(process.memory_kib("VmHWM").unwrap_or(0) / 1024);
        if let Some(ended) = process.0.try_wait().unwrap() {
            break ended;
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(ended.success(), "{ended:?}");
    let summary: Value = serde_json::from_reader(process.0.stdout.take().unwrap()).unwrap();
    for (outcome, count) in outcomes.as_object().unwrap() {
        assert_eq!(summary["outcomes"][outcome], *count, "{summary}");
    }
    assert!(peak < MAX_MIB, "{peak} MiB");
}

#[test]
fn fat_records_take_no_memory() {
    let place = Place::new();
    let own = |n| format!("n{n}@fat.example");
    check(&place, records(own, true, 150_000), &json!({ "saved": RECORDS }));
    // Each record is thin now, and the contact that the store holds for it is fat.
    check(&place, records(own, false, 0), &json!({ "withdrawn": RECORDS }));
    check(
        &place,
        records(|_| "one@fat.example".into(), true, 150_000),
        &json!({ "saved": 1, "duplicate": RECORDS - 1 }),
    );
}
