//! Task: has the host do something and waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use super::exit::Leaving;
use super::{Entry, Exit, Recovery};
use crate::effect::{Effect, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType, Integration};
use crate::load::{Fields, LONGEST_SECONDS, Place};
use crate::machine::MachineType;
use crate::problem::Code;
use crate::query::{EvaluationError, Language, Reach, Scope, Stage, Template};
use crate::run::{Fault, Given, Next, Step, Visit, Waiting};
use crate::value::{Number, Value};

/// A Task state.
#[derive(Debug)]
pub(crate) struct Task {
    pub resource: Arc<str>,
    integration: Option<Integration>,
    entry: Entry,
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
        let entry = Entry::parse(&fields);
        let clock = |field, path| fields.whole_or_path(field, path, 1, LONGEST_SECONDS);
        let timeout = clock("TimeoutSeconds", "TimeoutSecondsPath");
        let heartbeat = clock("HeartbeatSeconds", "HeartbeatSecondsPath");
        let fixed = |clock: &Option<Template>| clock.as_ref()?.constant().and_then(seconds);
        if let (Some(timeout), Some(heartbeat)) = (fixed(&timeout), fixed(&heartbeat))
            && heartbeat >= timeout
        {
            fields.invalid("HeartbeatSeconds", "'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'");
        }
        credentials(&fields);
        let recovery = Recovery::parse(&fields, place);
        let exit = Exit::parse(&fields, place, Leaving::Work);
        fields.finish(&[]);
        let resource = resource?;
        Some(Self {
            integration: Integration::of(&resource),
            resource,
            entry,
            timeout,
            heartbeat,
            exit: exit?,
            recovery: recovery?,
        })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        let (arguments, timeout, heartbeat) = visit.evaluate(Given::default(), |scope| {
            let arguments = self.entry.effective(scope)?;
            let input = self.entry.input(scope)?;
            let scope = &mut scope.over(&input);
            let timeout = clock("TimeoutSeconds", self.timeout.as_ref(), scope)?;
            Ok((arguments, timeout, clock("HeartbeatSeconds", self.heartbeat.as_ref(), scope)?))
        })?;
        visit.fits(&arguments)?;
        if self.entry.is_jsonata() {
            visit.note(Stage::AfterArguments, &arguments);
        }
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
                return visit.leave(&self.exit, "", Given::result(&result));
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

/// A host runs tasks as itself, so the role is only checked to be there.
fn credentials(fields: &Fields<'_>) {
    if let Some(credentials) = fields.object("Credentials") {
        let filled = credentials.has("RoleArn.$") && fields.language() == Language::JsonPath;
        if !filled && !credentials.has("RoleArn") {
            credentials.refuse_here("The field 'RoleArn' is required but was missing");
        }
    }
    fields.template("Credentials", Reach::INPUT);
}

fn check(fields: &Fields<'_>, place: &Place<'_>, resource: &str) {
    if !resource.starts_with("arn:") {
        fields.invalid("Resource", "Value is not a valid resource ARN");
        return;
    }
    if place.loader.kind == MachineType::Express && !express(fields, resource) {
        return;
    }
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

/// Refuses what an EXPRESS machine is too short-lived for.
fn express(fields: &Fields<'_>, resource: &str) -> bool {
    let why = if resource.ends_with(".waitForTaskToken") {
        // The second space is AWS's.
        "'.waitForTaskToken' service integration "
    } else if resource.ends_with(".sync") || resource.ends_with(".sync:2") {
        "'.sync' service integration"
    } else if resource.contains(":activity:") {
        "Activity ARN"
    } else {
        return true;
    };
    fields.invalid("Resource", format!("Express state machine does not support {why}"));
    false
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
