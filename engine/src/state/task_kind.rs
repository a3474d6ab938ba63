//! The kinds of tasks, and their history events.

use std::sync::Arc;
use std::time::Duration;

use crate::effect::Pattern;
use crate::failure::Failure;
use crate::history::{Details, EventType, Integration};
use crate::run::Visit;
use crate::value::Value;

/// The kind of a task.
#[derive(Debug)]
pub(crate) enum TaskKind {
    /// A Lambda function, named by its own ARN.
    Function,
    /// A service integration.
    Integration(Integration, Pattern),
    /// An activity, whose workers poll for tasks.
    Activity,
}

/// The timeouts of a task, for its events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub timeout: Option<Duration>,
    pub heartbeat: Option<Duration>,
}

/// The phase of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The host has the request.
    Requested,
    /// A worker has the task, or the service has accepted the request.
    InProgress,
}

impl TaskKind {
    pub(crate) fn of(resource: &str) -> Self {
        if is_activity(resource) {
            return Self::Activity;
        }
        Integration::of(resource).map_or(Self::Function, |integration| {
            let pattern = match integration.action.rsplit_once('.') {
                Some((_, "waitForTaskToken")) => Pattern::Callback,
                Some((_, "sync" | "sync:2")) => Pattern::Sync,
                _ => Pattern::RequestResponse,
            };
            Self::Integration(integration, pattern)
        })
    }

    pub(crate) fn pattern(&self) -> Pattern {
        match self {
            Self::Function => Pattern::RequestResponse,
            Self::Integration(_, pattern) => *pattern,
            Self::Activity => Pattern::Activity,
        }
    }

    /// AWS's name for the task in a message.
    pub(crate) fn name<'a>(&'a self, resource: &'a str) -> &'a str {
        match self {
            Self::Integration(integration, _) => &integration.service,
            Self::Function | Self::Activity => resource,
        }
    }

    /// Adds the events before the request to the host.
    pub(crate) fn scheduled(
        &self,
        visit: &mut Visit<'_>,
        resource: &Arc<str>,
        arguments: &Value,
        timeouts: Timeouts,
    ) {
        let (resource, input) = (Arc::clone(resource), arguments.clone());
        let timeout = timeouts.timeout.map(|timeout| timeout.as_secs());
        let heartbeat = timeouts.heartbeat.map(|heartbeat| heartbeat.as_secs());
        match self {
            Self::Function => {
                let details = Details::LambdaScheduled { resource, input, timeout };
                visit.event(EventType::LambdaFunctionScheduled, details);
                visit.event(EventType::LambdaFunctionStarted, Details::None);
            }
            Self::Activity => {
                let details = Details::ActivityScheduled { resource, input, timeout, heartbeat };
                visit.event(EventType::ActivityScheduled, details);
            }
            Self::Integration(integration, _) => {
                let details = Details::TaskScheduled {
                    integration: integration.clone(),
                    region: visit.region(),
                    parameters: input,
                    timeout,
                    heartbeat,
                };
                visit.event(EventType::TaskScheduled, details);
                visit.event(EventType::TaskStarted, Details::Task(integration.clone()));
            }
        }
    }

    /// Adds the event for an accepted request, whose result comes later.
    pub(crate) fn submitted(&self, visit: &mut Visit<'_>, output: Value) {
        if let Self::Integration(integration, Pattern::Callback | Pattern::Sync) = self {
            visit.event(EventType::TaskSubmitted, Details::TaskSucceeded(integration.clone(), output));
        }
    }

    /// Adds the event for a worker that received the task.
    pub(crate) fn started(&self, visit: &mut Visit<'_>, worker: Option<Arc<str>>) {
        if matches!(self, Self::Activity) {
            visit.event(EventType::ActivityStarted, Details::Worker { name: worker });
        }
    }

    pub(crate) fn succeeded(&self, visit: &mut Visit<'_>, result: &Value) {
        let output = Details::Output(result.clone());
        match self {
            Self::Function => visit.event(EventType::LambdaFunctionSucceeded, output),
            Self::Activity => visit.event(EventType::ActivitySucceeded, output),
            Self::Integration(integration, _) => visit
                .event(EventType::TaskSucceeded, Details::TaskSucceeded(integration.clone(), result.clone())),
        };
    }

    pub(crate) fn failed(&self, visit: &mut Visit<'_>, failure: &Failure, phase: Phase) {
        let kind = match (self, phase) {
            (Self::Function, _) => EventType::LambdaFunctionFailed,
            (Self::Activity, Phase::Requested) => EventType::ActivityScheduleFailed,
            (Self::Activity, Phase::InProgress) => EventType::ActivityFailed,
            (Self::Integration(_, Pattern::Callback | Pattern::Sync), Phase::Requested) => {
                EventType::TaskSubmitFailed
            }
            (Self::Integration(..), _) => EventType::TaskFailed,
        };
        self.add_failure(visit, kind, failure);
    }

    pub(crate) fn timed_out(&self, visit: &mut Visit<'_>, failure: &Failure) {
        let kind = match self {
            Self::Function => EventType::LambdaFunctionTimedOut,
            Self::Activity => EventType::ActivityTimedOut,
            Self::Integration(..) => EventType::TaskTimedOut,
        };
        self.add_failure(visit, kind, failure);
    }

    fn add_failure(&self, visit: &mut Visit<'_>, kind: EventType, failure: &Failure) {
        let details = match self {
            Self::Integration(integration, _) => Details::TaskFailed(integration.clone(), failure.clone()),
            Self::Function | Self::Activity => Details::Failed(failure.clone()),
        };
        visit.event(kind, details);
    }
}

fn is_activity(resource: &str) -> bool {
    let mut parts = resource.splitn(7, ':');
    parts.next() == Some("arn") && parts.nth(1) == Some("states") && parts.nth(2) == Some("activity")
}
