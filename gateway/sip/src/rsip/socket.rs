//! The UDP socket as the stack sees it: what admission refuses never arrives.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{Shared, icmp};
use crate::admission::Verdict;

/// Refusals by ICMP that may wait for a call. Who misses some waits for its timers.
const REFUSALS: usize = 64;
/// How often what ICMP has said of other datagrams may keep one from being sent.
const MAX_ERRORS: usize = 4;

pub(super) struct AdmittedSocket {
    socket: UdpSocket,
    shared: Arc<Shared>,
    refusals: broadcast::Sender<SocketAddr>,
}

/// Hears who has refused datagrams from now on.
pub(super) struct Refusals(broadcast::Receiver<SocketAddr>);

impl Refusals {
    /// Resolves when the host at this address has. Cancel-safe.
    pub(super) async fn of(&mut self, host: SocketAddr) {
        loop {
            match self.0.recv().await {
                Ok(refused) if refused == host => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl AdmittedSocket {
    /// Must be called within the runtime that will drive the socket.
    pub(super) fn new(socket: std::net::UdpSocket, shared: Arc<Shared>) -> std::io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        icmp::listen(&socket);
        let (refusals, _) = broadcast::channel(REFUSALS);
        Ok(Self {
            socket,
            shared,
            refusals,
        })
    }

    /// What costs the other side least, and passes through every NAT (RFC 5626 §3.5.1): two line ends, which no SIP server takes for a
    /// message.
    pub(super) async fn keep_alive(&self, peer: SocketAddr) {
        // One that is lost is one of many.
        let _ = self.send(b"\r\n\r\n", peer).await;
    }

    pub(super) fn refusals(&self) -> Refusals {
        Refusals(self.refusals.subscribe())
    }

    /// Tells whoever waits for it what ICMP says. Does not end but by a fault; without it calls wait for their timers.
    pub(super) async fn hear_refusals(&self) {
        loop {
            match self
                .socket
                .async_io(Interest::ERROR, || icmp::next(&self.socket))
                .await
            {
                // Nobody may be waiting.
                Ok(Some(host)) => drop(self.refusals.send(host)),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    async fn send(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<usize> {
        for _ in 0..MAX_ERRORS {
            match self.socket.send_to(bytes, peer).await {
                // Of an earlier datagram, whomever that was for.
                Err(error) if icmp::is_refusal(&error) => {}
                sent => return sent,
            }
        }
        self.socket.send_to(bytes, peer).await
    }
}

#[async_trait]
impl rsipstack::platform::net::UdpSocket for AdmittedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        loop {
            // An ICMP error of an earlier send surfaces here (ECONNREFUSED); it concerns no datagram to come.
            let Ok((length, source)) = self.socket.recv_from(buf).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let datagram = buf.get(..length).unwrap_or_default();
            let now = Instant::now().into_std();
            let verdict = self.shared.admission.lock().check(datagram, source, now);
            match verdict {
                Verdict::Pass => return Ok((length, source)),
                Verdict::Reply(why, reply) => {
                    self.shared.refusals.lock().add(why);
                    // A refusal that does not get out is a refusal lost on the way: the peer repeats its request.
                    let _ = self.send(&reply, source).await;
                }
                Verdict::Drop(why) => self.shared.refusals.lock().add(why),
            }
        }
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.send(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}
