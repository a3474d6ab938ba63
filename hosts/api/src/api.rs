//! The dependencies of the routes, and the tenant of a request.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use destinations::outbound::Guard;
use jiff::Timestamp;
use kernel::{BatchId, Name, Objects, Store};

use crate::{events::arrival_ids::ArrivalIds, flow::Flow, http::hosts::Hosts};

/// The dependencies of the routes.
#[derive(Debug)]
pub struct Api<S, F> {
    /// The tables.
    pub store: S,
    /// The objects.
    pub objects: Objects,
    /// The machines.
    pub flow: F,
    /// The tenant of all requests, as long as there are no API keys.
    pub tenant: Name,
    /// The addresses that destinations may have.
    pub guard: Guard,
    /// The host names that the server accepts.
    pub hosts: Hosts,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Randomness for ids.
    pub random: fn() -> u128,
    /// Ids of ingest requests.
    pub(crate) arrival_ids: ArrivalIds,
}

impl<S: Store, F: Flow> Api<S, F> {
    /// An API for the default tenant, with destinations at public addresses only.
    pub fn new(store: S, objects: Objects, flow: F, now: fn() -> Timestamp, random: fn() -> u128) -> Self {
        let (tenant, guard, arrival_ids) = (Name::default_tenant(), Guard::default(), ArrivalIds::default());
        Self { store, objects, flow, tenant, guard, hosts: Hosts::Any, now, random, arrival_ids }
    }

    /// The same, with another guard for destinations.
    #[must_use]
    pub fn with_guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// The same, for these host names only.
    #[must_use]
    pub fn with_hosts(self, hosts: Hosts) -> Self {
        Self { hosts, ..self }
    }

    /// The id of a new batch, and its time of arrival.
    pub(crate) fn new_id(&self) -> (BatchId, Timestamp) {
        let now = (self.now)();
        (BatchId::new(now, (self.random)()), now)
    }
}

/// The sender of the request. No other place decides the tenant of a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenant: Name,
}

impl<S: Store, F: Flow> FromRequestParts<Arc<Api<S, F>>> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, api: &Arc<Api<S, F>>) -> Result<Self, Infallible> {
        Ok(Self { tenant: api.tenant.clone() })
    }
}
