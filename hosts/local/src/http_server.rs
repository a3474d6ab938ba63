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

/// Maximum time for the headers of a request, and for an idle connection between two requests.
pub(crate) const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// Delay before the next accept after the system refused a connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until `stop` ends. Then the server closes the listener and idle connections, and finishes requests in flight.
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
        // The router logs each request, so a broken connection needs no log line.
        tokio::spawn(async move { _ = connection.await });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Waits for a connection. With too many open files the server waits until one is closed.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!("the server cannot accept a connection now: {error}");
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

    /// The answer to a client that sends this text and then nothing.
    async fn answer(sent: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(serve(listener, router, Duration::from_millis(50), async move {
            // A dropped sender stops the server too.
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
        // A connection that is idle after an answer ends too.
        assert!(answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("here"));
    }
}
