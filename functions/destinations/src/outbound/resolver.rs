//! Host names, resolved by the system. All callers that need a name share one lookup, and lookups leave threads for
//! everything else. A dead name server delays only the calls that need it.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, Shared},
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::guard::Guard;

/// Maximum number of concurrent lookups: each blocks a thread, of which a runtime has 512.
const MAX_LOOKUPS: usize = 128;

type Found = Result<Arc<[IpAddr]>, (io::ErrorKind, String)>;
type Lookup = Shared<BoxFuture<'static, Found>>;

/// The lookups in progress.
pub(super) struct Resolver {
    in_progress: Mutex<HashMap<String, Lookup>>,
    permits: Semaphore,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self { in_progress: Mutex::default(), permits: Semaphore::new(MAX_LOOKUPS) }
    }

    /// The addresses of a name. The lookup completes even if no caller waits for it any longer.
    fn lookup(self: &Arc<Self>, name: &str) -> Lookup {
        // No code that has the lock panics.
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = in_progress.get(name) {
            return lookup.clone();
        }
        let (resolver, host) = (Arc::clone(self), name.to_owned());
        let task = tokio::spawn(async move {
            let found = resolver.resolve_host(&host).await;
            resolver.in_progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&host);
            found
        });
        let ended = |error: tokio::task::JoinError| (io::ErrorKind::Other, error.to_string());
        let lookup = task.map_err(ended).map(Result::flatten).boxed().shared();
        in_progress.insert(name.to_owned(), lookup.clone());
        lookup
    }

    async fn resolve_host(&self, host: &str) -> Found {
        // The semaphore is never closed.
        let _permit =
            self.permits.acquire().await.map_err(|error| (io::ErrorKind::Other, error.to_string()))?;
        let found = tokio::net::lookup_host((host, 0)).await;
        let found = found.map_err(|error| (error.kind(), error.to_string()))?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Resolves names to permitted addresses only.
pub(super) struct GuardedResolver {
    pub(super) guard: Arc<Guard>,
    pub(super) resolver: Arc<Resolver>,
    /// The port of the connection.
    pub(super) port: u16,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, port, lookup) = (Arc::clone(&self.guard), self.port, self.resolver.lookup(name.as_str()));
        Box::pin(async move {
            let found = lookup.await.map_err(|(kind, why)| io::Error::new(kind, why))?;
            let permitted: Vec<SocketAddr> = found
                .iter()
                .filter(|address| guard.permits(**address, port))
                .map(|address| SocketAddr::new(*address, 0))
                .collect();
            if permitted.is_empty() {
                return Err(Blocked.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// The name has no permitted address.
#[derive(Debug)]
pub(super) struct Blocked;

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to no address that may be called")
    }
}

impl StdError for Blocked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn concurrent_callers_share_a_lookup() {
        let resolver = Arc::new(Resolver::new());
        let (first, second) = (resolver.lookup("localhost"), resolver.lookup("localhost"));
        assert!(first.ptr_eq(&second));
        let found = second.await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
        drop(first);
        assert!(resolver.in_progress.lock().unwrap().is_empty());
    }
}
