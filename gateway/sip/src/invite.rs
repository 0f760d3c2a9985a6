//! What an INVITE says, in the gateway's own types.

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;

use crate::SipUri;

/// An initial INVITE. `Debug` shows where it came from and nothing of what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// The datagram's source.
    pub source: SocketAddr,
    pub request_uri: SipUri,
    pub from: SipUri,
    /// Whether the caller asked to stay hidden: an anonymous From (RFC 3323), or none.
    pub from_anonymous: bool,
    pub from_tag: String,
    pub to: SipUri,
    pub call_id: String,
    /// Sent-by of each Via, topmost first.
    pub via: Vec<(String, Option<u16>)>,
    /// All headers in order, with their names as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Invite {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Why an INVITE cannot be used; each is answered with 400 and its text as the Reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InviteError {
    #[error("no usable Request-URI")]
    RequestUri,
    #[error("no usable From header")]
    From,
    #[error("no usable To header")]
    To,
    #[error("no usable Call-ID header")]
    CallId,
    #[error("no usable Via header")]
    Via,
    #[error("no usable Contact header")]
    Contact,
}
