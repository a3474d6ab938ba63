//! `GET /health`: whether storage answers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use kernel::{Store, store::Table};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::problem::Problem,
};

/// Maximum time for an answer of storage.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Serialize)]
struct Health {
    status: &'static str,
    checks: Value,
}

/// Reads one item and one object, which need not exist.
pub(crate) async fn get<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
) -> Result<Response, Problem> {
    let tenant = caller.tenant.as_str();
    let item = timeout(STORAGE_TIMEOUT, api.store.get(Table::Batches, tenant, "health"));
    let key = format!("batches/{tenant}/health");
    let object = timeout(STORAGE_TIMEOUT, api.objects.find(&key));
    let (item, object) = tokio::join!(item, object);
    let item = told(item.map(|got| got.map(|_| ()).map_err(|error| error.to_string())));
    let object = told(object.map(|got| got.map(|_| ()).map_err(|error| error.to_string())));
    let checks = json!({"store": word(&item), "objects": word(&object)});
    match item.and(object) {
        Ok(()) => Ok(Json(Health { status: "ok", checks }).into_response()),
        Err(cause) => Err(Problem::unavailable(cause).with("checks", checks)),
    }
}

fn told<T>(answer: Result<Result<(), String>, T>) -> Result<(), String> {
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", STORAGE_TIMEOUT.as_secs())))
}

fn word(answer: &Result<(), String>) -> &'static str {
    match answer {
        Ok(()) => "ok",
        Err(_) => "unavailable",
    }
}
