//! Probes that ask a server itself whether it serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest time one probe may take.
const PROBE: Duration = Duration::from_secs(1);
/// The most that a probe reads: both replies are far shorter.
const REPLY_BYTES: u64 = 64 * 1024;

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether the Redis on `port` is the process `pid`: a foreign one may have taken the port in between.
pub(crate) async fn redis_is(port: u16, password: &str, pid: u32) -> bool {
    let request = format!("AUTH {password}\r\nINFO server\r\nQUIT\r\n");
    let reply = exchange(port, request.as_bytes()).await.unwrap_or_default();
    reply
        .lines()
        .any(|line| line.trim_end() == format!("process_id:{pid}"))
}

/// Whether a GET of the path answers 200. `/` is livekit-server's own health check (406 means a node whose statistics are
/// stale).
pub(crate) async fn http_ok(port: u16, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let reply = exchange(port, request.as_bytes()).await.unwrap_or_default();
    reply.split_ascii_whitespace().nth(1) == Some("200")
}

/// Sends `request` and reads to the end of the stream.
async fn exchange(port: u16, request: &[u8]) -> Option<String> {
    let dialogue = async {
        let mut stream = TcpStream::connect(loopback(port)).await?;
        stream.write_all(request).await?;
        let mut reply = Vec::new();
        stream.take(REPLY_BYTES).read_to_end(&mut reply).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&reply).into_owned())
    };
    timeout(PROBE, dialogue).await.ok()?.ok()
}
