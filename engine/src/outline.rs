//! A machine as a graph: for a host that checks, draws or prices it.

use std::collections::{HashMap, HashSet};

use crate::ids::{FlowId, StateId};
use crate::machine::{State, StateMachine};
use crate::state::distributed::Distributed;
use crate::state::{Exit, Kind};

/// A state of a machine, nested ones included.
#[derive(Clone, Copy, Debug)]
pub struct StateView<'m> {
    machine: &'m StateMachine,
    flow: FlowId,
    state: &'m State,
}

/// A way from one state to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge<'m> {
    /// The state it leads to; `None`: the end of its flow.
    pub to: Option<&'m str>,
    /// When it is taken.
    pub via: Via<'m>,
}

/// When a way is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via<'m> {
    /// When the state is done.
    Next,
    /// When this condition of a Choice holds.
    Choice(&'m str),
    /// When no condition of a Choice holds.
    Default,
    /// When the state fails with one of these errors.
    Catch(Vec<&'m str>),
}

/// How many states a run enters on its way to the end, errors aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLength {
    /// On the shortest way.
    pub shortest: usize,
    /// On the longest way; `None` when there is a loop.
    pub longest: Option<usize>,
}

impl StateMachine {
    /// Every state, in the order of the definition; states of processors and branches come after their holder's flow.
    pub fn states(&self) -> impl Iterator<Item = StateView<'_>> {
        let flows = self.flows.iter().enumerate();
        flows.flat_map(move |(flow, states)| {
            let states = states.states.iter();
            states.map(move |state| StateView { machine: self, flow: FlowId(flow), state })
        })
    }

    /// The name of the state the machine starts at.
    pub fn start_at(&self) -> &str {
        &self.state(FlowId(0), self.flows[0].start).name
    }

    /// How many states lie between start and end; those inside a Map or Parallel state are not counted.
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

    /// `known` holds what was found before; a state on the way to itself is in it without a length.
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

    /// The state's type, as definitions write it.
    pub fn kind(&self) -> &'static str {
        self.state.kind.name()
    }

    /// The state's comment.
    pub fn comment(&self) -> Option<&'m str> {
        self.state.comment.as_deref()
    }

    /// What a Task runs, or what an `ItemReader` reads with.
    pub fn resource(&self) -> Option<&'m str> {
        match &self.state.kind {
            Kind::Task(task) => Some(&task.resource),
            Kind::Map(map) => map.distributed.as_ref()?.reader.as_ref().map(|reader| &*reader.resource),
            _ => None,
        }
    }

    /// Everything the state has its host do: its task, or what a distributed Map reads and writes with.
    pub fn resources(&self) -> Vec<&'m str> {
        let written = match &self.state.kind {
            Kind::Map(map) => map.distributed.as_ref().and_then(Distributed::written_with),
            _ => None,
        };
        self.resource().into_iter().chain(written).collect()
    }

    /// Every way out of the state.
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

    /// The state whose processor or branch this one is in.
    pub fn parent(&self) -> Option<Self> {
        let (flow, state) = self.machine.flows[self.flow.0].parent?;
        Some(Self { machine: self.machine, flow, state: self.machine.state(flow, state) })
    }

    /// The first states of the flows nested in this one.
    pub fn nested(&self) -> Vec<&'m str> {
        let flows = self.state.kind.nested().into_iter();
        flows.map(|flow| &*self.machine.state(flow, self.machine.flows[flow.0].start).name).collect()
    }

    /// Whether the state is a Map whose items become executions of their own.
    pub fn is_distributed(&self) -> bool {
        matches!(&self.state.kind, Kind::Map(map) if map.distributed.is_some())
    }

    fn edge(&self, exit: &Exit, via: Via<'m>) -> Edge<'m> {
        let to = exit.to.target().map(|state| &*self.machine.state(self.flow, state).name);
        Edge { to, via }
    }
}
