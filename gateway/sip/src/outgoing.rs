//! A call that we place.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::digest::client::Login;
use crate::ladder::Ladders;
use crate::locate::Locator;
use crate::{CallControl, CallEvent, Command, Destination, Ladder, LocateError, SipUri, Transport};

/// What an INVITE is made of. `Debug` shows where it goes and nothing of what it says.
#[derive(Clone)]
pub struct Outgoing {
    /// Where it is sent: to the first, and where that fails to the next (RFC 3263 §4.3).
    pub destinations: Vec<Destination>,
    /// Of the Request-URI and To.
    pub to: SipUri,
    /// Of From. An empty host stands for our own address.
    pub from: SipUri,
    /// The name in From.
    pub display_name: Option<String>,
    /// The tag in From, which stays the same when the INVITE is repeated with credentials.
    pub tag: String,
    pub call_id: String,
    /// More headers. Each must be one that [`is_extra_header`] allows; others are left out.
    pub headers: Vec<(String, String)>,
    /// For servers that challenge.
    pub login: Option<Login>,
    /// The SDP.
    pub offer: Vec<u8>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

/// Headers that the stack writes itself: a second one would break the call, or change whose it is.
const RESERVED: [&str; 35] = [
    "accept",
    "allow",
    "authorization",
    "call-id",
    "i",
    "contact",
    "m",
    "content-length",
    "l",
    "content-type",
    "c",
    "content-encoding",
    "e",
    "cseq",
    "expires",
    "from",
    "f",
    "max-forwards",
    "min-se",
    "proxy-authorization",
    "proxy-require",
    "record-route",
    "refer-to",
    "r",
    "require",
    "route",
    "rack",
    "session-expires",
    "x",
    "supported",
    "k",
    "to",
    "t",
    "via",
    "v",
];

/// Whether a header may be added to a request: its name is a token (RFC 3261 §25.1) and not the stack's own, its value is one line.
pub fn is_extra_header(name: &str, value: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    let reserved = RESERVED
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved));
    (1..=128).contains(&name.len())
        && name.bytes().all(is_token)
        && !reserved
        && value.len() <= 1024
        && !value.chars().any(char::is_control)
}

/// A call that was placed: its first events are of its way to the other side.
#[derive(Debug)]
pub struct PlacedCall {
    pub control: CallControl,
    pub events: mpsc::Receiver<CallEvent>,
    pub ladder: Ladder,
}

/// Why a call was not placed. It may be tried again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DialError {
    #[error("too many calls are being placed")]
    Busy,
    #[error("the SIP stack has stopped")]
    Stopped,
}

/// Places calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialer {
    placements: mpsc::Sender<Placement>,
    ladders: Arc<Ladders>,
    locator: Arc<Locator>,
}

/// A call on its way to the stack.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) outgoing: Outgoing,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<CallEvent>,
}

impl Dialer {
    pub(crate) fn new(
        placements: mpsc::Sender<Placement>,
        ladders: Arc<Ladders>,
        locator: Arc<Locator>,
    ) -> Self {
        Self {
            placements,
            ladders,
            locator,
        }
    }

    /// Where calls to a host go: at least one place, in the order in which they are to be tried. An address, and a name with a port, is
    /// what it is; other names are looked for as RFC 3263 §4.2 has it. Hosts that have failed lately come last. Takes at most 8 s.
    ///
    /// # Errors
    /// [`LocateError`]. All but [`LocateError::Unanswered`] stay until somebody changes something.
    pub async fn locate(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
    ) -> Result<Vec<Destination>, LocateError> {
        self.locator.locate(host, port, transport).await
    }

    /// Sends the INVITE. Dropping the call's control before the answer takes it back.
    ///
    /// # Errors
    /// [`DialError`]; nothing was sent.
    pub fn dial(&self, outgoing: Outgoing) -> Result<PlacedCall, DialError> {
        let (commands_tx, commands) = mpsc::channel(CallControl::QUEUE);
        let (events_tx, events) = mpsc::channel(CallEvent::QUEUE);
        let ladder = self.ladders.begin(&outgoing.call_id);
        let placement = Placement {
            outgoing,
            commands,
            events: events_tx,
        };
        self.placements.try_send(placement).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DialError::Busy,
            mpsc::error::TrySendError::Closed(_) => DialError::Stopped,
        })?;
        Ok(PlacedCall {
            control: CallControl::new(commands_tx),
            events,
            ladder,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_headers_are_single_lines_and_none_of_the_stacks_own() {
        for (name, value) in [
            ("X-Acct", "42"),
            ("P-Asserted-Identity", "<sip:1@h>"),
            ("Subject", ""),
        ] {
            assert!(is_extra_header(name, value), "{name}");
        }
        let long = "x".repeat(1025);
        for (name, value) in [
            ("", "x"),
            ("To", "x"),
            ("tO", "x"),
            ("t", "x"),
            ("Contact", "x"),
            ("Proxy-Authorization", "x"),
            ("X A", "x"),
            ("X:A", "x"),
            ("X-A", "1\r\nTo: 2"),
            ("X-A", "\u{7f}"),
            ("X-A", long.as_str()),
        ] {
            assert!(!is_extra_header(name, value), "{name}: {value}");
        }
    }
}
