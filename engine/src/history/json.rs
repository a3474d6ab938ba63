//! Events as AWS's JSON: times in seconds, payloads as JSON texts.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value as Json, json};

use super::{Details, EventType, HistoryEvent, Integration};
use crate::failure::Failure;
use crate::value::Value;

impl Serialize for HistoryEvent {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("timestamp", &seconds(self.timestamp))?;
        map.serialize_entry("type", &self.kind)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("previousEventId", &self.previous_event_id)?;
        if let Some(member) = self.member() {
            map.serialize_entry(member, &self.details.json())?;
        }
        map.end()
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds fit a double for 285,000 years")]
fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

impl HistoryEvent {
    /// The name of the member that contains the details.
    fn member(&self) -> Option<&'static str> {
        use EventType as E;
        Some(match (self.kind, &self.details) {
            (_, Details::None) => return None,
            (_, Details::Entered { .. }) => "stateEnteredEventDetails",
            (_, Details::Exited { .. }) => "stateExitedEventDetails",
            (E::ExecutionStarted, _) => "executionStartedEventDetails",
            (E::ExecutionSucceeded, _) => "executionSucceededEventDetails",
            (E::ExecutionFailed, _) => "executionFailedEventDetails",
            (E::ExecutionTimedOut, _) => "executionTimedOutEventDetails",
            (E::ExecutionAborted, _) => "executionAbortedEventDetails",
            (E::ExecutionRedriven, _) => "executionRedrivenEventDetails",
            (E::MapRunRedriven, _) => "mapRunRedrivenEventDetails",
            (E::EvaluationFailed, _) => "evaluationFailedEventDetails",
            (E::LambdaFunctionScheduled, _) => "lambdaFunctionScheduledEventDetails",
            (E::LambdaFunctionSucceeded, _) => "lambdaFunctionSucceededEventDetails",
            (E::LambdaFunctionFailed, _) => "lambdaFunctionFailedEventDetails",
            (E::LambdaFunctionTimedOut, _) => "lambdaFunctionTimedOutEventDetails",
            (E::ActivityFailed, _) => "activityFailedEventDetails",
            (E::ActivityScheduleFailed, _) => "activityScheduleFailedEventDetails",
            (E::ActivityScheduled, _) => "activityScheduledEventDetails",
            (E::ActivityStarted, _) => "activityStartedEventDetails",
            (E::ActivitySucceeded, _) => "activitySucceededEventDetails",
            (E::ActivityTimedOut, _) => "activityTimedOutEventDetails",
            (E::TaskSubmitFailed, _) => "taskSubmitFailedEventDetails",
            (E::TaskSubmitted, _) => "taskSubmittedEventDetails",
            (E::TaskScheduled, _) => "taskScheduledEventDetails",
            (E::TaskStarted, _) => "taskStartedEventDetails",
            (E::TaskSucceeded, _) => "taskSucceededEventDetails",
            (E::TaskFailed, _) => "taskFailedEventDetails",
            (E::TaskTimedOut, _) => "taskTimedOutEventDetails",
            (E::MapStateStarted, _) => "mapStateStartedEventDetails",
            (E::MapRunStarted, _) => "mapRunStartedEventDetails",
            (E::MapRunFailed, _) => "mapRunFailedEventDetails",
            (E::MapIterationStarted, _) => "mapIterationStartedEventDetails",
            (E::MapIterationSucceeded, _) => "mapIterationSucceededEventDetails",
            (E::MapIterationFailed, _) => "mapIterationFailedEventDetails",
            (E::MapIterationAborted, _) => "mapIterationAbortedEventDetails",
            _ => return None,
        })
    }
}

impl Details {
    fn json(&self) -> Json {
        let mut map = Map::new();
        match self {
            Self::None => {}
            Self::Started { input, role } => {
                payload(&mut map, "input", input);
                optional(&mut map, "roleArn", role.as_deref());
            }
            Self::Output(output) => payload(&mut map, "output", output),
            Self::Failed(failure) => failed(&mut map, failure),
            Self::Entered { name, input } => {
                map.insert("name".into(), json!(name));
                payload(&mut map, "input", input);
            }
            Self::Exited { name, output, assigned } => {
                map.insert("name".into(), json!(name));
                payload(&mut map, "output", output);
                variables(&mut map, assigned);
            }
            Self::Evaluation { failure, location, state } => {
                failed(&mut map, failure);
                optional(&mut map, "location", location.as_deref());
                map.insert("state".into(), json!(state));
            }
            Self::LambdaScheduled { resource, input, timeout } => {
                map.insert("resource".into(), json!(resource));
                payload(&mut map, "input", input);
                optional(&mut map, "timeoutInSeconds", *timeout);
            }
            Self::ActivityScheduled { resource, input, timeout, heartbeat } => {
                map.insert("resource".into(), json!(resource));
                payload(&mut map, "input", input);
                optional(&mut map, "timeoutInSeconds", *timeout);
                optional(&mut map, "heartbeatInSeconds", *heartbeat);
            }
            Self::Worker { name } => optional(&mut map, "workerName", name.as_deref()),
            Self::TaskScheduled { .. } => self.scheduled(&mut map),
            Self::Task(integration) => named(&mut map, integration),
            Self::TaskSucceeded(integration, output) => {
                named(&mut map, integration);
                payload(&mut map, "output", output);
            }
            Self::TaskFailed(integration, failure) => {
                named(&mut map, integration);
                failed(&mut map, failure);
            }
            Self::MapStarted { length } => drop(map.insert("length".into(), json!(length))),
            Self::Iteration { name, index } => {
                map.insert("name".into(), json!(name));
                map.insert("index".into(), json!(index));
            }
            Self::MapRun { arn } => drop(map.insert("mapRunArn".into(), json!(arn))),
            Self::Redriven { count } => drop(map.insert("redriveCount".into(), json!(count))),
            Self::MapRunRedriven { arn, count } => {
                map.insert("mapRunArn".into(), json!(arn));
                map.insert("redriveCount".into(), json!(count));
            }
        }
        Json::Object(map)
    }
}

impl Details {
    fn scheduled(&self, map: &mut Map<String, Json>) {
        let Self::TaskScheduled { integration, region, parameters, timeout, heartbeat } = self else {
            return;
        };
        named(map, integration);
        map.insert("region".into(), json!(region));
        map.insert("parameters".into(), json!(parameters.to_string()));
        optional(map, "timeoutInSeconds", *timeout);
        optional(map, "heartbeatInSeconds", *heartbeat);
    }
}

fn variables(map: &mut Map<String, Json>, assigned: &[(Arc<str>, Value)]) {
    if !assigned.is_empty() {
        let assigned = assigned.iter().map(|(name, value)| (name.to_string(), json!(value.to_string())));
        map.insert("assignedVariables".into(), Json::Object(assigned.collect()));
        map.insert("assignedVariablesDetails".into(), json!({ "truncated": false }));
    }
}

fn payload(map: &mut Map<String, Json>, name: &str, value: &Value) {
    map.insert(name.to_owned(), json!(value.to_string()));
    map.insert(format!("{name}Details"), json!({ "truncated": false }));
}

fn failed(map: &mut Map<String, Json>, failure: &Failure) {
    optional(map, "error", failure.error.as_deref());
    optional(map, "cause", failure.cause.as_deref());
}

fn named(map: &mut Map<String, Json>, integration: &Integration) {
    map.insert("resourceType".into(), json!(integration.service));
    map.insert("resource".into(), json!(integration.action));
}

fn optional(map: &mut Map<String, Json>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), json!(value));
    }
}
