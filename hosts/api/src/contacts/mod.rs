//! `GET /contacts` and `/contacts/{email}`: who agreed to marketing mail, and what they said before.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
    response::{IntoResponse, Response},
};
use contacts::{
    email::EmailKey,
    stored::{self, OptIn, Stored},
};
use jiff::Timestamp;
use kernel::{BatchId, Outcome, Store};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        page::Fitting,
        page::page,
        problem::{Kind, Problem},
        query::{Parameters, encoded},
        routes::Routes,
    },
};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    Routes::described_by(include_str!("openapi.json"))
        .get("/contacts", list::<S, F>)
        .get("/contacts/{email}", get::<S, F>)
}

/// A word of a contact as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Word {
    name: String,
    email: String,
    opt_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    interests: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Box<RawValue>>,
    since: Timestamp,
    batch_id: BatchId,
    index: u64,
    source: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
}

impl Word {
    fn new(word: OptIn) -> Result<Self, Problem> {
        let extra = word.extra.map(RawValue::from_string).transpose();
        Ok(Self {
            extra: extra.map_err(|_| Problem::internal("the extra fields of a contact are not JSON"))?,
            name: word.name,
            email: word.email,
            opt_in: word.opt_in,
            interests: word.interests,
            since: word.since,
            batch_id: word.batch_id,
            index: word.index,
            source: word.source,
            outcome: word.outcome,
            late: word.late,
        })
    }
}

#[derive(Debug, Serialize)]
struct View {
    /// The one spelling by which addresses are compared.
    key: String,
    #[serde(flatten)]
    word: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Box<RawValue>>>,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    contact: String,
    record: String,
    /// The next page of the history; nothing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl View {
    fn new(key: &str, stored: Stored) -> Result<Self, Problem> {
        let (batch, index) = (stored.statement.batch_id, stored.statement.index);
        Ok(Self {
            key: key.to_owned(),
            word: Word::new(stored.statement)?,
            history: None,
            links: Links {
                next: None,
                contact: format!("/contacts/{}", encoded(key)),
                record: format!("/batches/{batch}/records/{index}"),
            },
        })
    }
}

/// A page of contacts; only those who agree, unless all are asked for.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after", "optIn"])?;
    let limit = query.limit()?;
    let only_opted_in = query.parse("optIn", "true or all", |text| match text {
        "true" => Some(true),
        "all" => Some(false),
        _ => None,
    })?;
    let after = query.parse("after", "an e-mail address", EmailKey::parse)?;
    let after = after.as_ref().map(EmailKey::as_str);
    let found = stored::list(&api.store, &caller.tenant, only_opted_in.unwrap_or(true), after, limit).await?;
    let next = found.next.map(|key| query.next("/contacts", "after", &key));
    let contacts = found.contacts.into_iter().map(|(key, stored)| View::new(&key, stored));
    Ok(page("contacts", &contacts.collect::<Result<Vec<_>, _>>()?, next))
}

/// One contact, with everything that was said of them, in order, a page of it at a time.
pub(crate) async fn get<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(address): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let after = query.parse("after", "a number of words", |text| text.parse().ok())?.unwrap_or(0);
    let key = EmailKey::parse(&address).ok_or_else(|| {
        Problem::new(
            Kind::BadRequest,
            "The path must end in an e-mail address, percent-encoded where it needs to be.",
        )
    })?;
    let found = stored::find(&api.store, &caller.tenant, key.as_str()).await?;
    let found = found.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "There is no contact with this address; one who never agreed is not kept.",
        )
    })?;
    let all = found.past.len() + 1;
    let words = found.past.into_iter().chain([found.current.clone()]);
    let words = words.skip(after).take(limit).map(|stored| Word::new(stored.statement));
    let page = Fitting::of(words.collect::<Result<Vec<_>, _>>()?)?;
    let end = after.saturating_add(page.entries.len());
    let mut view = View::new(key.as_str(), found.current)?;
    view.links.next = (end < all).then(|| query.next(&view.links.contact, "after", &end.to_string()));
    view.history = Some(page.entries);
    Ok(Json(view).into_response())
}
