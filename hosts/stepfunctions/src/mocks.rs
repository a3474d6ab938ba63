//! Mocked tasks: what a mock configuration file answers in the place of services.

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

    /// What the first step of a task comes to; `None`: the state is not mocked.
    pub fn run(&self, task: &TaskRequest) -> Option<Result<Value, Failure>> {
        if !self.has(&task.state) {
            return None;
        }
        match task.pattern {
            Pattern::RequestResponse => self.answer(&task.state),
            // A mock is what the task comes to, not how it begins.
            Pattern::Callback | Pattern::Sync => Some(Ok(Value::from([]))),
            Pattern::Activity => Some(Ok(Value::Null)),
        }
    }

    /// What a task comes to that was begun.
    pub fn answer(&self, state: &str) -> Option<Result<Value, Failure>> {
        self.case().answer(state)
    }

    /// The items of a distributed Map.
    pub fn items(&self, source: &ItemSource) -> Option<Result<Items, Failure>> {
        let none = || Failure::new("States.ItemReaderFailed", "A mock of items is an array or an object");
        Some(self.answer(&source.state)?.and_then(|answer| Items::of(&answer).ok_or_else(none)))
    }

    /// What is behind the lock is whole even if a thread panicked: no change of it has two steps.
    fn case(&self) -> MutexGuard<'_, MockCase> {
        self.case.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
