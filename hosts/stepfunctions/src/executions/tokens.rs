//! Task tokens: the owner of a token answers for a task that waits here.

use std::{collections::HashSet, sync::Mutex, time::Duration};

use kernel::store::StoreError;
use states::{Input, TaskId, TaskToken};

use super::{Executions, Status, not_running_here};

/// The tokens of the tasks that wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    open: Mutex<HashSet<TaskToken>>,
}

/// A task waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenToken<'a> {
    tokens: &'a Tokens,
    token: TaskToken,
    stays_open: bool,
}

/// Why no task waits for the answer with a token.
#[derive(Debug)]
pub enum TokenError {
    /// It is none.
    Invalid,
    /// There is no execution that it could be of.
    Unknown,
    /// The task has ended, or was given up.
    TimedOut,
    Store(StoreError),
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Tokens {
    /// A task begins to wait.
    pub(crate) fn open(&self, token: &TaskToken) -> OpenToken<'_> {
        if let Ok(mut open) = self.open.lock() {
            open.insert(token.clone());
        }
        OpenToken { tokens: self, token: token.clone(), stays_open: false }
    }

    fn contains(&self, token: &TaskToken) -> bool {
        self.open.lock().is_ok_and(|open| open.contains(token))
    }

    /// `false`: it was closed before.
    fn close(&self, token: &TaskToken) -> bool {
        self.open.lock().is_ok_and(|mut open| open.remove(token))
    }
}

impl OpenToken<'_> {
    /// The task continues to wait after the drop.
    pub(crate) fn stay_open(mut self) {
        self.stays_open = true;
    }
}

impl Drop for OpenToken<'_> {
    fn drop(&mut self) {
        if !self.stays_open {
            self.tokens.close(&self.token);
        }
    }
}

/// A resumed run needs a moment until its tasks wait again.
const RESUME_POLL_INTERVAL: Duration = Duration::from_millis(20);
const MAX_RESUME_POLLS: usize = 25;

impl Executions {
    /// Sends the result of a task to its run, once. It is in the journal when this returns.
    pub async fn answer(&self, token: &str, input: impl FnOnce(TaskId) -> Input) -> Result<(), TokenError> {
        let token = self.waiting(token).await?;
        if !self.shared.tokens.close(&token) {
            return Err(TokenError::TimedOut);
        }
        self.bring(&token, input(token.task)).await
    }

    /// Sends a heartbeat of a task to its run.
    pub(crate) async fn heartbeat(&self, token: &str) -> Result<(), TokenError> {
        let token = self.waiting(token).await?;
        self.bring(&token, Input::Heartbeat { task: token.task }).await
    }

    async fn bring(&self, token: &TaskToken, input: Input) -> Result<(), TokenError> {
        if self.send_and_journal(&token.execution, input).await {
            return Ok(());
        }
        match self.find(&token.execution)? {
            Some(execution) if execution.status == Status::Running => {
                Err(not_running_here(&token.execution).into())
            }
            _ => Err(TokenError::TimedOut),
        }
    }

    async fn waiting(&self, token: &str) -> Result<TaskToken, TokenError> {
        let token = TaskToken::parse(token).ok_or(TokenError::Invalid)?;
        for _ in 0..MAX_RESUME_POLLS {
            if self.shared.tokens.contains(&token) {
                return Ok(token);
            }
            let execution = self.find(&token.execution)?.ok_or(TokenError::Unknown)?;
            if execution.status != Status::Running {
                return Err(TokenError::TimedOut);
            }
            tokio::time::sleep(RESUME_POLL_INTERVAL).await;
        }
        let is_here = self.shared.running.contains(&token.execution);
        Err(if is_here { TokenError::TimedOut } else { not_running_here(&token.execution).into() })
    }
}
