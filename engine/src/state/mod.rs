//! The kinds of states, one file each: their fields in a definition, and their behaviour in a run.

mod arguments;
mod batcher;
mod choice;
mod condition;
pub(crate) mod distributed;
pub(crate) mod exit;
mod fail;
mod input;
pub(crate) mod map;
pub(crate) mod map_run;
mod parallel;
mod pass;
pub(crate) mod reader;
pub(crate) mod recovery;
mod succeed;
pub(crate) mod task;
pub(crate) mod task_kind;
mod tested_map;
mod tolerated_failures;
mod wait;
pub(crate) mod writer;

pub(crate) use choice::Choice;
pub(crate) use exit::{Exit, Transition};
pub(crate) use fail::Fail;
pub(crate) use input::StateInput;
pub(crate) use map::Map;
pub(crate) use parallel::Parallel;
pub(crate) use pass::Pass;
pub(crate) use recovery::Recovery;
pub(crate) use succeed::Succeed;
pub(crate) use task::Task;
pub(crate) use wait::Wait;

use crate::history::EventType;
use crate::ids::{FlowId, StateId};
use crate::load::{Fields, ParseContext};

/// The kind of a state, with its fields.
#[derive(Debug)]
pub(crate) enum Kind {
    Pass(Pass),
    Task(Box<Task>),
    Choice(Choice),
    Wait(Wait),
    Succeed(Succeed),
    Fail(Fail),
    Map(Box<Map>),
    Parallel(Parallel),
}

impl Kind {
    pub(crate) fn parse<'a>(name: &str, fields: Fields<'a>, context: &ParseContext<'a>) -> Option<Self> {
        match name {
            "Pass" => Pass::parse(fields, context).map(Self::Pass),
            "Task" => Task::parse(fields, context).map(Box::new).map(Self::Task),
            "Choice" => Choice::parse(fields, context).map(Self::Choice),
            "Wait" => Wait::parse(fields, context).map(Self::Wait),
            "Succeed" => Some(Self::Succeed(Succeed::parse(fields))),
            "Fail" => Some(Self::Fail(Fail::parse(fields))),
            "Map" => Map::parse(fields, context).map(Box::new).map(Self::Map),
            "Parallel" => Parallel::parse(fields, context).map(Self::Parallel),
            _ => {
                fields.invalid("Type", "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]");
                None
            }
        }
    }

    /// The type's name in definitions and histories.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "Pass",
            Self::Task(_) => "Task",
            Self::Choice(_) => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed(_) => "Succeed",
            Self::Fail(_) => "Fail",
            Self::Map(_) => "Map",
            Self::Parallel(_) => "Parallel",
        }
    }

    /// All exits but those of catchers.
    pub(crate) fn exits(&self) -> Vec<&Exit> {
        match self {
            Self::Pass(pass) => vec![&pass.exit],
            Self::Task(task) => vec![&task.exit],
            Self::Wait(wait) => vec![&wait.exit],
            Self::Map(map) => vec![&map.exit],
            Self::Parallel(parallel) => vec![&parallel.exit],
            Self::Choice(choice) => choice.exits(),
            Self::Succeed(_) | Self::Fail(_) => Vec::new(),
        }
    }

    /// Every state of the same flow that can follow this one.
    pub(crate) fn targets(&self) -> Vec<StateId> {
        let caught = self.recovery().map(Recovery::targets).unwrap_or_default();
        self.exits().into_iter().filter_map(|exit| exit.to.target()).chain(caught).collect()
    }

    /// Whether a flow can end with this state.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::Succeed(_) | Self::Fail(_))
            || self.exits().iter().any(|exit| exit.to.target().is_none())
    }

    /// The flows nested in this state.
    pub(crate) fn nested(&self) -> Vec<FlowId> {
        match self {
            Self::Map(map) => vec![map.processor],
            Self::Parallel(parallel) => parallel.branches.clone(),
            _ => Vec::new(),
        }
    }

    /// The field that contains a nested flow.
    pub(crate) fn nested_field(&self, flow: FlowId) -> Option<String> {
        let index = self.nested().iter().position(|nested| *nested == flow)?;
        Some(match self {
            Self::Parallel(_) => format!("Branches/{index}"),
            Self::Map(map) if map.is_iterator => "Iterator".into(),
            _ => "ItemProcessor".into(),
        })
    }

    pub(crate) fn recovery(&self) -> Option<&Recovery> {
        match self {
            Self::Task(task) => Some(&task.recovery),
            Self::Map(map) => Some(&map.recovery),
            Self::Parallel(parallel) => Some(&parallel.recovery),
            _ => None,
        }
    }

    pub(crate) fn entered(&self) -> EventType {
        match self {
            Self::Pass(_) => EventType::PassStateEntered,
            Self::Task(_) => EventType::TaskStateEntered,
            Self::Choice(_) => EventType::ChoiceStateEntered,
            Self::Wait(_) => EventType::WaitStateEntered,
            Self::Succeed(_) => EventType::SucceedStateEntered,
            Self::Fail(_) => EventType::FailStateEntered,
            Self::Map(_) => EventType::MapStateEntered,
            Self::Parallel(_) => EventType::ParallelStateEntered,
        }
    }

    /// The event for an exit. Nothing leaves a Fail state.
    pub(crate) fn exited(&self) -> Option<EventType> {
        Some(match self {
            Self::Pass(_) => EventType::PassStateExited,
            Self::Task(_) => EventType::TaskStateExited,
            Self::Choice(_) => EventType::ChoiceStateExited,
            Self::Wait(_) => EventType::WaitStateExited,
            Self::Succeed(_) => EventType::SucceedStateExited,
            Self::Fail(_) => return None,
            Self::Map(_) => EventType::MapStateExited,
            Self::Parallel(_) => EventType::ParallelStateExited,
        })
    }

    /// The event for an abort. Only states that wait have one.
    pub(crate) fn aborted(&self) -> Option<EventType> {
        match self {
            Self::Task(_) => Some(EventType::TaskStateAborted),
            Self::Wait(_) => Some(EventType::WaitStateAborted),
            Self::Map(_) => Some(EventType::MapStateAborted),
            Self::Parallel(_) => Some(EventType::ParallelStateAborted),
            _ => None,
        }
    }

    /// The event for a failure. Only states with children have one.
    pub(crate) fn failed(&self) -> Option<EventType> {
        match self {
            Self::Map(_) => Some(EventType::MapStateFailed),
            Self::Parallel(_) => Some(EventType::ParallelStateFailed),
            _ => None,
        }
    }
}
