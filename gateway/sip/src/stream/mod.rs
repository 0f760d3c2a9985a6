//! SIP on a stream (TCP, TLS), as far as it is pure: where a message ends, and how long a connection may take.

mod framing;
mod vigil;

pub(crate) use framing::{Frame, Framer};
pub(crate) use vigil::{Due, Vigil};

use std::time::Duration;

/// How long a connection may take over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamTimes {
    /// From the connection, its handshake included, to the end of its first message; and from the first byte of any message to its last.
    /// Default 10 s.
    pub message: Duration,
    /// A peer that takes nothing off us for this long is gone. Default 10 s.
    pub write: Duration,
    /// Without a byte from the other side, unless a call needs the connection. Default 10 min.
    pub idle: Duration,
    /// Between the keep-alives (RFC 5626 §4.4.1) of connections that we have opened. Default 95 s, the least that the RFC has.
    pub keep_alive: Duration,
}

impl Default for StreamTimes {
    fn default() -> Self {
        Self {
            message: Duration::from_secs(10),
            write: Duration::from_secs(10),
            idle: Duration::from_mins(10),
            keep_alive: Duration::from_secs(95),
        }
    }
}
