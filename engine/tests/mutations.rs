//! Definitions of the cases with random changes: each is refused or runs. The engine never panics.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value as Json, json};
use states::{Effect, Execution, Failure, Input, Items, MachineType, MockFile, Start, StateMachine, Value};

/// This number of steps is enough to reach a panic.
const MAX_STEPS: usize = 200;

/// Texts that are valid in some field, and texts that are valid in none.
const TEXTS: [&str; 36] = [
    "",
    "$",
    "$$",
    "$.a",
    "$.a[0]",
    "$..*",
    "$$.Map.Item",
    "$x",
    "$.a.b[?(@.c > 1)]",
    "$[-1]",
    "A",
    "B",
    "States.ALL",
    "States.Runtime",
    "States.Format('{}', $)",
    "States.MathAdd(1, $.a)",
    "{% $states.input %}",
    "{% $x %}",
    "{% $states.result.a %}",
    "{% $range(1, 9, -1) %}",
    "{% $states.context.Map %}",
    "{% ( %}",
    "{% $map([1..3], $f) %}",
    "{% $toMillis($now()) / 0 %}",
    "{% 1e308 * 10 %}",
    "JSONata",
    "JSONPath",
    "Task",
    "Map",
    "Parallel",
    "Wait",
    "DISTRIBUTED",
    "2026-02-30T25:61:61Z",
    "9999-12-30T22:00:00Z",
    "-009999-01-02T01:59:59Z",
    "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
];

/// Names for a renamed member.
const FIELDS: [&str; 34] = [
    "Type",
    "Next",
    "End",
    "Default",
    "Choices",
    "Branches",
    "ItemProcessor",
    "Iterator",
    "Items",
    "ItemsPath",
    "ItemSelector",
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "Parameters",
    "Arguments",
    "Assign",
    "Output",
    "ResultPath",
    "InputPath",
    "OutputPath",
    "ResultSelector",
    "Retry",
    "Catch",
    "TimeoutSeconds",
    "HeartbeatSeconds",
    "MaxConcurrency",
    "Seconds",
    "SecondsPath",
    "Timestamp",
    "QueryLanguage",
    "ToleratedFailurePercentage",
    "Label",
    "Variable",
];

/// A change to one place of a document.
#[derive(Clone, Debug)]
enum Change {
    Drop,
    Replace(Json),
    /// Copies the value of another place.
    Copy(Index),
    Rename(&'static str),
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        3 => select(&TEXTS[..]).prop_map(Json::from),
        1 => select(vec![
            json!(null), json!(true), json!(0), json!(-1), json!(1), json!(1.5), json!(1e300), json!(-0.0), json!(u64::MAX),
            json!(i64::MIN), json!(99_999_999), json!([]), json!({}), json!([[]]), json!({ "a.$": "$" }), json!(["States.ALL"]),
        ]),
    ]
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        1 => Just(Change::Drop),
        3 => value().prop_map(Change::Replace),
        2 => any::<Index>().prop_map(Change::Copy),
        1 => select(&FIELDS[..]).prop_map(Change::Rename),
    ];
    (any::<Index>(), change)
}

/// The pointers of all places below the document.
fn places(document: &Json, at: &str, found: &mut Vec<String>) {
    let below: Vec<_> = match document {
        Json::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        Json::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in below {
        let place = format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"));
        places(value, &place, found);
        found.push(place);
    }
}

fn changed(mut document: Json, changes: &[(Index, Change)]) -> Json {
    for (place, change) in changes {
        let mut found = Vec::new();
        places(&document, "", &mut found);
        if found.is_empty() {
            break;
        }
        let place = place.get::<String>(&found);
        let (above, step) = place.rsplit_once('/').unwrap();
        let put = match change {
            Change::Replace(value) => Some(value.clone()),
            Change::Copy(other) => document.pointer(other.get::<String>(&found)).cloned(),
            Change::Rename(_) => document.pointer(place).cloned(),
            Change::Drop => None,
        };
        let step = step.replace("~1", "/").replace("~0", "~");
        match (document.pointer_mut(above).unwrap(), put, change) {
            (Json::Object(members), Some(value), Change::Rename(name)) => {
                _ = members.insert((*name).into(), value)
            }
            (Json::Object(members), Some(value), _) => _ = members.insert(step, value),
            (Json::Object(members), None, _) => _ = members.remove(&step),
            (Json::Array(items), Some(value), _) => items[step.parse::<usize>().unwrap()] = value,
            (Json::Array(items), None, _) => _ = items.remove(step.parse().unwrap()),
            _ => {}
        }
    }
    document
}

/// Definitions and inputs of the cases.
fn cases() -> &'static [(Json, Json)] {
    static CASES: OnceLock<Vec<(Json, Json)>> = OnceLock::new();
    CASES.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let cases = files.flat_map(|file| serde_json::from_str::<Vec<Json>>(&file).unwrap());
        cases
            .map(|case| (case["definition"].clone(), case.get("input").cloned().unwrap_or(json!({}))))
            .collect()
    })
}

