//! A parsed state machine: immutable, and shared by all its runs.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::{FlowId, StateId};
use crate::state::Kind;

/// The guarantee that a machine's executions have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MachineType {
    /// Each step runs exactly once, and the history is stored.
    #[default]
    Standard,
    /// Each step runs at least once, within five minutes.
    Express,
}

/// AWS's limit for the time of an EXPRESS execution.
const EXPRESS_TIMEOUT: Duration = Duration::from_secs(300);

/// A definition without errors.
#[derive(Debug)]
pub struct StateMachine {
    /// The machine's own states come first, then those of its processors and branches.
    pub(crate) flows: Vec<Flow>,
    pub(crate) comment: Option<Arc<str>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kind: MachineType,
}

/// The states of one level: of a machine, of a Map's processor, or of a branch.
#[derive(Debug)]
pub(crate) struct Flow {
    pub start: StateId,
    pub states: Vec<State>,
    /// The Map or Parallel state that contains this flow.
    pub parent: Option<(FlowId, StateId)>,
}

/// A state and its name.
#[derive(Debug)]
pub(crate) struct State {
    pub name: Arc<str>,
    pub comment: Option<Arc<str>>,
    pub kind: Kind,
}

impl StateMachine {
    /// The definition's own comment.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The time limit of a whole run: the definition's limit, capped by that of its type.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.kind.limit()).min()
    }

    pub(crate) fn state(&self, flow: FlowId, state: StateId) -> &State {
        &self.flows[flow.0].states[state.0]
    }
}

impl MachineType {
    /// AWS's time limit for an execution of this type. A definition cannot raise it.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Self::Standard => None,
            Self::Express => Some(EXPRESS_TIMEOUT),
        }
    }
}
