//! Any text in the place of a path, a call or a pattern is refused or runs. The engine never panics.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use states::{Execution, Outcome, Start, StateMachine, TaskToken, Value};

/// Pieces of the language's texts, and pieces that belong to none.
const PIECES: [&str; 60] = [
    "$",
    "$$",
    "@",
    ".",
    "..",
    "[",
    "]",
    "(",
    ")",
    "*",
    "?",
    "?(",
    "'",
    "\"",
    "\\",
    ",",
    ":",
    "-",
    "0",
    "1",
    "-1",
    "99999999999999999999",
    "1.5",
    "1e308",
    "true",
    "null",
    "a",
    "b",
    "list",
    "text",
    "ä🙂",
    " ",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    " in ",
    " size ",
    "length()",
    "States.",
    "States.Format(",
    "States.Array(",
    "{}",
    "{",
    "}",
    "States.MathAdd(",
    "States.ArrayRange(",
    "States.StringSplit(",
    "States.JsonMerge(",
    "States.MathRandom(",
    "States.ArrayPartition(",
    "States.Base64Decode(",
    "States.Hash(",
    "$.list",
    "$.text",
    "$.o.n",
    "'x'",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![vec(select(&PIECES[..]), 0..14).prop_map(|pieces| pieces.concat()), ".{0,20}"]
}

/// Pieces of JSONata.
const EXPRESSION_PIECES: [&str; 64] = [
    "$states",
    ".input",
    ".context",
    ".list",
    ".text",
    ".o.n",
    "[0]",
    "[-1]",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "'a'",
    ":",
    ",",
    ";",
    ".",
    "..",
    "$",
    "%",
    "@$v",
    "#$i",
    "*",
    "**",
    "+",
    "-",
    "/",
    "&",
    "=",
    "!=",
    "<",
    "in ",
    " and ",
    " or ",
    "~>",
    ":=",
    "?",
    "^(",
    "|",
    "function($x){",
    "$x",
    "λ",
    "/a+/",
    "$map(",
    "$filter(",
    "$reduce(",
    "$sum(",
    "$string(",
    "$number(",
    "$split(",
    "$replace(",
    "$partition(",
    "$range(",
    "$hash(",
    "$parse(",
    "$toMillis(",
    "$fromMillis(",
    "$formatNumber(",
    "1e308",
    "99999999999999999999",
    "[1..3]",
    "null",
];

fn expression() -> impl Strategy<Value = String> {
    vec(select(&EXPRESSION_PIECES[..]), 0..16).prop_map(|pieces| pieces.concat())
}

fn run(definition: &serde_json::Value) -> Option<Outcome> {
    let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(())).ok()?;
    let input = json!({ "list": [1, "b", [2.5, null], { "a": 1 }], "text": "a-b", "o": { "n": -3, "a": { "b": [] } }, "a": 1 });
    let input = Value::parse(&input.to_string()).unwrap();
    let now = "2026-11-21T08:00:00Z".parse().unwrap();
    let mut execution = Execution::start(machine, Start::named("machine", "run", 1), input, now);
    while execution.next_effect(now).is_some() {}
    execution.outcome().cloned()
}

fn pass(fields: &serde_json::Value) -> serde_json::Value {
    let mut state = fields.clone();
    state["Type"] = json!("Pass");
    state["End"] = json!(true);
    json!({ "StartAt": "A", "States": { "A": state } })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_template_never_panics(text in text()) {
        run(&pass(&json!({ "Parameters": { "x.$": text } })));
        run(&pass(&json!({ "Parameters": { "x.$": format!("${text}") } })));
        run(&pass(&json!({ "Parameters": { "x.$": format!("States.Array({text})") } })));
    }

    #[test]
    fn a_written_result_path_can_be_read(text in text()) {
        for field in ["InputPath", "OutputPath", "ResultPath"] {
            let outcome = run(&pass(&json!({ field: format!("$.{text}") })));
            // A path can read the place that it has written.
            if let (Some(Outcome::Succeeded(_)), "ResultPath") = (&outcome, field) {
                let both = json!({ "Result": 7, "ResultPath": format!("$.{text}"), "OutputPath": format!("$.{text}") });
                let read = run(&pass(&both));
                prop_assert_eq!(read, Some(Outcome::Succeeded(Value::from(7))));
            }
        }
    }

    #[test]
    fn any_choice_rule_never_panics(text in text(), operand in text()) {
        for operator in ["StringMatches", "StringLessThan", "TimestampEquals", "NumericEqualsPath"] {
            let rule = json!({ "Variable": format!("$.{text}"), operator: operand, "Next": "B" });
            run(&json!({ "StartAt": "A", "States": { "A": { "Type": "Choice", "Choices": [rule], "Default": "B" }, "B": { "Type": "Succeed" } } }));
        }
        let rule = json!({ "Variable": "$.text", "StringMatches": text, "Next": "B" });
        run(&json!({ "StartAt": "A", "States": { "A": { "Type": "Choice", "Choices": [rule], "Default": "B" }, "B": { "Type": "Succeed" } } }));
    }

    #[test]
    fn any_definition_never_panics(text in text()) {
        let _ = StateMachine::parse(&text, &|_| Ok(()));
        let _ = StateMachine::parse(&format!("{{\"StartAt\":{text}}}"), &|_| Ok(()));
    }

    #[test]
    fn any_expression_never_panics(text in expression()) {
        let state = json!({ "QueryLanguage": "JSONata", "Output": format!("{{% {text} %}}"), "Assign": { "x": format!("{{% [{text}] %}}") } });
        run(&pass(&state));
    }

    #[test]
    fn any_token_round_trips_or_is_refused(text in ".{0,40}") {
        let _ = TaskToken::parse(&text);
        let inside = format!("{{\"execution\":{text:?},\"task\":1,\"nonce\":{}}}", text.len());
        if let Some(token) = TaskToken::parse(&URL_SAFE_NO_PAD.encode(inside)) {
            prop_assert_eq!(TaskToken::parse(&token.to_string()), Some(token));
        }
        let _ = TaskToken::parse(&URL_SAFE_NO_PAD.encode(text));
    }
}
