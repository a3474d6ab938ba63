//! Routes: which of a tenant's destinations an event goes to (S0-016, S0-020, S0-021). Kept in memory between
//! calls, and read anew as soon as a destination has changed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    batch::Name,
    destination::{self, Destination, DestinationName, DestinationType, Ordering, State},
    error::Error,
    event::Event,
    expression::{Expression, ExpressionError, Subject},
    store::Store,
};

/// Routes are read anew after so long even if nothing says that they changed: whoever changed a destination may
/// have died before saying so.
const STALE: SignedDuration = SignedDuration::from_secs(10);
/// A filter that took so long for the events of a step, all in all, is not asked again in it: an honest one takes
/// milliseconds for thousands, and a step that takes minutes holds up every other destination.
const PATIENCE: Duration = Duration::from_secs(3);

/// The routes of all tenants that had events.
#[derive(Debug, Default)]
pub struct Routes {
    known: Mutex<HashMap<Name, Known>>,
}

#[derive(Debug)]
struct Known {
    generation: u64,
    read_at: Timestamp,
    routes: Arc<TenantRoutes>,
}

impl Routes {
    /// The routes of a tenant as they are at `now`.
    pub async fn of(
        &self,
        tenant: &Name,
        store: &impl Store,
        now: Timestamp,
    ) -> Result<Arc<TenantRoutes>, Error> {
        // Asked before the destinations are: a change that comes between is seen the next time.
        let generation = destination::generation(tenant, store).await?;
        let is_fresh = |known: &&Known| {
            let age = now.duration_since(known.read_at);
            known.generation == generation && !age.is_negative() && age < STALE
        };
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(tenant).filter(is_fresh) {
            return Ok(Arc::clone(&known.routes));
        }
        let all = Destination::all(tenant, store).await?;
        let routes = Arc::new(TenantRoutes::new(all.into_iter().map(|stored| stored.destination)));
        let known = Known { generation, read_at: now, routes: Arc::clone(&routes) };
        lock().insert(tenant.clone(), known);
        Ok(routes)
    }
}

/// The routes of one tenant, ready to be asked. A destination that wants events of certain names costs nothing for
/// all others.
#[derive(Debug, Default)]
pub struct TenantRoutes {
    routes: Vec<Route>,
    /// Those that want the events of a name.
    by_event: HashMap<String, Vec<usize>>,
    /// Those that want events of any name.
    of_all: Vec<usize>,
    by_destination: HashMap<DestinationName, usize>,
}

/// The way to one destination.
#[derive(Debug)]
pub struct Route {
    /// Where it leads.
    pub destination: DestinationName,
    /// Whether it needs to know the event's preferred channel (S0-022).
    pub takes_channel: bool,
    /// Whether it needs to know whose event it is.
    pub is_ordered: bool,
    /// [`crate::destination::Destination::made`].
    pub made: i64,
    /// What an event must fulfil; a filter that cannot be read lets none through.
    filter: Option<Result<Expression, ExpressionError>>,
}

/// What the filters of a tenant were asked in one step.
#[derive(Debug)]
pub struct Asked(Vec<Answers>);

/// What one filter was asked.
#[derive(Clone, Debug, Default)]
struct Answers {
    spent: Duration,
    /// How many events it was asked for.
    asked: u64,
    /// For how many it had no answer.
    failed: u64,
    /// What was wrong the first time.
    why: Option<ExpressionError>,
}

/// A filter that could not be evaluated.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Whose it is.
    pub destination: &'a DestinationName,
    /// How many events did not go there because of that.
    pub events: u64,
    /// For how many it was tried.
    pub asked: u64,
    /// What was wrong the first time.
    pub why: String,
}

impl Answers {
    /// What a filter says, while it may still be asked.
    fn ask(&mut self, filter: impl FnOnce() -> Result<bool, ExpressionError>) -> bool {
        if self.spent >= PATIENCE {
            self.failed += 1;
            return false;
        }
        let began = Instant::now();
        let answer = filter();
        self.spent += began.elapsed();
        self.asked += 1;
        answer.unwrap_or_else(|error| {
            self.failed += 1;
            self.why.get_or_insert(error);
            false
        })
    }
}

