//! The sockets of one session: one UDP socket, and TCP connections towards the peer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use str0m::{
    Candidate,
    net::{Protocol, Transmit},
};
use tokio::net::UdpSocket;

use super::ice_tcp::{IceTcp, TcpEvent};

/// After so many errors in a row the socket is lost.
const MOST_ERRORS: u32 = 64;
/// All that an Ethernet frame holds, and some more.
const LONGEST_DATAGRAM: usize = 2_048;
/// How long what is queued on TCP may take at the end.
const FINISH_LIMIT: Duration = Duration::from_millis(100);

pub(crate) struct Transport {
    udp: UdpSocket,
    address: SocketAddr,
    pub(crate) tcp: IceTcp,
    datagram: Vec<u8>,
    errors: u32,
}

pub(crate) enum Incoming<'a> {
    Packet {
        protocol: Protocol,
        source: SocketAddr,
        destination: SocketAddr,
        contents: std::borrow::Cow<'a, [u8]>,
    },
    CandidateUp(Candidate),
    CandidateDown(Candidate),
    /// An error that does not matter yet.
    Nothing,
}

/// A socket on the address that this host uses towards others: the one that its default route starts from, else loopback.
///
/// # Errors
/// When there is no socket to be had.
pub(crate) fn bind() -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind((outbound_address(), 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connecting a UDP socket sends nothing; it only asks the routing table. The destinations are reserved for documentation (RFC 5737,
/// RFC 3849), which no special route leads to.
fn outbound_address() -> IpAddr {
    let towards = |bind: IpAddr, destination: IpAddr| -> io::Result<IpAddr> {
        let probe = std::net::UdpSocket::bind((bind, 0))?;
        probe.connect((destination, 9))?;
        Ok(probe.local_addr()?.ip())
    };
    let v4 = towards(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into());
    let v6 = || {
        let destination = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        towards(Ipv6Addr::UNSPECIFIED.into(), destination.into())
    };
    v4.or_else(|_| v6()).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

impl Transport {
    /// Call it inside the engine's runtime.
    ///
    /// # Errors
    /// When the socket is unusable.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            address: socket.local_addr()?,
            udp: UdpSocket::from_std(socket)?,
            tcp: IceTcp::new(),
            datagram: vec![0; LONGEST_DATAGRAM],
            errors: 0,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next thing that came in. Cancel-safe.
    ///
    /// # Errors
    /// When the UDP socket is lost.
    pub(crate) async fn receive(&mut self) -> io::Result<Incoming<'_>> {
        // Both arms are cancel-safe: a datagram or an event is either returned or left where it is.
        tokio::select! {
            received = self.udp.recv_from(&mut self.datagram) => match received {
                Ok((length, source)) => {
                    self.errors = 0;
                    let contents = self.datagram.get(..length).unwrap_or_default();
                    Ok(Incoming::Packet {
                        protocol: Protocol::Udp,
                        source,
                        destination: self.address,
                        contents: contents.into(),
                    })
                }
                Err(error) => {
                    self.errors += 1;
                    if self.errors < MOST_ERRORS { Ok(Incoming::Nothing) } else { Err(error) }
                }
            },
            Some(event) = self.tcp.event() => Ok(match event {
                TcpEvent::Up { local, outgoing } => {
                    self.tcp.up(local, outgoing).map_or(Incoming::Nothing, Incoming::CandidateUp)
                }
                TcpEvent::Data { local, remote, packet } => Incoming::Packet {
                    protocol: Protocol::Tcp,
                    source: remote,
                    destination: local,
                    contents: packet.into(),
                },
                TcpEvent::Down { local } => self.tcp.down(local).map_or(Incoming::Nothing, Incoming::CandidateDown),
            }),
        }
    }

    /// Sends now or loses it: there is no queue for datagrams.
    pub(crate) fn send(&self, transmit: &Transmit) {
        if transmit.proto == Protocol::Tcp {
            self.tcp.send(transmit.source, transmit.contents.to_vec());
        } else if let Err(error) = self.udp.try_send_to(&transmit.contents, transmit.destination) {
            log::trace!("a datagram is lost: {error}");
        }
    }

    /// Lets the last packets go out and releases the sockets.
    pub(crate) async fn finish(self) {
        self.tcp.finish(FINISH_LIMIT).await;
    }
}
