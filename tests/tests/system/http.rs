//! HTTP as a hostile sender writes it: request lines and heads go out as they are.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::phone::SOON;

/// A key with every scope, for rooms of its own: `fuzz-*`.
pub(crate) const KEY: &str = "fuzz-0123456789-0123456789-0123456789";

/// The sections that serve the API. No trunk is known to LiveKit, so that nothing is ever dialled.
pub(crate) fn sections() -> String {
    let key = json!({
        "name": "fuzz", "key": KEY, "rooms": ["fuzz-*"],
        "scopes": ["token:create", "calls:read", "calls:write", "rooms:read", "rooms:write", "recordings:read",
            "recordings:write", "ingress:read", "ingress:write", "health:read"],
        "limits": {"concurrent": 1_000, "calls_per_day": 1_000_000, "minutes_per_day": 1_000_000},
        "token": {"identities": ["*"], "name": true, "metadata": true, "attributes": ["tier"], "room_config": true,
            "agents": ["greeter"]},
    });
    let access = json!({"requests_per_minute": 100_000, "keys": [key]});
    let targets = json!({"numbers": ["+1415"], "sip_hosts": ["pbx.example.com"]});
    let calls = json!({"targets": targets, "trunks": ["ST_gone"], "per_trunk": 1_000, "per_number": 100});
    format!("access: {access}\ncalls: {calls}\n")
}

/// The head of a request with [`KEY`], whose connection ends with its answer.
pub(crate) fn head(method: &str, target: &str, more: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nhost: trunkline\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\nconnection: close\r\n{more}\r\n"
    )
}

/// Asks, and waits for the answer.
pub(crate) async fn ask(to: SocketAddr, method: &str, target: &str, body: Option<&Value>) -> (u16, Value) {
    ask_within(SOON, to, method, target, body).await
}

/// The same, of what takes its time by itself.
pub(crate) async fn ask_within(
    limit: Duration,
    to: SocketAddr,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = format!("content-length: {}\r\n", body.len());
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = head(method, target, &length) + &body;
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream, limit).await.unwrap()
}

/// The answer, when there is one before the connection ends.
pub(crate) async fn answer(stream: &mut TcpStream, limit: Duration) -> Option<(u16, Value)> {
    let mut bytes = Vec::new();
    // A reset behind the answer ends it as well: it was sent to somebody who was still writing.
    let _ = timeout(limit, stream.read_to_end(&mut bytes))
        .await
        .expect("an answer, or the end of the connection");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some((status, serde_json::from_str(body).unwrap_or_default()))
}
