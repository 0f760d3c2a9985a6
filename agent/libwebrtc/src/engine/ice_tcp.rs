//! ICE over TCP (RFC 6544), the active side: we connect to the peer's passive candidates. Packets are framed as in RFC 4571.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use str0m::{Candidate, net::TcpType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// Head start of UDP, when the peer has a UDP candidate at all.
const AFTER_UDP: Duration = Duration::from_millis(500);
const WITHOUT_UDP: Duration = Duration::from_millis(100);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A connection that takes no bytes for so long is dead.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// A peer may name many candidates; so many are tried, counted from the last restart.
const MOST_ATTEMPTS: usize = 4;
const QUEUE: usize = 256;

/// The TCP connections of one session.
pub(crate) struct IceTcp {
    connections: HashMap<SocketAddr, Connection>,
    attempts: usize,
    tasks: JoinSet<()>,
    events: mpsc::Receiver<TcpEvent>,
    reporter: mpsc::Sender<TcpEvent>,
    /// Set while ICE has a working pair: then no further connection is made.
    connected: Arc<AtomicBool>,
}

struct Connection {
    outgoing: mpsc::Sender<Vec<u8>>,
    candidate: Candidate,
}

pub(crate) enum TcpEvent {
    Up {
        local: SocketAddr,
        outgoing: mpsc::Sender<Vec<u8>>,
    },
    Data {
        local: SocketAddr,
        remote: SocketAddr,
        packet: Vec<u8>,
    },
    Down {
        local: SocketAddr,
    },
}

impl IceTcp {
    pub(crate) fn new() -> Self {
        let (reporter, events) = mpsc::channel(QUEUE);
        Self {
            connections: HashMap::new(),
            attempts: 0,
            tasks: JoinSet::new(),
            events,
            reporter,
            connected: Arc::default(),
        }
    }

    /// Connects to a passive candidate of the peer, unless ICE gets there without it first.
    pub(crate) fn connect(&mut self, remote: SocketAddr, udp_is_possible: bool) {
        if self.attempts == MOST_ATTEMPTS {
            return;
        }
        self.attempts += 1;
        while self.tasks.try_join_next().is_some() {}
        let head_start = if udp_is_possible { AFTER_UDP } else { WITHOUT_UDP };
        let (connected, reporter) = (self.connected.clone(), self.reporter.clone());
        self.tasks.spawn(async move {
            tokio::time::sleep(head_start).await;
            if connected.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = run(remote, &reporter).await {
                log::debug!("ICE-TCP to the peer's port {}: {error}", remote.port());
            }
        });
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
    }

    /// Cancel-safe.
    pub(crate) async fn event(&mut self) -> Option<TcpEvent> {
        self.events.recv().await
    }

    /// The local candidate of a connection that has come up.
    pub(crate) fn up(&mut self, local: SocketAddr, outgoing: mpsc::Sender<Vec<u8>>) -> Option<Candidate> {
        let candidate = Candidate::builder()
            .tcp()
            .host(local)
            .tcptype(TcpType::Active)
            .build()
            .ok()?;
        let connection = Connection {
            outgoing,
            candidate: candidate.clone(),
        };
        self.connections.insert(local, connection);
        Some(candidate)
    }

    /// The candidate that is gone with its connection.
    pub(crate) fn down(&mut self, local: SocketAddr) -> Option<Candidate> {
        self.connections
            .remove(&local)
            .map(|connection| connection.candidate)
    }

    /// Ends all connections, for an ICE restart: their candidates are gone.
    pub(crate) fn restart(&mut self) -> Vec<Candidate> {
        self.set_connected(false);
        self.attempts = 0;
        self.connections
            .drain()
            .map(|(_, connection)| connection.candidate)
            .collect()
    }

    /// Queues a packet on the connection of `local`. Like a datagram, it is lost when there is no room.
    pub(crate) fn send(&self, local: SocketAddr, packet: Vec<u8>) {
        if let Some(connection) = self.connections.get(&local) {
            let _ = connection.outgoing.try_send(packet);
        }
    }

