//! The body of a request of events: a JSON text, packed or not, within its limits.

use axum::{body::Body, http::HeaderMap};
use batches::intake;
use events::event::{MAX_REQUEST_BYTES, MAX_REQUEST_EVENTS};
use kernel::{Error, json, objects, queue::MAX_MESSAGE_BYTES};
use serde::Deserialize;

use crate::http::{
    body, media,
    problem::{Kind, Problem},
};

/// From so many packed bytes on a body is unpacked on a thread of its own: up to [`MAX_REQUEST_BYTES`] may come of
/// them, which takes longer than others should wait.
const LARGE: usize = 4 * 1024;

/// Reads a body: gzip where the bytes or `Content-Encoding` say so.
pub(super) async fn read(body: Body, headers: &HeaderMap) -> Result<String, Problem> {
    let is_gzip = media::is_gzip(headers)?;
    let body = body::read_within(MAX_REQUEST_BYTES, too_large, body, headers).await?;
    let is_packed = objects::is_gzip(&body);
    if is_gzip && !is_packed {
        return Err(Problem::new(Kind::BadBody, "The body is announced as gzip and is not."));
    }
    if !is_packed {
        return text(body.into());
    }
    if body.len() < LARGE {
        return unpacked(&body);
    }
    let unpacking = tokio::task::spawn_blocking(move || unpacked(&body));
    unpacking.await.map_err(|error| Problem::internal(format!("unpacking a body: {error}")))?
}

fn unpacked(body: &[u8]) -> Result<String, Problem> {
    text(intake::unpack(body, MAX_REQUEST_BYTES).map_err(|error| match error {
        Error::TooLarge(_) => too_large(),
        error => Problem::refused(error),
    })?)
}

fn text(bytes: Vec<u8>) -> Result<String, Problem> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Problem::new(Kind::BadBody, "The body is not UTF-8, as JSON must be."))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Reads a body that is one JSON value of a known shape.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| Problem::refused(Error::BadInput(json::describe(&error))))
}

/// Refuses more events than a request may have.
pub(super) fn limit_count(count: usize) -> Result<(), Problem> {
    if count > MAX_REQUEST_EVENTS {
        let detail = format!("The request has {count} events; it may have {MAX_REQUEST_EVENTS}.");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(())
}

/// Refuses more bytes than a request may have.
pub(super) fn too_large() -> Problem {
    let detail = format!(
        "The request is larger than the {} KB that its events may have together once unpacked.",
        MAX_REQUEST_BYTES / 1024
    );
    Problem::new(Kind::TooLarge, detail)
}

/// Refuses what is larger than a message of the queue once each event has what the request says for all of them.
pub(super) fn too_large_for_the_queue() -> Problem {
    let detail = format!(
        "Its events are larger than {} KB together, each with the context and integrations that the batch says for all.",
        MAX_MESSAGE_BYTES / 1024
    );
    Problem::new(Kind::TooLarge, detail)
}
