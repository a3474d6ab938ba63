//! A state machine as it was parsed: immutable, shared by every run of it.

use std::sync::Arc;
use std::time::Duration;

use crate::load;
use crate::problem::Problems;
use crate::state::Kind;

/// A definition that was found to be sound.
#[derive(Debug)]
pub struct StateMachine {
    /// The machine's own states come first; then those of its processors and branches.
    pub(crate) flows: Vec<Flow>,
    pub(crate) comment: Option<Arc<str>>,
    pub(crate) timeout: Option<Duration>,
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

/// A flow's number in its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FlowId(pub usize);

/// A state's number in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct StateId(pub usize);

/// Where a state leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Next(StateId),
    End,
}

impl StateMachine {
    /// Reads a definition. `check` is asked whether each Task's resource can be run, and if not, why.
    ///
    /// # Errors
    /// Every problem the definition has.
    pub fn parse(text: &str, check: &dyn Fn(&str) -> Result<(), String>) -> Result<Arc<Self>, Problems> {
        load::load(text, check).map(Arc::new)
    }

    /// The definition's own comment.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// How long a run may take as a whole.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    pub(crate) fn state(&self, flow: FlowId, state: StateId) -> &State {
        &self.flows[flow.0].states[state.0]
    }
}

impl Transition {
    pub(crate) fn target(self) -> Option<StateId> {
        match self {
            Self::Next(state) => Some(state),
            Self::End => None,
        }
    }
}
