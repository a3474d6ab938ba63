//! `POST /records`: a JSON list, JSON lines or CSV become a batch (S2-001 to S2-003). A bad record is an invalid record,
//! and the API does not refuse the request.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use batches::intake::{Format, Intake, Settings, Staged};
use bytes::Bytes;
use kernel::{Batch, Kind, Objects, Rules, Store, dry_run::DryRunStore, objects, order};

use crate::{
    api::{Api, Caller},
    batches::submit,
    flow::Flow,
    http::{
        body,
        idempotency::{self, Claim, Key},
        media,
        problem::{self, Problem},
        query::Parameters,
    },
};

/// Accepts a batch: 202, or 200 if the client waits for its end.
pub(crate) async fn post<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // A misspelt `dryRun` must not store anything.
    let query = Parameters::read(&uri, &["resubscribe", "replace", "dryRun"])?;
    let rules = rules(&query)?;
    let is_dry_run = query.parse("dryRun", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    let format = media::format(&headers)?;
    let is_gzip = media::is_gzip(&headers)?;
    let key = Key::of(&headers)?;
    let body = body::read(body, &headers).await?;
    if is_gzip && !objects::is_gzip(&body) {
        return Err(Problem::new(
            problem::Kind::BadBody,
            "Content-Encoding says gzip, but the body is not gzip.",
        ));
    }
    if is_dry_run {
        return dry_run(&api, caller, rules, format, body).await;
    }
    let fingerprint = idempotency::fingerprint("POST /records", &kind_of(format, rules), &body);
    let (batch, is_repeat) = open(&api, caller, rules, key.as_ref(), fingerprint).await?;
    let staged = match stage(&api, &batch, format, body, is_repeat).await {
        Ok(staged) => staged,
        Err(problem) => {
            if let Some(key) = key.filter(|_| problem.is_refusal()) {
                key.release(&batch.tenant, &api.store).await?;
            }
            return Err(problem);
        }
    };
    match media::wait(&headers) {
        Some(wait) if staged.inline.is_some() => submit::run(&api, &batch, &staged, wait).await,
        _ => submit::accept(&api, &batch, &staged).await,
    }
}

/// The query parameters of [`rules`].
pub(super) const RULES: [&str; 2] = ["resubscribe", "replace"];

/// The changes to known contacts that a request permits its batch.
pub(super) fn rules(query: &Parameters) -> Result<Rules, Problem> {
    let is_set = |name| query.parse(name, "true or false", |text| text.parse().ok());
    let is_true = |set: Option<bool>| set == Some(true);
    Ok(Rules { resubscribe: is_true(is_set("resubscribe")?), replace: is_true(is_set("replace")?) })
}

/// The description of the body in the fingerprint of a request. Without rules it equals that of earlier versions.
fn kind_of(format: Format, rules: Rules) -> String {
    if rules == Rules::default() { format!("{format:?}") } else { format!("{format:?} {rules:?}") }
}

/// The batch of the request, and whether the request is a repetition.
async fn open<S: Store, F: Flow>(
    api: &Api<S, F>,
    caller: Caller,
    rules: Rules,
    key: Option<&Key>,
    fingerprint: String,
) -> Result<(Batch, bool), Problem> {
    let (batch_id, received_at) = api.new_id();
    let order = order::next(&api.store, &caller.tenant, received_at).await?;
    let fresh = Claim { batch_id, received_at, order, fingerprint };
    let (claim, is_repeat) = match key {
        Some(key) => key.claim(&caller.tenant, fresh, &api.store).await?,
        None => (fresh, false),
    };
    Ok((batch(caller, rules, claim)?, is_repeat))
}

fn batch(caller: Caller, rules: Rules, claim: Claim) -> Result<Batch, Problem> {
    Ok(Batch {
        batch_id: claim.batch_id,
        tenant: caller.tenant,
        provider: "api".parse()?,
        kind: Kind::Contact,
        received_at: claim.received_at,
        order: claim.order,
        replay: 0,
        chunk: None,
        rules,
    })
}

/// Reads the records, and stores those of a large batch. The body is complete, so the same body is always cut into the same
/// objects.
async fn stage<S: Store, F: Flow>(
    api: &Api<S, F>,
    batch: &Batch,
    format: Format,
    body: Bytes,
    is_repeat: bool,
) -> Result<Staged, Problem> {
    if is_repeat && let Some(staged) = submit::staged_before(&batch.tenant, batch, &api.store).await? {
        return Ok(staged);
    }
    cut(batch, format, body, &api.objects).await
}

/// Answers with the outcomes that the records would have, and stores nothing.
async fn dry_run<S: Store, F: Flow>(
    api: &Api<S, F>,
    caller: Caller,
    rules: Rules,
    format: Format,
    body: Bytes,
) -> Result<Response, Problem> {
    let (batch_id, received_at) = api.new_id();
    let order = order::next(&DryRunStore::new(api.store.clone()), &caller.tenant, received_at).await?;
    let batch = batch(caller, rules, Claim { batch_id, received_at, order, fingerprint: String::new() })?;
    let objects = Objects::in_memory();
    let staged = cut(&batch, format, body, &objects).await?;
    let report = api.flow.dry_run(&batch, staged, &objects).await?;
    let none = "This installation has no dry runs; `crmflow process --dry-run` has them.";
    Ok(Json(report.ok_or_else(|| Problem::new(problem::Kind::NotPossible, none))?).into_response())
}

/// Reads the records, and cuts those of a large batch into objects.
async fn cut(batch: &Batch, format: Format, body: Bytes, objects: &Objects) -> Result<Staged, Problem> {
    let settings = Settings {
        format: Some(format),
        size: Some(body.len() as u64),
        max_unpacked: Some(body::MAX_UNPACKED_BYTES),
        max_records: Some(body::MAX_RECORDS),
        inline: true,
        ..Settings::default()
    };
    let mut intake = Intake::new(batch.clone(), settings);
    // Decompressing and cutting 64 MiB can take most of a second, so it runs on another thread.
    let read = tokio::task::spawn_blocking(move || intake.push(&body).map(|()| intake));
    let intake = read
        .await
        .map_err(|error| Problem::internal(format!("reading a body: {error}")))?
        .map_err(Problem::refused)?;
    intake.finish(objects).await.map_err(Problem::refused)
}
