//! Answers for tasks, from the owners of their tokens.

use serde_json::{Value as Json, json};
use states::{Failure, Input, Value};

use super::{
    Endpoint,
    error::{Error, Kind},
    validate::Fields,
};
use crate::executions::TokenError;

/// The most characters of a token.
const MAX_TOKEN_CHARS: usize = 2048;

/// `SendTaskSuccess`
pub(super) async fn succeed(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let token = fields.secret("taskToken", 1..=MAX_TOKEN_CHARS);
    let output = fields.secret("output", 0..=262_144);
    fields.finish()?;
    let output = Value::parse(&output)
        .map_err(|error| Error::new(Kind::InvalidOutput, format!("Invalid Output: '{error}'")))?;
    endpoint.executions.answer(&token, |task| Input::TaskDone { task, result: Ok(output) }).await?;
    Ok(json!({}))
}

/// `SendTaskFailure`
pub(super) async fn fail(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let token = fields.secret("taskToken", 1..=MAX_TOKEN_CHARS);
    let (error, cause) = (fields.data("error", 256), fields.data("cause", 32_768));
    fields.finish()?;
    let failure = Failure { error, cause };
    endpoint.executions.answer(&token, |task| Input::TaskDone { task, result: Err(failure) }).await?;
    Ok(json!({}))
}

/// `SendTaskHeartbeat`
pub(super) async fn heartbeat(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let token = fields.secret("taskToken", 1..=MAX_TOKEN_CHARS);
    fields.finish()?;
    endpoint.executions.heartbeat(&token).await?;
    Ok(json!({}))
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => Self::token(),
            TokenError::Unknown => {
                Self::new(Kind::TaskDoesNotExist, "Task Does Not Exist: 'Provided task does not exist'")
            }
            TokenError::TimedOut => {
                Self::new(Kind::TaskTimedOut, "Task Timed Out: 'Provided task does not exist anymore'")
            }
            TokenError::Store(error) => error.into(),
        }
    }
}
