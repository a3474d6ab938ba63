//! `crmflow sink`: a small receiver to send events to, with the seed's three endpoints (S0-044).
//!
//! It runs on one thread: beside a delivery that is measured it takes one core, and its lock is never waited
//! for.

mod behaviour;
mod connection;
mod ledger;
mod page;
mod receipt;

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::problem::{Kind, Problem};
use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Path, Query, Request, State},
    http::{HeaderValue, Response as HttpResponse, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, put},
};
pub(crate) use behaviour::Behaviour;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::Notify};

use self::{
    behaviour::{Ending, Rule, Verdict},
    connection::{Entrance, Reset},
    ledger::Ledger,
    receipt::Shown,
};
use crate::clock;

/// The most that a body may weigh; the largest event has 32 KB.
const LARGEST: usize = 8 * 1024 * 1024;
/// How long a request may be missing from the file.
const FLUSHED: Duration = Duration::from_millis(100);
/// How many requests `GET /_sink/received` gives where the client does not say.
const PAGE: usize = 100;

/// The endpoints that destinations of the seed have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Endpoint {
    #[serde(rename = "analytics-1")]
    Analytics1,
    #[serde(rename = "analytics-2")]
    Analytics2,
    #[serde(rename = "comms")]
    Comms,
}

impl Endpoint {
    const ALL: [Self; 3] = [Self::Analytics1, Self::Analytics2, Self::Comms];

    fn name(self) -> &'static str {
        match self {
            Self::Analytics1 => "analytics-1",
            Self::Analytics2 => "analytics-2",
            Self::Comms => "comms",
        }
    }

    fn from_name(name: &str) -> Result<Self, Problem> {
        let found = Self::ALL.into_iter().find(|endpoint| endpoint.name() == name);
        found.ok_or_else(|| {
            Problem::new(Kind::NotFound, "The endpoints are analytics-1, analytics-2 and comms.")
        })
    }
}

/// What is shown of a request on the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Nothing,
    Lines,
    Bodies,
}

/// The receiver.
pub(crate) struct Sink {
    ledger: Mutex<Ledger>,
    show: Show,
    print: fn(&str),
    broken: Notify,
}

impl Sink {
    /// A sink whose endpoints behave like this at first. Every request becomes a line of JSON in `record`.
    pub(crate) fn new(
        behaviour: Behaviour,
        record: Option<File>,
        show: Show,
        print: fn(&str),
    ) -> Result<Self, String> {
        let ledger = Mutex::new(Ledger::new(&Rule::new(behaviour)?, record));
        Ok(Self { ledger, show, print, broken: Notify::new() })
    }

    /// Serves until `stopped`, or until the file cannot be written.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        stopped: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let sink = Arc::new(self);
        let app = router(sink.clone()).into_make_service_with_connect_info::<Reset>();
        let written = async {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(FLUSHED) => {}
                    () = sink.broken.notified() => {}
                }
                sink.ledger().flush()?;
            }
        };
        tokio::select! {
            ended = axum::serve(Entrance(listener), app).into_future() => ended?,
            broken = written => return broken,
            () = stopped => {}
        }
        sink.ledger().flush()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in; what it gets.
    fn take(
        &self,
        endpoint: Endpoint,
        parts: &axum::http::request::Parts,
        body: &[u8],
    ) -> io::Result<Verdict> {
        let mut ledger = self.ledger();
        let (verdict, line) = ledger.take(endpoint, clock::now(), parts, body)?;
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

async fn receive(
    State(sink): State<Arc<Sink>>,
    ConnectInfo(connection): ConnectInfo<Reset>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let first = parts.uri.path().split('/').nth(1).unwrap_or_default();
    let endpoint = Endpoint::from_name(first)?;
    let body = to_bytes(body, LARGEST).await;
    let body = body.map_err(|_| Problem::new(Kind::TooLarge, "The body is too large, or broke off."))?;
    let verdict = sink.take(endpoint, &parts, &body).map_err(|error| {
        // A ledger with a gap is worse than none: the sink ends.
        sink.broken.notify_one();
        Problem::internal(error.to_string())
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

/// What a request is answered with.
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

/// A body that goes on for as long as somebody reads it.
fn endless() -> Body {
    Body::from_stream(futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, io::Error>(Bytes::from_static(&[b' '; 16 * 1024])), ()))
    }))
}

/// `GET /`: what was received, for a person.
async fn page(State(sink): State<Arc<Sink>>) -> Html<String> {
    Html(page::draw(&mut sink.ledger()))
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
        Self { endpoint: None, limit: PAGE, after: 0 }
    }
}

/// `GET /_sink/received`: requests that are still kept, oldest first.
async fn received(
    State(sink): State<Arc<Sink>>,
    Query(Selection { endpoint, limit, after }): Query<Selection>,
) -> Response {
    let ledger = sink.ledger();
    let (lines, next) = ledger.received(endpoint, after, limit.max(1));
    let next = next.map_or("null".to_owned(), |next| next.to_string());
    let text = format!("{{\"received\":[{}],\"next\":{next}}}\n", lines.join(","));
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// `DELETE /_sink/received`
async fn forget(State(sink): State<Arc<Sink>>) -> StatusCode {
    sink.ledger().forget();
    StatusCode::NO_CONTENT
}

/// `GET /_sink/counts`: of everything that was received, by endpoint. The file has it all then.
async fn counts(State(sink): State<Arc<Sink>>) -> Result<Response, Problem> {
    let mut ledger = sink.ledger();
    ledger.flush().map_err(|error| Problem::internal(error.to_string()))?;
    let mut all = serde_json::Map::new();
    for endpoint in Endpoint::ALL {
        all.insert(endpoint.name().to_owned(), serde_json::json!(ledger.desk(endpoint).counts()));
    }
    Ok(Json(all).into_response())
}

/// `GET /_sink/{endpoint}`: how it behaves.
async fn behaviour(State(sink): State<Arc<Sink>>, Path(name): Path<String>) -> Result<Response, Problem> {
    let endpoint = Endpoint::from_name(&name)?;
    Ok(Json(sink.ledger().desk(endpoint).rule.behaviour()).into_response())
}

/// `PUT /_sink/{endpoint}`: tells it how to behave.
async fn behave(
    State(sink): State<Arc<Sink>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let endpoint = Endpoint::from_name(&name)?;
    let told: Result<Behaviour, _> = serde_json::from_slice(&body);
    let rule = told.map_err(|error| error.to_string()).and_then(Rule::new);
    let rule = rule.map_err(|why| Problem::new(Kind::BadBody, why))?;
    let answer = Json(rule.behaviour()).into_response();
    sink.ledger().desk(endpoint).rule = rule;
    Ok(answer)
}

/// `DELETE /_sink/{endpoint}`: it behaves well again.
async fn behave_well(State(sink): State<Arc<Sink>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    sink.ledger().desk(Endpoint::from_name(&name)?).rule = Rule::default();
    Ok(StatusCode::NO_CONTENT)
}