/// The definitions and journals of old runs, without their outcomes.
fn journals() -> &'static [Json] {
    static JOURNALS: OnceLock<Vec<Json>> = OnceLock::new();
    JOURNALS.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journals");
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let files = files.map(|file| serde_json::from_str::<Json>(&file).unwrap());
        files.map(|file| json!({ "definition": file["definition"], "journal": file["journal"] })).collect()
    })
}

/// Runs a definition; every other task fails.
fn run(kind: MachineType, definition: &Json, input: &Json) {
    let text = definition.to_string();
    let _ = StateMachine::diagnose(kind, &text, &|_| Ok(()));
    let Ok(machine) = StateMachine::parse_as(kind, &text, &|_| Ok(())) else { return };
    let mut now = "2026-11-21T08:00:00Z".parse().unwrap();
    let input = Value::parse(&input.to_string()).unwrap();
    let start = states::Start { history_limit: Some(500), ..Start::named("machine", "run", 1) };
    let mut execution = Execution::start(machine, start, input, now);
    for step in 0..MAX_STEPS {
        while let Some(effect) = execution.next_effect(now) {
            let failed = step % 2 == 1;
            let failure = || Failure::new("Bad", "so it is");
            let input = match effect {
                Effect::StartTask(task) => Input::TaskDone {
                    task: task.id,
                    result: if failed { Err(failure()) } else { Ok(task.arguments) },
                },
                Effect::ReadItems(source) => {
                    let items = Items::from(vec![Value::from(1), source.arguments]);
                    Input::ItemsRead {
                        reading: source.id,
                        items: if failed { Err(failure()) } else { Ok(items) },
                    }
                }
                Effect::WriteResults(files) => Input::ResultsWritten { writing: files.id, result: Ok(()) },
                Effect::Event(_) | Effect::Cancel(_) => continue,
            };
            execution.apply(input, now);
        }
        let Some(due) = execution.next_due() else { break };
        now = now.max(due);
    }
    execution.apply(Input::Stop(Failure::default()), now);
    execution.apply(Input::Redrive, now);
    let _ = execution.next_effect(now);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_definitions_never_panic(case in any::<Index>(), changes in vec(change(), 1..4), inputs in vec(change(), 0..2), express in any::<bool>()) {
        let (definition, input) = case.get(cases());
        let kind = if express { MachineType::Express } else { MachineType::Standard };
        run(kind, &changed(definition.clone(), &changes), &changed(input.clone(), &inputs));
    }

    #[test]
    fn changed_mock_files_never_panic(changes in vec(change(), 1..6)) {
        let answers = json!({ "0": { "Return": 1 }, "1-2": { "Throw": { "Error": "E", "Cause": "C" } } });
        let file = json!({ "StateMachines": { "M": { "TestCases": { "T": { "A": "R" } } } }, "MockedResponses": { "R": answers } });
        if let Ok(file) = MockFile::parse(&changed(file, &changes).to_string())
            && let Some(mut case) = file.case("M", "T")
        {
            (0..4).for_each(|_| drop(case.answer("A")));
        }
    }

    #[test]
    fn changed_journals_never_panic(journal in any::<Index>(), changes in vec(change(), 1..4)) {
        let journal = changed(journal.get(journals()).clone(), &changes);
        let Ok(machine) = StateMachine::parse(&journal["definition"].to_string(), &|_| Ok(())) else { return Ok(()) };
        let entries = journal["journal"].as_array().into_iter().flatten();
        let entries = entries.filter_map(|entry| serde_json::from_value(entry.clone()).ok());
        let (start, began) = (Start::named("machine", "run", 7), "2026-11-21T08:00:00Z".parse().unwrap());
        let _ = Execution::replay(machine, start, Value::Null, began, entries, drop);
    }
}
