//! The receiver: the routes of its endpoints, of their behaviour, and of the received requests.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Path, Query, Request, State},
    http::{HeaderValue, Response as HttpResponse, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, put},
};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::{net::TcpListener, sync::Notify};

use crate::{
    behaviour::{Behaviour, Ending, Rule, Verdict},
    connection::{Reset, ResettableListener},
    endpoint::Endpoint,
    page,
    problem::{Kind, Problem},
    receipt::Shown,
    request_log::RequestLog,
};

/// The most that a body may weigh; the largest event has 32 KB.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// How long a request may be missing from the file.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// How many requests `GET /_sink/received` gives where the client does not say.
const DEFAULT_LIMIT: usize = 100;

/// The part of a request that the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing.
    Nothing,
    /// One line.
    Lines,
    /// One line, and the body below it.
    Bodies,
}

/// The receiver.
pub struct Sink {
    log: Mutex<RequestLog>,
    show: Show,
    print: fn(&str),
    now: fn() -> Timestamp,
    broken: Notify,
}

impl Sink {
    /// A sink whose endpoints behave like this at first. Every request becomes a line of JSON in `record`. `now` is the clock.
    pub fn new(
        behaviour: Behaviour,
        record: Option<File>,
        show: Show,
        print: fn(&str),
        now: fn() -> Timestamp,
    ) -> Result<Self, String> {
        let log = Mutex::new(RequestLog::new(&Rule::new(behaviour)?, record));
        Ok(Self { log, show, print, now, broken: Notify::new() })
    }

    /// Serves until `stopped`, or until the file cannot be written.
    pub async fn serve(self, listener: TcpListener, stopped: impl Future<Output = ()>) -> io::Result<()> {
        let sink = Arc::new(self);
        let app = router(sink.clone()).into_make_service_with_connect_info::<Reset>();
        let written = async {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(FLUSH_INTERVAL) => {}
                    () = sink.broken.notified() => {}
                }
                sink.log().flush()?;
            }
        };
        tokio::select! {
            ended = axum::serve(ResettableListener(listener), app).into_future() => ended?,
            broken = written => return broken,
            () = stopped => {}
        }
        sink.log().flush()
    }

    fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; gives its answer.
    fn take(
        &self,
        endpoint: Endpoint,
        parts: &axum::http::request::Parts,
        body: &[u8],
    ) -> io::Result<Verdict> {
        let mut log = self.log();
        let (verdict, line) = log.take(endpoint, (self.now)(), parts, body)?;
        if self.show != Show::Nothing {
            let shown: Shown<'_> = serde_json::from_str(line)?;
            let mut text = shown.line(endpoint);
            if self.show == Show::Bodies {
                text.push_str(&shown.body);
                text.push('\n');
            }
            (self.print)(&text);
        }
        Ok(verdict)
    }
}

fn router(sink: Arc<Sink>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/_sink/received", get(received).delete(forget))
        .route("/_sink/counts", get(counts))
        .route("/_sink/{endpoint}", put(behave).delete(behave_well).get(behaviour))
        .fallback(receive)
        .with_state(sink)
}

fn endpoint(name: &str) -> Result<Endpoint, Problem> {
    Endpoint::from_name(name)
        .ok_or_else(|| Problem::new(Kind::NotFound, "The endpoints are analytics-1, analytics-2 and comms."))
}

async fn receive(
    State(sink): State<Arc<Sink>>,
    ConnectInfo(connection): ConnectInfo<Reset>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let first = parts.uri.path().split('/').nth(1).unwrap_or_default();
    let endpoint = endpoint(first)?;
    let body = to_bytes(body, MAX_BODY_BYTES).await;
    let body = body.map_err(|_| Problem::new(Kind::TooLarge, "The body is too large, or broke off."))?;
    let verdict = sink.take(endpoint, &parts, &body).map_err(|_| {
        // A ledger with a gap is worse than none: the sink ends.
        sink.broken.notify_one();
        Problem::internal()
    })?;
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    match verdict.ending {
        Ending::Answered => {}
        Ending::Hanging => std::future::pending().await,
        Ending::Reset => connection.ask(),
        Ending::Endless => return Ok(Response::new(endless())),
    }
    Ok(answer(verdict))
}

/// The response for a verdict.
fn answer(verdict: Verdict) -> Response {
    let body: &[u8] =
        if verdict.status.is_success() { b"{\"received\": true}" } else { b"{\"received\": false}" };
    let mut response = HttpResponse::new(Body::from(Bytes::from_static(body)));
    *response.status_mut() = verdict.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = verdict.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A body that continues for as long as the client reads it.
fn endless() -> Body {
    Body::from_stream(futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, io::Error>(Bytes::from_static(&[b' '; 16 * 1024])), ()))
    }))
}

/// `GET /`: the received requests, for a person.
async fn page(State(sink): State<Arc<Sink>>) -> Html<String> {
    Html(page::draw(&mut sink.log()))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Selection {
    endpoint: Option<Endpoint>,
    limit: usize,
    after: u64,
}

impl Default for Selection {
    fn default() -> Self {
        Self { endpoint: None, limit: DEFAULT_LIMIT, after: 0 }
    }
}

/// `GET /_sink/received`: the requests in memory, oldest first.
async fn received(
    State(sink): State<Arc<Sink>>,
    Query(Selection { endpoint, limit, after }): Query<Selection>,
) -> Response {
    let log = sink.log();
    let (lines, next) = log.received(endpoint, after, limit.max(1));
    let next = next.map_or("null".to_owned(), |next| next.to_string());
    let text = format!("{{\"received\":[{}],\"next\":{next}}}\n", lines.join(","));
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// `DELETE /_sink/received`
async fn forget(State(sink): State<Arc<Sink>>) -> StatusCode {
    sink.log().forget();
    StatusCode::NO_CONTENT
}

/// `GET /_sink/counts`: of everything that was received, by endpoint. The file has it all then.
async fn counts(State(sink): State<Arc<Sink>>) -> Result<Response, Problem> {
    let mut log = sink.log();
    log.flush().map_err(|_| Problem::internal())?;
    let mut all = serde_json::Map::new();
    for endpoint in Endpoint::ALL {
        all.insert(endpoint.name().to_owned(), serde_json::json!(log.state(endpoint).counts()));
    }
    Ok(Json(all).into_response())
}

/// `GET /_sink/{endpoint}`: how it behaves.
async fn behaviour(State(sink): State<Arc<Sink>>, Path(name): Path<String>) -> Result<Response, Problem> {
    let endpoint = endpoint(&name)?;
    Ok(Json(sink.log().state(endpoint).rule.behaviour()).into_response())
}

/// `PUT /_sink/{endpoint}`: sets its behaviour.
async fn behave(
    State(sink): State<Arc<Sink>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let endpoint = endpoint(&name)?;
    let told: Result<Behaviour, _> = serde_json::from_slice(&body);
    let rule = told.map_err(|error| error.to_string()).and_then(Rule::new);
    let rule = rule.map_err(|why| Problem::new(Kind::BadBody, why))?;
    let answer = Json(rule.behaviour()).into_response();
    sink.log().state(endpoint).rule = rule;
    Ok(answer)
}

/// `DELETE /_sink/{endpoint}`: it behaves well again.
async fn behave_well(State(sink): State<Arc<Sink>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    sink.log().state(endpoint(&name)?).rule = Rule::default();
    Ok(StatusCode::NO_CONTENT)
}
