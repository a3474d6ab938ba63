//! A state machine as it was parsed: immutable, shared by every run of it.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::{FlowId, StateId};
use crate::state::Kind;

/// What an execution of a machine promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MachineType {
    /// Each step exactly once; the history is kept.
    #[default]
    Standard,
    /// Each step at least once, for five minutes at most.
    Express,
}

/// How long AWS lets an EXPRESS execution run.
const EXPRESS_TIMEOUT: Duration = Duration::from_secs(300);

/// A definition that was found to be sound.
#[derive(Debug)]
pub struct StateMachine {
    /// The machine's own states come first; then those of its processors and branches.
    pub(crate) flows: Vec<Flow>,
    pub(crate) comment: Option<Arc<str>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kind: MachineType,
}

/// States that lead to one another: a machine's, a Map's processor's, a branch's.
#[derive(Debug)]
pub(crate) struct Flow {
    pub start: StateId,
    pub states: Vec<State>,
    /// The state this flow is nested in.
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

    /// How long a run may take as a whole: what the definition says, and never more than its type allows.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.kind.limit()).min()
    }

    pub(crate) fn state(&self, flow: FlowId, state: StateId) -> &State {
        &self.flows[flow.0].states[state.0]
    }
}

impl MachineType {
    /// How long AWS lets an execution run, where the definition cannot raise it.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Self::Standard => None,
            Self::Express => Some(EXPRESS_TIMEOUT),
        }
    }
}
