//! Checks of whole flows: missing ends, unreachable states, and variables that shadow outer ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ids::{FlowId, StateId};
use crate::machine::{Flow, State};
use crate::problem::{Code, Problem, escape};
use crate::state::Kind;

/// Every problem of the flows as a whole.
pub(super) fn check(flows: &[Flow]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for index in 0..flows.len() {
        match missing_end(flows, FlowId(index)) {
            Some(problem) => problems.push(problem),
            None => problems.extend(unreachable(flows, FlowId(index))),
        }
        problems.extend(shadowing(flows, FlowId(index)));
    }
    problems.extend(duplicate_labels(flows));
    problems
}

/// Checks that each label names one distributed Map only.
fn duplicate_labels(flows: &[Flow]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (index, flow) in flows.iter().enumerate() {
        for state in &flow.states {
            let Kind::Map(map) = &state.kind else { continue };
            let label = map.distributed.as_ref().and_then(|distributed| distributed.label.as_ref());
            if let Some(label) = label.filter(|label| !seen.insert(Arc::clone(label))) {
                let place = format!("{}/Label", below(flows, FlowId(index), state));
                let message = format!("Duplicate Label name: {label}");
                let problem = Problem::error(Code::DuplicateLabelName, place, message);
                let (state, field) = (Some(state.name.to_string()), Some("Label".to_owned()));
                problems.push(Problem { state, field, ..problem });
            }
        }
    }
    problems
}

fn missing_end(flows: &[Flow], flow: FlowId) -> Option<Problem> {
    let ends = flows[flow.0].states.iter().any(|state| state.kind.ends());
    (!ends).then(|| {
        let message = "Workflow has no terminal state";
        let problem = Problem::error(Code::MissingEndState, pointer(flows, flow), message);
        // AWS reports no location here.
        Problem { location: None, ..problem }
    })
}

fn unreachable(flows: &[Flow], id: FlowId) -> Vec<Problem> {
    let flow = &flows[id.0];
    if flow.start == StateId::NOWHERE {
        return Vec::new();
    }
    let mut reached = vec![false; flow.states.len()];
    let mut open = vec![flow.start];
    while let Some(StateId(state)) = open.pop() {
        if let Some(reached) = reached.get_mut(state)
            && !std::mem::replace(reached, true)
        {
            open.extend(flow.states[state].kind.targets());
        }
    }
    let unreached = flow.states.iter().zip(&reached).filter(|(_, reached)| !**reached);
    unreached
        .map(|(state, _)| {
            let message = format!("State \"{}\" is not reachable.", state.name);
            let problem = Problem::error(Code::MissingTransitionTarget, below(flows, id, state), message);
            Problem { state: Some(state.name.to_string()), ..problem }
        })
        .collect()
}

/// Refuses the assignment to a variable of an outer flow in a flow nested in it.
fn shadowing(flows: &[Flow], id: FlowId) -> Vec<Problem> {
    let mut outer = BTreeSet::new();
    let mut inner_flow = id;
    while let Some((outer_flow, state)) = flows[inner_flow.0].parent {
        if matches!(&flows[outer_flow.0].states[state.0].kind, Kind::Map(map) if map.distributed.is_some()) {
            break;
        }
        // The parent state assigns its own variables after its nested flows have ended, so these may reuse
        // the names.
        let others = flows[outer_flow.0].states.iter().enumerate().filter(|(id, _)| *id != state.0);
        outer.extend(others.flat_map(|(_, state)| assigned(state)));
        inner_flow = outer_flow;
    }
    let clash = |state: &State| assigned(state).into_iter().find(|name| outer.contains(name));
    let states = flows[id.0].states.iter();
    let clashes = states.filter_map(|state| Some((state, clash(state)?)));
    clashes
        .map(|(state, name)| {
            let message =
                format!("The variable '{name}' belongs to an outer scope and cannot be assigned here");
            Problem {
                state: Some(state.name.to_string()),
                field: Some("Assign".into()),
                ..Problem::error(Code::SchemaValidationFailed, below(flows, id, state), message)
            }
        })
        .collect()
}

fn assigned(state: &State) -> BTreeSet<Arc<str>> {
    let caught = state.kind.recovery().into_iter().flat_map(|recovery| &recovery.catch);
    let exits = state.kind.exits().into_iter().chain(caught.map(|catcher| &catcher.exit));
    exits.flat_map(|exit| &exit.assign).map(|(name, _)| Arc::clone(name)).collect()
}

fn below(flows: &[Flow], flow: FlowId, state: &State) -> String {
    format!("{}/States/{}", pointer(flows, flow), escape(&state.name))
}

/// JSON Pointer to a flow.
fn pointer(flows: &[Flow], flow: FlowId) -> String {
    let Some((parent, state)) = flows[flow.0].parent else {
        return String::new();
    };
    let parent_state = &flows[parent.0].states[state.0];
    let field = parent_state.kind.nested_field(flow).unwrap_or_default();
    format!("{}/{field}", below(flows, parent, parent_state))
}
