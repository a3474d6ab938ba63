//! Old journals, which stay as they are: each still replays to its original run.
//!
//! A change that fails here replays old journals differently. Revert it, or raise `states::REVISION` and
//! write the journals again with `BLESS=1 cargo test -p states --test replay`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use states::{Execution, Outcome, REVISION, Start, StateMachine, Value};

use super::world::{Run, TaskPlan, started_at};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals")
}

#[test]
fn old_journals_replay_to_the_same_runs() {
    if std::env::var_os("BLESS").is_some() {
        write();
    }
    let files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let old: Json = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(old["revision"], REVISION, "{}", file.display());
        let machine = StateMachine::parse(&old["definition"].to_string(), &|_| Ok(())).unwrap();
        let input = Value::parse(&old["input"].to_string()).unwrap();
        let journal = old["journal"].as_array().unwrap().iter();
        let journal = journal.map(|entry| serde_json::from_value(entry.clone()).unwrap());
        let mut events = Vec::new();
        let seen = |event| events.push(serde_json::to_value(&event).unwrap());
        let about = Start::named("machine", "run", 7);
        let run = Execution::replay(Arc::clone(&machine), about, input, started_at(), journal, seen);
        assert_eq!(json!(events), old["events"], "{}", file.display());
        assert_eq!(told(run.outcome().unwrap()), old["outcome"], "{}", file.display());
    }
}

fn told(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Succeeded(output) => json!({ "succeeded": output }),
        Outcome::Failed(failure) => json!({ "failed": failure }),
        Outcome::TimedOut(failure) => json!({ "timedOut": failure }),
        Outcome::Aborted(failure) => json!({ "aborted": failure }),
    }
}

fn write() {
    let task = json!({ "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo", "End": true });
    let random = json!({ "Type": "Pass", "Output": { "id": "{% $uuid() %}", "n": "{% $random() %}", "at": "{% $now() %}" }, "Next": "Next" });
    let retry = json!([{ "ErrorEquals": ["Bad"], "JitterStrategy": "FULL", "IntervalSeconds": 60 }]);
    let retried = json!({ "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo", "Retry": retry, "Next": "Done" });
    let wait = json!({ "Type": "Wait", "Seconds": 90, "End": true });
    let catch = json!([{ "ErrorEquals": ["States.ALL"], "Next": "Done", "Assign": { "why": "{% $states.errorOutput %}" } }]);
    let branches = json!([
        { "StartAt": "Left", "States": { "Left": task } },
        { "StartAt": "Right", "States": { "Right": wait } },
    ]);
    let token = json!({ "QueueUrl": "q", "MessageBody": "{% $states.context.Task.Token %}" });
    let callback = json!({ "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Arguments": token, "End": true });
    let config = json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
    let processor = json!({ "ProcessorConfig": config, "StartAt": "Child", "States": { "Child": task } });
    let done = json!({ "Type": "Succeed" });
    let cases: [(&str, Json, TaskPlan, u32); 5] = [
        (
            "retries",
            json!({ "StartAt": "Random", "States": { "Random": random, "Next": retried, "Done": done } }),
            TaskPlan::Script(&[("Next", 2)]),
            0,
        ),
        (
            "catch",
            json!({ "StartAt": "Both", "States": { "Both": { "Type": "Parallel", "Branches": branches, "Catch": catch, "Next": "Done" }, "Done": done } }),
            TaskPlan::Script(&[("Left", 1)]),
            0,
        ),
        ("callback", json!({ "StartAt": "Ask", "States": { "Ask": callback } }), TaskPlan::Succeed, 0),
        (
            "map_run",
            json!({ "StartAt": "All", "States": { "All": { "Type": "Map", "Items": [1, 2.5, "x"], "ItemProcessor": processor, "End": true } } }),
            TaskPlan::Script(&[("Child", 1)]),
            1,
        ),
        (
            "redrive",
            json!({ "StartAt": "Both", "States": { "Both": { "Type": "Parallel", "Branches": branches, "Next": "Done" }, "Done": done } }),
            TaskPlan::Script(&[("Left", 2)]),
            2,
        ),
    ];
    for (name, mut definition, plan, redrives) in cases {
        definition["QueryLanguage"] = json!("JSONata");
        let input = json!({ "n": 0.1, "text": "ä" });
        let mut run = Run::new(&definition, &input, plan);
        let outcome = run.finish(redrives, |_| false);
        let journal: Vec<Json> = run.journal.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let golden = json!({
            "revision": REVISION, "definition": definition, "input": input, "journal": journal,
            "outcome": told(&outcome), "events": run.events,
        });
        std::fs::create_dir_all(folder()).unwrap();
        let text = serde_json::to_string_pretty(&golden).unwrap() + "\n";
        std::fs::write(folder().join(format!("{name}.json")), text).unwrap();
    }
}
