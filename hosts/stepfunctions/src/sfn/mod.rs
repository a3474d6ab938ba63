//! The Step Functions endpoint: AWS JSON 1.0, as every client of AWS speaks it.
//!
//! A call is a POST whose header `X-Amz-Target` names the operation. Requests need no valid signature: the
//! endpoint listens on loopback addresses only.

mod activities;
mod arn;
mod children;
mod definition;
mod error;
mod executions;
mod history;
mod machines;
mod map_runs;
mod operation;
mod page;
mod payload;
mod redrive;
mod settings;
mod tags;
mod tasks;
mod test_state;
mod validate;

use std::{sync::Arc, time::Duration};

pub(crate) use arn::is_name;
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use kernel::store::StoreError;
use serde_json::Value as Json;
use sqlite_store::SqliteStore;
use tokio::time::timeout;

use self::{
    error::{Error, Kind},
    operation::Operation,
    redrive::Redrives,
    validate::Fields,
};
use crate::{clock, executions::Executions, machines::Machines};

/// The largest request: a definition of 1 MiB with every character escaped, and some more.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// How long the endpoint waits for the body of a call.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The media type of AWS's JSON 1.0.
const JSON: &str = "application/x-amz-json-1.0";

/// The endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    executions: Executions,
    redrives: Arc<Redrives>,
}

/// Gives the reason why the endpoint refuses a request with this method, target and headers.
pub type Permit = Arc<dyn Fn(&Method, &Uri, &HeaderMap) -> Result<(), &'static str> + Send + Sync>;

/// The routes of the endpoint.
pub fn router(endpoint: Endpoint, permit: Permit) -> Router {
    Router::new().fallback(serve).with_state((endpoint, permit))
}

async fn serve(State((endpoint, permit)): State<(Endpoint, Permit)>, request: Request) -> Response {
    let answer = match read(&permit, request).await {
        Ok((operation, body)) => endpoint.answer(operation, &body).await,
        Err(error) => Err(error),
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (error.status(), error.body()),
    };
    let id = HeaderValue::from_str(&clock::uuid()).unwrap_or(HeaderValue::from_static("unknown"));
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(JSON)), (REQUEST_ID, id)];
    (status, headers, body.to_string()).into_response()
}

const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-amzn-requestid");

/// The operation that a request names, and its body.
async fn read(permit: &Permit, request: Request) -> Result<(Operation, Bytes), Error> {
    let (parts, body) = request.into_parts();
    let permitted = permit(&parts.method, &parts.uri, &parts.headers);
    permitted.map_err(|refusal| Error::new(Kind::AccessDeniedException, refusal))?;
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = text("content-type").split(';').next().unwrap_or_default().trim();
    let is_call = parts.method == Method::POST && parts.uri.path() == "/" && media.eq_ignore_ascii_case(JSON);
    let operation = Operation::of_target(text("x-amz-target")).filter(|_| is_call);
    let operation = operation.ok_or_else(Error::unknown_operation)?;
    let body =
        timeout(BODY_TIMEOUT, to_bytes(body, MAX_REQUEST_BYTES)).await.map_err(|_| Error::too_slow())?;
    let body = body.map_err(|_| Error::too_large())?;
    Ok((operation, body))
}

impl Endpoint {
    /// An endpoint for these executions.
    pub fn new(executions: Executions) -> Self {
        Self { executions, redrives: Arc::default() }
    }

    /// Finishes the deletion of machines that a crash interrupted.
    pub async fn resume(&self) -> Result<(), StoreError> {
        for arn in self.machines().deleting()? {
            machines::end(self, &arn).await?;
        }
        Ok(())
    }

    /// Ends calls that wait.
    pub fn close(&self) {
        self.executions.activities().close();
    }

    fn machines(&self) -> &Machines {
        &self.executions.services.machines
    }

    fn store(&self) -> &SqliteStore {
        &self.executions.services.host.store
    }

    async fn answer(&self, operation: Operation, body: &[u8]) -> Result<Json, Error> {
        use Operation as O;
        let fields = Fields::read(body)?;
        match operation {
            O::CreateActivity => activities::create(self, fields).await,
            O::CreateStateMachine => machines::create(self, fields).await,
            O::DeleteActivity => activities::delete(self, fields).await,
            O::DeleteStateMachine => machines::delete(self, fields).await,
            O::DescribeActivity => activities::describe(self, fields),
            O::DescribeExecution => executions::describe(self, fields),
            O::DescribeMapRun => map_runs::describe(self, fields),
            O::DescribeStateMachine => machines::describe(self, fields),
            O::DescribeStateMachineForExecution => executions::describe_machine(self, fields),
            O::GetActivityTask => activities::take(self, fields).await,
            O::GetExecutionHistory => history::get(self, fields),
            O::ListActivities => activities::list(self, fields),
            O::ListExecutions => executions::list(self, fields),
            O::ListMapRuns => map_runs::list(self, fields),
            O::ListStateMachines => machines::list(self, fields),
            O::ListTagsForResource => tags::list(self, fields),
            O::RedriveExecution => redrive::redrive(self, fields).await,
            O::SendTaskFailure => tasks::fail(self, fields).await,
            O::SendTaskHeartbeat => tasks::heartbeat(self, fields).await,
            O::SendTaskSuccess => tasks::succeed(self, fields).await,
            O::StartExecution => executions::start(self, fields).await,
            O::StartSyncExecution => executions::start_sync(self, fields).await,
            O::StopExecution => executions::stop(self, fields).await,
            O::TagResource => tags::tag(self, fields).await,
            O::TestState => test_state::test(self, fields).await,
            O::UntagResource => tags::untag(self, fields).await,
            O::UpdateMapRun => map_runs::update(self, fields).await,
            O::UpdateStateMachine => machines::update(self, fields).await,
            O::ValidateStateMachineDefinition => definition::validate(self, fields),
        }
    }
}

/// A time as JSON 1.0 has it: seconds since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds fit a double for 285,000 years")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
