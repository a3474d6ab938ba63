//! How long a delivery takes, alone and beside a destination that hangs.

use std::{fs, process::Command};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Bench, Latency,
    delivery::received,
    http::{Connection, expect},
    intake::{alone, steady},
    servers::{Server, until},
};
use crate::{error::Error, report::progress};

/// Events a second.
const RATE: u32 = 500;

/// A line that the sink writes down.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    at: Timestamp,
    endpoint: String,
    webhook_id: String,
}

impl Bench<'_> {
    /// A round: alone, and beside a destination that hangs.
    pub(super) fn deliveries(&self, round: &str, rounds: &mut [Vec<Latency>; 2]) -> Result<(), Error> {
        for (is_other_hanging, runs) in [false, true].into_iter().zip(rounds) {
            let ran = self.beside(is_other_hanging)?;
            let beside = if is_other_hanging { "beside one that hangs" } else { "alone" };
            progress(&format!("B5 {round}: delivered {beside}: p50 {:.0} p99 {:.0} ms", ran.p50, ran.p99));
            runs.push(ran);
        }
        Ok(())
    }

    /// From when an event arrives until a fast destination has it, in milliseconds; every event also goes to another
    /// destination that never answers, if there is one.
    fn beside(&self, is_other_hanging: bool) -> Result<Latency, Error> {
        let data = self.data()?;
        let record = self.place.path("b5-received.ndjson");
        // It may be there from an earlier run.
        let _ = fs::remove_file(&record);
        let mut sink = Command::new(self.program);
        sink.args(["sink", "--listen", "127.0.0.1:0", "--quiet", "--record"]).arg(&record);
        let sink = Server::start("crmflow sink", &mut sink)?;
        let server = Server::crmflow(self.program, &data, Some(&sink.address))?;
        alone(async {
            let mut to_sink = Connection::open(&sink.address).await?;
            expect(&mut to_sink, "PUT", "/_sink/analytics-2", r#"{"hang":true}"#).await?;
            let mut to_server = Connection::open(&server.address).await?;
            for (name, endpoint) in [("fast", "analytics-1"), ("hangs", "analytics-2")] {
                let url = format!("http://{}/{endpoint}", sink.address);
                let body = format!(
                    r#"{{"destinationName":"{name}","url":"{url}","type":"analytics","headers":""}}"#
                );
                if name == "fast" || is_other_hanging {
                    expect(&mut to_server, "POST", "/destinations", &body).await?;
                }
            }
            Ok(())
        })?;
        let (_, ids) = steady(&server.address, RATE, self.size.steady)?;
        until("that all are delivered", || Ok(received(&sink)? >= ids.len() as u64))?;
        drop(sink);
        let text = fs::read_to_string(&record).map_err(Error::at(&record))?;
        let receipts = text.lines().filter_map(|line| serde_json::from_str::<Receipt>(line).ok());
        let millis: Vec<f64> = receipts
            .filter(|receipt| receipt.endpoint == "analytics-1")
            .filter_map(|receipt| Some(receipt.at.as_millisecond() - made_at(&receipt.webhook_id)?))
            .map(|millis| millis as f64)
            .collect();
        if millis.len() == ids.len() {
            return Ok(Latency::of(millis));
        }
        Err(Error::wrong("crmflow sink", format!("{} of {} are written down", millis.len(), ids.len())))
    }
}

/// When an id was made, in milliseconds since 1970: a UUID of version 7 begins with it.
fn made_at(id: &str) -> Option<i64> {
    i64::from_str_radix(&id.get(..13)?.replace('-', ""), 16).ok()
}
