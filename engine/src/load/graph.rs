//! States nothing leads to.

use crate::machine::{Flow, FlowId, StateId};
use crate::problem::{Code, Problem, escape};

pub(super) fn unreachable(flows: &[Flow]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, flow) in flows.iter().enumerate() {
        let mut reached = vec![false; flow.states.len()];
        let mut open = vec![flow.start];
        while let Some(StateId(state)) = open.pop() {
            if !std::mem::replace(&mut reached[state], true) {
                open.extend(flow.states[state].kind.targets());
            }
        }
        for (state, _) in flow.states.iter().zip(&reached).filter(|(_, reached)| !**reached) {
            problems.push(Problem {
                code: Code::MissingTransitionTarget,
                pointer: format!("{}/States/{}", pointer(flows, FlowId(index)), escape(&state.name)),
                state: Some(state.name.to_string()),
                field: None,
                message: format!("State \"{}\" is not reachable.", state.name),
                line: None,
            });
        }
    }
    problems
}

/// JSON Pointer to a flow.
fn pointer(flows: &[Flow], flow: FlowId) -> String {
    let Some((parent, state)) = flows[flow.0].parent else {
        return String::new();
    };
    let holder = &flows[parent.0].states[state.0];
    let field = holder.kind.nested_field(flow).unwrap_or_default();
    format!("{}/States/{}/{field}", pointer(flows, parent), escape(&holder.name))
}
