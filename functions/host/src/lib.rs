//! The functions' HTTP port where no cloud stands in front of them: serves a router over HTTP/1.1 to senders that it does not trust.
//!
//! # Calling contract
//!
//! - [`Host::run`] takes a listener that is open already, serves until the soft token, and owns nothing afterwards: each connection is a
//!   task of [`Lifecycle::tasks`], and ends within [`Limits::drain`] of the soft token, at once with the hard one.
//! - A request that was begun is brought to its end, also when its sender or its connection has gone: it is a task of its own, which ends
//!   within [`Limits::request`], whatever the soft token says, and at once with the hard one. It keeps its connection's place until then.
//! - A handler may take [`Limits::request`] and may panic: its sender then gets 503 or 500 with problem details (RFC 9457), and nobody else
//!   notices. It should bound its own waits more tightly, since it knows what to answer.
//! - Bodies are not bounded here: each router knows how large its own are.
//!
//! # What never happens
//!
//! No sender is waited for without a limit, whether it is silent, slow to speak or slow to read. No number of silent connections keeps a
//! sender out that speaks: see [`Limits::connections`]. No line of the log names a sender.

mod answer;
mod connection;
mod door;

mod pulse;
mod stream;

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use platform::lifecycle::Lifecycle;
use tokio::{
    net::{TcpListener, TcpSocket},
    time::sleep,
};

use connection::Connection;
use door::Door;

/// What a sender may take. The defaults fit livekit-server's webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, at least one. A further one is let in by closing another that is silent, in this order: one that has not been
    /// answered with success before one that has, of the source with the most connections (an IPv4 address, an IPv6 /64), the one
    /// that has been silent longest. While every one of them has a request under way, further ones wait in the kernel's queue.
    /// Default 512: a process may usually hold 1,024 files, and calls need theirs.
    pub connections: usize,
    /// From the connection, or from the first byte of a further request, to the end of the request's head. Default 10 s.
    pub head: Duration,
    /// Between an answer and the next request. Default 2 min, more than the 90 s after which livekit-server's client closes an idle
    /// connection itself. Were this the shorter of the two, a webhook could meet a connection that is being closed here, and Go's client
    /// does not repeat a POST that it has begun to write: it would be late by the second or more until LiveKit's own retry.
    pub idle: Duration,
    /// For the router, from the end of the head to its answer, and for the answer's body between two pieces. Default 30 s.
    pub request: Duration,
    /// For the sender to take in what is written to it. Default 10 s.
    pub write: Duration,
    /// From the soft token to the end of the last connection. What it has begun may take [`request`](Self::request). Default 5 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            request: Duration::from_secs(30),
            write: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}

/// How long to wait when the process has no file left for a connection.
const PAUSE: Duration = Duration::from_millis(500);

/// How many senders may wait in the kernel to be let in; it takes fewer where `net.core.somaxconn` says so. With the usual 128, a
/// burst of silent connections would make the kernel drop a sender's first packet, which costs that one a second.
const WAITING: u32 = 4_096;

/// Opens a port for [`Host::new`].
///
/// # Errors
/// When the address is taken, or is none of this machine's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // The port of a process that has just ended can be taken over.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// A router at its port.
#[derive(Debug)]
pub struct Host {
    listener: TcpListener,
    router: Router,
    limits: Limits,
}

impl Host {
    /// `listener` comes from [`listen`], and may have senders waiting already.
    pub fn new(listener: TcpListener, router: Router, limits: Limits) -> Self {
        Self {
            listener,
            router,
            limits,
        }
    }

    /// Lets senders in until the soft token, then closes the port. Connections outlive this, as tasks of `life`.
    pub async fn run(self, life: Lifecycle) {
        let door = Door::new(self.limits);
        // Dropped by the soft token wherever it is: a connection that was accepted and has no task yet is closed unheard.
        life.soft.run_until_cancelled(self.admit(&door, &life)).await;
    }

    async fn admit(&self, door: &Arc<Door>, life: &Lifecycle) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let seat = Arc::new(door.seat(peer.ip()).await);
                    let connection = Connection {
                        seat,
                        router: self.router.clone(),
                        limits: self.limits,
                        life: life.clone(),
                    };
                    life.tasks.spawn(connection.run(stream));
                }
                // Its sender gave up before it was accepted.
                Err(error) if is_one_senders(error.kind()) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted; a silent one is closed");
                    door.close_one();
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn is_one_senders(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
