//! The ports for RTP.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::net::UdpSocket;

/// A range of UDP ports, both ends included, that holds at least one even port followed by an odd one (RFC
/// 3550 §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Not a range of ports for RTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a port range like `10000-20000` with room for an even port and the one above it, from 1024 on"
)]
pub struct PortRangeError(String);

impl PortRange {
    /// The range from `first` to `last`. An odd first and an even last port are left out.
    pub fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        let even = first.saturating_add(first % 2);
        if first < 1_024 || even >= last {
            return Err(PortRangeError(format!("{first}-{last}")));
        }
        Ok(Self { first: even, last })
    }

    /// The number of calls that fit in.
    pub fn calls(&self) -> usize {
        usize::from(self.pairs())
    }

    fn pairs(self) -> u16 {
        (self.last - self.first).div_ceil(2)
    }

    /// The even port of a pair; beyond the last pair they begin anew.
    fn pair(self, index: u16) -> u16 {
        self.first + index % self.pairs() * 2
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let error = || PortRangeError(text.chars().take(40).collect());
        let (first, last) = text.split_once('-').ok_or_else(error)?;
        let parse = |port: &str| port.trim().parse().map_err(|_| error());
        Self::new(parse(first)?, parse(last)?)
    }
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port of the range belongs to a call or to another program. Refuse the call; try again when one
    /// has ended.
    #[error("no free RTP port among {calls} in the range")]
    Exhausted {
        /// The size of the range.
        calls: usize,
    },
    /// The address cannot be bound to at all. Retrying does not help.
    #[error("cannot bind an RTP port on {ip}")]
    Bind {
        /// The local address asked for.
        ip: IpAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Hands out the ports of a range, each to one call at a time. Clones share the range.
#[derive(Debug, Clone)]
pub struct PortPool(Arc<Mutex<Ports>>);

#[derive(Debug)]
struct Ports {
    range: PortRange,
    taken: HashSet<u16>,
    /// Where the next search begins: behind the last port given, so that a port rests before it is used again
    /// and late packets of a call that has ended do not reach the next one.
    next: u16,
}

impl PortPool {
    /// A pool with all ports free. `start`, any number, chooses the pair that is given first. Pass a random one: a
    /// process that always began at the first port would, when restarted, give its first calls the very ports
    /// that the packets of its last ones are still coming to.
    pub fn new(range: PortRange, start: u16) -> Self {
        Self(Arc::new(Mutex::new(Ports {
            range,
            taken: HashSet::new(),
            next: range.pair(start),
        })))
    }

    /// Binds an even port for RTP and the odd one above it for RTCP, on the local address `ip`. Ports that
    /// another program holds are passed over. Must be called within a tokio runtime.
    pub fn bind(&self, ip: IpAddr) -> Result<RtpPort, PortError> {
        let calls = self.ports().range.calls();
        for _ in 0..calls {
            let Some(lease) = self.lease() else { break };
            match bind_pair(ip, lease.port) {
                Ok((media, reports)) => {
                    let (incoming, outgoing) = media;
                    return Ok(RtpPort {
                        incoming,
                        outgoing,
                        reports,
                        lease,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(PortError::Bind { ip, source }),
            }
        }
        Err(PortError::Exhausted { calls })
    }

    /// The number of ports in use.
    pub fn in_use(&self) -> usize {
        self.ports().taken.len()
    }

    fn lease(&self) -> Option<Lease> {
        let mut ports = self.ports();
        for _ in 0..ports.range.calls() {
            let port = ports.next;
            let after = port.checked_add(2).filter(|&after| after < ports.range.last);
            ports.next = after.unwrap_or(ports.range.first);
            if ports.taken.insert(port) {
                return Some(Lease {
                    pool: self.clone(),
                    port,
                });
            }
        }
        None
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        // A panic elsewhere cannot leave the set half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port of a pool, free again on drop.
#[derive(Debug)]
struct Lease {
    pool: PortPool,
    port: u16,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.ports().taken.remove(&self.port);
    }
}

/// A pair of bound sockets. Dropping it closes them and frees the port.
#[derive(Debug)]
pub struct RtpPort {
    // The order matters: the sockets close before the lease says that the port is free.
    pub(crate) incoming: UdpSocket,
    /// The same socket without tokio, which would lose packets sent before its reactor has looked at it.
    pub(crate) outgoing: std::net::UdpSocket,
    /// For RTCP. Its few packets, the first after a second at the earliest, need no socket beside it.
    pub(crate) reports: UdpSocket,
    lease: Lease,
}

impl RtpPort {
    /// The even port, for the SDP.
    pub fn port(&self) -> u16 {
        self.lease.port
    }
}

type Media = (UdpSocket, std::net::UdpSocket);

fn bind_pair(ip: IpAddr, port: u16) -> io::Result<(Media, UdpSocket)> {
    let outgoing = std::net::UdpSocket::bind(SocketAddr::new(ip, port))?;
    outgoing.set_nonblocking(true)?;
    let incoming = UdpSocket::from_std(outgoing.try_clone()?)?;
    let reports = std::net::UdpSocket::bind(SocketAddr::new(ip, port + 1))?;
    reports.set_nonblocking(true)?;
    Ok(((incoming, outgoing), UdpSocket::from_std(reports)?))
}
