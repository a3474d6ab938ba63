//! Routes: the destinations of a tenant that want an event (S0-016, S0-020, S0-021). They are cached between
//! calls, and read again as soon as a destination has changed.

mod filter_budget;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};

use destinations::{
    destination::{self, Destination, DestinationType, Ordering},
    expression::{Expression, ExpressionError, Subject},
};
use events::event::Event;
use filter_budget::{FilterBudget, STEP_TIMEOUT, SlowFilters};
use kernel::{batch::Name, destination_name::DestinationName, error::Error, store::Store};

/// Routes are read again after this time in any case: a process may have crashed after it changed a
/// destination and before it raised the generation.
const MAX_ROUTES_AGE: SignedDuration = SignedDuration::from_secs(10);

/// The cached routes of all tenants.
#[derive(Debug, Default)]
pub struct Routes {
    cached: Mutex<HashMap<Name, CachedRoutes>>,
}

#[derive(Debug)]
struct CachedRoutes {
    generation: u64,
    read_at: Timestamp,
    routes: Arc<TenantRoutes>,
}

impl Routes {
    /// The routes of a tenant at `now`.
    pub async fn for_tenant(
        &self,
        tenant: &Name,
        store: &impl Store,
        now: Timestamp,
    ) -> Result<Arc<TenantRoutes>, Error> {
        // The generation is read before the destinations: a change between the two reads is noticed by the
        // next call.
        let generation = destination::generation(tenant, store).await?;
        let is_fresh = |cached: &&CachedRoutes| {
            let age = now.duration_since(cached.read_at);
            cached.generation == generation && !age.is_negative() && age < MAX_ROUTES_AGE
        };
        let lock = || self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = lock().get(tenant).filter(is_fresh) {
            return Ok(Arc::clone(&cached.routes));
        }
        let all = Destination::all(tenant, store).await?;
        let before = lock().get(tenant).map(|cached| Arc::clone(&cached.routes));
        let all = all.into_iter().map(|stored| stored.destination);
        let routes = Arc::new(TenantRoutes::new(all, before.as_deref()));
        let cached = CachedRoutes { generation, read_at: now, routes: Arc::clone(&routes) };
        lock().insert(tenant.clone(), cached);
        Ok(routes)
    }
}

/// The routes of one tenant. A destination that wants only events of certain names costs nothing for other
/// events.
#[derive(Debug, Default)]
pub struct TenantRoutes {
    routes: Vec<Route>,
    /// The destinations that want events of a name.
    by_event: HashMap<String, Vec<usize>>,
    /// The destinations that want events of any name.
    any_event: Vec<usize>,
    by_destination: HashMap<DestinationName, usize>,
}

/// The route to one destination.
#[derive(Debug)]
pub struct Route {
    /// The destination.
    pub destination: DestinationName,
    /// Whether its rows have the preferred channel of the event (S0-022).
    pub takes_channel: bool,
    /// Whether its rows have the user of the event, because it orders by user.
    pub is_ordered: bool,
    /// [`destinations::destination::Destination::made`] of the destination.
    pub destination_made: i64,
    /// The filter, if the destination has one.
    filter: Option<Filter>,
}

/// The filter of a destination.
#[derive(Debug)]
struct Filter {
    source: String,
    /// An expression that cannot be parsed leaves the destination undecided.
    expression: Result<Expression, ExpressionError>,
    budget: Arc<FilterBudget>,
}

impl Filter {
    fn new(source: String, budget: Option<Arc<FilterBudget>>) -> Self {
        Self { expression: Expression::parse(&source), budget: budget.unwrap_or_default(), source }
    }
}

/// A destination that an event is routed to.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// Its route.
    pub route: &'a Route,
    /// Whether the filter permitted the event, or there is no filter. Otherwise the destination is undecided,
    /// and its delivery worker evaluates the filter.
    pub is_decided: bool,
}

/// The evaluations of a tenant's filters in one step.
#[derive(Debug)]
pub struct FilterRun {
    slow_filters: SlowFilters,
    /// The evaluations of each filter.
    stats: Vec<FilterStats>,
}

#[derive(Clone, Copy, Debug, Default)]
struct FilterStats {
    evaluations: u64,
    is_slow: bool,
}

impl TenantRoutes {
    /// Routes to destinations. The budgets of unchanged filters are taken from `before`.
    fn new(destinations: impl Iterator<Item = Destination>, before: Option<&Self>) -> Self {
        let mut all = Self::default();
        for destination in destinations {
            let at = all.routes.len();
            for name in &destination.events {
                all.by_event.entry(name.clone()).or_default().push(at);
            }
            if destination.events.is_empty() {
                all.any_event.push(at);
            }
            all.by_destination.insert(destination.destination_name.clone(), at);
            let cached = before
                .and_then(|before| before.to_destination(&destination.destination_name)?.filter.as_ref());
            let destination_made = destination.made();
            let filter = destination.filter.map(|source| {
                let budget = cached.filter(|cached| cached.source == source);
                Filter::new(source, budget.map(|cached| Arc::clone(&cached.budget)))
            });
            all.routes.push(Route {
                takes_channel: destination.kind == DestinationType::Cdp,
                is_ordered: destination.ordering == Ordering::User,
                destination_made,
                filter,
                destination: destination.destination_name,
            });
        }
        all
    }

    /// Whether the tenant has no destination.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The route to a destination, in any state.
    pub fn to_destination(&self, destination: &DestinationName) -> Option<&Route> {
        self.by_destination.get(destination).map(|&at| &self.routes[at])
    }

    /// Starts a step, without any evaluation.
    pub fn start_filter_run(&self) -> FilterRun {
        FilterRun {
            slow_filters: SlowFilters::default(),
            stats: vec![FilterStats::default(); self.routes.len()],
        }
    }

