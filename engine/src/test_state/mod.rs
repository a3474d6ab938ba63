//! AWS's `TestState`: a test of one state alone.
//!
//! The state runs as in any execution. The run ends when a strand leaves the state, and the engine stores its
//! intermediate values. A mock replaces the work of a Task, Map or Parallel state, so the test calls no
//! service.
//!
//! | file | content |
//! |---|---|
//! | `request.rs`, `answer.rs`, `error.rs` | the request, the answer and the errors |
//! | `subject.rs` | the state in its definition |
//! | `mock.rs`, `result_check.rs` | mocked results, and their comparison with the shapes of AWS's services |
//! | `context.rs` | the context object |
//! | `reading.rs` | the items for an `ItemReader` |
//! | `drive.rs` | [`drive_test`]: runs a test on a host's tasks and clock |

mod answer;
mod context;
mod drive;
mod error;
mod mock;
mod reading;
mod request;
mod result_check;
mod subject;

use std::sync::Arc;

use jiff::Timestamp;

pub use answer::{TestStateAnswer, TestStatus};
pub use drive::drive_test;
pub use error::TestStateError;
pub use request::{
    FieldValidationMode, InspectionLevel, Mock, MockedError, StateConfiguration, TestStateRequest,
};

use crate::effect::{Effect, TaskRequest};
use crate::query::Variables;
use crate::rng::Rng;
use crate::run::{Entry, Execution, Inspection, Start};
use crate::state::Kind;
use crate::value::Value;
use subject::Subject;

/// The names and the randomness of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestSite {
    /// The beginning of the test's ARNs: `arn:aws:states:us-east-1:000000000000`.
    pub arn: String,
    /// The seed of the test's randomness, also for its names.
    pub seed: u64,
}

/// A started test. A mocked test is done at once. Another test may wait for a task or for time.
#[derive(Debug)]
pub struct StateTest {
    execution: Execution,
    input: String,
    level: InspectionLevel,
}

/// Starts a test. For a Task without a mock, `check` says whether the host can run the resource, or why not.
///
/// ```
/// use states::{Mock, TestSite, TestStateRequest, TestStatus, test_state};
///
/// let request = TestStateRequest {
///     definition: r#"{"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
///         "Parameters": {"FunctionName": "double", "Payload.$": "$.n"}, "OutputPath": "$.Payload", "Next": "Store"}"#.into(),
///     input: Some(r#"{"n": 2}"#.into()),
///     mock: Some(Mock { result: Some(r#"{"Payload": 4}"#.into()), ..Mock::default() }),
///     ..TestStateRequest::default()
/// };
/// let site = TestSite { arn: "arn:aws:states:us-east-1:000000000000".into(), seed: 1 };
/// let test = test_state(&request, &site, &|_| Ok(()), jiff::Timestamp::UNIX_EPOCH)?;
/// let answer = test.answer().expect("a mocked test is done at once")?;
/// assert_eq!(answer.status, TestStatus::Succeeded);
/// assert_eq!(answer.output.as_deref(), Some("4"));
/// assert_eq!(answer.next_state.as_deref(), Some("Store"));
/// # Ok::<(), states::TestStateError>(())
/// ```
///
/// # Errors
/// AWS would refuse the definition, the input or the mock.
pub fn test_state(
    request: &TestStateRequest,
    site: &TestSite,
    check: &dyn Fn(&str) -> Result<(), String>,
    now: Timestamp,
) -> Result<StateTest, TestStateError> {
    let subject = Subject::of(request)?;
    let state = subject.state();
    let mut inspection = Inspection::default();
    match &request.mock {
        Some(mock) => {
            mock::is_possible(state)?;
            inspection.mock = Some(mock::answer(mock, request, state)?);
            configure(&mut inspection, request, &subject)?;
        }
        None => unmocked(request, &subject, check)?,
    }
    let start = start_of(request, site);
    let text = request.input.clone().unwrap_or_else(|| "{}".into());
    let input = Value::parse(&text).map_err(|error| {
        TestStateError::InvalidExecutionInput(format!("Invalid State Machine Execution Input: '{error}'"))
    })?;
    inspection.input_is_item = request.context.is_none();
    inspection.context = match &request.context {
        Some(context) => context::from_request(context, state)?,
        None => context::default_context(&start, state, &input, Rng::new(!site.seed).uuid(), now),
    };
    let variables = variables(request.variables.as_deref())?;
    inspection.retries = retries(request, &inspection.context);
    let (machine, position) = (Arc::clone(&subject.machine), subject.position);
    let execution = Execution::inspect(machine, start, position, input, variables, inspection, now);
    Ok(StateTest { execution, input: text, level: request.inspection_level })
}

