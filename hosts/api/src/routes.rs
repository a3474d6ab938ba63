//! The operations of the API: each a method, a path and what answers it.

use std::sync::Arc;

use ::events::event::Call;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, delete, get, post, put},
};
use kernel::Store;

use crate::{
    api::Api, batches, contacts, deliveries, destinations, docs, edge, event_status, events, flow::Flow,
    health, quarantine, records, test_destination, uploads,
};

/// Everything that the API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Takes records in.
    PostRecords,
    /// Lists batches.
    ListBatches,
    /// Tells how a batch stands.
    GetBatch,
    /// Tells what became of a record.
    GetRecord,
    /// Lists contacts.
    ListContacts,
    /// Shows a contact and what they said before.
    GetContact,
    /// Lists the quarantine.
    ListQuarantine,
    /// Sends records out of quarantine again.
    PostReplay,
    /// Gives an address that a large file can be put to.
    PostUploads,
    /// Takes one event in.
    PostTrack,
    /// Takes events in.
    PostEvents,
    /// Takes a batch of events in Segment's format in.
    PostSegmentBatch,
    /// Takes one event in Segment's format in.
    PostSegmentCall(Call),
    /// Tells what became of an event.
    GetEvent,
    /// Makes a destination.
    PostDestinations,
    /// Lists destinations.
    ListDestinations,
    /// Shows a destination and how its lane stands.
    GetDestination,
    /// Changes a destination.
    PutDestination,
    /// Removes a destination.
    DeleteDestination,
    /// Sends one event to a destination now.
    PostDestinationTest,
    /// Lists deliveries.
    ListDeliveries,
    /// Sends failed deliveries again.
    PostDeliveriesReplay,
    /// Tells whether storage answers.
    GetHealth,
    /// Describes the API to programs.
    GetOpenapi,
    /// Describes the API to people.
    GetDocs,
    /// Leads to the page.
    GetRoot,
}

impl Operation {
    /// All of them, in the order in which people are shown them.
    pub const ALL: [Self; 31] = [
        Self::PostRecords,
        Self::ListBatches,
        Self::GetBatch,
        Self::GetRecord,
        Self::ListContacts,
        Self::GetContact,
        Self::ListQuarantine,
        Self::PostReplay,
        Self::PostUploads,
        Self::PostTrack,
        Self::PostEvents,
        Self::PostSegmentBatch,
        Self::PostSegmentCall(Call::Track),
        Self::PostSegmentCall(Call::Identify),
        Self::PostSegmentCall(Call::Page),
        Self::PostSegmentCall(Call::Screen),
        Self::PostSegmentCall(Call::Group),
        Self::PostSegmentCall(Call::Alias),
        Self::GetEvent,
        Self::PostDestinations,
        Self::ListDestinations,
        Self::GetDestination,
        Self::PutDestination,
        Self::DeleteDestination,
        Self::PostDestinationTest,
        Self::ListDeliveries,
        Self::PostDeliveriesReplay,
        Self::GetHealth,
        Self::GetOpenapi,
        Self::GetDocs,
        Self::GetRoot,
    ];

    /// Its method, in lower case, and its path, with parameters in braces.
    pub fn route(self) -> (&'static str, &'static str) {
        match self {
            Self::PostRecords => ("post", "/records"),
            Self::ListBatches => ("get", "/batches"),
            Self::GetBatch => ("get", "/batches/{id}"),
            Self::GetRecord => ("get", "/batches/{id}/records/{index}"),
            Self::ListContacts => ("get", "/contacts"),
            Self::GetContact => ("get", "/contacts/{email}"),
            Self::ListQuarantine => ("get", "/quarantine"),
            Self::PostReplay => ("post", "/quarantine/replay"),
            Self::PostUploads => ("post", "/uploads"),
            Self::PostTrack => ("post", "/track"),
            Self::PostEvents => ("post", "/events"),
            Self::PostSegmentBatch => ("post", "/v1/batch"),
            Self::PostSegmentCall(Call::Track) => ("post", "/v1/track"),
            Self::PostSegmentCall(Call::Identify) => ("post", "/v1/identify"),
            Self::PostSegmentCall(Call::Page) => ("post", "/v1/page"),
            Self::PostSegmentCall(Call::Screen) => ("post", "/v1/screen"),
            Self::PostSegmentCall(Call::Group) => ("post", "/v1/group"),
            Self::PostSegmentCall(Call::Alias) => ("post", "/v1/alias"),
            Self::GetEvent => ("get", "/events/{messageId}"),
            Self::PostDestinations => ("post", "/destinations"),
            Self::ListDestinations => ("get", "/destinations"),
            Self::GetDestination => ("get", "/destinations/{name}"),
            Self::PutDestination => ("put", "/destinations/{name}"),
            Self::DeleteDestination => ("delete", "/destinations/{name}"),
            Self::PostDestinationTest => ("post", "/destinations/{name}/test"),
            Self::ListDeliveries => ("get", "/deliveries"),
            Self::PostDeliveriesReplay => ("post", "/deliveries/replay"),
            Self::GetHealth => ("get", "/health"),
            Self::GetOpenapi => ("get", "/openapi.json"),
            Self::GetDocs => ("get", "/docs"),
            Self::GetRoot => ("get", "/"),
        }
    }

