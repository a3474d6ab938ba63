//! Task tokens: texts by which a service or a worker answers a task of a run.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ids::TaskId;

/// Names a task that waits for an answer from outside. Its text is opaque: base64url of the fields as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskToken {
    /// The run's execution, also for a task in a child of a distributed Map.
    pub execution: Arc<str>,
    /// The task.
    pub task: TaskId,
    /// Random bits, so that nobody can guess a token.
    nonce: u64,
}

impl TaskToken {
    pub(crate) fn new(execution: Arc<str>, task: TaskId, nonce: u64) -> Self {
        Self { execution, task, nonce }
    }

    /// Reads a token; `None`: the text is no token.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

impl fmt::Display for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}
