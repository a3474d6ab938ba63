//! Random machines: every type of state, in sequence and nested.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

/// A state without a name.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Pass(u8),
    Task { callback: bool, recovery: Recovery, timeout: Option<u32>, heartbeat: bool },
    Wait(u32),
    Choice,
    Fail,
    Parallel(Vec<Vec<Shape>>, Recovery),
    Map { mode: Mode, items: u8, concurrency: u8, flow: Vec<Shape>, recovery: Recovery },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Inline,
    Distributed { express: bool, tolerated: u8, reads: bool, writes: bool },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    retry: Option<(u8, bool)>,
    catch: bool,
}

fn recovery(catch: bool) -> impl Strategy<Value = Recovery> {
    let retry = proptest::option::of((0_u8..4, any::<bool>()));
    (retry, any::<bool>()).prop_map(move |(retry, caught)| Recovery { retry, catch: caught && catch })
}

/// Random flows of states. Without `wild` only the tasks are random: no catcher, no Fail state and no random
/// output.
pub(crate) fn flows(wild: bool) -> impl Strategy<Value = Vec<Shape>> {
    // A task of the plan `Succeed` answers within a second, so these timeouts never expire.
    let timeout = proptest::option::of(2_u32..5_000);
    let task = (any::<bool>(), recovery(wild), timeout, any::<bool>()).prop_map(
        |(callback, recovery, timeout, heartbeat)| Shape::Task { callback, recovery, timeout, heartbeat },
    );
    let leaf = prop_oneof![
        4 => task,
        2 => (0..if wild { 4_u8 } else { 2 }).prop_map(Shape::Pass),
        2 => (0..if wild { 10_000_000_u32 } else { 5 }).prop_map(Shape::Wait),
        u32::from(wild) => Just(Shape::Choice),
        u32::from(wild) => Just(Shape::Fail),
    ];
    let shape = leaf.prop_recursive(3, 24, 4, move |inner| {
        let flow = vec(inner, 1..4);
        let mode = prop_oneof![
            Just(Mode::Inline),
            (any::<bool>(), 0..if wild { 3_u8 } else { 1 }, any::<bool>(), any::<bool>()).prop_map(
                |(express, tolerated, reads, writes)| Mode::Distributed { express, tolerated, reads, writes }
            ),
        ];
        prop_oneof![
            (vec(flow.clone(), 1..4), recovery(wild))
                .prop_map(|(branches, recovery)| Shape::Parallel(branches, recovery)),
            (mode, 0_u8..5, 0_u8..4, flow, recovery(wild)).prop_map(
                |(mode, items, concurrency, flow, recovery)| Shape::Map {
                    mode,
                    items,
                    concurrency,
                    flow,
                    recovery
                }
            ),
        ]
    });
    vec(shape, 1..5)
}

/// The flow as a definition.
pub(crate) fn definition(flow: &[Shape]) -> Json {
    let mut machine = states(flow, &mut 0);
    machine["QueryLanguage"] = json!("JSONata");
    machine
}

fn states(flow: &[Shape], names: &mut usize) -> Json {
    let mut name = || {
        *names += 1;
        format!("S{names}")
    };
    let (own, end): (Vec<_>, _) = (flow.iter().map(|_| name()).collect(), name());
    let mut states = Map::new();
    for (index, shape) in flow.iter().enumerate() {
        let next = own.get(index + 1).unwrap_or(&end);
        let mut state = state(shape, names, &mut states);
        match state["Type"].as_str() {
            Some("Choice") => {
                state["Default"] = json!(next);
                if state["Choices"][0]["Next"].is_null() {
                    state["Choices"][0]["Next"] = json!(end);
                }
            }
            _ => state["Next"] = json!(next),
        }
        if state.get("Catch").is_some() {
            state["Catch"][0]["Next"] = json!(end);
        }
        states.insert(own[index].clone(), state);
    }
    states.insert(end, json!({ "Type": "Pass", "End": true }));
    json!({ "StartAt": own[0], "States": states })
}

