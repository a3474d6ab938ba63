//! A destination that does what a test says.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// A request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Request {
    /// The event that it brings.
    pub(super) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

/// The reaction of the sink to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Answers with this status and these headers.
    Status(u16, &'static str),
    /// Answers with 200, but so much later.
    Late(Duration),
    /// Hangs up.
    Drop,
    /// Answers with 200 when the test says so.
    Held,
    /// Says nothing.
    Hang,
}

/// Says what to do with a request, given how often its event came before.
pub(super) type Plan = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The sink.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    held: Arc<Semaphore>,
}

impl Sink {
    pub(super) async fn start(plan: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Self { address, requests: Arc::default(), held: Arc::new(Semaphore::new(0)) };
        let held = Arc::clone(&sink.held);
        let (requests, plan): (_, Arc<Plan>) = (Arc::clone(&sink.requests), Arc::new(plan));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&requests), Arc::clone(&plan), Arc::clone(&held)));
            }
        });
        sink
    }

    /// The received requests, in order.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// One that is held is answered.
    pub(super) fn release(&self) {
        self.held.add_permits(1);
    }

    /// The ids of what came in, in order.
    pub(super) fn ids(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.id().to_owned()).collect()
    }
}

async fn serve(stream: TcpStream, requests: Arc<Mutex<Vec<Request>>>, plan: Arc<Plan>, held: Arc<Semaphore>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let reply = {
            let mut requests = requests.lock().unwrap();
            let before = requests.iter().filter(|other| other.id() == request.id()).count();
            let reply = plan(&request, before);
            requests.push(request);
            reply
        };
        let answer = match reply {
            Reply::Status(status, headers) => {
                format!("HTTP/1.1 {status} Said\r\n{headers}content-length: 0\r\n\r\n")
            }
            Reply::Late(wait) => {
                tokio::time::sleep(wait).await;
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            Reply::Held => {
                held.acquire().await.unwrap().forget();
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            Reply::Drop => return,
            Reply::Hang => std::future::pending().await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).unwrap() })
}
