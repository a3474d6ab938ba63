//! The client that calls destinations. It connects to addresses that the [`Guard`] permits, follows no redirect,
//! knows no proxy and keeps no cookie.

use std::{collections::BTreeMap, error::Error as StdError, io, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Client, Response,
    header::{HeaderMap, RETRY_AFTER},
};
use rustls::RootCertStore;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use url::Url;

use super::{
    guard::Guard,
    names::{Blocked, Names, Permitted},
    trust,
};

/// How many calls may be on their way at once: half of the files that a process may have open by default on Linux.
const CALLS: usize = 512;
/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// So much of an answer's body is read, that the connection can be used again; a longer one is dropped with it.
const BODY: usize = 4 * 1024;
/// How long that may take: the answer itself is known by then.
const BODY_TIME: Duration = Duration::from_secs(1);
/// How many connections to one host are kept though nothing is on its way, and for how long.
const IDLE: usize = 64;
const IDLE_TIME: Duration = Duration::from_secs(20);

/// What came of a call. No text in it holds a part of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong where there was none: `timeout`, `connect`, `reset`, `dns`, `tls`, `blocked`.
    pub error: Option<&'static str>,
    /// When the destination wants to be called again, if it said so.
    pub retry_after: Option<RetryAfter>,
    /// How long it took, until the answer's headers were there.
    pub duration: Duration,
}

/// A header `Retry-After` (RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds from now.
    Seconds(u32),
    /// At this time.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads the header's value; `None`: it is not one.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Seconds(value.parse().unwrap_or(u32::MAX)));
        }
        jiff::fmt::rfc2822::parse(value).ok().map(|time| Self::At(time.timestamp()))
    }

    /// How long to wait from `now` on.
    pub fn wait(self, now: Timestamp) -> SignedDuration {
        match self {
            Self::Seconds(seconds) => SignedDuration::from_secs(seconds.into()),
            Self::At(time) => time.duration_since(now).max(SignedDuration::ZERO),
        }
    }
}

/// The client. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    guard: Arc<Guard>,
    /// For the ports that the configuration names; a client a port, since a resolver is not told of ports.
    by_port: Arc<BTreeMap<u16, Client>>,
    others: Client,
    /// Calls that may still be made beside those that are on their way.
    room: Arc<Semaphore>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be made: {0}")]
pub struct Unusable(String);

impl Outbound {
    /// A client that goes where the guard lets it.
    pub fn new(guard: Guard) -> Result<Self, Unusable> {
        Self::trusting(guard, trust::roots())
    }

    /// One that trusts these authorities and no others.
    pub fn trusting(guard: Guard, roots: RootCertStore) -> Result<Self, Unusable> {
        let guard = Arc::new(guard);
        let tls = trust::config(roots).map_err(|error| Unusable(error.to_string()))?;
        let names = Arc::new(Names::new());
        let client = |port| {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Permitted { guard: Arc::clone(&guard), names: Arc::clone(&names), port })
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .http1_only()
                .tcp_nodelay(true)
                .connect_timeout(CONNECT)
                .pool_max_idle_per_host(IDLE)
                .pool_idle_timeout(IDLE_TIME)
                .user_agent(concat!("crmflow/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| Unusable(error.to_string()))
        };
        let by_port = guard.ports().map(|port| Ok((port, client(port)?))).collect::<Result<_, _>>()?;
        // No entry of the configuration names port 0.
        let room = Arc::new(Semaphore::new(CALLS));
        Ok(Self { others: client(0)?, by_port: Arc::new(by_port), guard, room })
    }

    /// The same with room for so many calls at once. Each is a file that the process has open.
    #[must_use]
    pub fn with_room(self, calls: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))), ..self }
    }

    /// The guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Calls: at most `limit` until the answer's headers are there, from when there is room for the call.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, limit: Duration) -> Answer {
        // It is never closed.
        let _room = self.room.acquire().await;
        let began = Instant::now();
        let sent = match self.guard.permits_host(url) {
            Ok(true) => timeout(limit, self.client(url).post(url.clone()).headers(headers).body(body).send()),
            Ok(false) | Err(_) => return Answer::none("blocked", began),
        };
        match sent.await {
            Err(_) => Answer::none("timeout", began),
            Ok(Err(error)) => Answer::none(name(&error), began),
            Ok(Ok(response)) => {
                let answer = Answer {
                    status: Some(response.status().as_u16()),
                    error: None,
                    retry_after: retry_after(&response),
                    duration: began.elapsed(),
                };
                finish(response).await;
                answer
            }
        }
    }

    fn client(&self, url: &Url) -> &Client {
        let own = url.port_or_known_default().and_then(|port| self.by_port.get(&port));
        own.unwrap_or(&self.others)
    }
}

impl Answer {
    fn none(error: &'static str, began: Instant) -> Self {
        Self { status: None, error: Some(error), retry_after: None, duration: began.elapsed() }
    }
}

fn retry_after(response: &Response) -> Option<RetryAfter> {
    RetryAfter::parse(response.headers().get(RETRY_AFTER)?.to_str().ok()?)
}

/// Reads the answer's body, if it is short: then the connection can be used again.
async fn finish(mut response: Response) {
    let until = Instant::now() + BODY_TIME;
    let mut read = 0;
    while let Ok(Ok(Some(piece))) = timeout_at(until, response.chunk()).await {
        read += piece.len();
        if read > BODY {
            return;
        }
    }
}

/// The name by which an error is kept.
fn name(error: &reqwest::Error) -> &'static str {
    let causes = || std::iter::successors(error.source(), |cause| StdError::source(*cause));
    if causes().any(|cause| cause.is::<Blocked>()) {
        return "blocked";
    }
    if causes().any(is_of_tls) {
        return "tls";
    }
    if error.is_timeout() {
        "timeout"
    } else if error.is_dns() {
        "dns"
    } else if error.is_connect() {
        "connect"
    } else {
        "reset"
    }
}

/// An error of rustls comes inside of others of input and output, whose causes are the ones behind it.
fn is_of_tls(cause: &(dyn StdError + 'static)) -> bool {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
