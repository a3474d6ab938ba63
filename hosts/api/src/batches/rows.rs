//! `GET /batches/{id}/records`: the records of a batch with their outcomes, a page at a time.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use batches::rows::{self, Limits, Page, Place};
use kernel::{Outcome, Store, store::MAX_PAGE_BYTES};

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        accept::{self, Layout},
        page::page,
        problem::Problem,
        query::Parameters,
    },
};

/// A page of the decided records of a batch: all, or those with one outcome.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after", "outcome", "format", "raw"])?;
    let names = Outcome::ALL.map(Outcome::name).join(", ");
    let outcome = query.parse("outcome", &format!("one of {names}"), Outcome::from_name)?;
    let after = query.parse::<Place>("after", "a place that a page named", |text| text.parse().ok())?;
    let raw = query.parse("raw", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    let layout = accept::layout(&headers, &query)?;
    let limits = Limits { rows: query.limit()?, bytes: MAX_PAGE_BYTES };
    let batch = super::find(&api, &caller.tenant, &id).await?;
    let Page { rows: records, next } =
        rows::list(&caller.tenant, &batch, outcome, after, limits, &api.objects).await?;
    let path = format!("/batches/{}/records", batch.batch_id);
    let next = next.map(|place| query.next(&path, "after", &place.to_string()));
    let mut text = Vec::new();
    match layout {
        Layout::Json => return Ok(page("records", &records, next)),
        Layout::Csv => {
            rows::csv_header(&mut text);
            rows::csv(&records, raw, &mut text);
        }
        Layout::Ndjson => rows::ndjson(&records, &mut text)?,
    }
    Ok(accept::file(layout, "records", next.as_deref(), text))
}
