//! Tasks whose result comes from outside: through the driver, and after a replay.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Mutex;

use futures::channel::mpsc;
use futures::executor::block_on;
use jiff::Timestamp;
use serde_json::json;
use states::{
    Effect, Entry, EventType, Execution, Failure, HistoryEvent, Input, ItemSource, Items, Outcome, Pattern,
    Progress, Start, StateMachine, TaskRequest, TaskRunner, TaskToken, Value, drive_with,
};

/// A host in which every token is answered and jobs end at once. It never reports that a worker has received
/// the task of an activity named `lost`.
struct Host {
    answers: mpsc::UnboundedSender<Input>,
    events: Mutex<Vec<EventType>>,
}

impl TaskRunner for Host {
    fn check(&self, _resource: &str) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        if let Some(token) = &task.token {
            let token = TaskToken::parse(&token.to_string()).unwrap();
            let input = Input::TaskDone { task: token.task, result: Ok("by token".into()) };
            self.answers.unbounded_send(input).unwrap();
        }
        if task.resource.ends_with(":lost") {
            std::future::pending::<()>().await;
        }
        Ok("ann".into())
    }

    async fn watch(&self, task: TaskRequest) -> Result<Value, Failure> {
        match task.pattern {
            Pattern::Sync => Ok(Value::from(vec![task.state.as_ref().into(), "by job".into()])),
            _ => std::future::pending().await,
        }
    }

    async fn read_items(&self, _source: ItemSource) -> Result<Items, Failure> {
        Ok(Items::default())
    }

    async fn sleep_until(&self, _due: Timestamp) {}

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn history(&self, event: &HistoryEvent) {
        self.events.lock().unwrap().push(event.kind);
    }
}

fn execution(resource: &str) -> Execution {
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": { "Type": "Task", "Resource": resource, "End": true } } });
    let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(())).unwrap();
    Execution::start(machine, Start::named("machine", "run", 1), Value::from([]), Timestamp::UNIX_EPOCH)
}

#[track_caller]
fn check(resource: &str, output: Value, expected: &[EventType]) {
    let (answers, outside) = mpsc::unbounded();
    let host = Host { answers, events: Mutex::default() };
    let outcome = block_on(drive_with(execution(resource), &host, outside)).unwrap();
    assert_eq!(outcome, Outcome::Succeeded(output));
    let events = host.events.into_inner().unwrap();
    assert_eq!(events[2..events.len() - 2], *expected);
}

#[test]
fn driver_waits_for_results_from_elsewhere() {
    use EventType as E;
    let by_token = || Value::from("by token");
    let task = [E::TaskScheduled, E::TaskStarted, E::TaskSubmitted, E::TaskSucceeded];
    check("arn:aws:states:::sqs:sendMessage.waitForTaskToken", by_token(), &task);
    check("arn:aws:states:::ecs:runTask.sync", vec!["A".into(), "by job".into()].into(), &task);
    let activity = [E::ActivityScheduled, E::ActivityStarted, E::ActivitySucceeded];
    for name in ["dig", "lost"] {
        check(&format!("arn:aws:states:us-east-1:000000000000:activity:{name}"), by_token(), &activity);
    }
}

#[test]
fn replayed_run_knows_the_progress_of_its_task() {
    let resource = "arn:aws:states:::sqs:sendMessage.waitForTaskToken";
    let mut first = execution(resource);
    let started_task = |execution: &mut Execution| {
        let started_task = execution.take_effects().into_iter().find_map(|effect| match effect {
            Effect::StartTask(task) => Some(task),
            _ => None,
        });
        started_task.unwrap()
    };
    let task = started_task(&mut first);
    assert_eq!(task.progress, Progress::New);
    let submitted = Input::TaskSubmitted { task: task.id, output: "m".into() };
    let entry = Entry { at: Timestamp::UNIX_EPOCH, inputs: vec![submitted] };
    first.step(&entry);
    let start = Start::named("machine", "run", 1);
    let machine = first.machine().clone();
    let mut again =
        Execution::replay(machine, start, Value::from([]), Timestamp::UNIX_EPOCH, [entry], |_| {});
    let same = started_task(&mut again);
    assert_eq!((same.progress, &same.token), (Progress::Submitted("m".into()), &task.token));
    assert!(again.waits_for(&task.token.unwrap()));
    assert_eq!(TaskToken::parse("bm9uc2Vuc2U"), None);
}
