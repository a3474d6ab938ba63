//! The commands, as a person or a script gives them.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    harness::program::{Place, run},
    records::cases,
};

const MIXED: &str = r#"[{"name":"Ann","email":"ann@command.example","optIn":true},
{"name":"Bob Secret","email":"bob@command.example","optIn":"true"},
{"name":"Cleo","email":"cleo@command.example","optIn":false},
{"name":"Ann","email":"ANN@command.example","optIn":true}]"#;

/// A place in which the mixed batch was taken in, and the batch's id.
fn mixed() -> (Place, String) {
    let place = Place::new();
    let file = place.file("mixed.json", MIXED);
    let batch = place.process(&file)["batchId"].as_str().unwrap().to_owned();
    (place, batch)
}

#[test]
fn a_wrong_command_line_is_2() {
    let place = Place::new();
    for (args, said) in [
        (&["process"][..], "FILE"),
        (&["process", "file", "--fromat", "csv"], "--fromat"),
        (&["process", "file", "--format", "xml"], "a format is json, ndjson or csv"),
        (&["proces", "file"], "proces"),
        (&["invoke", "Validate", "-e", "file"], "the functions are ValidateSchema"),
        (&["invoke", "ValidateSchema"], "--event"),
        (&["logs", "-n", "Nothing"], "the functions are"),
        (&["quarantine", "show", "17"], "BATCH/INDEX"),
        (&["quarantine", "list", "--error-type", "bad"], "the kinds are unreadable, schema, address,"),
        (&["quarantine", "replay", "--corrected", "file"], "BATCH/INDEX"),
        (&["execution"], "ARN"),
    ] {
        place.run(args).check(2, &[said]);
    }
    assert_eq!(place.run::<&str>([]).code, Some(2));
    assert_eq!(place.run(["--help"]).code, Some(0));
    assert!(place.run(["--version"]).stdout.starts_with("crmflow "));
    assert!(!place.data().exists());
}

#[test]
fn a_json_summary_has_every_outcome() {
    let place = Place::new();
    let file = place.file("mixed.json", MIXED);
    let ended = place.run([Path::new("process"), &file, Path::new("--json")]);
    let outcomes = json!({"saved": 1, "unchanged": 0, "withdrawn": 0, "ignored": 1, "duplicate": 1, "invalid": 1, "failed": 0});
    let summary = ended.json();
    assert_eq!((&summary["received"], &summary["outcomes"]), (&json!(4), &outcomes));
    assert!(Path::new(summary["quarantine"].as_str().unwrap()).is_dir());
    let clean = place.file("clean.json", r#"[{"name":"Dan","email":"dan@command.example","optIn":true}]"#);
    assert_eq!(place.process(&clean)["quarantine"], Value::Null);
}

/// S2-009: the first faults with their lines, and no personal data.
#[test]
fn a_summary_for_people_adds_up() {
    let place = Place::new();
    let file = place.file("mixed.json", MIXED);
    let ended = place.run([Path::new("process"), &file]);
    ended.check(0, &[]);
    for text in [
        "4 records",
        "total                 4",
        "1   /optIn must be of type boolean (type): line 2",
        "record 3 has the address of record 0",
        "crmflow quarantine list --batch",
    ] {
        assert!(ended.stdout.contains(text), "{text:?} is missing: {}", ended.stdout);
    }
    for text in ["Secret", "@command.example"] {
        assert!(!ended.stdout.contains(text) && !ended.stderr.contains(text), "{ended:?}");
    }
}

#[test]
fn the_format_that_is_named_is_the_one_that_is_read() {
    let place = Place::new();
    // By its content this is one JSON line; as CSV its first line is a header, and as a list it is none.
    let file = place.file("odd", "{\"name\":\"Ann\",\"email\":\"a@odd.example\",\"optIn\":true}\n");
    let process = |format: &str| {
        place.run([
            Path::new("process"),
            &file,
            Path::new("--format"),
            Path::new(format),
            Path::new("--json"),
        ])
    };
    assert_eq!(process("ndjson").json()["outcomes"]["saved"], 1);
    process("json").check(2, &["the input is an object"]);
    process("csv").check(2, &["the header of the CSV cannot be read"]);
}

#[test]
fn the_standard_input_is_a_file_too() {
    let place = Place::new();
    let ended = run(&mut place.command(["process", "-", "--json"]), MIXED.as_bytes());
    assert_eq!(ended.json()["received"], 4);
    run(&mut place.command(["process", "-"]), b"").check(2, &["input is empty"]);
    run(&mut place.command(["process", "-"]), b"{}\n{").check(0, &[]);
}

/// S2-026 S2-009: one line a faulty record, which names where it is and holds nothing out of it.
#[test]
fn a_function_s_log_can_be_read() {
    let (place, batch) = mixed();
    let logged = place.run(["logs", "-n", "LogSchemaErrorsFunction"]);
    logged.check(0, &[]);
    assert_eq!(logged.stdout, place.run(["logs", "--name", "LogSchemaErrors"]).stdout);
    assert_eq!(logged.stdout.lines().count(), 1, "{logged:?}");
    for text in [&*batch, "/optIn", "type", "quarantine/default/file/schema"] {
        assert!(logged.stdout.contains(text), "{text:?} is missing: {logged:?}");
    }
    let line: Value = serde_json::from_str(&logged.stdout).unwrap();
    assert!(line.is_object());
    for text in ["Secret", "@command.example"] {
        assert!(!logged.stdout.contains(text), "{logged:?}");
    }
    assert!(place.run(["logs", "-n", "PutOptIns"]).stdout.contains("nothing"));
}

/// No file of logs holds anything out of a record, whatever went wrong.
#[test]
fn no_log_holds_personal_data() {
    let (place, _) = mixed();
    let texts = ["@command.example", "Secret", "Cleo"];
    let (mut open, mut lines) = (vec![place.data().join("logs")], 0);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                open.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            assert!(!texts.iter().any(|secret| text.contains(secret)), "{}: {text}", entry.path().display());
            lines += text.lines().count();
        }
    }
    assert!(lines > 0, "nothing was logged");
}

