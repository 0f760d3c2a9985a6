//! The wire between the program and livekit-server, on which API requests can be held up or answered by somebody else.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, watch},
    task::JoinSet,
    time::sleep,
};

/// What becomes of a request to the API. Room connections always pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Each waits so long.
    Slow(Duration),
    /// The agent's room connection waits so long; everything else passes.
    LateAgent(Duration),
    /// Each is answered so, and the connection closed.
    Answer(&'static str),
    /// Requests whose path begins with one of these find their connection cut. Of whatever server.
    Cut(&'static [&'static str]),
}

/// A relay in front of livekit-server. Ends when dropped.
pub(crate) struct Wire {
    pub(crate) local: SocketAddr,
    weather: watch::Sender<Weather>,
    _relay: JoinSet<()>,
}

impl Wire {
    /// To the server at this `ws://` address.
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("ws://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let local = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::Fair);
        let mut relay = JoinSet::new();
        relay.spawn(accept(listener, server, seen));
        Self {
            local,
            weather,
            _relay: relay,
        }
    }

    pub(crate) fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let to_client = Arc::new(Mutex::new(to_client));
        connections.spawn(ask(
            from_client,
            to_server,
            Arc::clone(&to_client),
            weather.clone(),
        ));
        connections.spawn(answer(from_server, to_client));
    }
}

/// A request comes in one piece, or its head does: all are short.
async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: Arc<Mutex<OwnedWriteHalf>>,
    weather: watch::Receiver<Weather>,
) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let said = &chunk[..length];
        let now = *weather.borrow();
        match now {
            Weather::LateAgent(pause) if is_agents_join(said) => sleep(pause).await,
            Weather::Slow(pause) if said.starts_with(b"POST /twirp") => sleep(pause).await,
            Weather::Answer(status) if said.starts_with(b"POST /twirp") => {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let mut back = back.lock().await;
                let _ = back.write_all(answer.as_bytes()).await;
                let _ = back.shutdown().await;
                return;
            }
            Weather::Cut(paths) if paths.iter().any(|path| posts_to(said, path)) => {
                let _ = back.lock().await.shutdown().await;
                return;
            }
            _ => {}
        }
        if to.write_all(said).await.is_err() {
            return;
        }
    }
}

fn posts_to(said: &[u8], path: &str) -> bool {
    said.strip_prefix(b"POST ")
        .is_some_and(|rest| rest.starts_with(path.as_bytes()))
}

/// Whether the head of a request opens a room connection by the token of an agent.
fn is_agents_join(said: &[u8]) -> bool {
    let head = String::from_utf8_lossy(said);
    let mut claims = head.match_indices("eyJ").filter_map(|(at, _)| {
        let claims = head[at..].split('.').nth(1)?;
        URL_SAFE_NO_PAD.decode(claims).ok()
    });
    let is_agents = |claims: Vec<u8>| String::from_utf8_lossy(&claims).contains("\"kind\":\"agent\"");
    head.starts_with("GET /rtc") && claims.any(is_agents)
}

async fn answer(mut from: OwnedReadHalf, to: Arc<Mutex<OwnedWriteHalf>>) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        if to.lock().await.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.lock().await.shutdown().await;
}
