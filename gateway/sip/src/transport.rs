//! What carries SIP to a peer.

use std::fmt;
use std::net::SocketAddr;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// Its port where a URI names none (RFC 3261 §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// As the parameter of a URI has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where requests are sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub address: SocketAddr,
    pub transport: Transport,
    /// Over TLS: the host name or address that its certificate must be for.
    pub name: String,
}

impl Destination {
    /// Over UDP.
    pub fn udp(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Udp,
            name: String::new(),
        }
    }
}
