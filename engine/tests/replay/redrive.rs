//! Redrives: the tasks that run again, and the events of the history.

use serde_json::{Value as Json, json};
use states::{Counts, Entry, Failure, Input, Outcome};

use super::world::{Run, TaskPlan};

fn task(next: Option<&str>) -> Json {
    let mut task =
        json!({ "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo" });
    match next {
        Some(next) => task["Next"] = json!(next),
        None => task["End"] = json!(true),
    }
    task
}

fn machine(start: &str, states: &Json) -> Json {
    json!({ "QueryLanguage": "JSONata", "StartAt": start, "States": states })
}

/// Redrives a run once. Compares the tasks before and after the redrive, and the events from the redrive on.
#[track_caller]
fn check(definition: &Json, script: &'static [(&'static str, usize)], asked: [&str; 2], events: &str) -> Run {
    let mut run = Run::new(definition, &json!([1, 2, 3]), TaskPlan::Script(script));
    assert!(matches!(run.finish(0, |_| false), Outcome::Failed(_)));
    let before = run.asked.len();
    let outcome = run.finish(1, |step| step % 2 == 1);
    assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
    let names =
        |range: &[(String, _)]| range.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
    assert_eq!([names(&run.asked[..before]), names(&run.asked[before..])], asked);
    let own = run.events.iter().skip_while(|event| event["type"] != "ExecutionRedriven");
    let own = own.map(|event| {
        format!("{}<{} {}", event["id"], event["previousEventId"], event["type"].as_str().unwrap())
    });
    assert_eq!(own.collect::<Vec<_>>().join(", "), events);
    run
}

#[test]
fn redrive_retries_the_failed_task() {
    let definition = machine("A", &json!({ "A": task(Some("B")), "B": task(None) }));
    let run = check(
        &definition,
        &[("B", 1)],
        ["A B", "B"],
        "12<11 ExecutionRedriven, 13<12 LambdaFunctionScheduled, 14<13 LambdaFunctionStarted, \
         15<14 LambdaFunctionSucceeded, 16<15 TaskStateExited, 17<16 ExecutionSucceeded",
    );
    let redriven = run.events.iter().find(|event| event["type"] == "ExecutionRedriven").unwrap();
    assert_eq!(redriven["executionRedrivenEventDetails"], json!({ "redriveCount": 1 }));
}

#[test]
fn redrive_resets_retries_and_shows_in_context() {
    let mut a = task(None);
    a["Retry"] = json!([{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 1 }]);
    a["Output"] = json!(
        "{% [$states.context.State.RetryCount, $states.context.Execution.RedriveCount, \
                        $states.context.Execution.RedriveTime] %}"
    );
    let mut run = Run::new(&machine("A", &json!({ "A": a })), &json!({}), TaskPlan::Script(&[("A", 3)]));
    let outcome = run.finish(1, |_| true);
    let expected = r#"[1,1,"2026-11-21T08:01:05Z"]"#;
    let Outcome::Succeeded(output) = outcome else { panic!("{outcome:?}") };
    assert_eq!(output.to_string().replace(".000Z", "Z"), expected);
    assert_eq!(run.asked.len(), 4);
}

#[test]
fn succeeded_branches_keep_their_results() {
    let branch = |start: &str, states: &Json| json!({ "StartAt": start, "States": states });
    let branches = json!([
        branch("Well", &json!({ "Well": task(None) })),
        branch("First", &json!({ "First": task(Some("Second")), "Second": task(None) })),
        branch(
            "Slow",
            &json!({ "Slow": { "Type": "Wait", "Seconds": 60, "Next": "Late" }, "Late": task(None) })
        ),
    ]);
    let definition = machine("P", &json!({ "P": { "Type": "Parallel", "Branches": branches, "End": true } }));
    let run = check(
        &definition,
        &[("Second", 1)],
        ["Well First Second", "Second Late"],
        "22<21 ExecutionRedriven, 23<22 LambdaFunctionScheduled, 24<23 LambdaFunctionStarted, \
         25<24 LambdaFunctionSucceeded, 26<25 TaskStateExited, 27<22 WaitStateExited, 28<27 TaskStateEntered, \
         29<28 LambdaFunctionScheduled, 30<29 LambdaFunctionStarted, 31<30 LambdaFunctionSucceeded, \
         32<31 TaskStateExited, 33<32 ParallelStateSucceeded, 34<32 ParallelStateExited, 35<34 ExecutionSucceeded",
    );
    let output = run.events.last().unwrap()["executionSucceededEventDetails"]["output"].clone();
    assert_eq!(output, json!("[[1,2,3],[1,2,3],[1,2,3]]"));
}

