//! The client that calls destinations. It connects to addresses that the [`Guard`] permits, follows no redirect, uses
//! no proxy and stores no cookie.

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
    resolver::{Blocked, GuardedResolver, Resolver},
    tls_roots,
};

/// Maximum number of calls in flight: half of the files that a process may have open by default on Linux.
const MAX_CALLS: usize = 512;
/// Maximum time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a response body that is read so that the connection can be used again. A longer body closes the
/// connection.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// Maximum time to read that: the result itself is known by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of idle connections to one host, and how long they stay open.
const MAX_IDLE_PER_HOST: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The result of a call. No text of it contains a part of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResult {
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// The error if there was no response: `timeout`, `connect`, `reset`, `dns`, `tls`, `blocked`.
    pub error: Option<&'static str>,
    /// When the destination wants the next call, if it said so.
    pub retry_after: Option<RetryAfter>,
    /// The time until the response's headers arrived.
    pub duration: Duration,
}

/// A header `Retry-After` (RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so many seconds.
    Seconds(u32),
    /// At this time.
    At(Timestamp),
}

impl RetryAfter {
    /// Parses the header's value; `None`: it is invalid.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Seconds(value.parse().unwrap_or(u32::MAX)));
        }
        jiff::fmt::rfc2822::parse(value).ok().map(|time| Self::At(time.timestamp()))
    }

    /// The delay from `now` on.
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
    /// The clients of the ports that the configuration names; one for each port, since a resolver does not know the
    /// port.
    by_port: Arc<BTreeMap<u16, Client>>,
    others: Client,
    /// Permits for calls, without those in flight.
    permits: Arc<Semaphore>,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be made: {0}")]
pub struct Unusable(String);

impl Outbound {
    /// A client that connects to the addresses that the guard permits.
    pub fn new(guard: Guard) -> Result<Self, Unusable> {
        Self::trusting(guard, tls_roots::roots())
    }

    /// A client that trusts these authorities and no others.
    pub fn trusting(guard: Guard, roots: RootCertStore) -> Result<Self, Unusable> {
        let guard = Arc::new(guard);
        let tls = tls_roots::config(roots).map_err(|error| Unusable(error.to_string()))?;
        let resolver = Arc::new(Resolver::new());
        let client = |port| {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(GuardedResolver {
                    guard: Arc::clone(&guard),
                    resolver: Arc::clone(&resolver),
                    port,
                })
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .http1_only()
                .tcp_nodelay(true)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .user_agent(concat!("crmflow/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| Unusable(error.to_string()))
        };
        let by_port = guard.ports().map(|port| Ok((port, client(port)?))).collect::<Result<_, _>>()?;
        // No entry of the configuration names port 0.
        let permits = Arc::new(Semaphore::new(MAX_CALLS));
        Ok(Self { others: client(0)?, by_port: Arc::new(by_port), guard, permits })
    }

    /// The same with a maximum of so many calls in flight. Each is an open file of the process.
    #[must_use]
    pub fn with_max_calls(self, calls: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))), ..self }
    }

    /// The guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Calls. The response's headers must arrive within `limit`, counted from the permit for the call.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, limit: Duration) -> HttpResult {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let began = Instant::now();
        let sent = match self.guard.permits_host(url) {
            Ok(true) => timeout(limit, self.client(url).post(url.clone()).headers(headers).body(body).send()),
            Ok(false) | Err(_) => return HttpResult::none("blocked", began),
        };
        match sent.await {
            Err(_) => HttpResult::none("timeout", began),
            Ok(Err(error)) => HttpResult::none(name(&error), began),
            Ok(Ok(response)) => {
                let answer = HttpResult {
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

impl HttpResult {
    fn none(error: &'static str, began: Instant) -> Self {
        Self { status: None, error: Some(error), retry_after: None, duration: began.elapsed() }
    }
}

fn retry_after(response: &Response) -> Option<RetryAfter> {
    RetryAfter::parse(response.headers().get(RETRY_AFTER)?.to_str().ok()?)
}

/// Reads a short response body: then the connection can be used again.
async fn finish(mut response: Response) {
    let until = Instant::now() + BODY_TIMEOUT;
    let mut read = 0;
    while let Ok(Ok(Some(piece))) = timeout_at(until, response.chunk()).await {
        read += piece.len();
        if read > MAX_BODY_BYTES {
            return;
        }
    }
}

/// The stored name of an error.
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

/// An error of rustls is wrapped in errors of input and output; the cause of such an error is the one inside it.
fn is_of_tls(cause: &(dyn StdError + 'static)) -> bool {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
