//! The executions that Map Runs have started: described and listed.

use serde_json::{Map, Value as Json, json};

use super::{
    Endpoint,
    error::Error,
    page::Page,
    payload::{failure, payload},
    seconds,
};
use crate::{clock, executions::Child};

/// `DescribeExecution` of a child; `None`: there is none with this ARN.
pub(super) fn describe(endpoint: &Endpoint, arn: &str, included: bool) -> Result<Option<Json>, Error> {
    let Some(child) = endpoint.executions.child(arn)? else { return Ok(None) };
    let mut described = listed(&child);
    let output = child.output.as_ref().map(ToString::to_string);
    payload(&mut described, "input", Some(&child.input.to_string()), included);
    payload(&mut described, "output", output.as_deref(), included);
    if included {
        failure(&mut described, child.failure.error.as_deref(), child.failure.cause.as_deref());
    }
    Ok(Some(Json::Object(described)))
}

/// `ListExecutions` of a Map Run, the latest first.
pub(super) fn list(
    endpoint: &Endpoint,
    map_run: &str,
    status: Option<String>,
    redriven: Option<String>,
    page: Page,
) -> Result<Json, Error> {
    let run = endpoint.map_run(map_run)?;
    let now = clock::now();
    let page = page.of(format!("children/{map_run}/{status:?}/{redriven:?}"));
    let skip: usize = page.after(now)?.and_then(|count| count.parse().ok()).unwrap_or_default();
    let mut children = endpoint.executions.children(&run.execution)?;
    if children.iter().any(|child| child.map_run.is_none()) {
        let why = "Two Map Runs of one label ran at once; this host cannot tell their executions apart";
        return Err(Error::validation(why));
    }
    children.retain(|child| {
        child.map_run.as_deref() == Some(map_run)
            && status.as_deref().is_none_or(|status| status == child.status.name())
            && redriven.as_deref().is_none_or(|word| (word == "REDRIVEN") == (child.redrive_count > 0))
    });
    let shown = children.iter().rev().skip(skip).take(page.size).map(listed);
    let mut answer = json!({ "executions": shown.collect::<Vec<_>>() });
    if children.len() > skip + page.size {
        answer["nextToken"] = json!(page.token(&(skip + page.size).to_string(), now));
    }
    Ok(answer)
}

fn listed(child: &Child) -> Map<String, Json> {
    let (stem, name) = child.arn.rsplit_once(':').unwrap_or_default();
    let mut listed = Map::new();
    listed.insert("executionArn".into(), json!(child.arn));
    listed.insert("stateMachineArn".into(), json!(stem.replacen(":execution:", ":stateMachine:", 1)));
    listed.insert("name".into(), json!(name));
    listed.insert("status".into(), json!(child.status.name()));
    listed.insert("startDate".into(), json!(seconds(child.started_at)));
    if let Some(stopped_at) = child.stopped_at {
        listed.insert("stopDate".into(), json!(seconds(stopped_at)));
    }
    if let Some(map_run) = &child.map_run {
        listed.insert("mapRunArn".into(), json!(map_run));
    }
    listed.insert("redriveCount".into(), json!(child.redrive_count));
    if let Some(redriven_at) = child.redriven_at {
        listed.insert("redriveDate".into(), json!(seconds(redriven_at)));
    }
    listed
}