#[test]
fn succeeded_iterations_keep_their_results() {
    let processor = json!({ "StartAt": "I", "States": { "I": task(None) } });
    check(
        &machine(
            "M",
            &json!({ "M": { "Type": "Map", "MaxConcurrency": 1, "ItemProcessor": processor, "End": true } }),
        ),
        &[("I", 1)],
        ["I", "I I I"],
        "12<11 ExecutionRedriven, 13<12 LambdaFunctionScheduled, 14<13 LambdaFunctionStarted, \
         15<14 LambdaFunctionSucceeded, 16<15 TaskStateExited, 17<16 MapIterationSucceeded, \
         18<16 MapIterationStarted, 19<18 TaskStateEntered, 20<19 LambdaFunctionScheduled, \
         21<20 LambdaFunctionStarted, 22<21 LambdaFunctionSucceeded, 23<22 TaskStateExited, \
         24<23 MapIterationSucceeded, 25<23 MapIterationStarted, 26<25 TaskStateEntered, \
         27<26 LambdaFunctionScheduled, 28<27 LambdaFunctionStarted, 29<28 LambdaFunctionSucceeded, \
         30<29 TaskStateExited, 31<30 MapIterationSucceeded, 32<31 MapStateSucceeded, 33<31 MapStateExited, \
         34<33 ExecutionSucceeded",
    );
}

/// A redrive continues failed and aborted children. A child of a STANDARD processor stays the same execution.
#[test]
fn redrive_resumes_a_map_run() {
    for (kind, same) in [("STANDARD", true), ("EXPRESS", false)] {
        let config = json!({ "Mode": "DISTRIBUTED", "ExecutionType": kind });
        let states = json!({ "A": task(Some("B")), "B": task(None) });
        let processor = json!({ "ProcessorConfig": config, "StartAt": "A", "States": states });
        let map = json!({ "Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 2, "End": true });
        let definition = machine("M", &json!({ "M": map }));
        let mut run = Run::new(&definition, &json!([1, 2, 3]), TaskPlan::Script(&[("B", 1)]));
        let outcome = run.finish(1, |_| true);
        assert_eq!(outcome, Outcome::Succeeded(vec![1.into(), 2.into(), 3.into()].into()), "{kind}");
        let record = &run.execution.map_runs()[0];
        assert_eq!((record.redrive_count, run.execution.map_runs().len()), (1, 1));
        let done = Counts { total: 3, succeeded: 3, ..Counts::default() };
        assert_eq!((record.item_counts, record.execution_counts), (done, done), "{kind}");
        let starts = run.asked.iter().filter(|(state, _)| state == "A").count();
        assert_eq!(starts, if same { 3 } else { 5 }, "{kind}: {:?}", run.asked);
        let of = |kind: &str| run.events.iter().filter(|event| event["type"] == kind).count();
        assert_eq!((of("ExecutionRedriven"), of("MapRunRedriven")), (if same { 3 } else { 1 }, 1), "{kind}");
    }
}

#[test]
fn redrive_restarts_the_timeout() {
    let wait = json!({ "Type": "Wait", "Seconds": 70, "End": true });
    let mut definition = machine("W", &json!({ "W": wait }));
    definition["TimeoutSeconds"] = json!(60);
    let mut run = Run::new(&definition, &json!({}), TaskPlan::Succeed);
    assert!(matches!(run.finish(3, |_| true), Outcome::TimedOut(_)));
    assert_eq!(run.execution.at().duration_since(super::world::started_at()).as_secs(), 4 * 60 + 3 * 60);
}

/// A task that was lost with its host starts again with its full timeout.
#[test]
fn downtime_of_the_host_does_not_count() {
    let mut a = task(None);
    a["TimeoutSeconds"] = json!(60);
    let mut run = Run::new(&machine("A", &json!({ "A": a })), &json!({}), TaskPlan::NeverAnswer);
    let resumed =
        Entry { at: run.execution.at() + jiff::SignedDuration::from_hours(1), inputs: vec![Input::Resumed] };
    run.execution.step(&resumed);
    run.journal.push(serde_json::to_string(&resumed).unwrap());
    assert_eq!(run.execution.outcome(), None);
    assert_eq!(run.finish(0, |_| true), Outcome::Failed(Failure::named("States.Timeout")));
    assert_eq!(run.execution.at().duration_since(super::world::started_at()).as_secs(), 3_660);
}

#[test]
fn stopped_run_can_be_redriven() {
    let definition =
        machine("W", &json!({ "W": { "Type": "Wait", "Seconds": 70, "Next": "A" }, "A": task(None) }));
    let mut run = Run::new(&definition, &json!({}), TaskPlan::Succeed);
    assert_eq!(run.execution.redrivable(), Err("Execution is RUNNING and cannot be redriven"));
    let stop = Entry { at: run.execution.at(), inputs: vec![Input::Stop(Failure::default())] };
    run.execution.step(&stop);
    run.journal.push(serde_json::to_string(&stop).unwrap());
    assert!(matches!(run.finish(1, |_| true), Outcome::Succeeded(_)));
    assert_eq!(run.execution.redrivable(), Err("Execution is SUCCEEDED and cannot be redriven"));
    let before = run.events.len();
    let again = Entry { at: run.execution.at(), inputs: vec![Input::Redrive] };
    run.execution.step(&again);
    assert!(run.execution.take_effects().is_empty() && run.events.len() == before);
}
