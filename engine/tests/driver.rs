//! The driver runs a machine on a host's futures, concurrently, and a caller can stop it.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use futures::stream;
use jiff::Timestamp;
use serde_json::json;
use states::{
    Execution, Failure, HistoryEvent, Input, ItemSource, Items, Outcome, Start, StateMachine, TaskRequest,
    TaskRunner, Value, drive, drive_with,
};

/// A host whose clock jumps to the next due time.
struct Host {
    now: Mutex<Timestamp>,
    running: AtomicUsize,
    max_running: AtomicUsize,
    events: Mutex<Vec<String>>,
}

impl Host {
    fn new() -> Self {
        Self {
            now: Mutex::new("2026-11-21T08:00:00Z".parse().unwrap()),
            running: AtomicUsize::new(0),
            max_running: AtomicUsize::new(0),
            events: Mutex::default(),
        }
    }

    fn start(&self, definition: &serde_json::Value) -> Execution {
        let machine = StateMachine::parse(&definition.to_string(), &|resource| self.check(resource)).unwrap();
        Execution::start(machine, Start::named("machine", "run", 1), Value::from([]), self.now())
    }
}

impl TaskRunner for Host {
    fn check(&self, resource: &str) -> Result<(), String> {
        if resource.ends_with(":missing") { Err("not here".into()) } else { Ok(()) }
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.max_running.fetch_max(running, Ordering::SeqCst);
        if task.resource.ends_with(":forever") {
            std::future::pending::<()>().await;
        }
        let mut polls = 0;
        std::future::poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls > 5 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(task.arguments)
    }

    async fn read_items(&self, _source: ItemSource) -> Result<Items, Failure> {
        Ok((0..100_u32).map(Value::from).collect::<Vec<_>>().into())
    }

    async fn sleep_until(&self, due: Timestamp) {
        let mut now = self.now.lock().unwrap();
        *now = due.max(*now);
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn history(&self, event: &HistoryEvent) {
        self.events.lock().unwrap().push(format!("{:?}", event.kind));
    }
}

#[test]
fn tasks_run_concurrently() {
    let host = Host::new();
    let task = json!({ "StartAt": "B", "States": { "B": { "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo", "End": true } }, "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" } });
    let reader = json!({ "Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": { "InputType": "JSONL", "MaxItems": 50 }, "Arguments": { "Bucket": "b", "Key": "k" } });
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": { "Type": "Map", "ItemReader": reader, "ItemProcessor": task, "End": true } } });
    let outcome = block_on(drive(host.start(&definition), &host)).unwrap();
    let expected: Vec<Value> = (0..50_u32).map(Value::from).collect();
    assert_eq!(outcome, Outcome::Succeeded(expected.into()));
    assert_eq!(host.max_running.load(Ordering::SeqCst), 50);
}

#[test]
fn a_timeout_drops_the_task() {
    let host = Host::new();
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": { "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:forever", "TimeoutSeconds": 86400, "End": true } } });
    let outcome = block_on(drive(host.start(&definition), &host)).unwrap();
    assert_eq!(outcome, Outcome::Failed(Failure::named("States.Timeout")));
}

#[test]
fn a_run_can_be_stopped() {
    let host = Host::new();
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": { "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:forever", "End": true } } });
    let why = Failure::new("Deploy", "a new version");
    let outcome =
        block_on(drive_with(host.start(&definition), &host, stream::iter([Input::Stop(why.clone())])))
            .unwrap();
    assert_eq!(outcome, Outcome::Aborted(why));
    assert_eq!(host.events.lock().unwrap().last().map(String::as_str), Some("ExecutionAborted"));
}

#[test]
fn drive_future_is_send() {
    fn check<T: Send>(_: T) {}
    let host = Host::new();
    let definition =
        json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": { "Type": "Succeed" } } });
    check(drive(host.start(&definition), &host));
}

#[test]
fn a_machine_is_a_graph() {
    let definition = json!({
        "QueryLanguage": "JSONata",
        "StartAt": "A",
        "States": {
            "A": { "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f", "Retry": [{ "ErrorEquals": ["Busy"] }], "Catch": [{ "ErrorEquals": ["Bad"], "Next": "D" }], "Next": "B" },
            "B": { "Type": "Choice", "Choices": [{ "Condition": "{% $states.input.n > 1 %}", "Next": "C" }], "Default": "D" },
            "C": { "Type": "Parallel", "Branches": [{ "StartAt": "E", "States": { "E": { "Type": "Pass", "End": true } } }], "Next": "D" },
            "D": { "Type": "Succeed" },
        }
    });
    let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(())).unwrap();
    let states = machine.states().map(|state| {
        let edges = state.edges();
        let edges = edges
            .iter()
            .map(|edge| format!("{:?}>{}", edge.via, edge.to.unwrap_or("end")))
            .collect::<Vec<_>>();
        format!(
            "{} {} {:?} {:?} {:?} {}",
            state.name(),
            state.kind(),
            state.resource(),
            state.errors(),
            state.parent().map(|parent| parent.name()),
            edges.join(" ")
        )
    });
    assert_eq!(
        states.collect::<Vec<_>>(),
        [
            "A Task Some(\"arn:aws:lambda:us-east-1:000000000000:function:f\") [\"Busy\", \"Bad\"] None Next>B Catch([\"Bad\"])>D",
            "B Choice None [] None Choice(\"$states.input.n > 1\")>C Default>D",
            "C Parallel None [] None Next>D",
            "D Succeed None [] None ",
            "E Pass None [] Some(\"C\") Next>end",
        ]
    );
    assert_eq!((machine.path_length().shortest, machine.path_length().longest), (3, Some(4)));
    let refused = StateMachine::parse(
        "{\n\"QueryLanguage\": \"JSONata\",\n\"StartAt\": \"A\",\n\"States\": {\n\"A\": {\n\"Type\": \"Pass\",\n\"Type\": \"Pass\",\n\"End\": false } } }",
        &|_| Ok(()),
    );
    let lines: Vec<_> =
        refused.unwrap_err().0.into_iter().map(|problem| (problem.line, problem.message)).collect();
    assert_eq!(
        lines,
        [
            (Some(7), "The field is given twice".to_owned()),
            (Some(5), "This object should have only one of the following fields: [Next, End]".to_owned())
        ]
    );
}
