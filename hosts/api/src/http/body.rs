//! Reads the body of a request within its limits of size and time.

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

/// Maximum size of a body as sent, on both hosts.
pub(crate) const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// Maximum size of a decompressed body.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024;
/// Maximum number of records in a body; far fewer real records fit.
pub(crate) const MAX_RECORDS: u64 = 1_000_000;

/// Maximum number of bytes that are allocated before a body arrives.
const MAX_RESERVED_BYTES: usize = 16 * 1024;
/// Maximum time for a body to arrive: 5 MiB at 1.4 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of bytes that the server still reads of a refused body, so that the client receives the answer.
const MAX_DRAINED_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body.
pub(crate) async fn read(body: Body, headers: &HeaderMap) -> Result<Bytes, Problem> {
    read_within(MAX_BODY_BYTES, too_large, body, headers).await
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
    // Memory grows with the received bytes: a client may announce much and send nothing.
    let mut whole = Vec::with_capacity(announced.min(MAX_RESERVED_BYTES));
    let is_whole = timeout(BODY_TIMEOUT, async {
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
            "The body is incomplete: it ended before its announced length, or the connection broke.",
        )),
        Err(_) => Err(Problem::new(
            Kind::Timeout,
            format!("The body did not arrive within {} seconds.", BODY_TIMEOUT.as_secs()),
        )),
    }
}

fn too_large() -> Problem {
    Problem::too_large(&format!(
        "the body is larger than the maximum of {} MiB",
        MAX_BODY_BYTES / 1024 / 1024
    ))
}

/// The unread rest of a body, once its handler has dropped it.
pub(crate) struct UnreadRest(oneshot::Receiver<BodyDataStream>);

/// A body that returns its unread rest when it is dropped.
struct SharedBody {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

/// Splits off a handle to the unread rest of a request's body.
pub(crate) fn split_rest(request: Request) -> (Request, UnreadRest) {
    let (parts, body) = request.into_parts();
    // A client that waits for 100 Continue (RFC 9110, 10.1.1) has not sent its body.
    if body.is_end_stream() || parts.headers.contains_key(header::EXPECT) {
        return (Request::from_parts(parts, body), UnreadRest(oneshot::channel().1));
    }
    let (back, rest) = oneshot::channel();
    let shared = SharedBody { body: Some(body.into_data_stream()), back: Some(back) };
    (Request::from_parts(parts, Body::from_stream(shared)), UnreadRest(rest))
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.body {
            Some(body) => body.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Without a receiver the rest is not needed.
            let _ = back.send(body);
        }
    }
}

impl UnreadRest {
    /// Reads it to its end or its limits, so that the client receives the answer.
    pub(crate) async fn drain(mut self) {
        let Ok(mut stream) = self.0.try_recv() else { return };
        let drain = async {
            let mut drained = 0;
            while let Ok(Some(piece)) = stream.try_next().await {
                drained += piece.len();
                if drained > MAX_DRAINED_BYTES {
                    break;
                }
            }
        };
        // The answer is the same after a timeout.
        let _ = timeout(DRAIN_TIMEOUT, drain).await;
    }
}

/// Reads a body that is one JSON value of a known shape.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    json::decode(body).map_err(Problem::refused)
}
