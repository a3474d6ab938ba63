//! Mocked tasks: the answers of a mock configuration file in the place of services.

use std::sync::{Mutex, MutexGuard, PoisonError};

use states::{Failure, ItemSource, Items, MockCase, Pattern, TaskRequest, Value};

/// The answers of one test case to one execution.
#[derive(Debug)]
pub struct MockedTasks {
    /// Its name in the file.
    pub(crate) test_case: String,
    case: Mutex<MockCase>,
}

impl MockedTasks {
    /// The answers of a case with this name in the file.
    pub fn new(test_case: &str, case: MockCase) -> Self {
        Self { test_case: test_case.to_owned(), case: Mutex::new(case) }
    }

    /// Whether a state is mocked: its task is never run.
    pub fn has(&self, state: &str) -> bool {
        self.case().has(state)
    }

    /// The result of a task's first step; `None`: the state is not mocked.
    pub fn run(&self, task: &TaskRequest) -> Option<Result<Value, Failure>> {
        if !self.has(&task.state) {
            return None;
        }
        match task.pattern {
            Pattern::RequestResponse => self.answer(&task.state),
            // A mock is the result of the task, not of its start.
            Pattern::Callback | Pattern::Sync => Some(Ok(Value::from([]))),
            Pattern::Activity => Some(Ok(Value::Null)),
        }
    }

    /// The result of a task that was started.
    pub fn answer(&self, state: &str) -> Option<Result<Value, Failure>> {
        self.case().answer(state)
    }

    /// The items of a distributed Map.
    pub fn items(&self, source: &ItemSource) -> Option<Result<Items, Failure>> {
        let none = || Failure::new("States.ItemReaderFailed", "A mock of items is an array or an object");
        Some(self.answer(&source.state)?.and_then(|answer| Items::of(&answer).ok_or_else(none)))
    }

    /// The value behind the lock is consistent even if a thread panicked: no change of it has two steps.
    fn case(&self) -> MutexGuard<'_, MockCase> {
        self.case.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
