//! Runs recorded cases and compares: `cargo run -p states --example corpus -- FILE.jsonl`.
//!
//! A case is a line of JSON with `definition`, `input`, what its Lambda functions do (`mock`), and `expected`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people who look at its output")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use states::{Effect, Execution, Failure, Outcome, Start, StateMachine, Value};

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let only = std::env::args().nth(2).unwrap_or_default();
    let mut groups: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    let mut differences = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let tier = case["tier"].as_str().unwrap_or_default();
        if case["kind"] != "execution" || !id.contains(&only) || !matches!(tier, "A" | "B") {
            continue;
        }
        let group = groups.entry(case["group"].as_str().unwrap().to_owned()).or_default();
        group[0] += 1;
        match run(&case) {
            Verdict::Refused(why) => {
                group[1] += 1;
                if case.to_string().contains("JSONata") && !why.contains("JSONPath") {
                    differences.push(format!("{id}\n    REFUSED {why}"));
                }
            }
            Verdict::Same => group[2] += 1,
            Verdict::Different(what) => {
                group[3] += 1;
                differences.push(format!("{id}\n    {what}"));
            }
        }
    }
    for difference in &differences {
        println!("{difference}\n");
    }
    println!("{:24} {:>5} {:>8} {:>5} {:>6}", "group", "cases", "refused", "same", "differ");
    for (group, [all, refused, same, different]) in &groups {
        println!("{group:24} {all:>5} {refused:>8} {same:>5} {different:>6}");
    }
}

enum Verdict {
    Refused(String),
    Same,
    Different(String),
}

fn run(case: &Json) -> Verdict {
    let text = case["definition_text"].as_str().map_or_else(|| case["definition"].to_string(), str::to_owned);
    let machine = match StateMachine::parse(&text, &|_| Ok(())) {
        Ok(machine) => machine,
        Err(problems) => return Verdict::Refused(problems.to_string()),
    };
    let input = case["input_text"].as_str().map_or_else(|| case["input"].to_string(), str::to_owned);
    let Ok(input) = Value::parse(&input) else {
        return Verdict::Refused("input".into());
    };
    let mut now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let about = Start { role: Some("snf_role_arn".into()), ..Start::named("machine", "run", 1) };
    let mut execution = Execution::start(machine, about, input, now);
    let mut events = Vec::new();
    while execution.outcome().is_none() {
        while let Some(effect) = execution.next_effect(now) {
            match effect {
                Effect::Event(event) => {
                    if event.execution.ends_with(":run") {
                        events.push(serde_json::to_value(&event).unwrap());
                    }
                }
                Effect::StartTask(task) => {
                    let answer = lambda(case, &task.resource, &task.arguments);
                    if !answer.is_err_and_pending(&task.resource) {
                        execution.task_done(task.id, answer.0);
                    }
                }
                Effect::ReadItems(source) => {
                    execution.items_read(source.id, Err(Failure::named("States.ItemReaderFailed")));
                }
                Effect::Cancel(_) | Effect::WriteResults(_) => {}
            }
        }
        match execution.next_due() {
            Some(due) if execution.outcome().is_none() => now = now.max(due),
            _ => break,
        }
    }
    while let Some(effect) = execution.next_effect(now) {
        if let Effect::Event(event) = effect {
            events.push(serde_json::to_value(&event).unwrap());
        }
    }
    compare(case, execution.outcome(), &events)
}

/// What a function answers.
struct Answer(Result<Value, Failure>);

impl Answer {
    fn is_err_and_pending(&self, _resource: &str) -> bool {
        false
    }
}

