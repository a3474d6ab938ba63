//! The state under test, in its definition.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::TestStateError;
use super::request::TestStateRequest;
use crate::effect::Pattern;
use crate::ids::{FlowId, StateId};
use crate::machine::{State, StateMachine};
use crate::state::Kind;
use crate::value::{Object, Value};

/// AWS's name for a state without one.
const DEFAULT_STATE_NAME: &str = "StateName";

/// A machine and its tested state.
pub(super) struct Subject {
    pub machine: Arc<StateMachine>,
    pub position: (FlowId, StateId),
}

impl Subject {
    pub(super) fn of(request: &TestStateRequest) -> Result<Self, TestStateError> {
        let (text, name) = match &request.state_name {
            Some(name) => (request.definition.clone(), name.as_str()),
            None => (machine_of(&request.definition)?, DEFAULT_STATE_NAME),
        };
        let machine = StateMachine::parse(&text, &|_| Ok(()))?;
        let position = find(&machine, name);
        let position = position.ok_or_else(|| TestStateError::invalid("State not found in definition"))?;
        Ok(Self { machine, position })
    }

    pub(super) fn state(&self) -> &State {
        self.machine.state(self.position.0, self.position.1)
    }

    /// A state nested in the one under test.
    pub(super) fn inner(&self, name: &str) -> Option<(FlowId, StateId)> {
        let (mut flow, state) = find(&self.machine, name)?;
        let found = (flow, state);
        while let Some((outer, parent)) = self.machine.flows[flow.0].parent {
            if (outer, parent) == self.position {
                return Some(found);
            }
            flow = outer;
        }
        None
    }
}

fn find(machine: &StateMachine, name: &str) -> Option<(FlowId, StateId)> {
    machine.flows.iter().enumerate().find_map(|(flow, states)| {
        let index = states.states.iter().position(|state| &*state.name == name)?;
        Some((FlowId(flow), StateId(index)))
    })
}

/// The text of a machine with this state alone. Each of its targets is a state that ends the machine.
fn machine_of(state: &str) -> Result<String, TestStateError> {
    let value = Value::parse(state).unwrap_or_default();
    let Some(object) = value.as_object() else {
        // A text that is no object gets the error messages for a machine.
        StateMachine::parse(state, &|_| Ok(()))?;
        return Err(TestStateError::invalid("The definition must be a JSON object"));
    };
    let mut targets = BTreeSet::new();
    collect(object, &mut targets);
    targets.remove(&format!("\"{DEFAULT_STATE_NAME}\""));
    let ends = targets.into_iter().map(|name| format!(r#",{name}:{{"Type":"Succeed"}}"#));
    let ends: String = ends.collect();
    Ok(format!(r#"{{"StartAt":"{DEFAULT_STATE_NAME}","States":{{"{DEFAULT_STATE_NAME}":{state}{ends}}}}}"#))
}

/// Collects the names of the state's targets, as JSON strings.
fn collect(object: &Object, targets: &mut BTreeSet<String>) {
    for field in ["Next", "Default"] {
        if let Some(name @ Value::String(_)) = object.get(field) {
            targets.insert(name.to_string());
        }
    }
    for field in ["Choices", "Catch"] {
        let rules = object.get(field).and_then(Value::as_array).into_iter().flat_map(|rules| rules.iter());
        rules.filter_map(Value::as_object).for_each(|rule| collect(rule, targets));
    }
}

/// AWS's message about a state that it tests only with a mock.
pub(super) fn needs_mock(state: &State) -> Option<&'static str> {
    match &state.kind {
        Kind::Map(_) | Kind::Parallel(_) => Some(
            "TestState API does not support Map or Parallel states. Supported state types include: \
             [Task, Wait, Pass, Succeed, Fail, Choice]",
        ),
        Kind::Task(task) => match task.pattern() {
            Pattern::RequestResponse => None,
            Pattern::Callback | Pattern::Sync => {
                Some("TestState API does not support '.sync' or '.waitForTaskToken' integration patterns.")
            }
            Pattern::Activity => Some("TestState API does not support Activity tasks."),
        },
        _ => None,
    }
}