#[test]
fn an_execution_s_path_can_be_read() {
    let (place, batch) = mixed();
    let listed = place.run(["executions", "--json"]).json();
    let arn = listed[0]["executionArn"].as_str().unwrap();
    assert!(arn.ends_with(&format!(":execution:RecordsStateMachine:{batch}")), "{arn}");
    assert_eq!(listed[0]["status"], "SUCCEEDED");
    assert!(place.run(["executions"]).stdout.contains(arn));
    assert_eq!(cases::path(&place, arn), cases::path(&place, &batch));
    let shown = place.run(["execution", &batch]);
    for text in [arn, "SUCCEEDED", "TaskStateEntered", "PutOptIns", "ExecutionSucceeded", "output: "] {
        assert!(shown.stdout.contains(text), "{text:?} is missing: {}", shown.stdout);
    }
    place.run(["execution", "nothing"]).check(2, &["no execution nothing"]);
}

#[test]
fn a_quarantined_record_is_corrected_and_replayed() {
    let (place, batch) = mixed();
    let name = format!("{batch}/1");
    let listed = place.run(["quarantine", "list"]);
    assert!(
        listed.stdout.contains(&name) && listed.stdout.contains("/optIn must be of type boolean"),
        "{listed:?}"
    );
    assert!(!listed.stdout.contains("Secret"), "{listed:?}");
    let shown = place.run(["quarantine", "show", &name]).json();
    assert_eq!(shown["record"]["name"], "Bob Secret");
    place.run(["quarantine", "show", &format!("{batch}/0")]).check(2, &["is not in quarantine"]);
    let corrected = place.file("corrected", r#"{"name":"Bob","email":"bob@command.example","optIn":true}"#);
    let two = [
        Path::new("quarantine"),
        Path::new("replay"),
        Path::new(&name),
        Path::new(&name),
        Path::new("--corrected"),
        &corrected,
    ];
    place.run(two).check(2, &["2 records are named and 1 corrected ones given"]);
    let replay = [
        Path::new("quarantine"),
        Path::new("replay"),
        Path::new("--json"),
        Path::new(&name),
        Path::new("--corrected"),
        &corrected,
    ];
    let sent = place.run(replay).json();
    assert_eq!((&sent["received"], &sent["outcomes"]["saved"]), (&json!(1), &json!(1)));
    assert!(place.run(replay).stdout.contains("not replayed before"));
    assert_eq!(place.run(["quarantine", "list", "--json"]).json(), json!([]));
    let all = place.run(["quarantine", "list", "--all", "--json"]).json();
    assert_eq!(all[0]["replayedAs"], sent["batchId"]);
}

/// A function called twice gives the same twice, and its own refusal ends with 1.
#[test]
fn a_function_can_be_called_alone_and_twice() {
    let place = Place::new();
    let execution = json!({"name": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "startedAt": "2026-01-01T00:00:00Z"});
    let records: Value = serde_json::from_str(MIXED).unwrap();
    let invoke = |function: &str, event: &Value| {
        let file = place.file("event.json", event.to_string());
        let args = [Path::new("invoke"), Path::new(function), Path::new("-e"), &file];
        let (once, twice) = (place.run(args), place.run(args));
        assert_eq!(once.stdout, twice.stdout, "{function}");
        once.json()
    };
    let sorted = invoke("ValidateSchema", &json!({"input": records, "execution": execution}));
    let batch = &sorted["batch"];
    let logged = invoke("LogSchemaErrors", &json!({"batch": batch, "records": sorted["invalid"]}));
    let unique = invoke("RemoveDuplicatesFunction", &json!({"batch": batch, "records": sorted["valid"]}));
    let put = invoke("PutOptIns", &json!({"batch": batch, "records": unique["optedIn"]}));
    let withdrawn = invoke("WithdrawOptIns", &json!({"batch": batch, "records": unique["optedOut"]}));
    let parts = [&logged, &unique, &put, &withdrawn].map(|step| &step["part"]);
    let summary = invoke("Summarize", &json!({"batch": batch, "received": 4, "parts": parts}));
    let outcomes = json!({"saved": 1, "unchanged": 0, "withdrawn": 0, "ignored": 1, "duplicate": 1, "invalid": 1, "failed": 0});
    assert_eq!(summary["outcomes"], outcomes);
    let file = place.file("event.json", json!({"batch": batch, "received": 5, "parts": parts}).to_string());
    let refused = place.run([Path::new("invoke"), Path::new("Summarize"), Path::new("-e"), &file]);
    refused.check(1, &[]);
    assert!(refused.stdout.contains("OutcomesDoNotAddUp"), "{refused:?}");
    place.run(["invoke", "Summarize", "-e", "nowhere"]).check(2, &["nowhere"]);
}
