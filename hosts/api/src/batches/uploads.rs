//! `POST /uploads`: returns an address for a file of any size; the complete file starts the batch.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse, Response},
};
use batches::stored::BatchStatus;
use jiff::{SignedDuration, Timestamp};
use kernel::{Batch, BatchId, Kind, Store};
use serde::Serialize;

use crate::{
    api::{Api, Caller},
    batches::{
        Links,
        records::{RULES, rules},
    },
    flow::Flow,
    http::{
        problem::{self, Problem},
        query::Parameters,
    },
};

/// Validity of the address.
const ADDRESS_VALIDITY: SignedDuration = SignedDuration::from_hours(1);

/// Creates a batch for a file that the client uploads next.
pub(crate) async fn post<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Upload {
        batch_id: BatchId,
        upload_url: String,
        method: &'static str,
        expires_at: Timestamp,
        links: Links,
    }
    let rules = rules(&Parameters::read(&uri, &RULES)?)?;
    let origin = origin(&uri, &headers)?;
    let (batch_id, received_at) = api.new_id();
    let batch = Batch {
        batch_id,
        tenant: caller.tenant,
        provider: "upload".parse()?,
        kind: Kind::Contact,
        received_at,
        // The arrival of the file decides it.
        order: 0,
        replay: 0,
        chunk: None,
        rules,
    };
    let upload_url = api.flow.upload_address(&batch.tenant, batch_id, &origin).await?;
    BatchStatus::running(&batch).save(&batch.tenant, &api.store).await?;
    let links = Links::of(batch_id);
    let location = [(header::LOCATION, links.status.clone())];
    let upload = Upload {
        batch_id,
        upload_url,
        method: "PUT",
        expires_at: received_at.checked_add(ADDRESS_VALIDITY).unwrap_or(received_at),
        links,
    };
    Ok((StatusCode::CREATED, location, Json(upload)).into_response())
}

/// The scheme and authority that the client called.
fn origin(uri: &Uri, headers: &HeaderMap) -> Result<String, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authority = text("host")
        .and_then(|host| host.parse::<Authority>().ok())
        .or_else(|| uri.authority().cloned())
        .filter(|authority| !authority.as_str().contains('@'))
        .ok_or_else(|| Problem::new(problem::Kind::BadRequest, "The request has no valid Host header."))?;
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, proto: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in [("host", host), ("x-forwarded-proto", proto)] {
            if !value.is_empty() {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let found = origin(&Uri::from_static("/uploads"), &headers).ok();
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn what_the_client_called() {
        check("127.0.0.1:3000", "", Some("http://127.0.0.1:3000"));
        check("api.example.com", "https", Some("https://api.example.com"));
        check("api.example.com", "ftp", Some("http://api.example.com"));
        check("user@example.com", "https", None);
        check("not a host", "", None);
        check("", "", None);
    }
}
