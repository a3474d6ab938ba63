//! A keep-alive connection, with only the part of HTTP/1.1 that a load needs.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::error::Error;

/// Maximum time for an answer; a slower one fails the run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await.map_err(Error::of("a connection"))?;
        stream.set_nodelay(true).map_err(Error::of("a connection"))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer. Returns the status and the body.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Error> {
        let failed = Error::of("a request");
        self.stream.write_all(request).await.map_err(&failed)?;
        self.buffer.clear();
        loop {
            if let Some((status, from, end)) = whole(&self.buffer) {
                return Ok((status, &self.buffer[from..end]));
            }
            let read = timeout(ANSWER_TIMEOUT, self.stream.read_buf(&mut self.buffer)).await;
            let read = read.map_err(|_| Error::wrong("a server", "it does not answer"))?;
            if read.map_err(&failed)? == 0 {
                return Err(Error::wrong("a server", "it closed a connection"));
            }
        }
    }
}

/// A request with a JSON body.
pub(super) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends a request that must succeed.
pub(super) async fn expect(
    connection: &mut Connection,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(), Error> {
    let (status, _) = connection.call(&request(method, path, body)).await?;
    if status / 100 == 2 {
        return Ok(());
    }
    Err(Error::wrong("crmflow", format!("the server answered {method} {path} with {status}")))
}

/// The status of a complete answer, and the start and end of its body. `None`: bytes are missing.
fn whole(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let (from, end) = (head + 4, head + 4 + length.unwrap_or(0));
    (bytes.len() >= end).then_some((status, from, end))
}
