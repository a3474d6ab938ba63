//! Task: requests work from the host and waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use super::exit::ExitKind;
use super::task_kind::{Phase, TaskKind, Timeouts};
use super::{Exit, Recovery, StateInput};
use crate::effect::{Effect, Pattern, Progress, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::load::{Fields, MAX_SECONDS, ParseContext};
use crate::query::{EvaluationError, Language, Scope, Stage, Template, Visibility};
use crate::run::{
    EvalInputs, Fault, HostTask, TaskUpdate, Visit, VisitOutcome, VisitResult, Waiting, task_due,
};
use crate::services;
use crate::value::{Number, Value};

#[derive(Debug)]
pub(crate) struct Task {
    pub resource: Arc<str>,
    kind: TaskKind,
    input: StateInput,
    timeout: Option<Template>,
    heartbeat: Option<Template>,
    pub exit: Exit,
    pub recovery: Recovery,
}

/// The timeout of a task that expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeoutKind {
    Timeout,
    Heartbeat,
}

impl Task {
    pub(crate) fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        fields.require(&["Resource"]);
        let resource = fields.text("Resource");
        if let Some(resource) = &resource {
            check(&fields, context, resource);
        }
        let input = StateInput::parse(&fields);
        let seconds_of = |field, path| fields.integer_or_path(field, path, 1, MAX_SECONDS);
        let timeout = seconds_of("TimeoutSeconds", "TimeoutSecondsPath");
        let heartbeat = seconds_of("HeartbeatSeconds", "HeartbeatSecondsPath");
        let fixed = |timeout: &Option<Template>| timeout.as_ref()?.constant().and_then(seconds);
        if let (Some(timeout), Some(heartbeat)) = (fixed(&timeout), fixed(&heartbeat))
            && heartbeat >= timeout
        {
            fields.invalid("HeartbeatSeconds", "'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'");
        }
        credentials(&fields);
        let recovery = Recovery::parse(&fields, context);
        let exit = Exit::parse(&fields, context, ExitKind::Result);
        fields.finish(&[]);
        let resource = resource?;
        Some(Self {
            kind: TaskKind::of(&resource),
            resource,
            input,
            timeout,
            heartbeat,
            exit: exit?,
            recovery: recovery?,
        })
    }

    /// The way in which the task is done.
    pub(crate) fn pattern(&self) -> Pattern {
        self.kind.pattern()
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        let pattern = self.pattern();
        let token = matches!(pattern, Pattern::Callback | Pattern::Activity).then(|| visit.new_token());
        visit.strand.token = token.clone();
        let (arguments, timeouts) = self.prepare(visit)?;
        visit.check_payload(&arguments)?;
        if self.input.is_jsonata() {
            visit.inspect(Stage::AfterArguments, &arguments);
        }
        self.kind.scheduled(visit, &self.resource, &arguments, timeouts);
        if let Some(answer) = visit.mock() {
            return self.finish(visit, &Waiting::Nothing, answer);
        }
        let id = token.as_ref().map_or_else(|| visit.new_task_id(), |token| token.task);
        visit.register_task(id);
        let Timeouts { timeout, heartbeat } = timeouts;
        let request = TaskRequest {
            id,
            resource: Arc::clone(&self.resource),
            arguments,
            state: Arc::clone(&visit.state.name),
            execution: visit.execution(),
            attempt: visit.strand.attempts,
            timeout,
            heartbeat,
            pattern,
            token,
            progress: Progress::New,
        };
        let host_task = (pattern == Pattern::RequestResponse).then_some(HostTask { limit: timeout });
        let timeout = timeout.and_then(|timeout| visit.now.checked_add(timeout).ok());
        // A worker sends heartbeats only after it has received the task.
        let due = task_due(timeout, heartbeat.filter(|_| pattern != Pattern::Activity), visit.now);
        visit.wait(Waiting::Task { id, timeout, heartbeat, host_task, progress: Progress::New }, due);
        visit.effect(Effect::StartTask(request));
        Ok(VisitOutcome::Wait)
    }

    /// The arguments and the timeouts of the task.
    fn prepare(&self, visit: &mut Visit<'_>) -> Result<(Value, Timeouts), Fault> {
        visit.evaluate(EvalInputs::default(), |scope| {
            let input = self.input.select(scope)?;
            let scope = &mut scope.over(&input);
            let arguments = self.input.fill_payload(&input, scope)?;
            let timeout = duration("TimeoutSeconds", self.timeout.as_ref(), scope)?;
            let heartbeat = duration("HeartbeatSeconds", self.heartbeat.as_ref(), scope)?;
            Ok((arguments, Timeouts { timeout, heartbeat }))
        })
    }

    /// Records progress of the task before its result.
    pub(crate) fn progress(
        &self,
        visit: &mut Visit<'_>,
        waiting: Waiting,
        update: TaskUpdate,
    ) -> VisitResult {
        let Waiting::Task { id, timeout, heartbeat, host_task, progress } = waiting else {
            return Ok(VisitOutcome::Wait);
        };
        let progress = match (update, progress) {
            (TaskUpdate::Submitted(output), Progress::New) => {
                if let Err(fault) = visit.check_payload(&output) {
                    visit.cancel_task(id);
                    return Err(fault);
                }
                self.kind.submitted(visit, output.clone());
                Progress::Submitted(output)
            }
            (TaskUpdate::Started(worker), Progress::New) => {
                self.kind.started(visit, worker);
                Progress::Started
            }
            (_, progress) => progress,
        };
        let due = task_due(timeout, heartbeat, visit.now);
        visit.wait(Waiting::Task { id, timeout, heartbeat, host_task, progress }, due);
        Ok(VisitOutcome::Wait)
    }

    /// Continues with the task's answer.
    pub(crate) fn finish(
        &self,
        visit: &mut Visit<'_>,
        waiting: &Waiting,
        answer: Result<Value, Failure>,
    ) -> VisitResult {
        let failure = match answer {
            Ok(result) if visit.check_payload(&result).is_ok() => {
                visit.inspect(Stage::Result, &result);
                self.kind.succeeded(visit, &result);
                return visit.leave(&self.exit, "", EvalInputs::result(&result));
            }
            Ok(_) => {
                let name = self.kind.name(&self.resource);
                Failure::new(
                    reserved::DATA_LIMIT_EXCEEDED,
                    format!(
                        "The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service limit."
                    ),
                )
            }
            Err(Failure { error: Some(error), cause: Some(cause) }) if error == reserved::RUNTIME => {
                // The host could not run the task as the state requests it, so the sentence names the state.
                Failure::new(error, visit.cause_in_state(&cause))
            }
            Err(failure) => failure,
        };
        let phase = match waiting {
            Waiting::Task { progress: Progress::New, .. } => Phase::Requested,
            _ => Phase::InProgress,
        };
        self.kind.failed(visit, &failure, phase);
        Err(Fault::from(failure))
    }

    /// Fails the task after its timeout or its heartbeat timeout.
    pub(crate) fn expire(&self, visit: &mut Visit<'_>, kind: TimeoutKind) -> VisitResult {
        let failure = Failure::named(match kind {
            TimeoutKind::Timeout => reserved::TIMEOUT,
            TimeoutKind::Heartbeat => reserved::HEARTBEAT_TIMEOUT,
        });
        self.kind.timed_out(visit, &failure);
        Err(Fault::from(failure))
    }
}

