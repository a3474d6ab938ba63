//! Task: has the host do something and waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use super::{Exit, Recovery};
use crate::effect::{Effect, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType, Integration};
use crate::load::{Fields, LONGEST_SECONDS, Place};
use crate::problem::Code;
use crate::query::{EvaluationError, Reach, Scope, Template};
use crate::run::{Fault, Given, Next, Stage, Step, Visit, Waiting};
use crate::value::{Number, Value};

/// A Task state.
#[derive(Debug)]
pub(crate) struct Task {
    pub resource: Arc<str>,
    integration: Option<Integration>,
    pub arguments: Option<Template>,
    timeout: Option<Template>,
    heartbeat: Option<Template>,
    pub exit: Exit,
    pub recovery: Recovery,
}

/// Which of the two clocks of a task ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Timeout,
    Heartbeat,
}

impl Task {
    pub(crate) fn parse(fields: Fields<'_>, place: &Place<'_>) -> Option<Self> {
        fields.require(&["Resource"]);
        let resource = fields.text("Resource");
        if let Some(resource) = &resource {
            check(&fields, place, resource);
        }
        let arguments = fields.template("Arguments", Reach::INPUT);
        let clock = |field| {
            fields.template_of(field, "a whole number of seconds from 1 to 99999999", Reach::INPUT, |value| {
                seconds(value).is_some()
            })
        };
        let (timeout, heartbeat) = (clock("TimeoutSeconds"), clock("HeartbeatSeconds"));
        let fixed = |clock: &Option<Template>| clock.as_ref()?.constant().and_then(seconds);
        if let (Some(timeout), Some(heartbeat)) = (fixed(&timeout), fixed(&heartbeat))
            && heartbeat >= timeout
        {
            fields.invalid("HeartbeatSeconds", "'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'");
        }
        let recovery = Recovery::parse(&fields, place);
        let exit = Exit::parse(&fields, place, Reach::RESULT);
        fields.finish(&[("Credentials", "'Credentials' is not supported: a host runs tasks as itself")]);
        let resource = resource?;
        Some(Self {
            integration: Integration::of(&resource),
            resource,
            arguments,
            timeout,
            heartbeat,
            exit: exit?,
            recovery: recovery?,
        })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        let (arguments, timeout, heartbeat) = visit.evaluate(Given::default(), |scope| {
            let arguments = match &self.arguments {
                Some(template) => template.fill("Arguments", scope)?,
                None => scope.input.clone(),
            };
            let timeout = clock("TimeoutSeconds", self.timeout.as_ref(), scope)?;
            Ok((arguments, timeout, clock("HeartbeatSeconds", self.heartbeat.as_ref(), scope)?))
        })?;
        visit.fits(&arguments)?;
        visit.note(Stage::AfterArguments, &arguments);
        self.scheduled(visit, &arguments, timeout, heartbeat);
        if let Some(answer) = visit.mock() {
            return self.finish(visit, answer);
        }
        let id = visit.task_id();
        let request = TaskRequest {
            id,
            resource: Arc::clone(&self.resource),
            arguments,
            state: Arc::clone(&visit.state.name),
            execution: visit.execution(),
            attempt: visit.thread.attempts,
            timeout,
            heartbeat,
        };
        let timeout = timeout.and_then(|timeout| visit.now.checked_add(timeout).ok());
        let beat = heartbeat.and_then(|heartbeat| visit.now.checked_add(heartbeat).ok());
        let due = timeout.into_iter().chain(beat).min();
        visit.wait(Waiting::Task { id, timeout, heartbeat }, due);
        visit.effect(Effect::StartTask(request));
        Ok(Next::Wait)
    }

