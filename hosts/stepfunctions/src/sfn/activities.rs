//! Activities: tasks for workers that poll.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value as Json, json};

use super::{Endpoint, arn, error::Error, page::Page, seconds, settings::Settings, tags, validate::Fields};
use crate::{clock, executions::ActivityTask, machines::put_tags};

/// An activity.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    arn: String,
    name: String,
    created_at: Timestamp,
}

/// `CreateActivity`: making one that is there is no error.
pub(super) async fn create(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let name = fields.required("name", 1..=80);
    let tags = tags::read(&mut fields);
    let settings = Settings::read(&mut fields);
    fields.finish()?;
    arn::name(&name)?;
    tags::check(&tags)?;
    settings.check()?;
    let arn = template::activity_arn(&name);
    let new = Activity { arn, name, created_at: clock::now() };
    let created = new.clone();
    let written = endpoint.store().writer.write(move |connection| {
        let inserted = connection
            .prepare_cached("INSERT OR IGNORE INTO activities (arn, name, created_at) VALUES (?, ?, ?)")?
            .execute(params![new.arn, new.name, format!("{:.9}", new.created_at)])?;
        if inserted == 1 { put_tags(connection, &new.arn, &tags) } else { Ok(()) }
    });
    written.await?;
    let made = endpoint.activity(&created.arn)?.unwrap_or(created);
    Ok(json!({ "activityArn": made.arn, "creationDate": seconds(made.created_at) }))
}

/// `DeleteActivity`: deleting one that is not there is no error.
pub(super) async fn delete(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("activityArn");
    fields.finish()?;
    arn::activity(&arn)?;
    let deleted = endpoint.store().writer.write(move |connection| {
        connection.execute("DELETE FROM tags WHERE arn = ?1", [&arn])?;
        connection.execute("DELETE FROM activities WHERE arn = ?1", [&arn])
    });
    deleted.await?;
    Ok(json!({}))
}

/// `DescribeActivity`
pub(super) fn describe(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("activityArn");
    fields.finish()?;
    arn::activity(&arn)?;
    let activity = endpoint.activity(&arn)?.ok_or_else(|| Error::no_activity(&arn))?;
    let mut described = listed(&activity);
    described["encryptionConfiguration"] = json!({ "type": "AWS_OWNED_KEY" });
    Ok(described)
}

/// How long a worker's poll waits for a task, as on AWS.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// `GetActivityTask`: waits until there is a task; if none arrives, the answer has no token.
pub(super) async fn take(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("activityArn");
    let worker = fields.text("workerName", 1..=80);
    fields.finish()?;
    arn::activity(&arn)?;
    endpoint.activity(&arn)?.ok_or_else(|| Error::no_activity(&arn))?;
    worker.as_deref().map_or(Ok(()), arn::name)?;
    Ok(match endpoint.executions.activities().take(&arn, worker, POLL_TIMEOUT).await {
        Some(ActivityTask { token, input }) => json!({ "taskToken": token, "input": input }),
        None => json!({ "taskToken": null }),
    })
}

/// `ListActivities`
pub(super) fn list(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let page = Page::read(&mut fields, 1024).of("activities");
    fields.finish()?;
    let now = clock::now();
    let after = page.after(now)?;
    let mut found: Vec<Activity> = endpoint.store().readers.with(|connection| {
        let sql = "SELECT arn, name, created_at FROM activities \
                   WHERE ?1 IS NULL OR arn > ?1 ORDER BY arn LIMIT ?2";
        connection.prepare_cached(sql)?.query_map(params![after, page.size + 1], read)?.collect()
    })?;
    let has_more = found.len() > page.size;
    found.truncate(page.size);
    let mut answer = json!({ "activities": found.iter().map(listed).collect::<Vec<_>>() });
    if let Some(last) = found.last().filter(|_| has_more) {
        answer["nextToken"] = json!(page.token(&last.arn, now));
    }
    Ok(answer)
}

fn listed(activity: &Activity) -> Json {
    json!({
        "activityArn": activity.arn,
        "name": activity.name,
        "creationDate": seconds(activity.created_at),
    })
}

impl Endpoint {
    /// The activity with this ARN.
    pub(super) fn activity(&self, arn: &str) -> Result<Option<Activity>, Error> {
        let sql = "SELECT arn, name, created_at FROM activities WHERE arn = ?1";
        let readers = &self.store().readers;
        Ok(readers.with(|connection| connection.prepare_cached(sql)?.query_row([arn], read).optional())?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Activity> {
    let created_at: String = row.get(2)?;
    Ok(Activity { arn: row.get(0)?, name: row.get(1)?, created_at: created_at.parse().unwrap_or_default() })
}
