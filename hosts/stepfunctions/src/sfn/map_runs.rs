//! Map runs: listed, described, changed while they run.

use serde_json::{Value as Json, json};
use states::{MapRun, MapRunStatus, MapRunUpdate};

use super::{
    Endpoint,
    arn::{self, Resource},
    error::Error,
    page::Page,
    seconds,
    validate::Fields,
};
use crate::clock;

/// The most characters of the ARN of a Map run.
const MAX_ARN_CHARS: usize = 2000;

/// `ListMapRuns`
pub(super) fn list(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("executionArn");
    let page = Page::read(&mut fields, 1024).of(format!("map runs/{arn}"));
    fields.finish()?;
    let execution = endpoint.execution(&arn)?;
    let now = clock::now();
    let skip: usize = page.after(now)?.and_then(|count| count.parse().ok()).unwrap_or_default();
    let runs = endpoint.executions.map_runs(&arn)?;
    let shown = runs.iter().skip(skip).take(page.size);
    let shown: Vec<_> = shown.map(|run| listed(run, &execution.machine_arn)).collect();
    let mut answer = json!({ "mapRuns": shown });
    if runs.len() > skip + page.size {
        answer["nextToken"] = json!(page.token(&(skip + page.size).to_string(), now));
    }
    Ok(answer)
}

/// `DescribeMapRun`
pub(super) fn describe(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.required("mapRunArn", 1..=MAX_ARN_CHARS);
    fields.finish()?;
    let run = endpoint.map_run(&arn)?;
    let mut described = json!({
        "mapRunArn": run.arn,
        "executionArn": run.execution,
        "status": run.status,
        "startDate": seconds(run.start_date),
        "maxConcurrency": run.max_concurrency,
        "toleratedFailureCount": run.tolerated_failure_count.unwrap_or_default(),
        "toleratedFailurePercentage": run.tolerated_failure_percentage.unwrap_or_default(),
        "itemCounts": run.item_counts,
        "executionCounts": run.execution_counts,
        "redriveCount": run.redrive_count,
    });
    if let Some(stop) = run.stop_date {
        described["stopDate"] = json!(seconds(stop));
    }
    if let Some(redriven) = run.redrive_date {
        described["redriveDate"] = json!(seconds(redriven));
    }
    Ok(described)
}

/// `UpdateMapRun`
pub(super) async fn update(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.required("mapRunArn", 1..=MAX_ARN_CHARS);
    let count = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let update = MapRunUpdate {
        max_concurrency: count(fields.number("maxConcurrency", 0..=u64::from(u32::MAX))),
        tolerated_failure_count: count(fields.number("toleratedFailureCount", 0..=u64::MAX)),
        tolerated_failure_percentage: fields.fraction("toleratedFailurePercentage", 0.0..=100.0),
    };
    fields.finish()?;
    let run = endpoint.map_run(&arn)?;
    if update == MapRunUpdate::default() {
        return Err(Error::validation("At least one of the limits of the Map Run must be specified"));
    }
    if run.status != MapRunStatus::Running {
        return Err(Error::validation("The Map Run is not running and cannot be updated"));
    }
    endpoint.executions.update_map_run(&run, update).await?;
    Ok(json!({}))
}

fn listed(run: &MapRun, machine_arn: &str) -> Json {
    let mut listed = json!({
        "executionArn": run.execution,
        "mapRunArn": run.arn,
        "stateMachineArn": machine_arn,
        "startDate": seconds(run.start_date),
    });
    if let Some(stop) = run.stop_date {
        listed["stopDate"] = json!(seconds(stop));
    }
    listed
}

impl Endpoint {
    pub(super) fn map_run(&self, arn: &str) -> Result<MapRun, Error> {
        match arn::resource(arn)? {
            Resource::MapRun => {}
            other => return Err(arn::out_of_place(&other)),
        }
        self.executions.map_run(arn)?.ok_or_else(|| Error::no_resource(arn))
    }
}
