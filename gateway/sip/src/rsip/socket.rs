//! The UDP socket as the stack sees it: what admission refuses never arrives.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::Shared;
use crate::admission::Verdict;

pub(super) struct AdmittedSocket {
    socket: UdpSocket,
    shared: Arc<Shared>,
}

impl AdmittedSocket {
    /// Must be called within the runtime that will drive the socket.
    pub(super) fn new(socket: std::net::UdpSocket, shared: Arc<Shared>) -> std::io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self { socket, shared })
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
                    let _ = self.socket.send_to(&reply, source).await;
                }
                Verdict::Drop(why) => self.shared.refusals.lock().add(why),
            }
        }
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.socket.send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}