    /// The task has answered.
    pub(crate) fn finish(&self, visit: &mut Visit<'_>, answer: Result<Value, Failure>) -> Step {
        let failure = match answer {
            Ok(result) if visit.fits(&result).is_ok() => {
                visit.note(Stage::Result, &result);
                self.succeeded(visit, &result);
                return visit.leave(&self.exit, "", Given { result: Some(&result), error: None });
            }
            Ok(_) => {
                let who =
                    self.integration.as_ref().map_or(&*self.resource, |integration| &integration.service);
                Failure::new(
                    reserved::DATA_LIMIT_EXCEEDED,
                    format!(
                        "The state/task '{who}' returned a result with a size exceeding the maximum number of bytes service limit."
                    ),
                )
            }
            Err(failure) => failure,
        };
        let (kind, details) = match &self.integration {
            None => (EventType::LambdaFunctionFailed, Details::Failed(failure.clone())),
            Some(integration) => {
                (EventType::TaskFailed, Details::TaskFailed(integration.clone(), failure.clone()))
            }
        };
        visit.event(kind, details);
        Err(Fault::from(failure))
    }

    /// The task did not answer, or gave no sign of life, in time.
    pub(crate) fn expire(&self, visit: &mut Visit<'_>, clock: Clock) -> Step {
        let failure = Failure::named(match clock {
            Clock::Timeout => reserved::TIMEOUT,
            Clock::Heartbeat => reserved::HEARTBEAT_TIMEOUT,
        });
        let (kind, details) = match &self.integration {
            None => (EventType::LambdaFunctionTimedOut, Details::Failed(failure.clone())),
            Some(integration) => {
                (EventType::TaskTimedOut, Details::TaskFailed(integration.clone(), failure.clone()))
            }
        };
        visit.event(kind, details);
        Err(Fault::from(failure))
    }

    fn scheduled(
        &self,
        visit: &mut Visit<'_>,
        arguments: &Value,
        timeout: Option<Duration>,
        heartbeat: Option<Duration>,
    ) {
        let timeout = timeout.map(|timeout| timeout.as_secs());
        let Some(integration) = &self.integration else {
            let resource = Arc::clone(&self.resource);
            let details = Details::LambdaScheduled { resource, input: arguments.clone(), timeout };
            visit.event(EventType::LambdaFunctionScheduled, details);
            visit.event(EventType::LambdaFunctionStarted, Details::None);
            return;
        };
        let details = Details::TaskScheduled {
            integration: integration.clone(),
            region: visit.region(),
            parameters: arguments.clone(),
            timeout,
            heartbeat: heartbeat.map(|heartbeat| heartbeat.as_secs()),
        };
        visit.event(EventType::TaskScheduled, details);
        visit.event(EventType::TaskStarted, Details::Task(integration.clone()));
    }

    fn succeeded(&self, visit: &mut Visit<'_>, result: &Value) {
        match &self.integration {
            None => visit.event(EventType::LambdaFunctionSucceeded, Details::Output(result.clone())),
            Some(integration) => visit
                .event(EventType::TaskSucceeded, Details::TaskSucceeded(integration.clone(), result.clone())),
        };
    }
}

fn check(fields: &Fields<'_>, place: &Place<'_>, resource: &str) {
    let later =
        [".waitForTaskToken", ".sync", ".sync:2"].into_iter().find(|ending| resource.ends_with(ending));
    if let Some(ending) = later {
        fields.refuse(Code::NotSupported, Some("Resource"), format!("'{ending}' is not supported yet"));
    } else if resource.contains(":activity:") {
        fields.refuse(Code::NotSupported, Some("Resource"), "Activities are not supported yet");
    } else if resource.contains(":states:::s3:") {
        // Only an ItemReader or a ResultWriter has these; a Task has `aws-sdk:s3:getObject`.
        fields.refuse(Code::InvalidResource, Some("Resource"), format!("'{resource}' is not a task"));
    } else {
        place.check_resource(fields, resource);
    }
}

fn clock(
    field: &str,
    template: Option<&Template>,
    scope: &mut Scope<'_>,
) -> Result<Option<Duration>, EvaluationError> {
    template.map(|template| template.fill_as(field, "positive integer", scope, seconds)).transpose()
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_number().and_then(Number::as_i64).filter(|n| (1..=LONGEST_SECONDS).contains(n))?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
