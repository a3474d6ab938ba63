//! Metering changes no value: within the bounds an expression gives the same value as in the library alone.

mod grammar;

use expressions::{Failure, Limits, Program};
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;

const EVENT: &str = r#"{"event":"Order Placed","userId":"ann","i":2,"x":[1,2,[3]],"items":[{"sku":"a","i":1},{"sku":"b","x":"c"}],"metadata":{"total":12.5,"items":[{"sku":"a"},{"sku":"b"}],"vip":true}}"#;

/// The outcome of an expression: a value, or the code of an error.
type Outcome = Result<String, String>;

fn written(value: &JValue) -> String {
    let written = format!("{value:?}");
    // A function prints its closure, which differs.
    if written.contains("Lambda(") || value.is_function() { "a function".to_owned() } else { written }
}

/// Evaluates with the library alone; `None`: the evaluation reaches a limit.
fn bare(source: &str, data: &JValue) -> Option<Outcome> {
    let tree = parser::parse(source).ok()?;
    let options = EvaluatorOptions {
        timeout_ms: Some(100),
        max_stack_depth: Some(300),
        max_sequence_length: Some(10_000),
        ..EvaluatorOptions::default()
    };
    let value = Evaluator::with_options(Context::new(), options).evaluate(&tree, data);
    match value {
        Ok(value) => Some(Ok(written(&value))),
        Err(error) => {
            let code = error.code().unwrap_or_default().to_owned();
            let is_bound = matches!(code.as_str(), "D1011" | "D1012" | "D2014" | "D2015" | "U1001");
            (!is_bound).then_some(Err(code))
        }
    }
}

/// Evaluates within bounds; `None`: the evaluation reaches one.
fn bounded(source: &str, data: &JValue) -> Option<Outcome> {
    let tree = parser::parse(source).ok()?;
    let limits = Limits { bytes: 32 << 20, items: 10_000, depth: 900, time_ms: 100 };
    match Program::new(tree.clone(), limits).evaluate(Context::new(), data, || u64::MAX, |_| Ok(())) {
        Ok(value) => Some(Ok(written(&value))),
        Err(Failure::Bound(_)) => None,
        Err(Failure::Error(error)) => Some(Err(error.code().unwrap_or_default().to_owned())),
    }
}

#[test]
fn metering_changes_no_value() {
    let data = JValue::from_json_str(EVENT).unwrap();
    let (mut compared, mut different) = (0, Vec::new());
    for seed in 0..1_000 {
        let source = grammar::expression(&mut grammar::Dice::new(seed), 3);
        let Some(found) = bounded(&source, &data) else {
            continue;
        };
        let Some(expected) = bare(&source, &data) else {
            continue;
        };
        compared += 1;
        let is_same = match (&found, &expected) {
            (Ok(found), Ok(expected)) => found == expected,
            // The two may check the arguments in another order, so the codes may differ.
            (found, expected) => found.is_err() == expected.is_err(),
        };
        if !is_same {
            different.push(format!("seed {seed}: {source}\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    assert!(different.is_empty(), "{} of {compared}:\n{}", different.len(), different.join("\n"));
    assert!(compared > 400, "only {compared} expressions could be compared");
}
