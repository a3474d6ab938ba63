//! Values that are read without the evaluator, or from a part of the data, equal the evaluator's value of all
//! data.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::{Value as Json, json};
use states::{Execution, Outcome, Start, StateMachine, Value};

#[test]
fn plain_paths_equal_jsonata_paths() {
    let paths = [
        "",
        ".a",
        ".a.b",
        ".a.b.c",
        ".a[0]",
        ".a[1]",
        ".a[-1]",
        ".a[-2]",
        ".a[5]",
        ".a[0].b",
        ".a.b[0]",
        ".a.b[1]",
        ".a.b[0][0]",
        ".a[0][0]",
        ".`a b`",
        "[0]",
        "[0].a",
        ".a.a.a",
        ".b.a",
    ];
    for path in paths {
        let path = format!("$states.input{path}");
        // The brackets make it an expression for the evaluator.
        check(&path, &format!("({path})"));
    }
}

#[test]
fn partial_import_gives_the_same_value() {
    let expressions = [
        "$states.input.a.b = $states.input.b",
        "$count($states.input.a)",
        "$keys($states.input)",
        "$states.input.a.*",
        "$states.input.**.b",
        "$states.*.a",
        "$string($states.input)",
        "$states.input.a[b = 1]",
        "$states.input.a[$states.input.b = 1]",
        "$states.input.a.b.%.c",
        "$states.input.a.{'x': b}",
        "$states.input.a{$string(b): c}",
        "$states.input.a^(b).b",
        "$states.input.a@$v.{'n': $v.b}",
        "$states.input.a#$i.{'i': $i, 'b': b}",
        "$exists($states.input.a.b.c) or $exists($states.context.State.Name)",
        "$states.input.a.b ~> $append(1)",
        "$states.input ~> |a|{'z': 1}|",
        "[$states.input.a, $states.input.b][0]",
        "($f := function($o) { $o.a }; $f($states.input))",
        "$merge([$states.input, {'a': $states.input.a.b}])",
        "$states.context.Execution.Name & $states.input.a.b",
    ];
    for expression in expressions {
        let whole = expression.replace("$states", "$all");
        check(expression, &format!("($all := $states; {whole})"));
    }
}

/// Both expressions give the same value, or both fail, on all kinds of inputs.
#[track_caller]
fn check(one: &str, other: &str) {
    let inputs = [
        json!(null),
        json!(1),
        json!([]),
        json!([{ "a": 1 }, { "a": [2] }]),
        json!({}),
        json!({ "a": null, "b": 1 }),
        json!({ "a": "text", "a b": 3 }),
        json!({ "a": [], "b": { "a": [] } }),
        json!({ "a": [1], "b": { "a": [1] } }),
        json!({ "a": [[1, 2], [3]], "b": [] }),
        json!({ "a": { "b": 1, "c": 2 }, "b": 1 }),
        json!({ "a": { "b": [1] } }),
        json!({ "a": { "b": [[1]] } }),
        json!({ "a": { "b": { "c": { "d": 1 } }, "a": { "a": [] } } }),
        json!({ "a": [{ "b": 2, "c": 1 }, { "b": 1, "c": 2 }], "b": 1 }),
        json!({ "a": [{ "b": [1, 2] }, { "b": [3] }, { "c": 4 }] }),
    ];
    for input in inputs {
        let (left, right) = (run(one, &input), run(other, &input));
        assert_eq!(left, right, "{one} and {other} of {input}");
    }
}

/// The value, or `None` if there is none.
fn run(expression: &str, input: &Json) -> Option<Value> {
    let definition = json!({
        "QueryLanguage": "JSONata",
        "StartAt": "A",
        "States": { "A": { "Type": "Pass", "Output": format!("{{% {expression} %}}"), "End": true } },
    });
    let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(())).unwrap();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let input = Value::parse(&input.to_string()).unwrap();
    let mut execution = Execution::start(machine, Start::named("machine", "run", 1), input, now);
    while execution.next_effect(now).is_some() {}
    match execution.outcome() {
        Some(Outcome::Succeeded(output)) => Some(output.clone()),
        _ => None,
    }
}
