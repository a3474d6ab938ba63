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
const LOOKUPS: usize = 128;

type Found = Result<Arc<[IpAddr]>, (io::ErrorKind, String)>;
type Lookup = Shared<BoxFuture<'static, Found>>;

/// The lookups in progress.
pub(super) struct Names {
    under_way: Mutex<HashMap<String, Lookup>>,
    room: Semaphore,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { under_way: Mutex::default(), room: Semaphore::new(LOOKUPS) }
    }

    /// The addresses of a name. The lookup completes even if no caller waits for it any longer.
    fn lookup(self: &Arc<Self>, name: &str) -> Lookup {
        // No code that has the lock panics.
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = under_way.get(name) {
            return lookup.clone();
        }
        let (names, host) = (Arc::clone(self), name.to_owned());
        let task = tokio::spawn(async move {
            let found = names.ask(&host).await;
            names.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&host);
            found
        });
        let ended = |error: tokio::task::JoinError| (io::ErrorKind::Other, error.to_string());
        let lookup = task.map_err(ended).map(Result::flatten).boxed().shared();
        under_way.insert(name.to_owned(), lookup.clone());
        lookup
    }

    async fn ask(&self, host: &str) -> Found {
        // The semaphore is never closed.
        let _room = self.room.acquire().await.map_err(|error| (io::ErrorKind::Other, error.to_string()))?;
        let found = tokio::net::lookup_host((host, 0)).await;
        let found = found.map_err(|error| (error.kind(), error.to_string()))?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Resolves names to permitted addresses only.
pub(super) struct Permitted {
    pub(super) guard: Arc<Guard>,
    pub(super) names: Arc<Names>,
    /// The port of the connection.
    pub(super) port: u16,
}

impl Resolve for Permitted {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, port, lookup) = (Arc::clone(&self.guard), self.port, self.names.lookup(name.as_str()));
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
    async fn a_name_is_looked_up_once_for_all_who_wait() {
        let names = Arc::new(Names::new());
        let (first, second) = (names.lookup("localhost"), names.lookup("localhost"));
        assert!(first.ptr_eq(&second));
        let found = second.await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
        drop(first);
        assert!(names.under_way.lock().unwrap().is_empty());
    }
}
