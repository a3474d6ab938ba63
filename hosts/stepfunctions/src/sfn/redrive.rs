//! Redrives: a failed execution continues from the failed step.

use std::{collections::VecDeque, sync::Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::{
    Endpoint,
    error::{Error, Kind},
    seconds,
    validate::Fields,
};
use crate::{clock, executions::RedriveError};

/// How long a client's token identifies its redrive, as on AWS.
const CLIENT_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_mins(15);

/// The recent redrives: a client that repeats a request with the same token gets the same answer.
#[derive(Debug, Default)]
pub(super) struct Redrives {
    latest: Mutex<VecDeque<Redrive>>,
}

#[derive(Debug)]
struct Redrive {
    execution: String,
    token: String,
    at: Timestamp,
}

/// `RedriveExecution`
pub(super) async fn redrive(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("executionArn");
    let token = fields.text("clientToken", 1..=64);
    fields.finish()?;
    let execution = endpoint.execution(&arn)?;
    if let Some(at) = token.as_deref().and_then(|token| endpoint.redrives.find(&arn, token)) {
        return Ok(json!({ "redriveDate": seconds(at) }));
    }
    endpoint.open_machine(&execution.machine_arn)?;
    let redriven = endpoint.executions.redrive(&arn).await.map_err(|error| match error {
        RedriveError::NotFound => Error::no_execution(&arn),
        RedriveError::NotRedrivable(why) => Error::new(Kind::ExecutionNotRedrivable, why),
        RedriveError::Store(error) => error.into(),
    })?;
    if let Some(token) = token {
        endpoint.redrives.note(Redrive { execution: arn, token, at: redriven.at });
    }
    Ok(json!({ "redriveDate": seconds(redriven.at) }))
}

impl Redrives {
    fn find(&self, execution: &str, token: &str) -> Option<Timestamp> {
        let latest = self.latest.lock().ok()?;
        let found = latest.iter().find(|redrive| redrive.execution == execution && redrive.token == token);
        found.map(|redrive| redrive.at)
    }

    fn note(&self, redrive: Redrive) {
        let Ok(mut latest) = self.latest.lock() else { return };
        while latest
            .front()
            .is_some_and(|first| clock::now().duration_since(first.at) > CLIENT_TOKEN_LIFETIME)
        {
            latest.pop_front();
        }
        latest.push_back(redrive);
    }
}