impl TenantRoutes {
    fn new(destinations: impl Iterator<Item = Destination>) -> Self {
        let mut all = Self::default();
        for destination in destinations {
            let at = all.routes.len();
            if destination.state != State::Disabled {
                for name in &destination.events {
                    all.by_event.entry(name.clone()).or_default().push(at);
                }
                if destination.events.is_empty() {
                    all.of_all.push(at);
                }
            }
            all.by_destination.insert(destination.destination_name.clone(), at);
            all.routes.push(Route {
                takes_channel: destination.kind == DestinationType::Cdp,
                is_ordered: destination.ordering == Ordering::User,
                made: destination.made(),
                filter: destination.filter.as_deref().map(Expression::parse),
                destination: destination.destination_name,
            });
        }
        all
    }

    /// Whether no event goes anywhere.
    pub fn is_empty(&self) -> bool {
        self.by_event.is_empty() && self.of_all.is_empty()
    }

    /// The way to a destination, whether or not events go there now.
    pub fn to(&self, destination: &DestinationName) -> Option<&Route> {
        self.by_destination.get(destination).map(|&at| &self.routes[at])
    }

    /// A step in which no filter was asked yet.
    pub fn ask(&self) -> Asked {
        Asked(vec![Answers::default(); self.routes.len()])
    }

    /// The filters that could not be evaluated.
    pub fn failures(&self, asked: &Asked) -> Vec<Failure<'_>> {
        let mut failures = Vec::new();
        for (route, answers) in self.routes.iter().zip(&asked.0) {
            if answers.failed > 0 {
                let why =
                    answers.why.as_ref().map_or_else(|| "it takes too long".to_owned(), ToString::to_string);
                let Answers { failed: events, asked, .. } = *answers;
                failures.push(Failure { destination: &route.destination, events, asked, why });
            }
        }
        failures
    }

    /// The routes that an event takes; `json` is the event.
    pub fn matching(&self, event: &Event<'_>, json: &str, asked: &mut Asked) -> Vec<&Route> {
        let named = self.by_event.get(&*event.event).map_or(&[][..], Vec::as_slice);
        // Read when the first filter needs it, and once for all of them.
        let mut subject = None;
        let mut matching: Vec<&Route> = Vec::new();
        for &at in named.iter().chain(&self.of_all) {
            let (route, answers) = (&self.routes[at], &mut asked.0[at]);
            let lets_through = match &route.filter {
                None => true,
                Some(Err(error)) => answers.ask(|| Err(error.clone())),
                Some(Ok(filter)) => match subject.get_or_insert_with(|| Subject::read(json)) {
                    Ok(subject) => answers.ask(|| filter.is_true(subject)),
                    Err(error) => answers.ask(|| Err(error.clone())),
                },
            };
            if lets_through {
                matching.push(route);
            }
        }
        matching
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::door;

    fn destination(name: &str, filter: &str) -> Destination {
        let body = json!({
            "destinationName": name, "Type": "analytics", "Url": "https://example.com/", "holdSeconds": 1,
            "concurrency": 1, "retryDelays": [], "filter": filter, "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
        });
        door::decode(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_filter_that_takes_too_long_keeps_others_waiting_only_so_often() {
        let endless = destination("endless", "($f := function() { $f() }; $f())");
        let routes = TenantRoutes::new([endless, destination("plain", "event = 'e'")].into_iter());
        let json = r#"{"messageId":"m","type":"track","event":"e","timestamp":"2026-01-01T00:00:00Z","receivedAt":"2026-01-01T00:00:00Z"}"#;
        let event: Event<'_> = serde_json::from_str(json).unwrap();
        let mut asked = routes.ask();
        for _ in 0..200 {
            let matching = routes.matching(&event, json, &mut asked);
            let names: Vec<&str> = matching.iter().map(|route| route.destination.as_str()).collect();
            assert_eq!(names, ["plain"]);
        }
        let failures = routes.failures(&asked);
        let failed: Vec<_> =
            failures.iter().map(|one| (one.destination.as_str(), one.events, one.asked)).collect();
        assert_eq!(failed, [("endless", 200, 3)], "{failures:?}");
    }
}
