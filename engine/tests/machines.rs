//! Machines run as on AWS. Each file in `cases/` has the cases of one feature.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use states::{
    Effect, Execution, Failure, Items, MachineType, MapRunUpdate, Outcome, Pattern, ResultFiles, Start,
    StateMachine, TaskId, TaskRequest, TaskToken, Value,
};

#[test]
fn machines_run_as_recorded() {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let only = option_env!("CASE");
    let mut differences = String::new();
    for file in files {
        let cases: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for case in cases {
            let name = format!("{}: {}", file.file_stem().unwrap().display(), case["name"].as_str().unwrap());
            if only.is_none_or(|only| name.contains(only))
                && let Err(difference) = check(&case)
            {
                differences.push_str(&format!("\n{name}\n{difference}\n"));
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// Runs a case and compares all its expectations.
fn check(case: &Json) -> Result<(), String> {
    let known =
        ["name", "definition", "text", "type", "input", "tasks", "objects", "stop", "update", "expect"];
    if let Some(member) = case.as_object().unwrap().keys().find(|member| !known.contains(&member.as_str())) {
        return Err(format!("a case has no member {member}"));
    }
    let text = case["text"].as_str().map_or_else(|| case["definition"].to_string(), str::to_owned);
    let kind = if case["type"] == "EXPRESS" { MachineType::Express } else { MachineType::Standard };
    if let Some(expected) = case["expect"].get("diagnostics") {
        let diagnostics = StateMachine::diagnose(kind, &text, &runnable);
        let diagnostics = diagnostics.iter().map(|problem| {
            let (code, place) = (problem.code, problem.place().unwrap_or("nowhere"));
            json!(format!("{:?} {code} at {place}: {}", problem.severity, problem.message))
        });
        return same("diagnostics", expected, &Json::Array(diagnostics.collect()));
    }
    let machine = match StateMachine::parse_as(kind, &text, &runnable) {
        Ok(machine) => machine,
        Err(problems) => {
            let found =
                problems.0.iter().map(|problem| json!(format!("{} {}", problem.pointer, problem.message)));
            return same("problems", &case["expect"]["problems"], &Json::Array(found.collect()));
        }
    };
    let mut world = World::new(case);
    let start = Start::named("machine", "run", 7);
    let input = Value::parse(&case.get("input").unwrap_or(&json!({})).to_string()).unwrap();
    let seen = world.run(Execution::start(machine, start, input, world.start));
    for (what, expected) in case["expect"].as_object().unwrap() {
        let found = seen.get(what.as_str()).unwrap_or(&Json::Null);
        same(what, expected, found)?;
    }
    Ok(())
}

fn runnable(resource: &str) -> Result<(), String> {
    if resource.contains("unknown") { Err("there is no such function".into()) } else { Ok(()) }
}

fn same(what: &str, expected: &Json, found: &Json) -> Result<(), String> {
    if matches_expected(expected, found) {
        Ok(())
    } else {
        Err(format!("  {what}\n  expected {expected}\n  found    {found}"))
    }
}

/// Whether the found value is the expected one. The text `*` matches anything.
fn matches_expected(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::String(any), _) if any == "*" => true,
        (Json::Array(expected), Json::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(one, other)| matches_expected(one, other))
        }
        (Json::Object(expected), Json::Object(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .all(|(name, one)| found.get(name).is_some_and(|other| matches_expected(one, other)))
        }
        _ => expected == found,
    }
}

/// An answer of the host.
enum Answer {
    Submitted(Value),
    Started(Value),
    Alive,
    Task(Result<Value, Failure>),
    Items(Result<Value, Failure>),
    Written(Result<(), Failure>),
}

/// The progress of a task before its answer: a list of the kind, the value and the delay in seconds.
fn progress(behaviour: &Json) -> Vec<(&str, Value, i64)> {
    let steps = behaviour["progress"].as_array().into_iter().flatten();
    steps
        .map(|step| {
            let value = serde_json::from_value(step[1].clone()).unwrap();
            (step[0].as_str().unwrap(), value, step[2].as_i64().unwrap())
        })
        .collect()
}

/// A host whose clock jumps.
struct World<'c> {
    case: &'c Json,
    start: Timestamp,
    now: Timestamp,
    /// Answers in flight, by their due time.
    answers: BTreeMap<(Timestamp, TaskId, usize), Answer>,
    /// The number of requests to each resource.
    asked: HashMap<String, usize>,
    events: Vec<Json>,
    calls: Vec<Json>,
    starts: Vec<Json>,
    cancelled: u64,
    written: Json,
    map_runs: Json,
}

impl<'c> World<'c> {
    fn new(case: &'c Json) -> Self {
        let start = "2026-11-21T08:00:00Z".parse().unwrap();
        Self {
            case,
            start,
            now: start,
            answers: BTreeMap::new(),
            asked: HashMap::new(),
            events: Vec::new(),
            calls: Vec::new(),
            starts: Vec::new(),
            cancelled: 0,
            written: json!({}),
            map_runs: Json::Null,
        }
    }

    fn run(&mut self, mut execution: Execution) -> HashMap<&'static str, Json> {
        let stop = self.case["stop"].as_i64().map(|after| self.start + SignedDuration::from_secs(after));
        let mut update = self.case.get("update").map(|update| {
            let after = self.start + SignedDuration::from_secs(update["after"].as_i64().unwrap());
            (after, serde_json::from_value::<MapRunUpdate>(update.clone()).unwrap())
        });
        loop {
            while let Some(effect) = execution.next_effect(self.now) {
                self.effect(effect);
            }
            self.map_runs = json!(execution.map_runs());
            if execution.outcome().is_some() {
                return self.seen(execution.outcome().unwrap());
            }
            let answer = self.answers.first_key_value().map(|((due, ..), _)| *due);
            let changes = update.as_ref().map(|(after, _)| *after);
            let next = [answer, execution.next_due(), stop, changes].into_iter().flatten().min();
            self.now = self.now.max(next.expect("a run that waits for nothing"));
            if let Some((_, update)) = update.take_if(|(after, _)| *after <= self.now) {
                let arn = execution.map_runs()[0].arn.to_string();
                assert!(execution.update_map_run(&arn, update, self.now));
                continue;
            }
            if stop.is_some_and(|stop| stop <= self.now) {
                execution.stop(Failure::new("Stopped", "by the test"), self.now);
            } else if answer.is_some_and(|due| due <= self.now) {
                let ((_, id, _), answer) = self.answers.pop_first().unwrap();
                match answer {
                    Answer::Submitted(output) => execution.task_submitted(id, output),
                    Answer::Started(worker) => execution.task_started(id, worker.as_str().map(Into::into)),
                    Answer::Alive => execution.heartbeat(id, self.now),
                    Answer::Task(result) => execution.task_done(id, result),
                    Answer::Items(items) => {
                        execution.items_read(id, items.map(|items| Items::of(&items).unwrap()));
                    }
                    Answer::Written(result) => execution.results_written(id, result),
                }
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Event(event) => {
                let mut event = serde_json::to_value(&event).unwrap();
                event.as_object_mut().unwrap().remove("timestamp");
                self.events.push(event);
            }
            Effect::StartTask(task) => {
                self.starts.push(json!((self.now - self.start).get_seconds()));
                self.calls.push(serde_json::to_value(&task.arguments).unwrap());
                self.token(&task);
                self.behave(&task.resource, task.id, &task.arguments, "tasks");
            }
            Effect::ReadItems(source) => {
                let key = source.arguments.get("Key").and_then(Value::as_str).unwrap().to_owned();
                let what = format!("{:?} {:?} {:?}", source.objects, source.format, source.max_items);
                self.calls.push(json!(what));
                self.behave(&key, source.id, &source.arguments, "objects");
            }
            Effect::WriteResults(results) => self.write(results),
            Effect::Cancel(id) => {
                self.cancelled += 1;
                self.answers.retain(|(_, answer, _), _| *answer != id);
            }
        }
    }

    /// Checks that a token names its run and its task.
    fn token(&self, task: &TaskRequest) {
        let waits = matches!(task.pattern, Pattern::Callback | Pattern::Activity);
        assert_eq!(task.token.is_some(), waits);
        if let Some(token) = &task.token {
            let read = TaskToken::parse(&token.to_string()).unwrap();
            assert_eq!((&read, read.task), (token, task.id));
            assert_eq!(&*read.execution, "arn:aws:states:us-east-1:000000000000:execution:machine:run");
        }
    }

    /// Stores the written objects, by the last part of their key.
    fn write(&mut self, results: ResultFiles) {
        let answer = match self.case["objects"][&*results.bucket][0].get("fail") {
            Some(failure) => Err(serde_json::from_value(failure.clone()).unwrap()),
            None => Ok(()),
        };
        for file in results.files {
            let name = file.key.rsplit('/').next().unwrap().to_owned();
            let body = serde_json::from_str(&file.body).unwrap_or(json!(file.body));
            self.written[name] = body;
        }
        self.answers.insert((self.now, results.id, 0), Answer::Written(answer));
    }

    /// Plays the task's list of behaviours. Its last entry repeats.
    fn behave(&mut self, name: &str, id: TaskId, arguments: &Value, kind: &str) {
        let name = name.rsplit(':').next().unwrap();
        let list = self.case[kind][name].as_array().unwrap_or_else(|| panic!("no {kind} {name}"));
        let asked = self.asked.entry(name.to_owned()).or_default();
        let behaviour = &list[(*asked).min(list.len() - 1)];
        *asked += 1;
        for (index, (what, value, after)) in progress(behaviour).into_iter().enumerate() {
            let due = self.now + SignedDuration::from_secs(after);
            let answer = match what {
                "submitted" => Answer::Submitted(value),
                "started" => Answer::Started(value),
                _ => Answer::Alive,
            };
            self.answers.insert((due, id, index), answer);
        }
        let Some(after) = behaviour.get("after").map_or(Some(0), Json::as_i64) else {
            return;
        };
        let answer = match (behaviour.get("fail"), behaviour.get("return"), behaviour.get("large")) {
            (Some(failure), ..) => Err(serde_json::from_value(failure.clone()).unwrap()),
            (_, Some(value), _) => Ok(serde_json::from_value(value.clone()).unwrap()),
            (.., Some(size)) => Ok(Value::string("x".repeat(size.as_u64().unwrap() as usize))),
            _ => Ok(arguments.clone()),
        };
        let due = self.now + SignedDuration::from_secs(after);
        let items = |value| if behaviour.get("large").is_some() { Value::from(vec![value]) } else { value };
        let answer = if kind == "objects" { Answer::Items(answer.map(items)) } else { Answer::Task(answer) };
        self.answers.insert((due, id, usize::MAX), answer);
    }

    /// Everything that a case may expect.
    fn seen(&self, outcome: &Outcome) -> HashMap<&'static str, Json> {
        let (status, output, failure) = match outcome {
            Outcome::Succeeded(output) => ("SUCCEEDED", json!(output), None),
            Outcome::Failed(failure) => ("FAILED", Json::Null, Some(failure)),
            Outcome::TimedOut(failure) => ("TIMED_OUT", Json::Null, Some(failure)),
            Outcome::Aborted(failure) => ("ABORTED", Json::Null, Some(failure)),
        };
        let entered =
            self.events.iter().filter_map(|event| event["stateEnteredEventDetails"].get("name")).cloned();
        let links = self.events.iter().map(|event| {
            json!(format!("{} {} {}", event["id"], event["previousEventId"], event["type"].as_str().unwrap()))
        });
        let links: Vec<_> = links.collect();
        HashMap::from([
            ("status", json!(status)),
            ("last", json!(links.last())),
            ("output", output),
            ("error", json!(failure.and_then(|failure| failure.error.clone()))),
            ("cause", json!(failure.and_then(|failure| failure.cause.clone()))),
            ("path", entered.collect()),
            ("events", json!(links)),
            ("history", json!(self.events)),
            ("calls", json!(self.calls)),
            ("starts", json!(self.starts)),
            ("cancelled", json!(self.cancelled)),
            ("written", self.written.clone()),
            ("mapRuns", self.map_runs.clone()),
            ("seconds", json!((self.now - self.start).get_seconds())),
            ("problems", Json::Null),
        ])
    }
}
