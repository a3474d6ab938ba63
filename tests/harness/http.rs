//! A client of the API.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Request, Response},
};

use crate::harness::program::PATIENCE;

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body; null where it is not JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// A client of the API at one address.
pub(crate) struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent = config.timeout_global(Some(PATIENCE)).build().into();
        Self { agent, base: base.trim_end_matches('/').to_owned() }
    }

    /// GET.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        read(self.agent.get(self.at(path)).call().unwrap())
    }

    /// GET with these headers.
    #[track_caller]
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(self.at(path));
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        read(request.call().unwrap())
    }

    /// GET that is answered with 200; the body.
    #[track_caller]
    pub(crate) fn show(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.body
    }

    /// POST with these headers.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_post(path, headers, body).unwrap()
    }

    /// POST to an API that may be gone.
    pub(crate) fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(self.at(path));
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        Ok(read(request.send(body)?))
    }

    /// PUT.
    #[track_caller]
    pub(crate) fn put(&self, address: &str, body: &[u8]) -> Answer {
        read(self.agent.put(self.at(address)).send(body).unwrap())
    }

    /// Any method; a body is JSON.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder().method(method).uri(self.at(path));
        read(match body {
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).unwrap()).unwrap()
            }
        })
    }

    /// DELETE.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        read(self.agent.delete(self.at(path)).call().unwrap())
    }

    /// Sends a batch that is taken; its id.
    #[track_caller]
    pub(crate) fn send(&self, media: &str, body: &[u8]) -> String {
        self.send_to("/records", media, body)
    }

    /// The same, to a path with a query.
    #[track_caller]
    pub(crate) fn send_to(&self, path: &str, media: &str, body: &[u8]) -> String {
        let answer = self.post(path, &[("content-type", media)], body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["batchId"].as_str().unwrap().to_owned()
    }

    /// A batch as it stands once it does not run any more.
    #[track_caller]
    pub(crate) fn ended(&self, batch: &str) -> Value {
        until(|| {
            let found = self.show(&format!("/batches/{batch}"));
            (found["status"] != "RUNNING").then_some(found)
        })
    }

    /// Every entry of a listing, over all of its pages.
    #[track_caller]
    pub(crate) fn all(&self, path: &str, name: &str) -> Vec<Value> {
        let mut next = Some(path.to_owned());
        let mut entries = Vec::new();
        while let Some(path) = next {
            let mut page = self.show(&path);
            entries.append(page[name].as_array_mut().unwrap());
            next = page["links"]["next"].as_str().map(ToOwned::to_owned);
        }
        entries
    }

    fn at(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }
}

fn read(mut response: Response<Body>) -> Answer {
    let text = response.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

/// Looks until there is something to see.
#[track_caller]
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "waited for too long");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986).
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
