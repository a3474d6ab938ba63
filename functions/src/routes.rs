//! Routes: which of a tenant's destinations an event goes to (S0-016, S0-020, S0-021). Kept in memory between
//! calls, and read anew as soon as a destination has changed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
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
    /// What an event must fulfil; a filter that cannot be read lets none through.
    filter: Option<Result<Expression, ExpressionError>>,
}

/// The filters that could not be evaluated: for how many events, and what was wrong the first time.
pub type Failures = BTreeMap<DestinationName, (u64, String)>;

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

    /// The routes that an event takes; `json` is the event.
    pub fn matching(&self, event: &Event<'_>, json: &str, failures: &mut Failures) -> Vec<&Route> {
        let named = self.by_event.get(&*event.event).map_or(&[][..], Vec::as_slice);
        // Read when the first filter needs it, and once for all of them.
        let mut subject = None;
        let mut matching: Vec<&Route> = Vec::new();
        for route in named.iter().chain(&self.of_all).map(|&at| &self.routes[at]) {
            let lets_through = match &route.filter {
                None => Ok(true),
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(filter)) => match subject.get_or_insert_with(|| Subject::read(json)) {
                    Ok(subject) => filter.is_true(subject),
                    Err(error) => Err(error.clone()),
                },
            };
            match lets_through {
                Ok(true) => matching.push(route),
                Ok(false) => {}
                Err(error) => {
                    let failure = failures.entry(route.destination.clone());
                    failure.or_insert_with(|| (0, error.to_string())).0 += 1;
                }
            }
        }
        matching
    }
}
