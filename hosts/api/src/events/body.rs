//! The body of an ingest request: a JSON text, perhaps in gzip, within its limits.

use axum::{body::Body, http::HeaderMap};
use batches::intake;
use events::event::{MAX_REQUEST_BYTES, MAX_REQUEST_EVENTS};
use kernel::{Error, json, objects, queue::MAX_MESSAGE_BYTES};
use serde::Deserialize;

use crate::http::{
    body, media,
    problem::{Kind, Problem},
};

/// Minimum compressed size for decompression on a separate thread: up to [`MAX_REQUEST_BYTES`] can result, and other
/// requests should not wait for that.
const MIN_SEPARATE_BYTES: usize = 4 * 1024;

/// Reads a body, which may be gzip.
pub(super) async fn read(body: Body, headers: &HeaderMap) -> Result<String, Problem> {
    let is_gzip = media::is_gzip(headers)?;
    let body = body::read_within(MAX_REQUEST_BYTES, too_large, body, headers).await?;
    let is_packed = objects::is_gzip(&body);
    if is_gzip && !is_packed {
        return Err(Problem::new(Kind::BadBody, "Content-Encoding says gzip, but the body is not gzip."));
    }
    if !is_packed {
        return text(body.into());
    }
    if body.len() < MIN_SEPARATE_BYTES {
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
        let detail = format!("The request has {count} events; the maximum is {MAX_REQUEST_EVENTS}.");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(())
}

/// Refuses more bytes than a request may have.
pub(super) fn too_large() -> Problem {
    let detail =
        format!("The uncompressed request is larger than the maximum of {} KB.", MAX_REQUEST_BYTES / 1024);
    Problem::new(Kind::TooLarge, detail)
}

/// Refuses a request that exceeds a queue message after each event got the batch's context and integrations.
pub(super) fn too_large_for_the_queue() -> Problem {
    let detail = format!(
        "The events are larger than {} KB together, each with the context and integrations of the batch.",
        MAX_MESSAGE_BYTES / 1024
    );
    Problem::new(Kind::TooLarge, detail)
}
