//! A request's body: whole, within its limit and its time, or the reason why not.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use kernel::json;
use serde::de::DeserializeOwned;
use tokio::{sync::oneshot, time::timeout};

use crate::http::problem::{Kind, Problem};

/// How large a body may be as it is sent, on both hosts (design, Numbers to hold).
pub(crate) const LIMIT: usize = 5 * 1024 * 1024;
/// How large a body may be once unpacked.
pub(crate) const UNPACKED_LIMIT: u64 = 64 * 1024 * 1024;
/// How many records a body may have: of real ones far fewer fit.
pub(crate) const RECORDS_LIMIT: u64 = 1_000_000;

/// How many bytes of memory a body is given before any of it has come.
const MAX_RESERVED_BYTES: usize = 16 * 1024;
/// How long a body may take to come: 5 MiB at 1.4 Mbit/s.
const TIME: Duration = Duration::from_secs(30);
/// So much of a body that is refused is still read, so that the client hears why before the connection ends.
const DRAINED: usize = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Reads a body.
pub(crate) async fn read(body: Body, headers: &HeaderMap) -> Result<Bytes, Problem> {
    read_within(LIMIT, too_large, body, headers).await
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read_within(
    limit: usize,
    too_large: fn() -> Problem,
    body: Body,
    headers: &HeaderMap,
) -> Result<Bytes, Problem> {
    let announced: usize =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    let mut stream = body.into_data_stream();
    if announced > limit {
        return Err(too_large());
    }
    // Memory is taken as bytes come: a client may announce much and send nothing.
    let mut whole = Vec::with_capacity(announced.min(MAX_RESERVED_BYTES));
    let is_whole = timeout(TIME, async {
        while let Some(piece) = stream.try_next().await? {
            if whole.len() + piece.len() > limit {
                return Ok(false);
            }
            whole.extend_from_slice(&piece);
        }
        Ok::<_, axum::Error>(true)
    });
    match is_whole.await {
        Ok(Ok(true)) => Ok(whole.into()),
        Ok(Ok(false)) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(
            Kind::BadBody,
            "The body was cut off: it ended before the length that was announced, or the connection broke.",
        )),
        Err(_) => Err(Problem::new(
            Kind::Timeout,
            format!("The body did not come within {} seconds.", TIME.as_secs()),
        )),
    }
}

fn too_large() -> Problem {
    Problem::too_large(&format!(
        "the body is larger than the {} MiB that a request may have",
        LIMIT / 1024 / 1024
    ))
}

/// What is left of a body when whoever was to read it is done.
pub(crate) struct Rest(oneshot::Receiver<BodyDataStream>);

/// A body that gives back what is not read of it.
struct Lent {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

/// Lends a request's body out.
pub(crate) fn lend(request: Request) -> (Request, Rest) {
    let (parts, body) = request.into_parts();
    // Who expects to be told before they send (RFC 9110, 10.1.1) has nothing under way that is to be read.
    if body.is_end_stream() || parts.headers.contains_key(header::EXPECT) {
        return (Request::from_parts(parts, body), Rest(oneshot::channel().1));
    }
    let (back, rest) = oneshot::channel();
    let lent = Lent { body: Some(body.into_data_stream()), back: Some(back) };
    (Request::from_parts(parts, Body::from_stream(lent)), Rest(rest))
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.body {
            Some(body) => body.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody waits for the rest of a body that was taken.
            let _ = back.send(body);
        }
    }
}

impl Rest {
    /// Reads it to its end, or for as long as is decent, so that the client hears the answer.
    pub(crate) async fn drain(mut self) {
        let Ok(mut stream) = self.0.try_recv() else { return };
        let drain = async {
            let mut drained = 0;
            while let Ok(Some(piece)) = stream.try_next().await {
                drained += piece.len();
                if drained > DRAINED {
                    break;
                }
            }
        };
        // Whether it came to its end or not: the answer is the same.
        let _ = timeout(DRAIN_TIME, drain).await;
    }
}

/// Reads a body that is one JSON value of a known shape.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    json::decode(body).map_err(Problem::refused)
}