    /// Whether it takes events in, which come by the thousand a second.
    fn takes_events(self) -> bool {
        matches!(self, Self::PostTrack | Self::PostEvents | Self::PostSegmentBatch | Self::PostSegmentCall(_))
    }

    /// Whether events are taken in at a path.
    pub(crate) fn takes_events_at(path: &str) -> bool {
        let path = path.strip_suffix('/').unwrap_or(path);
        Self::ALL.into_iter().any(|operation| operation.takes_events() && operation.route().1 == path)
    }

    /// Its path as it is also taken: what seed 003 calls is `POST /events/`.
    fn other_path(self) -> Option<String> {
        self.takes_events().then(|| format!("{}/", self.route().1))
    }

    /// The methods that a path takes, as `Allow` lists them; `None`: it is none of the API's.
    pub(crate) fn methods_of(path: &str) -> Option<String> {
        let mut methods = vec!["OPTIONS"];
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        for operation in Self::ALL {
            match operation.route() {
                ("get", of) if of == path => methods.extend(["GET", "HEAD"]),
                ("post", of) if of == path => methods.push("POST"),
                ("put", of) if of == path => methods.push("PUT"),
                ("delete", of) if of == path => methods.push("DELETE"),
                _ => {}
            }
        }
        (methods.len() > 1).then(|| methods.join(", "))
    }

    fn handler<S: Store, F: Flow>(self) -> MethodRouter<Arc<Api<S, F>>> {
        match self {
            Self::PostRecords => post(records::post::<S, F>),
            Self::ListBatches => get(batches::list::<S, F>),
            Self::GetBatch => get(batches::get::<S, F>),
            Self::GetRecord => get(batches::row::<S, F>),
            Self::ListContacts => get(contacts::list::<S, F>),
            Self::GetContact => get(contacts::get::<S, F>),
            Self::ListQuarantine => get(quarantine::list::<S, F>),
            Self::PostReplay => post(quarantine::replay::<S, F>),
            Self::PostUploads => post(uploads::post::<S, F>),
            Self::PostTrack => post(events::track::<S, F>),
            Self::PostEvents => post(events::post::<S, F>),
            Self::PostSegmentBatch => post(events::batch::<S, F>),
            Self::PostSegmentCall(call) => {
                post(move |api, caller, headers, body| events::call::<S, F>(call, api, caller, headers, body))
            }
            Self::GetEvent => get(event_status::get::<S, F>),
            Self::PostDestinations => post(destinations::post::<S, F>),
            Self::ListDestinations => get(destinations::list::<S, F>),
            Self::GetDestination => get(destinations::get::<S, F>),
            Self::PutDestination => put(destinations::put::<S, F>),
            Self::DeleteDestination => delete(destinations::delete::<S, F>),
            Self::PostDestinationTest => post(test_destination::post::<S, F>),
            Self::ListDeliveries => get(deliveries::list::<S, F>),
            Self::PostDeliveriesReplay => post(deliveries::replay::<S, F>),
            Self::GetHealth => get(health::get::<S, F>),
            Self::GetOpenapi => get(docs::openapi),
            Self::GetDocs => get(docs::page),
            Self::GetRoot => get(docs::root),
        }
    }
}

/// The API as one router, to be served by any host.
pub fn router<S: Store, F: Flow>(api: Api<S, F>) -> Router {
    router_with(api, Router::new())
}

/// The API with routes of the host's own, which are logged and whose errors are told as those of the API.
pub fn router_with<S: Store, F: Flow>(api: Api<S, F>, own: Router) -> Router {
    let api = Arc::new(api);
    Operation::ALL
        .into_iter()
        .fold(Router::new(), |router, operation| {
            let router = router.route(operation.route().1, operation.handler::<S, F>());
            match operation.other_path() {
                Some(path) => router.route(&path, operation.handler::<S, F>()),
                None => router,
            }
        })
        .with_state(api.clone())
        .merge(own)
        // Each route that takes a body reads it within a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(api, edge::edge::<S, F>))
}
