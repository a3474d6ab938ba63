//! The delivery of events to one fast destination, and the loss of accepted events by `kill -9`.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    Bench,
    http::{Connection, expect, request},
    intake::{alone, event, track},
    servers::{Server, until},
    stored::StoredEvents,
};
use crate::error::Error;

/// The time of intake before the driver kills the server.
const KILL_DELAY: Duration = Duration::from_secs(5);
/// Connections that send events until then.
const CONNECTIONS: u64 = 64;
/// Events in each request that builds a backlog.
const BATCH_EVENTS: u64 = 1_000;

impl Bench<'_> {
    /// Delivers a backlog to `crmflow sink`. Returns deliveries a second, and the server's CPU time for each in microseconds.
    pub(super) fn delivery(&self) -> Result<(f64, f64), Error> {
        let mut sink = Command::new(self.program);
        let sink = Server::start("crmflow sink", sink.args(["sink", "--listen", "127.0.0.1:0", "--quiet"]))?;
        let data = self.data()?;
        let server = Server::crmflow(self.program, &data, Some(&sink.address))?;
        let destination = |state: &str| {
            let url = format!("http://{}/analytics-1", sink.address);
            format!(
                r#"{{"destinationName":"fast","url":"{url}","type":"analytics","headers":"","concurrency":32,"state":"{state}"}}"#
            )
        };
        let events = self.size.delivered;
        alone(async {
            let mut connection = Connection::open(&server.address).await?;
            expect(&mut connection, "POST", "/destinations", &destination("paused")).await?;
            for first in (0..events).step_by(usize::try_from(BATCH_EVENTS).unwrap_or(1)) {
                let batch: Vec<String> = (first..events.min(first + BATCH_EVENTS)).map(event).collect();
                expect(&mut connection, "POST", "/events", &format!("[{}]", batch.join(","))).await?;
            }
            Ok(())
        })?;
        StoredEvents::open(&data)?.wait_until_routed()?;
        let (began, cpu) = (Instant::now(), server.cpu());
        alone(async {
            let mut connection = Connection::open(&server.address).await?;
            expect(&mut connection, "PUT", "/destinations/fast", &destination("active")).await
        })?;
        until("all events are delivered", || Ok(received(&sink)? >= events))?;
        let seconds = began.elapsed().as_secs_f64();
        Ok((events as f64 / seconds, (server.cpu() - cpu) * 1e6 / events as f64))
    }

    /// Kills the server during intake, starts it again, and checks that every acknowledged event is stored. Returns their
    /// number.
    pub(super) fn killed(&self) -> Result<u64, Error> {
        let data = self.data()?;
        let mut server = Server::crmflow(self.program, &data, None)?;
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let address = server.address.clone();
        let kept = Arc::clone(&acknowledged);
        let load = std::thread::spawn(move || alone(until_killed(address, kept)));
        std::thread::sleep(KILL_DELAY);
        server.kill();
        let ended = load.join().map_err(|_| Error::wrong("the load", "it panicked"))?;
        ended?;
        let _again = Server::crmflow(self.program, &data, None)?;
        let mut stored = StoredEvents::open(&data)?;
        stored.wait_until_routed()?;
        let ids = acknowledged.lock().map_err(|_| Error::wrong("the load", "it panicked"))?;
        stored.has(&ids)?;
        Ok(ids.len() as u64)
    }
}

/// Sends events until the connection fails.
async fn until_killed(address: String, acknowledged: Arc<Mutex<Vec<String>>>) -> Result<(), Error> {
    let tasks = (0..CONNECTIONS).map(|place| {
        let (address, acknowledged) = (address.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let Ok(mut connection) = Connection::open(&address).await else { return };
            let mut number = place;
            while let Ok(id) = track(&mut connection, number).await {
                acknowledged.lock().into_iter().for_each(|mut ids| ids.push(id.clone()));
                number += CONNECTIONS;
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.map_err(|error| Error::wrong("the load", error.to_string()))?;
    }
    Ok(())
}

/// The number of events that the sink received; an error if it received none, or one twice.
pub(super) fn received(sink: &Server) -> Result<u64, Error> {
    let text = alone(async {
        let mut connection = Connection::open(&sink.address).await?;
        let (_, body) = connection.call(&request("GET", "/_sink/counts", "")).await?;
        Ok(body.to_vec())
    })?;
    let counts: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| Error::wrong("crmflow sink", format!("its counts are not JSON: {error}")))?;
    let count = |name: &str| counts["analytics-1"][name].as_u64();
    match (count("distinct"), count("requests")) {
        (Some(distinct), Some(requests)) if distinct == requests => Ok(distinct),
        _ => Err(Error::wrong(
            "crmflow sink",
            format!("it received no events, or some events twice: {counts}"),
        )),
    }
}