/// Checks a test without a mock, which runs the state's work.
fn unmocked(
    request: &TestStateRequest,
    subject: &Subject,
    check: &dyn Fn(&str) -> Result<(), String>,
) -> Result<(), TestStateError> {
    let field = request.state_configuration.as_ref().and_then(StateConfiguration::first_field);
    if let Some(field) = field.or(request.context.as_ref().map(|_| "Context")) {
        let why = format!("TestState does not support {field} when a mock is not specified.");
        return Err(TestStateError::ValidationException(why));
    }
    let state = subject.state();
    if let Some(why) = subject::needs_mock(state) {
        return Err(TestStateError::InvalidDefinition(why.into()));
    }
    let Kind::Task(task) = &state.kind else {
        return Ok(());
    };
    if request.role_arn.is_none() {
        return Err(TestStateError::invalid("RoleArn must be specified when testing a Task state"));
    }
    check(&task.resource).map_err(|why| {
        TestStateError::definition(format!("INVALID_RESOURCE: '{}' cannot be run: {why}", task.resource))
    })
}

/// Applies the request's data on the events before the mocked result or error.
fn configure(
    inspection: &mut Inspection,
    request: &TestStateRequest,
    subject: &Subject,
) -> Result<(), TestStateError> {
    let nothing = StateConfiguration::default();
    let configuration = request.state_configuration.as_ref().unwrap_or(&nothing);
    inspection.failed_iterations = configuration.map_iteration_failure_count;
    if let Some(name) = &configuration.error_caused_by_state {
        let origin = subject.inner(name);
        let why = "ErrorCausedByState must be the name of a state inside the tested Map or Parallel state.";
        inspection.origin = Some(origin.ok_or_else(|| TestStateError::invalid(why))?);
    }
    let map = match &subject.state().kind {
        Kind::Map(map) => Some(map),
        _ => None,
    };
    if map.is_none() && configuration.map_iteration_failure_count.is_some() {
        return Err(TestStateError::invalid("MapIterationFailureCount is supported for Map states only."));
    }
    let reader = map.and_then(|map| map.distributed.as_ref()?.reader.as_ref());
    if let Some(reader) = reader {
        let Some(data) = &configuration.map_item_reader_data else {
            let why = "ItemReader data must be specified when testing a Map state with ItemReader specified.";
            return Err(TestStateError::invalid(why));
        };
        inspection.items = Some(reading::items(reader.format(), data).map_err(TestStateError::invalid)?);
    } else if configuration.map_item_reader_data.is_some() {
        let why = "MapItemReaderData is supported for Map states with ItemReader only.";
        return Err(TestStateError::invalid(why));
    }
    Ok(())
}

/// The number of earlier retries of the state. The context object may contain it too.
fn retries(request: &TestStateRequest, context: &Value) -> u32 {
    let configuration =
        request.state_configuration.as_ref().and_then(|configuration| configuration.retrier_retry_count);
    let count = || context.get("State")?.get("RetryCount")?.as_number()?.as_i64();
    configuration.or_else(|| count().and_then(|count| u32::try_from(count).ok())).unwrap_or_default()
}

/// The names of the test, in the form of an EXPRESS execution.
fn start_of(request: &TestStateRequest, site: &TestSite) -> Start {
    let mut rng = Rng::new(site.seed);
    let (machine, execution) = (rng.uuid(), rng.uuid());
    Start {
        execution_id: format!("{}:express:{machine}:{execution}", site.arn).into(),
        machine_id: format!("{}:stateMachine:{machine}", site.arn).into(),
        role: request.role_arn.as_deref().map(Arc::from),
        history_limit: None,
        ..Start::named(&machine, &execution, site.seed)
    }
}

fn variables(text: Option<&str>) -> Result<Variables, TestStateError> {
    let Some(text) = text else {
        return Ok(Variables::default());
    };
    let value = Value::parse(text).ok();
    let members = value.as_ref().and_then(Value::as_object);
    let members = members.ok_or_else(|| TestStateError::invalid("Variables must be a JSON object"))?;
    Ok(Arc::new(members.iter().map(|(name, value)| (Arc::clone(name), value.clone())).collect()))
}

impl StateTest {
    /// The task that the state has requested since the last call. The caller answers with
    /// [`Input::TaskDone`](crate::Input::TaskDone).
    pub fn task(&mut self) -> Option<TaskRequest> {
        let effects = self.execution.take_effects().into_iter();
        effects
            .filter_map(|effect| if let Effect::StartTask(task) = effect { Some(task) } else { None })
            .last()
    }

    /// The time of the next step, unless an input comes before.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.execution.next_due()
    }

    /// Applies inputs to the test, or advances its clock.
    pub fn step(&mut self, entry: &Entry) {
        self.execution.step(entry);
    }

    /// The answer of the test, once it is done.
    pub fn answer(&self) -> Option<Result<TestStateAnswer, TestStateError>> {
        let (outcome, inspection) = (self.execution.outcome()?, self.execution.inspection()?);
        if let Some(mock_error) = inspection.mock_error {
            return Some(Err(TestStateError::invalid(mock_error)));
        }
        let data = self.level != InspectionLevel::Info;
        Some(Ok(TestStateAnswer::new(outcome, inspection, &self.input, data)))
    }
}
