use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use reqwest::dns::Resolve;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The behaviour of a server on a connection.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    /// Answers each request with this.
    Answer(&'static str),
    /// Answers with a body that never ends.
    Endless,
    /// Reads the request, and closes the connection.
    Close,
    /// Reads the request, and never answers.
    Hang,
}

/// Reads one request; `false`: there is no further one.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n{}") {
        match stream.read_u8().await {
            Ok(byte) => received.push(byte),
            Err(_) => return false,
        }
    }
    true
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, behaviour: Behaviour) {
    while request(&mut stream).await {
        match behaviour {
            Behaviour::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Behaviour::Endless => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(b"5\r\nabcde\r\n").await.is_ok() {}
                return;
            }
            Behaviour::Close => return,
            Behaviour::Hang => std::future::pending::<()>().await,
        }
    }
}

/// A server on a free port, and the number of connections that it accepted.
async fn server(behaviour: Behaviour) -> (SocketAddr, Arc<std::sync::atomic::AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::<std::sync::atomic::AtomicU32>::default();
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::spawn(serve(stream, behaviour));
        }
    });
    (address, connections)
}

fn outbound(address: SocketAddr) -> Outbound {
    Outbound::new(Guard::new(vec![address.to_string().parse().unwrap()])).unwrap()
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

async fn call(outbound: &Outbound, url: &str, limit: Duration) -> HttpResult {
    outbound.post(&url.parse().unwrap(), HeaderMap::new(), Bytes::from_static(b"{}"), limit).await
}

#[track_caller]
fn check(answer: &HttpResult, status: Option<u16>, error: Option<&str>, retry_after: Option<RetryAfter>) {
    assert_eq!((answer.status, answer.error, answer.retry_after), (status, error, retry_after));
}

#[tokio::test]
async fn failures_are_distinguished() {
    let short = Duration::from_millis(50);
    let seconds = "HTTP/1.1 429 Slow down\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n";
    let date =
        "HTTP/1.1 503 Later\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n";
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let at = RetryAfter::At("1994-11-06T08:49:37Z".parse().unwrap());
    for (behaviour, limit, status, error, retry_after) in [
        (Behaviour::Answer(OK), REQUEST_TIMEOUT, Some(200), None, None),
        (Behaviour::Answer(seconds), REQUEST_TIMEOUT, Some(429), None, Some(RetryAfter::Seconds(120))),
        (Behaviour::Answer(date), REQUEST_TIMEOUT, Some(503), None, Some(at)),
        (Behaviour::Answer(redirect), REQUEST_TIMEOUT, Some(302), None, None),
        (
            Behaviour::Answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 N\r\n\r\n"),
            REQUEST_TIMEOUT,
            Some(204),
            None,
            None,
        ),
        (Behaviour::Answer("SSH-2.0-OpenSSH_9.6\r\n"), REQUEST_TIMEOUT, None, Some("reset"), None),
        (Behaviour::Endless, REQUEST_TIMEOUT, Some(200), None, None),
        (Behaviour::Close, REQUEST_TIMEOUT, None, Some("reset"), None),
        (Behaviour::Hang, short, None, Some("timeout"), None),
    ] {
        let (address, _) = server(behaviour).await;
        let answer = call(&outbound(address), &format!("http://{address}/"), limit).await;
        check(&answer, status, error, retry_after);
    }
}

#[tokio::test]
async fn connections_are_reused() {
    let (address, connections) = server(Behaviour::Answer(OK)).await;
    let outbound = outbound(address);
    for _ in 0..5 {
        call(&outbound, &format!("http://{address}/"), REQUEST_TIMEOUT).await;
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = call(&outbound(address), &format!("http://{address}/"), REQUEST_TIMEOUT).await;
    check(&answer, None, Some("connect"), None);
}

#[tokio::test]
async fn forbidden_addresses_are_not_connected_to() {
    let (address, connections) = server(Behaviour::Answer(OK)).await;
    let port = address.port();
    let other = Guard::new(vec!["127.0.0.1:9".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    for guard in [Guard::default(), other] {
        let outbound = Outbound::new(guard).unwrap();
        // The guard judges a name when it is resolved, as it would judge one that was bound to another address.
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let answer = call(&outbound, &format!("http://{host}:{port}/"), REQUEST_TIMEOUT).await;
            check(&answer, None, Some("blocked"), None);
        }
    }
    let resolver = Arc::new(Resolver::new());
    let guarded = |guard| GuardedResolver { guard: Arc::new(guard), resolver: Arc::clone(&resolver), port };
    let name = || "localhost".parse().unwrap();
    let error = guarded(Guard::default()).resolve(name()).await.err().unwrap();
    assert!(error.is::<Blocked>(), "{error}");
    let permitted = guarded(Guard::new(vec![address.to_string().parse().unwrap()]));
    let found: Vec<SocketAddr> = permitted.resolve(name()).await.ok().unwrap().collect();
    assert_eq!(found, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_unknown_name_is_a_dns_error() {
    let outbound = Outbound::new(Guard::default()).unwrap();
    let answer = call(&outbound, "http://does-not-exist.invalid/", REQUEST_TIMEOUT).await;
    check(&answer, None, Some("dns"), None);
}

/// A server whose certificate is signed by a trusted authority.
async fn secure(until: i32) -> (SocketAddr, Outbound) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream, Behaviour::Answer(OK)));
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let guard = Guard::new(vec![address.to_string().parse().unwrap()]);
    (address, Outbound::trusting(guard, roots).unwrap())
}

#[tokio::test]
async fn certificates_are_checked() {
    for (until, status, error) in [(4000, Some(200), None), (2021, None, Some("tls"))] {
        let (address, outbound) = secure(until).await;
        let url = format!("https://localhost:{}/", address.port());
        check(&call(&outbound, &url, REQUEST_TIMEOUT).await, status, error, None);
        // This client trusts no authority that signed the certificate.
        let strict = Outbound::new(outbound.guard().clone()).unwrap();
        check(&call(&strict, &url, REQUEST_TIMEOUT).await, None, Some("tls"), None);
    }
}

#[track_caller]
fn check_retry_after(value: &str, expected: Option<i64>) {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let seconds = RetryAfter::parse(value).map(|after| after.wait(now).as_secs());
    assert_eq!(seconds, expected, "{value}");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    check_retry_after("0", Some(0));
    check_retry_after(" 120 ", Some(120));
    check_retry_after("99999999999999999999", Some(i64::from(u32::MAX)));
    check_retry_after("Thu, 01 Jan 2026 00:01:00 GMT", Some(60));
    check_retry_after("Wed, 31 Dec 2025 00:00:00 GMT", Some(0));
    check_retry_after("", None);
    check_retry_after("-1", None);
    check_retry_after("1.5", None);
    check_retry_after("soon", None);
}
