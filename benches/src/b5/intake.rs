//! The intake of events: at a steady rate, and as fast as the server answers.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Bench, Latency, STEADY, ServerKind,
    http::{Connection, expect, request},
    servers::Server,
    stored::StoredEvents,
};
use crate::error::Error;

/// Connections of the steady load.
const STEADY_CONNECTIONS: u32 = 256;
/// Connections that send each request right after the previous answer.
const BUSY_CONNECTIONS: u32 = 96;

impl Bench<'_> {
    /// Runs the steady load. Returns the latency of answers, the server's CPU time for each event in microseconds, and
    /// its peak memory in MiB. Crmflow also routes each event, to one paused destination.
    pub(super) fn steady(&self, kind: ServerKind) -> Result<(Latency, f64, f64), Error> {
        let server = self.start(kind)?;
        if kind == ServerKind::Crmflow {
            let one = r#"{"destinationName":"one","url":"https://one.example/","type":"analytics","headers":"","state":"paused"}"#;
            alone(async {
                expect(&mut Connection::open(&server.address).await?, "POST", "/destinations", one).await
            })?;
        }
        let cpu = server.cpu();
        let (millis, ids) = steady(&server.address, STEADY, self.size.steady)?;
        let events = millis.len() as f64;
        let cpu = (server.cpu() - cpu) * 1e6 / events;
        if matches!(kind, ServerKind::Crmflow) {
            let mut stored = StoredEvents::open(&self.place.path("b5"))?;
            stored.wait_until_routed()?;
            stored.check(&ids)?;
        }
        Ok((Latency::of(millis), cpu, server.peak_mib()))
    }

    /// Maximum events a second, with `batch` events in each request.
    pub(super) fn ceiling(&self, kind: ServerKind, batch: usize) -> Result<f64, Error> {
        let server = self.start(kind)?;
        let (answered, seconds) = busy(&server.address, batch, self.size.ceiling)?;
        if kind == ServerKind::Intake {
            StoredEvents::open(&self.place.path("b5"))?.waits(answered)?;
        }
        Ok(answered as f64 * batch as f64 / seconds)
    }

    fn start(&self, kind: ServerKind) -> Result<Server, Error> {
        let none = || Error::Missing("the peers are not installed; --no-peers runs without them".into());
        match kind {
            ServerKind::Crmflow => Server::crmflow(self.program, &self.data()?, None),
            ServerKind::Intake => {
                let data = self.data()?;
                // `crmflow queues pause` needs a folder that exists.
                drop(Server::crmflow(self.program, &data, None)?);
                let mut pause = Command::new(self.program);
                let status = pause.arg("--data").arg(&data).args(["queues", "pause", "EventsQueue"]).output();
                if !status.map_err(Error::of("crmflow queues"))?.status.success() {
                    return Err(Error::wrong("crmflow", "`crmflow queues pause` failed"));
                }
                Server::crmflow(self.program, &data, None)
            }
            ServerKind::Express => self.peers.ok_or_else(none)?.express(),
            ServerKind::Fastapi => self.peers.ok_or_else(none)?.fastapi(),
        }
    }
}

/// The body of one event, in the format of the seed.
pub(super) fn event(number: u64) -> String {
    format!(
        r#"{{"userId":"user-{}","event":"user_clicked_promo","timestamp":"2025-08-08T16:30:00Z","metadata":{{"promoId":"PROMO_{number}","device":"mobile","preferredChannel":"email"}}}}"#,
        number % 5_000
    )
}

/// Runs `work` on a single thread, because the load shares the machine with the server.
pub(super) fn alone<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::of("a thread"))?.block_on(work)
}

/// Sends `rate` requests a second. Each is sent when it is due, even if earlier answers are missing (open loop). Returns
/// the milliseconds from the due time to each answer, and the ids.
pub(super) fn steady(address: &str, rate: u32, time: Duration) -> Result<(Vec<f64>, Vec<String>), Error> {
    let each = Duration::from_secs(1) / rate;
    let rounds =
        u32::try_from(time.as_millis() / (each * STEADY_CONNECTIONS).as_millis().max(1)).unwrap_or(1);
    alone(async {
        let mut connections = Vec::new();
        for _ in 0..STEADY_CONNECTIONS {
            connections.push(Connection::open(address).await?);
        }
        let begin = Instant::now() + Duration::from_millis(200);
        let tasks = (0..STEADY_CONNECTIONS).zip(connections).map(|(place, mut connection)| {
            tokio::spawn(async move {
                let mut answers = Vec::with_capacity(rounds as usize);
                for round in 0..rounds {
                    let number = round * STEADY_CONNECTIONS + place;
                    let due = begin + each * number;
                    tokio::time::sleep_until(due.into()).await;
                    let id = track(&mut connection, u64::from(number)).await?;
                    answers.push((due.elapsed().as_secs_f64() * 1e3, id));
                }
                Ok::<_, Error>(answers)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let (mut millis, mut ids) = (Vec::new(), Vec::new());
        for task in tasks {
            for (answered, id) in
                task.await.map_err(|error| Error::wrong("the load", error.to_string()))??
            {
                millis.push(answered);
                ids.push(id);
            }
        }
        Ok((millis, ids))
    })
}

/// Sends one event. Returns the id in the answer.
pub(super) async fn track(connection: &mut Connection, number: u64) -> Result<String, Error> {
    let (status, body) = connection.call(&request("POST", "/track", &event(number))).await?;
    let id = std::str::from_utf8(body).ok().and_then(|text| text.split('"').nth(3));
    match (status, id) {
        (200, Some(id)) => Ok(id.to_owned()),
        _ => Err(Error::wrong("a server", format!("it answered {status}"))),
    }
}

/// Sends requests on many connections, each right after the previous answer. Returns their number, and the seconds.
fn busy(address: &str, batch: usize, time: Duration) -> Result<(u64, f64), Error> {
    let answered = Arc::new(AtomicU64::new(0));
    alone(async {
        let began = Instant::now();
        let tasks = (0..BUSY_CONNECTIONS).map(|place| {
            let (address, answered) = (address.to_owned(), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut connection = Connection::open(&address).await?;
                let requests = requests(u64::from(place), batch);
                while began.elapsed() < time {
                    for request in &requests {
                        let (status, _) = connection.call(request).await?;
                        if status / 100 != 2 {
                            return Err(Error::wrong("a server", format!("it answered {status}")));
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.await.map_err(|error| Error::wrong("the load", error.to_string()))??;
        }
        Ok((answered.load(Ordering::Relaxed), began.elapsed().as_secs_f64()))
    })
}

/// Some requests of a connection, prepared before the measurement.
fn requests(place: u64, batch: usize) -> Vec<Vec<u8>> {
    let made = (0..16_u64).map(|at| {
        let first = (place * 16 + at) * batch as u64;
        if batch == 1 {
            return request("POST", "/track", &event(first));
        }
        let events: Vec<String> = (first..first + batch as u64).map(event).collect();
        request("POST", "/events", &format!("[{}]", events.join(",")))
    });
    made.collect()
}

impl Latency {
    pub(super) fn of(mut millis: Vec<f64>) -> Self {
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
            let at = (millis.len() as f64 * share) as usize;
            millis.get(at.min(millis.len().saturating_sub(1))).copied().unwrap_or(0.0)
        };
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }
}
