//! The requests that the sink received: counts of all, and the last ones in full.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fs::File,
    io::{self, BufWriter, Write},
};

use axum::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{
    behaviour::{Rule, Verdict},
    endpoint::Endpoint,
    receipt::{Receipt, webhook_id},
};

/// The most requests of each endpoint in memory,
const MAX_REQUESTS: usize = 10_000;
/// and the most bytes of them.
const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;

/// How many requests an endpoint received.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// Different ids of messages.
    pub(super) distinct: u64,
    /// Requests whose id had come to the same path before.
    pub(super) repeats: u64,
    /// Requests that named no id.
    pub(super) without_id: u64,
    /// By the status they got; `none`: they got none.
    pub(super) by_status: BTreeMap<String, u64>,
}

/// One endpoint: how it behaves, and what it received.
#[derive(Default)]
pub(super) struct EndpointState {
    pub(super) rule: Rule,
    requests: u64,
    repeats: u64,
    without_id: u64,
    /// By status; 0: none.
    statuses: BTreeMap<u16, u64>,
    /// Hashes of ids, and of paths with ids: millions fit into memory.
    ids: HashSet<u64>,
    calls: HashSet<u64>,
    kept: VecDeque<(u64, Box<str>)>,
    bytes: usize,
}

impl EndpointState {
    fn count(&mut self, parts: &Parts, verdict: Verdict) {
        self.requests += 1;
        *self.statuses.entry(verdict.status().unwrap_or(0)).or_default() += 1;
        let Some(id) = webhook_id(parts) else {
            self.without_id += 1;
            return;
        };
        self.ids.insert(xxh3_64(id.as_bytes()));
        let mut call = Xxh3::new();
        call.update(parts.uri.path().as_bytes());
        call.update(b"\0");
        call.update(id.as_bytes());
        self.repeats += u64::from(!self.calls.insert(call.digest()));
    }

    fn keep(&mut self, number: u64, line: &str) {
        self.bytes += line.len();
        self.kept.push_back((number, line.into()));
        while self.kept.len() > MAX_REQUESTS || self.bytes > MAX_KEPT_BYTES {
            let Some((_, oldest)) = self.kept.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let name = |status: u16| if status == 0 { "none".to_owned() } else { status.to_string() };
        Counts {
            requests: self.requests,
            distinct: self.ids.len() as u64,
            repeats: self.repeats,
            without_id: self.without_id,
            by_status: self.statuses.iter().map(|(status, count)| (name(*status), *count)).collect(),
        }
    }

    /// The last requests, newest first, each as its line of JSON.
    pub(super) fn last(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().rev().map(|(_, line)| &**line)
    }
}

/// All endpoints, and the file with every request.
pub(super) struct RequestLog {
    states: [EndpointState; 3],
    number: u64,
    file: Option<BufWriter<File>>,
    /// The line of the request that was received last.
    line: Vec<u8>,
}

impl RequestLog {
    pub(super) fn new(rule: &Rule, file: Option<File>) -> Self {
        let states = [(); 3].map(|()| EndpointState { rule: rule.clone(), ..EndpointState::default() });
        Self { states, number: 0, file: file.map(BufWriter::new), line: Vec::new() }
    }

    pub(super) fn state(&mut self, endpoint: Endpoint) -> &mut EndpointState {
        &mut self.states[endpoint as usize]
    }

    /// Records a request; gives its answer, and its line of JSON.
    pub(super) fn take(
        &mut self,
        endpoint: Endpoint,
        at: Timestamp,
        parts: &Parts,
        body: &[u8],
    ) -> io::Result<(Verdict, &str)> {
        let state = &mut self.states[endpoint as usize];
        let verdict = state.rule.next();
        self.number += 1;
        state.count(parts, verdict);
        self.line.clear();
        let receipt = Receipt::new(self.number, at, endpoint, parts, body, verdict);
        serde_json::to_writer(&mut self.line, &receipt)?;
        let line = std::str::from_utf8(&self.line).map_err(io::Error::other)?;
        state.keep(self.number, line);
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            file.write_all(b"\n")?;
        }
        Ok((verdict, line))
    }

    /// Requests behind the one with the number `after`, oldest first, each as its line of JSON; and the number of the
    /// last one, if there are more.
    pub(super) fn received(
        &self,
        endpoint: Option<Endpoint>,
        after: u64,
        limit: usize,
    ) -> (Vec<&str>, Option<u64>) {
        let asked = Endpoint::ALL.into_iter().filter(|one| endpoint.is_none_or(|endpoint| endpoint == *one));
        let mut found: Vec<_> = asked
            .flat_map(|endpoint| {
                let kept = &self.states[endpoint as usize].kept;
                kept.range(kept.partition_point(|(number, _)| *number <= after)..)
            })
            .collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(number, _)| *number).filter(|_| has_more);
        (found.into_iter().map(|(_, line)| &**line).collect(), next)
    }

    /// Deletes the requests in memory. Numbers continue, and so does the file.
    pub(super) fn forget(&mut self) {
        for state in &mut self.states {
            *state = EndpointState { rule: std::mem::take(&mut state.rule), ..EndpointState::default() };
        }
    }

    /// Writes the buffered lines to the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}
