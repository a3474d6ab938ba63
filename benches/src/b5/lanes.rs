//! The time of deliveries and answers beside no other destination, beside one that answers, and beside one that hangs.

use std::{fs, process::Command};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Bench, Isolation, Latency,
    delivery::received,
    http::{Connection, expect},
    intake::{alone, steady},
    servers::{Server, until},
};
use crate::{error::Error, report::progress};

/// Events a second.
pub(super) const RATE: u32 = 500;

/// The other destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    None,
    Answers,
    Hangs,
}

const OTHERS: [Other; 3] = [Other::None, Other::Answers, Other::Hangs];

/// Its description in the report.
pub(super) const LABELS: [&str; OTHERS.len()] = ["there is no other", "the other answers", "the other hangs"];

/// A line of the sink's record of requests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    at: Timestamp,
    endpoint: String,
    webhook_id: String,
}

impl Bench<'_> {
    /// One round beside each other destination.
    pub(super) fn deliveries(
        &self,
        round: &str,
        rounds: &mut [Isolation; LABELS.len()],
    ) -> Result<(), Error> {
        for ((other, how), runs) in OTHERS.into_iter().zip(LABELS).zip(rounds) {
            let [delivered, answered] = self.beside(other)?;
            let (ms, answer) = (delivered.p99, answered.p99);
            progress(&format!("B5 {round}: {how}: p99 delivered {ms:.2} ms, answered {answer:.2} ms"));
            runs.delivered.push(delivered);
            runs.answered.push(answered);
        }
        Ok(())
    }

    /// The latency from an event's arrival to its delivery, and from a request's due time to its answer. Each event also
    /// has a delivery to the other destination.
    fn beside(&self, other: Other) -> Result<[Latency; 2], Error> {
        let data = self.data()?;
        let record = self.place.path("b5-received.ndjson");
        // An earlier run may have left the destination.
        let _ = fs::remove_file(&record);
        let mut sink = Command::new(self.program);
        sink.args(["sink", "--listen", "127.0.0.1:0", "--quiet", "--record"]).arg(&record);
        let sink = Server::start("crmflow sink", &mut sink)?;
        let server = Server::crmflow(self.program, &data, Some(&sink.address))?;
        alone(async {
            let mut to_sink = Connection::open(&sink.address).await?;
            let how = format!(r#"{{"hang":{}}}"#, other == Other::Hangs);
            expect(&mut to_sink, "PUT", "/_sink/analytics-2", &how).await?;
            let mut to_server = Connection::open(&server.address).await?;
            let both = [("one", "analytics-1"), ("other", "analytics-2")];
            for (name, endpoint) in both.into_iter().take(1 + usize::from(other != Other::None)) {
                let url = format!("http://{}/{endpoint}", sink.address);
                let body = format!(
                    r#"{{"destinationName":"{name}","url":"{url}","type":"analytics","headers":""}}"#
                );
                expect(&mut to_server, "POST", "/destinations", &body).await?;
            }
            Ok(())
        })?;
        let (answers, ids) = steady(&server.address, RATE, self.size.steady)?;
        until("all events are delivered", || Ok(received(&sink)? >= ids.len() as u64))?;
        drop(sink);
        let text = fs::read_to_string(&record).map_err(Error::at(&record))?;
        let receipts = text.lines().filter_map(|line| serde_json::from_str::<Receipt>(line).ok());
        let millis: Vec<f64> = receipts
            .filter(|receipt| receipt.endpoint == "analytics-1")
            .filter_map(|receipt| Some(receipt.at.as_microsecond() - 1_000 * made_at(&receipt.webhook_id)?))
            .map(|micros| micros as f64 / 1e3)
            .collect();
        if millis.len() == ids.len() {
            return Ok([Latency::of(millis), Latency::of(answers)]);
        }
        Err(Error::wrong("crmflow sink", format!("it recorded {} of {} deliveries", millis.len(), ids.len())))
    }
}

/// The creation time of an id, in milliseconds since 1970: a UUID of version 7 begins with it.
fn made_at(id: &str) -> Option<i64> {
    i64::from_str_radix(&id.get(..13)?.replace('-', ""), 16).ok()
}
