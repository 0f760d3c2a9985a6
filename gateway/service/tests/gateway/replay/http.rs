//! HTTP as far as it is needed here: LiveKit's API as raw JSON, for what our client does not hand on, and a place for webhooks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dev::LocalStack;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Longer than a room outlives its participants, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// One message: its head and its body.
async fn receive(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.parse::<usize>().expect("a length"))
            });
            let body = end + 4;
            let whole = body + length.unwrap_or_default();
            if bytes.len() >= whole {
                return Some((head, bytes[body..whole].to_vec()));
            }
        }
        let read = stream.read_buf(&mut bytes).await.ok()?;
        if read == 0 {
            return None;
        }
    }
}

/// Whoever may do everything with the request's room.
pub(super) fn all_grants(request: &Value) -> Value {
    json!({
        "sip": {"call": true, "admin": true},
        "video": {"roomAdmin": true, "roomCreate": true, "roomList": true, "room": request["room_name"]},
    })
}

/// Calls a method of LiveKit's API: `{"http": status, "body": ...}`.
pub(super) async fn twirp(stack: &LocalStack, method: &str, request: &Value, grants: Value) -> Value {
    let mut claims = grants;
    claims["iss"] = json!(stack.keys().api_key());
    claims["exp"] = json!(jsonwebtoken::get_current_timestamp() + 600);
    let key = jsonwebtoken::EncodingKey::from_secret(stack.keys().api_secret().as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
    let url = stack.ws_url();
    let host = url.trim_start_matches("ws://").trim_end_matches('/');
    let body = request.to_string();
    let message = format!(
        "POST /twirp/livekit.{method} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.expect("connected");
    stream.write_all(message.as_bytes()).await.expect("sent");
    let (head, body) = receive(&mut stream).await.expect("answered");
    let status = head.split(' ').nth(1).expect("a status");
    json!({
        "http": status.parse::<u16>().expect("a number"),
        "body": serde_json::from_slice::<Value>(&body).expect("JSON"),
    })
}

/// Where livekit-server posts its webhooks.
pub(super) struct Webhooks {
    pub(super) url: String,
    events: Arc<Mutex<Vec<Value>>>,
    _task: JoinSet<()>,
}

impl Webhooks {
    pub(super) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&events);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                connections.spawn(async move {
                    while let Some((_, body)) = receive(&mut stream).await {
                        let event = serde_json::from_slice(&body).expect("JSON");
                        kept.lock().expect("lock").push(event);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                    }
                });
            }
        });
        Self {
            url,
            events,
            _task: task,
        }
    }

    /// All that were posted about a room, in their order.
    pub(super) fn of(&self, room: &str) -> Vec<Value> {
        let events = self.events.lock().expect("lock");
        let of_room = events.iter().filter(|event| event["room"]["name"] == room);
        of_room.cloned().collect()
    }

    /// Waits for the first that fits.
    pub(super) async fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self
                .events
                .lock()
                .expect("lock")
                .iter()
                .find(|it| fits(it))
                .cloned();
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < deadline, "no webhook: {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn wait_for_event(&self, room: &str, event: &str, identity: &str) {
        let fits = |it: &Value| {
            it["room"]["name"] == room
                && it["event"] == event
                && (identity.is_empty() || it["participant"]["identity"] == identity)
        };
        self.wait_for(&format!("{event} of {room}"), fits).await;
    }
}