fn lambda(case: &Json, resource: &str, arguments: &Value) -> Answer {
    let invoke = resource.ends_with("lambda:invoke");
    let (name, payload) = if invoke {
        let name = arguments.get("FunctionName").and_then(Value::as_str).unwrap_or_default().to_owned();
        (name, arguments.get("Payload").cloned().unwrap_or_default())
    } else {
        (resource.to_owned(), arguments.clone())
    };
    let name = name.rsplit(':').next().unwrap_or_default();
    let functions = case["mock"]["lambda"].as_object();
    let function =
        functions.and_then(|all| all.get(name).or_else(|| all.values().next())).cloned().unwrap_or_default();
    let result = match function["behaviour"].as_str().unwrap_or_default() {
        "raise" => {
            let cause = json!({
                "errorMessage": function["errorMessage"], "errorType": function["errorType"],
                "requestId": "7ab1e0a2-0000-4000-8000-000000000000", "stackTrace": function["stackTrace"],
            });
            return Answer(Err(Failure::new(
                function["errorType"].as_str().unwrap_or_default(),
                cause.to_string(),
            )));
        }
        "constant" => Value::parse(&function["value"].to_string()).unwrap_or_default(),
        "large_string" => {
            let size = usize::try_from(function["size"].as_u64().unwrap_or_default()).unwrap_or_default();
            Value::string(function["char"].as_str().unwrap_or("a").repeat(size))
        }
        _ => payload,
    };
    let answer = json!({ "ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200 });
    Answer(Ok(if invoke { Value::parse(&answer.to_string()).unwrap_or_default() } else { result }))
}

fn compare(case: &Json, outcome: Option<&Outcome>, events: &[Json]) -> Verdict {
    let expected = &case["expected"];
    let (status, output, failure) = match outcome {
        Some(Outcome::Succeeded(output)) => ("SUCCEEDED", json!(output), Failure::default()),
        Some(Outcome::Failed(failure)) => ("FAILED", Json::Null, failure.clone()),
        Some(Outcome::TimedOut(failure)) => ("TIMED_OUT", Json::Null, failure.clone()),
        _ => return Verdict::Different("it did not end".into()),
    };
    let mut found =
        json!({ "status": status, "error": failure.error, "cause": failure.cause, "output": output });
    let mut wanted = json!({ "status": expected["status"], "error": expected["error"], "cause": expected["cause"], "output": expected["output"] });
    if expected["output_text"].is_string() {
        wanted["output"] =
            serde_json::from_str(expected["output_text"].as_str().unwrap()).unwrap_or_default();
    }
    if expected.get("warning").is_some() {
        found["output"] = Json::Null;
        wanted["output"] = Json::Null;
    }
    if let Some(difference) = differ("", &wanted, &found) {
        return Verdict::Different(difference);
    }
    let Some(wanted) = expected["events"].as_array().filter(|_| case["events_unordered"] != true) else {
        return Verdict::Same;
    };
    let line = |event: &Json| format!("{} {} {}", event["id"], event["previousEventId"], event["type"]);
    for index in 0..wanted.len().max(events.len()) {
        let (wanted, found) =
            (wanted.get(index).unwrap_or(&Json::Null), events.get(index).unwrap_or(&Json::Null));
        if line(wanted) != line(found) {
            return Verdict::Different(format!(
                "event {index}: expected {} found {}",
                line(wanted),
                line(found)
            ));
        }
        for (name, details) in
            wanted.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("Details"))
        {
            if let Some(difference) = differ(&format!("event {index} {name}"), details, &found[name]) {
                return Verdict::Different(difference);
            }
        }
    }
    Verdict::Same
}

/// The first difference; texts with placeholders, and texts of JSON, are the same as what they stand for.
fn differ(at: &str, wanted: &Json, found: &Json) -> Option<String> {
    let parsed: Option<Json> = found.as_str().and_then(|text| serde_json::from_str(text).ok());
    match (wanted, found) {
        (Json::Object(wanted), Json::Object(found)) => {
            let ignored = [
                "SdkHttpMetadata",
                "SdkResponseMetadata",
                "ExecutedVersion",
                "StatusCode",
                "RedriveCount",
                "roleArn",
            ];
            let detail =
                |name: &str| matches!(name, "inputDetails" | "outputDetails") || ignored.contains(&name);
            let names = wanted.keys().chain(found.keys()).filter(|name| !detail(name));
            names
                .filter_map(|name| {
                    let null = Json::Null;
                    differ(
                        &format!("{at}/{name}"),
                        wanted.get(name).unwrap_or(&null),
                        found.get(name).unwrap_or(&null),
                    )
                })
                .next()
        }
        (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => wanted
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(i, (wanted, found))| differ(&format!("{at}/{i}"), wanted, found)),
        (Json::Number(wanted), Json::Number(found)) if wanted.as_f64() == found.as_f64() => None,
        (Json::Object(_) | Json::Array(_), Json::String(_)) if parsed.is_some() => {
            differ(at, wanted, &parsed?)
        }
        (Json::String(text), _)
            if text.contains('<') || text == "date" || text == "timestamp" || text.contains("snf_role") =>
        {
            None
        }
        (Json::String(text), Json::String(own)) if text.starts_with(['{', '[']) => {
            let (Ok(wanted), Ok(found)) =
                (serde_json::from_str::<Json>(text), serde_json::from_str::<Json>(own))
            else {
                return Some(format!("{at}: expected {wanted} found {found}"));
            };
            differ(at, &wanted, &found)
        }
        _ if wanted == found => None,
        _ => Some(format!("{at}: expected {wanted} found {found}").chars().take(700).collect()),
    }
}
