//! `crmflow states`: definitions run and checked through the real program. The cases are in states.json.

use std::{fs, time::Instant};

use serde_json::{Value, json};

use crate::{harness::program::Place, records::failures::root};

/// A case holds the `definition`, files by the option that names them (`input`, `mock`), more `args`, and what
/// must come of it: the exit `code`, and the `json` printed or texts that are `said`.
#[test]
fn definitions_are_run_and_checked() {
    let text = fs::read_to_string(root().join("tests/step_functions/states.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let differences: Vec<_> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn check(case: &Value) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    let place = Place::new();
    let path = |path: std::path::PathBuf| path.display().to_string();
    let mut args = vec!["states".to_owned(), case["command"].as_str().unwrap_or("run").to_owned()];
    let definition =
        case["definition"].as_str().map_or_else(|| case["definition"].to_string(), str::to_owned);
    args.push(path(place.file("orders.asl.json", definition)));
    for option in ["input", "mock"] {
        if let Some(file) = case.get(option) {
            args.extend([
                format!("--{option}"),
                path(place.file(&format!("{option}.json"), file.to_string())),
            ]);
        }
    }
    args.extend(case["args"].as_array().into_iter().flatten().map(|arg| arg.as_str().unwrap().to_owned()));
    let ended = place.run(&args);
    let differs = |what: String| Err(format!("{name}: {what}\n{ended:#?}"));
    if json!(ended.code) != case["code"] {
        return differs(format!("the code is not {}", case["code"]));
    }
    if let Some(expected) = case.get("json") {
        let found: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        if found != *expected {
            return differs(format!("expected {expected}"));
        }
    }
    for text in case["said"].as_array().into_iter().flatten() {
        let text = text.as_str().unwrap();
        if !ended.stdout.contains(text) && !ended.stderr.contains(text) {
            return differs(format!("{text:?} is missing"));
        }
    }
    Ok(())
}

/// A year of waits under mocks takes no time.
#[test]
fn a_year_passes_at_once() {
    let place = Place::new();
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": { "Type": "Wait", "Seconds": 31_536_000, "Next": "B" }, "B": { "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f", "End": true } } });
    let definition = place.file("year.json", definition.to_string());
    let mock = json!({ "StateMachines": { "year": { "TestCases": { "T": { "B": "R" } } } }, "MockedResponses": { "R": { "0": { "Return": 1 } } } });
    let mock = place.file("mock.json", mock.to_string());
    let started = Instant::now();
    let ended = place.run([
        "states".as_ref(),
        "run".as_ref(),
        definition.as_os_str(),
        "--mock".as_ref(),
        mock.as_os_str(),
        "--trace".as_ref(),
    ]);
    ended.check(0, &[]);
    assert!(ended.stdout.contains("31536000.000    6 LambdaFunctionStarted"), "{ended:?}");
    assert!(started.elapsed().as_secs() < 60, "{ended:?}");
    assert!(!place.data().exists());
}