    /// The destinations whose filters were too slow in this step.
    pub fn slow_destinations(&self, filter_run: &FilterRun) -> impl Iterator<Item = &DestinationName> {
        let slow = self.routes.iter().zip(&filter_run.stats).filter(|(_, stats)| stats.is_slow);
        slow.map(|(route, _)| &route.destination)
    }

    /// The routes of an event, including undecided ones; `json` is the event.
    pub fn matching(&self, event: &Event<'_>, json: &str, filter_run: &mut FilterRun) -> Vec<Match<'_>> {
        let named = self.by_event.get(&*event.event).map_or(&[][..], Vec::as_slice);
        // Parsed for the first filter, and shared by all.
        let mut subject = None;
        let mut matching = Vec::new();
        for &at in named.iter().chain(&self.any_event) {
            let route = &self.routes[at];
            let answer = match &route.filter {
                None => Some(true),
                Some(filter) => {
                    filter_run.evaluate(at, filter, || subject.get_or_insert_with(|| Subject::read(json)))
                }
            };
            if answer != Some(false) {
                matching.push(Match { route, is_decided: answer.is_some() });
            }
        }
        matching
    }
}

impl FilterRun {
    /// Evaluates a filter; `None`: undecided.
    fn evaluate<'a>(
        &mut self,
        at: usize,
        filter: &Filter,
        subject: impl FnOnce() -> &'a mut Result<Subject, ExpressionError>,
    ) -> Option<bool> {
        let Filter { expression: Ok(expression), budget, .. } = filter else { return None };
        if !budget.permits(&self.slow_filters) {
            return None;
        }
        let subject = subject().as_ref().ok()?;
        let stats = &mut self.stats[at];
        let mut evaluate = || {
            let began = Instant::now();
            let answer = expression.is_true_within(subject, STEP_TIMEOUT);
            stats.evaluations += 1;
            (answer, began.elapsed())
        };
        let is_timeout =
            |answer: &Result<_, ExpressionError>| answer.as_ref().is_err_and(ExpressionError::is_timeout);
        let (mut answer, mut took) = evaluate();
        if is_timeout(&answer) {
            // The machine may have been busy just then.
            (answer, took) = evaluate();
        }
        stats.is_slow |= budget.record(took, is_timeout(&answer), &mut self.slow_filters);
        answer.ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use kernel::json;

    fn destination(name: &str, filter: &str) -> Destination {
        let body = json!({
            "destinationName": name, "Type": "analytics", "Url": "https://example.com/", "holdSeconds": 1,
            "concurrency": 1, "retryDelays": [], "filter": filter, "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
        });
        json::decode(body.to_string().as_bytes()).unwrap()
    }

    const EVENT: &str = r#"{"messageId":"m","type":"track","event":"e","timestamp":"2026-01-01T00:00:00Z","receivedAt":"2026-01-01T00:00:00Z"}"#;
    const ENDLESS: &str = "($f := function() { $f() }; $f())";

    /// Matches events in one step; returns the number of evaluations of each filter.
    #[track_caller]
    fn check(routes: &TenantRoutes, events: usize, expected: &[&str]) -> Vec<u64> {
        let event: Event<'_> = serde_json::from_str(EVENT).unwrap();
        let mut filter_run = routes.start_filter_run();
        for _ in 0..events {
            let matching = routes.matching(&event, EVENT, &mut filter_run);
            let names: Vec<&str> = matching.iter().map(|one| one.route.destination.as_str()).collect();
            assert_eq!(names, expected);
        }
        filter_run.stats.iter().map(|stats| stats.evaluations).collect()
    }

    #[test]
    fn undecided_destinations_get_the_event() {
        let all = || {
            let broken = [("a-number", "$number(event) > 1"), ("b-unread", "(")];
            let right = [("c-true", "event = 'e'"), ("d-false", "event = 'other'")];
            broken.into_iter().chain(right).map(|(name, filter)| destination(name, filter))
        };
        let event: Event<'_> = serde_json::from_str(EVENT).unwrap();
        let found = || {
            let routes = TenantRoutes::new(all(), None);
            let found = routes.matching(&event, EVENT, &mut routes.start_filter_run());
            let one = |one: &Match<'_>| (one.route.destination.to_string(), one.is_decided);
            found.iter().map(one).collect::<Vec<_>>()
        };
        let expected = [("a-number", false), ("b-unread", false), ("c-true", true)];
        let expected = expected.map(|(name, is_decided)| (name.to_owned(), is_decided));
        // A busy machine may leave a filter undecided.
        assert!((0..100).any(|_| found() == expected), "{:?}", found());
    }

    #[test]
    fn a_slow_filter_is_skipped_in_most_steps() {
        let routes = |before| TenantRoutes::new([destination("endless", ENDLESS)].into_iter(), before);
        let first = routes(None);
        assert_eq!(check(&first, 400, &["endless"]), [2]);
        // The budget outlives the routes.
        let second = routes(Some(&first));
        assert_eq!(check(&second, 101, &["endless"]), [0]);
        assert_eq!(check(&second, 2_001, &["endless"]), [2]);
        let other = destination("endless", "($g := function() { $g() }; $g())");
        assert_eq!(check(&TenantRoutes::new([other].into_iter(), Some(&second)), 1, &["endless"]), [2]);
    }

    #[test]
    fn a_step_evaluates_few_slow_filters() {
        let names: Vec<String> = (10..50).map(|number| format!("endless-{number}")).collect();
        let all = names.iter().map(|name| destination(name, ENDLESS));
        let routes = TenantRoutes::new(all, None);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let evaluations: u64 = check(&routes, 400, &names).iter().sum();
        assert_eq!(evaluations, 10);
    }
}