fn state(shape: &Shape, names: &mut usize, beside: &mut Map<String, Json>) -> Json {
    match shape {
        Shape::Pass(0) => json!({ "Type": "Pass" }),
        Shape::Pass(1) => {
            json!({ "Type": "Pass", "Output": { "in": "{% $string($states.input) ~> $length() %}" } })
        }
        Shape::Pass(2) => {
            json!({ "Type": "Pass", "Output": { "id": "{% $uuid() %}", "of": "{% $states.context.Execution %}" } })
        }
        Shape::Pass(_) => {
            *names += 1;
            let variable = format!("v{names}");
            json!({ "Type": "Pass", "Assign": { variable: "{% $random() * 1e-7 %}" }, "Output": "{% $now() %}" })
        }
        Shape::Task { callback, recovery, timeout, heartbeat } => {
            let mut state =
                json!({ "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo" });
            if *callback {
                state["Resource"] = json!("arn:aws:states:::sqs:sendMessage.waitForTaskToken");
                state["Arguments"] =
                    json!({ "QueueUrl": "q", "MessageBody": "{% $states.context.Task.Token %}" });
                state["Output"] = json!("sent");
            }
            if let Some(timeout) = timeout {
                state["TimeoutSeconds"] = json!(timeout + 1);
                if *heartbeat {
                    state["HeartbeatSeconds"] = json!(timeout);
                }
            }
            recover(state, *recovery)
        }
        Shape::Wait(seconds) => json!({ "Type": "Wait", "Seconds": seconds }),
        Shape::Choice => json!({ "Type": "Choice", "Choices": [{ "Condition": "{% $random() < 0.5 %}" }] }),
        Shape::Fail => {
            *names += 1;
            let fail = format!("F{names}");
            beside.insert(fail.clone(), json!({ "Type": "Fail", "Error": "Chosen" }));
            json!({ "Type": "Choice", "Choices": [{ "Condition": "{% $random() < 0.3 %}", "Next": fail }] })
        }
        Shape::Parallel(branches, recovery) => {
            let branches: Vec<_> = branches.iter().map(|flow| states(flow, names)).collect();
            recover(json!({ "Type": "Parallel", "Branches": branches }), *recovery)
        }
        Shape::Map { mode, items, concurrency, flow, recovery } => {
            let processor = states(flow, names);
            recover(map(*mode, *items, *concurrency, processor), *recovery)
        }
    }
}

fn map(mode: Mode, items: u8, concurrency: u8, mut processor: Json) -> Json {
    let mut state = json!({ "Type": "Map", "MaxConcurrency": concurrency });
    state["Items"] = (0..items).collect();
    if let Mode::Distributed { express, tolerated, reads, writes } = mode {
        let kind = if express { "EXPRESS" } else { "STANDARD" };
        processor["ProcessorConfig"] = json!({ "Mode": "DISTRIBUTED", "ExecutionType": kind });
        state["ToleratedFailureCount"] = json!(tolerated);
        if reads {
            let object = json!({ "Bucket": "b", "Key": "k" });
            state["ItemReader"] = json!({ "Resource": "arn:aws:states:::s3:getObject", "Arguments": object });
            state.as_object_mut().unwrap().remove("Items");
        }
        if writes {
            let place = json!({ "Bucket": "b", "Prefix": "p" });
            state["ResultWriter"] =
                json!({ "Resource": "arn:aws:states:::s3:putObject", "Arguments": place });
        }
    }
    state["ItemProcessor"] = processor;
    state
}

fn recover(mut state: Json, recovery: Recovery) -> Json {
    if let Some((attempts, jitter)) = recovery.retry {
        let jitter = if jitter { "FULL" } else { "NONE" };
        state["Retry"] = json!([
            { "ErrorEquals": ["Busy"], "MaxAttempts": attempts, "JitterStrategy": jitter, "IntervalSeconds": 3600 },
            { "ErrorEquals": ["States.ALL"], "MaxAttempts": 1, "BackoffRate": 1.5, "JitterStrategy": jitter },
        ]);
    }
    if recovery.catch {
        state["Catch"] = json!([{ "ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}" }]);
    }
    state
}
