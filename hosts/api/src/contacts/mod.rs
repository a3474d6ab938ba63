//! `GET /contacts` and `/contacts/{email}`: contacts with their consent and its history.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use contacts::{
    email::EmailKey,
    export::{self, Column, CsvOptions},
    query::{self, Filter, Moment, Status, Text},
    statement::Statement,
    stored::{self, Stored},
};
use kernel::Store;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        accept::{self, Layout},
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

#[derive(Debug, Serialize)]
struct View {
    /// The normal form of the address, by which crmflow compares addresses.
    key: String,
    #[serde(flatten)]
    statement: Statement,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Box<RawValue>>>,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    contact: String,
    record: String,
    /// The next page of the history; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl View {
    fn new(key: &str, stored: Stored) -> Result<Self, Problem> {
        let (batch, index) = (stored.statement.batch_id, stored.statement.index);
        Ok(Self {
            key: key.to_owned(),
            statement: Statement::new(stored.statement)?,
            history: None,
            links: Links {
                next: None,
                contact: format!("/contacts/{}", encoded(key)),
                record: format!("/batches/{batch}/records/{index}"),
            },
        })
    }
}

/// A page of contacts as JSON, CSV or JSON lines; opted-in contacts unless the query selects others.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    const KNOWN: [&str; 9] =
        ["limit", "after", "optIn", "text", "since", "until", "format", "raw", "columns"];
    let query = Parameters::read(&uri, &KNOWN)?;
    let limit = query.limit()?;
    let layout = accept::layout(&headers, &query)?;
    let raw = query.parse("raw", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    let after = query.parse("after", "an e-mail address", EmailKey::parse)?;
    let after = after.as_ref().map(EmailKey::as_str);
    let found = query::list(&api.store, &caller.tenant, &filter(&query)?, after, limit).await?;
    let next = found.next.as_ref().map(|key| query.next("/contacts", "after", key));
    let mut text = Vec::new();
    match layout {
        Layout::Json => {
            let views = found.contacts.into_iter().map(|(key, stored)| View::new(&key, stored));
            return Ok(page("contacts", &views.collect::<Result<Vec<_>, _>>()?, next));
        }
        Layout::Csv => {
            let columns = query.get("columns").into_iter().flat_map(|names| names.split(','));
            let options = CsvOptions::new(columns.map(Column::from_name).collect(), raw);
            export::csv_header(&options, &mut text);
            export::csv_rows(&found, &options, &mut text)?;
        }
        Layout::Ndjson => export::ndjson(found, &mut text)?,
    }
    Ok(accept::file(layout, "contacts", next.as_deref(), text))
}

fn filter(query: &Parameters) -> Result<Filter, Problem> {
    let status = query.parse("optIn", "true, false or all", |text| match text {
        "true" => Some(Status::OptedIn),
        "false" => Some(Status::OptedOut),
        "all" => Some(Status::All),
        _ => None,
    })?;
    let moment = |name| query.parse::<Moment>(name, "a date or a timestamp", |text| text.parse().ok());
    Ok(Filter {
        status: status.unwrap_or_default(),
        text: query.get("text").and_then(Text::new),
        since: moment("since")?,
        until: moment("until")?,
    })
}

/// One contact, with a page of its statements in order.
pub(crate) async fn get<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(address): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let after = query.parse("after", "a number of statements", |text| text.parse().ok())?.unwrap_or(0);
    let key = EmailKey::parse(&address).ok_or_else(|| {
        Problem::new(
            Kind::BadRequest,
            "The path must end in an e-mail address, percent-encoded where necessary.",
        )
    })?;
    let found = stored::find(&api.store, &caller.tenant, key.as_str()).await?;
    let found = found.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "There is no contact with this address. crmflow stores only contacts who opted in at least once.",
        )
    })?;
    let all = found.past.len() + 1;
    let statements = found.past.into_iter().chain([found.current.clone()]);
    let statements = statements.skip(after).take(limit).map(|stored| Statement::new(stored.statement));
    let page = Fitting::of(statements.collect::<Result<Vec<_>, _>>()?)?;
    let end = after.saturating_add(page.entries.len());
    let mut view = View::new(key.as_str(), found.current)?;
    view.links.next = (end < all).then(|| query.next(&view.links.contact, "after", &end.to_string()));
    view.history = Some(page.entries);
    Ok(Json(view).into_response())
}