    /// Lets what is queued go out, for `limit` at most, and ends all connections.
    pub(crate) async fn finish(mut self, limit: Duration) {
        if self.connections.is_empty() {
            return;
        }
        self.connections.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(limit, all).await;
    }
}

async fn run(remote: SocketAddr, reporter: &mpsc::Sender<TcpEvent>) -> io::Result<()> {
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(remote)).await??;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let (reading, writing) = stream.into_split();
    let (outgoing, queue) = mpsc::channel(QUEUE);
    let _ = reporter.send(TcpEvent::Up { local, outgoing }).await;
    // Neither is resumed after the other has ended, so neither needs to be cancel-safe.
    let ended = tokio::select! {
        read = read_packets(reading, local, remote, reporter) => read,
        written = write_packets(writing, queue) => written,
    };
    let _ = reporter.send(TcpEvent::Down { local }).await;
    ended
}

async fn read_packets(
    reading: OwnedReadHalf,
    local: SocketAddr,
    remote: SocketAddr,
    reporter: &mpsc::Sender<TcpEvent>,
) -> io::Result<()> {
    let mut reading = BufReader::new(reading);
    loop {
        let mut packet = vec![0; usize::from(reading.read_u16().await?)];
        reading.read_exact(&mut packet).await?;
        let data = TcpEvent::Data {
            local,
            remote,
            packet,
        };
        if reporter.send(data).await.is_err() {
            return Ok(());
        }
    }
}

/// Ends when the queue's sender is gone and the queue is empty.
async fn write_packets(mut writing: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(packet) = queue.recv().await {
        let Ok(length) = u16::try_from(packet.len()) else {
            continue;
        };
        let mut framed = Vec::with_capacity(packet.len() + 2);
        framed.extend(length.to_be_bytes());
        framed.extend(packet);
        timeout(WRITE_LIMIT, writing.write_all(&framed)).await??;
    }
    writing.shutdown().await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (IceTcp, SocketAddr, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut tcp = IceTcp::new();
        tcp.connect(listener.local_addr().unwrap(), false);
        let Some(TcpEvent::Up { local, outgoing }) = tcp.event().await else {
            panic!("it comes up")
        };
        assert!(tcp.up(local, outgoing).is_some());
        (tcp, local, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn packets_are_framed_both_ways() {
        let (mut tcp, local, mut peer) = connected().await;
        tcp.send(local, vec![7; 300]);
        let mut framed = [0; 302];
        peer.read_exact(&mut framed).await.unwrap();
        assert_eq!(framed[..3], [1, 44, 7]);
        peer.write_all(&[0, 2, 8, 9, 0, 1]).await.unwrap();
        peer.write_all(&[5]).await.unwrap();
        for expected in [vec![8, 9], vec![5]] {
            let Some(TcpEvent::Data { packet, .. }) = tcp.event().await else {
                panic!("a packet")
            };
            assert_eq!(packet, expected);
        }
        drop(peer);
        assert!(matches!(tcp.event().await, Some(TcpEvent::Down { .. })));
        assert!(tcp.down(local).is_some());
    }

    #[tokio::test]
    async fn the_last_packet_goes_out_before_the_end() {
        let (tcp, local, mut peer) = connected().await;
        tcp.send(local, vec![1, 2, 3]);
        tcp.finish(Duration::from_secs(5)).await;
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [0, 3, 1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_is_made_once_ice_is_up_nor_without_end() {
        let mut tcp = IceTcp::new();
        tcp.set_connected(true);
        for _ in 0..10 {
            tcp.connect("127.0.0.1:1".parse().unwrap(), true);
        }
        assert!(tcp.tasks.len() <= MOST_ATTEMPTS);
        while tcp.tasks.join_next().await.is_some() {}
        assert!(tcp.events.try_recv().is_err());
    }
}
