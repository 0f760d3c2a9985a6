//! The wire between the gateway and livekit-server, which can lose what a WebSocket says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A relay in front of a server. Ends when dropped.
pub(crate) struct Wire {
    local: SocketAddr,
    deaf: Arc<AtomicBool>,
    _relay: JoinSet<()>,
}

impl Wire {
    /// To the server at this `ws://` address.
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("ws://").parse().expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let local = listener.local_addr().expect("bound");
        let deaf = Arc::new(AtomicBool::new(false));
        let mut relay = JoinSet::new();
        relay.spawn(accept(listener, server, Arc::clone(&deaf)));
        Self {
            local,
            deaf,
            _relay: relay,
        }
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.local)
    }

    /// From now on nothing that a WebSocket says arrives, but for its end. Other requests do.
    pub(crate) fn lose_what_websockets_say(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, deaf: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        let (from_client, to_client) = client.into_split();
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        let (from_server, to_server) = server.into_split();
        connections.spawn(forward(from_client, to_server, Some(Arc::clone(&deaf))));
        connections.spawn(forward(from_server, to_client, None));
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, deaf: Option<Arc<AtomicBool>>) {
    let mut chunk = vec![0; 16 * 1024];
    let mut is_websocket = None;
    // Its end, and a reset, are passed on by dropping our halves.
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let said = chunk.get(..length).expect("read");
        let is_websocket = *is_websocket.get_or_insert_with(|| said.starts_with(b"GET /rtc"));
        let is_lost = is_websocket && deaf.as_ref().is_some_and(|deaf| deaf.load(Ordering::SeqCst));
        if !is_lost && to.write_all(said).await.is_err() {
            return;
        }
    }
}