/// Checks that `Credentials` has a role. A host runs all tasks with its own rights.
fn credentials(fields: &Fields<'_>) {
    if let Some(credentials) = fields.object("Credentials") {
        let filled = credentials.has("RoleArn.$") && fields.language() == Language::JsonPath;
        if !filled && !credentials.has("RoleArn") {
            credentials.refuse_object("The field 'RoleArn' is required but was missing");
        }
    }
    fields.template("Credentials", Visibility::INPUT);
}

fn check(fields: &Fields<'_>, context: &ParseContext<'_>, resource: &str) {
    if !resource.starts_with("arn:") {
        fields.invalid("Resource", "Value is not a valid resource ARN");
        return;
    }
    if !services::is_recognized(resource) {
        fields.invalid("Resource", services::UNRECOGNIZED);
        return;
    }
    if !context.is_express() || express(fields, resource) {
        context.check_resource(fields, resource);
    }
}

/// Refuses patterns that an EXPRESS machine does not support.
fn express(fields: &Fields<'_>, resource: &str) -> bool {
    let why = match TaskKind::of(resource).pattern() {
        // The trailing space is AWS's.
        Pattern::Callback => "'.waitForTaskToken' service integration ",
        Pattern::Sync => "'.sync' service integration",
        Pattern::Activity => "Activity ARN",
        Pattern::RequestResponse => return true,
    };
    fields.invalid("Resource", format!("Express state machine does not support {why}"));
    false
}

/// The duration of a timeout. A timeout beyond the calendar's end never expires.
fn duration(
    field: &str,
    template: Option<&Template>,
    scope: &mut Scope<'_>,
) -> Result<Option<Duration>, EvaluationError> {
    let Some(template) = template else {
        return Ok(None);
    };
    match u64::try_from(template.fill_seconds(field, scope)?) {
        Ok(seconds @ 1..) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(EvaluationError::runtime(format!("{field} must be positive."))),
    }
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_number().and_then(Number::as_i64)
}
