//! Serves HTTP/1.1 to clients that may be slow, silent or very many.

use std::{io, pin::pin, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};

/// How long a client may take for the headers of a request, and how long a connection may lie idle between two.
pub(crate) const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server waits when the system gives it no further connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until `stop` ends. Then the listener closes, requests that are being answered are finished, and connections
/// that lie idle are closed.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    headers_timeout: Duration,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = &mut stop => break,
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(headers_timeout)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        // A connection that breaks is the client's to mend; each request is logged by the router.
        tokio::spawn(async move { _ = connection.await });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Waits for a connection. Where the process has too many files open, the server waits for one to be closed.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!("the server cannot accept connections for the moment: {error}");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Whether the client went away before its connection was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    use super::*;

    /// What a client gets that sends this and then nothing.
    async fn answer(sent: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(serve(listener, router, Duration::from_millis(50), async move {
            // The sender goes, or says that the server is to stop.
            let _ = stopped.await;
        }));
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        drop(stop);
        server.await.unwrap();
        got
    }

    #[tokio::test]
    async fn headers_that_do_not_come_end_the_connection() {
        for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert!(!answer(sent).await.contains("here"), "{sent}");
        }
        // A connection that lies idle behind an answer ends as well.
        assert!(answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("here"));
    }
}
