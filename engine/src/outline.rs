//! A machine as a graph, for a host that checks or draws it, or computes its price.

use std::collections::{HashMap, HashSet};

use crate::ids::{FlowId, StateId};
use crate::machine::{State, StateMachine};
use crate::state::distributed::Distributed;
use crate::state::{Exit, Kind};

/// A state of a machine, also a nested one.
#[derive(Clone, Copy, Debug)]
pub struct StateView<'m> {
    machine: &'m StateMachine,
    flow: FlowId,
    state: &'m State,
}

/// An edge from one state to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge<'m> {
    /// The target state; `None`: the end of the flow.
    pub to: Option<&'m str>,
    /// The condition of the edge.
    pub via: Via<'m>,
}

/// The condition of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via<'m> {
    /// The state has succeeded.
    Next,
    /// This condition of a Choice is true.
    Choice(&'m str),
    /// No condition of a Choice is true.
    Default,
    /// The state fails with one of these errors.
    Catch(Vec<&'m str>),
}

/// The number of states from start to end, without the paths of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLength {
    /// On the shortest path.
    pub shortest: usize,
    /// On the longest path; `None`: the graph has a loop.
    pub longest: Option<usize>,
}

impl StateMachine {
    /// Every state, in the order of the definition. States of processors and branches follow their parent's
    /// flow.
    pub fn states(&self) -> impl Iterator<Item = StateView<'_>> {
        let flows = self.flows.iter().enumerate();
        flows.flat_map(move |(flow, states)| {
            let states = states.states.iter();
            states.map(move |state| StateView { machine: self, flow: FlowId(flow), state })
        })
    }

    /// The name of the machine's first state.
    pub fn start_at(&self) -> &str {
        &self.state(FlowId(0), self.flows[0].start).name
    }

    /// The number of states from start to end, without the states inside a Map or Parallel state.
    pub fn path_length(&self) -> PathLength {
        let start = self.flows[0].start;
        PathLength {
            shortest: self.shortest(start).unwrap_or(0),
            longest: self.longest(start, &mut HashMap::new()),
        }
    }

    fn exits(&self, state: StateId) -> Vec<Option<StateId>> {
        let exits = self.flows[0].states[state.0].kind.exits();
        exits.into_iter().map(|exit| exit.to.target()).collect()
    }

    fn shortest(&self, start: StateId) -> Option<usize> {
        let mut seen = HashSet::from([start.0]);
        let mut front = vec![start];
        let mut length = 1;
        while !front.is_empty() {
            let exits: Vec<_> = front.iter().map(|state| self.exits(*state)).collect();
            if exits.iter().any(|exits| exits.is_empty() || exits.contains(&None)) {
                return Some(length);
            }
            front = exits.into_iter().flatten().flatten().filter(|state| seen.insert(state.0)).collect();
            length += 1;
        }
        None
    }

    /// `known` caches the lengths. A state on the current path has no length in it yet, which detects loops.
    fn longest(&self, state: StateId, known: &mut HashMap<usize, Option<usize>>) -> Option<usize> {
        if let Some(length) = known.insert(state.0, None) {
            known.insert(state.0, length);
            return length;
        }
        let mut longest = 0;
        for next in self.exits(state).into_iter().flatten() {
            longest = longest.max(self.longest(next, known)?);
        }
        known.insert(state.0, Some(longest + 1));
        Some(longest + 1)
    }
}

impl<'m> StateView<'m> {
    /// The state's name.
    pub fn name(&self) -> &'m str {
        &self.state.name
    }

    /// The state's type in the definition.
    pub fn kind(&self) -> &'static str {
        self.state.kind.name()
    }

    /// The state's comment.
    pub fn comment(&self) -> Option<&'m str> {
        self.state.comment.as_deref()
    }

    /// The resource of a Task or of an `ItemReader`.
    pub fn resource(&self) -> Option<&'m str> {
        match &self.state.kind {
            Kind::Task(task) => Some(&task.resource),
            Kind::Map(map) => map.distributed.as_ref()?.reader.as_ref().map(|reader| &*reader.resource),
            _ => None,
        }
    }

    /// Every resource that the state uses: its task, or the reader and the writer of a distributed Map.
    pub fn resources(&self) -> Vec<&'m str> {
        let written = match &self.state.kind {
            Kind::Map(map) => map.distributed.as_ref().and_then(Distributed::written_with),
            _ => None,
        };
        self.resource().into_iter().chain(written).collect()
    }

    /// Every edge from the state.
    pub fn edges(&self) -> Vec<Edge<'m>> {
        let mut edges: Vec<_> = match &self.state.kind {
            Kind::Choice(choice) => choice
                .rules()
                .map(|(condition, exit)| {
                    self.edge(exit, condition.map_or(Via::Default, |c| Via::Choice(c.text())))
                })
                .collect(),
            kind => kind.exits().into_iter().map(|exit| self.edge(exit, Via::Next)).collect(),
        };
        let catchers = self.state.kind.recovery().into_iter().flat_map(|recovery| &recovery.catch);
        edges.extend(catchers.map(|catcher| {
            self.edge(&catcher.exit, Via::Catch(catcher.errors.iter().map(|error| &**error).collect()))
        }));
        edges
    }

    /// Every name in an `ErrorEquals` of the state.
    pub fn errors(&self) -> Vec<&'m str> {
        let recovery = self.state.kind.recovery();
        let retried =
            recovery.into_iter().flat_map(|recovery| &recovery.retry).map(|retrier| &retrier.errors);
        let caught = recovery.into_iter().flat_map(|recovery| &recovery.catch).map(|catcher| &catcher.errors);
        retried.chain(caught).flatten().map(|error| &**error).collect()
    }

    /// The Map or Parallel state that contains this state.
    pub fn parent(&self) -> Option<Self> {
        let (flow, state) = self.machine.flows[self.flow.0].parent?;
        Some(Self { machine: self.machine, flow, state: self.machine.state(flow, state) })
    }

    /// The first states of the flows nested in this one.
    pub fn nested(&self) -> Vec<&'m str> {
        let flows = self.state.kind.nested().into_iter();
        flows.map(|flow| &*self.machine.state(flow, self.machine.flows[flow.0].start).name).collect()
    }

    /// Whether the state is a distributed Map.
    pub fn is_distributed(&self) -> bool {
        matches!(&self.state.kind, Kind::Map(map) if map.distributed.is_some())
    }

    fn edge(&self, exit: &Exit, via: Via<'m>) -> Edge<'m> {
        let to = exit.to.target().map(|state| &*self.machine.state(self.flow, state).name);
        Edge { to, via }
    }
}
