//! The seam between a SIP stack and what answers its calls.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::rsip::RingingCall;
use crate::{Destination, Dialer, Invite, Ladder, RegistrationStatus};

/// A SIP endpoint that receives and places calls.
#[async_trait]
pub trait SipStack: Send {
    /// The next call. `None` when the stack has stopped, by [`SipStack::shutdown`] or by a fault. Cancel-safe.
    async fn next_call(&mut self) -> Option<IncomingCall>;

    /// A handle that places calls.
    fn dialer(&self) -> Dialer;

    /// The address that is listened on for UDP.
    fn local_addr(&self) -> SocketAddr;

    /// How each registration stands, by its name.
    fn registrations(&self) -> Vec<(String, watch::Receiver<RegistrationStatus>)>;

    /// The addresses that are listened on for TCP and for TLS.
    fn stream_addrs(&self) -> (Option<SocketAddr>, Option<SocketAddr>);

    /// What the stack holds at this moment.
    fn stats(&self) -> StackStats;

    /// Ends the calls that are left and stops. Idempotent.
    async fn shutdown(&mut self);
}

/// A call that has been offered, and answered by nothing but 100.
#[derive(Debug)]
pub struct IncomingCall {
    pub invite: Invite,
    pub control: CallControl,
    pub events: mpsc::Receiver<CallEvent>,
    pub ladder: Ladder,
}

/// What a stack holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StackStats {
    /// Calls between INVITE and the end of their dialog.
    pub calls: usize,
    /// Dialogs in the stack's table.
    pub dialogs: usize,
    /// Calls that were not answered and whose [`CallControl`] is held.
    pub ringing: usize,
    /// INVITEs that have their answer and wait for its ACK.
    pub unacknowledged: usize,
    /// Transactions under way, and answers that are kept for requests that are repeated.
    pub transactions: usize,
    /// Connections by TCP and TLS, theirs and ours.
    pub connections: usize,
    /// What was turned away since the start.
    pub refusals: Refusals,
}

/// Why the stack turned something away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Dropped: longer than [`crate::admission::Limits::max_datagram`]. Of a connection: closed, since its message is too long or says no
    /// length.
    TooLarge,
    /// Dropped: its source sends faster than [`crate::admission::Limits::per_source`].
    TooFast,
    /// Dropped, and a connection closed: no SIP message.
    Malformed,
    /// Dropped: an ACK that would have to be refused; ACKs are never answered.
    Unanswerable,
    /// 400.
    BadRequest,
    /// 405.
    NotServed,
    /// 420.
    BadExtension,
    /// 483: an INVITE that has no hop left. It goes in circles.
    TooManyHops,
    /// 503: as many calls as there may be, or nobody takes them.
    Busy,
    /// 503: [`crate::admission::Limits::ringing`] calls ring.
    Ringing,
    /// 503: [`crate::admission::Limits::ringing_per_source`] calls of its source ring.
    SourceRinging,
    /// 503: [`crate::admission::Limits::UNACKNOWLEDGED`] answers wait for their ACK, or
    /// [`crate::admission::Limits::UNACKNOWLEDGED_PER_SOURCE`] to its source.
    Unacknowledged,
    /// Closed: as many connections as there may be.
    Connections,
    /// Closed: as many connections of its source as there may be.
    SourceConnections,
    /// Closed: no handshake of TLS, or none in time.
    Handshake,
    /// Closed: no message in time, or the peer takes nothing.
    Slow,
}

impl Refusal {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::TooLarge,
        Self::TooFast,
        Self::Malformed,
        Self::Unanswerable,
        Self::BadRequest,
        Self::NotServed,
        Self::BadExtension,
        Self::TooManyHops,
        Self::Busy,
        Self::Ringing,
        Self::SourceRinging,
        Self::Unacknowledged,
        Self::Connections,
        Self::SourceConnections,
        Self::Handshake,
        Self::Slow,
    ];

    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooFast => "too_fast",
            Self::Malformed => "malformed",
            Self::Unanswerable => "unanswerable",
            Self::BadRequest => "bad_request",
            Self::NotServed => "method_not_allowed",
            Self::BadExtension => "bad_extension",
            Self::TooManyHops => "too_many_hops",
            Self::Busy => "busy",
            Self::Ringing => "ringing",
            Self::SourceRinging => "ringing_per_source",
            Self::Unacknowledged => "unacknowledged",
            Self::Connections => "connections",
            Self::SourceConnections => "connections_per_source",
            Self::Handshake => "tls_handshake",
            Self::Slow => "slow",
        }
    }

    /// The Reason header's value for an INVITE that is refused with 503.
    pub(crate) fn unavailable(self) -> String {
        let text = match self {
            Self::Ringing => "too many calls are ringing",
            Self::SourceRinging => "too many calls from this address are ringing",
            Self::Unacknowledged => "too many answers without ACK",
            _ => "too many calls",
        };
        reason(503, text)
    }
}

/// How often what was turned away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts one more.
    pub fn add(&mut self, refusal: Refusal) {
        if let Some(count) = self.0.get_mut(refusal as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// How often it was this.
    pub fn of(&self, refusal: Refusal) -> u64 {
        self.0.get(refusal as usize).copied().unwrap_or_default()
    }
}

/// What happens to a call from the other side.
#[derive(Debug)]
pub enum CallEvent {
    /// The caller sent CANCEL and got its 487. The last event.
    Cancelled,
    /// The caller acknowledged the 200.
    Acknowledged,
    /// The caller sent BYE. The last event.
    HungUp,
    /// The 200 was never acknowledged (64·T1 = 32 s); a BYE was sent. The last event.
    NotAcknowledged,
    /// The session was not refreshed in time (RFC 4028), or the other side does not know it any more; a BYE was sent. The last event.
    SessionExpired,
    /// The dialog ended for another reason, our own rejection or BYE included. The last event.
    Ended,
    /// A re-INVITE or UPDATE; it waits for an answer.
    Renegotiation(Renegotiation),
    /// The answer to the offer that a [`Renegotiation`] without one was given, or, before [`CallEvent::Acknowledged`], that the 200 to an
    /// INVITE without one made. Empty when the other side sent none.
    OfferAnswered(Vec<u8>),
    /// An INFO, already answered with 200.
    Info { content_type: String, body: Vec<u8> },
    /// The INVITE of a call that we placed goes to this host. What follows is of this one, until the next is tried.
    Trying(Destination),
    /// It came to nothing there; the next host is tried, if there is one.
    HostFailed(HostFault),
    /// A call that we placed is under way: 180, 183, or another provisional answer but 100.
    Progress {
        code: u16,
        /// Early media (RFC 3960 §3.2), when it was offered.
        sdp: Option<Vec<u8>>,
    },
    /// A call that we placed was answered; the ACK is sent.
    Answered(Answer),
    /// A call that we placed was not put through. The last event.
    Refused { code: u16, phrase: String },
    /// Nobody answered our INVITE, not even with a refusal: there is no such host, or it is down. The last event.
    Unreachable,
    /// How a transfer that we asked for stands.
    Transfer(TransferEvent),
    /// The other side wants us to call somebody; it waits for an answer.
    Referred(Referral),
}

impl CallEvent {
    /// Events that may wait for a call's owner.
    pub const QUEUE: usize = 16;
}

/// Why a call goes on to the next host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFault {
    /// No connection to it, nobody there who can show who they are, or, over UDP, nobody who listens (ICMP).
    NotConnected,
    /// It answers nothing.
    NoAnswer,
    /// 503.
    Unavailable,
}

impl HostFault {
    /// The name in logs and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The 200 to our INVITE. `Debug` shows nothing of what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub sdp: Vec<u8>,
    /// The other side's tag.
    pub tag: String,
    /// All headers in order, with their names as sent.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// What comes of a REFER (RFC 3515).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEvent {
    /// The other side's answer: from 300 on the transfer is off.
    Answered { code: u16, phrase: String },
    /// The other side's word on the new call. The last one when `is_final`.
    Notified {
        code: u16,
        phrase: String,
        is_final: bool,
    },
    /// The REFER was not answered.
    Unanswered,
}

/// A REFER of the other side's. `Debug` does not show to whom.
pub struct Referral {
    /// The value of its Refer-To.
    pub to: String,
    /// The code of the answer; from 200 to 299 the other side is told 100, and then waits for
    /// [`CallControl::notify`]. Dropping it answers 405.
    pub answer: oneshot::Sender<u16>,
}

impl fmt::Debug for Referral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Referral(..)")
    }
}

/// An offer within the call, or, without a body, the request for one.
#[derive(Debug)]
pub struct Renegotiation {
    pub offer: Option<Vec<u8>>,
    /// The SDP for the 200; `None` rejects the offer with 488 and leaves the session as it was. Dropping it rejects likewise.
    pub answer: oneshot::Sender<Option<Vec<u8>>>,
}

/// What the owner of a call can ask for.
pub enum Command {
    Ringing,
    Accept {
        answer: Vec<u8>,
        headers: Vec<(String, String)>,
    },
    Reject(Rejection),
    /// Ends the call: a BYE, or what its phase demands.
    Bye {
        reason: Option<String>,
        headers: Vec<(String, String)>,
    },
    /// Asks the other side to call somebody else instead (RFC 3515).
    Refer {
        /// A `sip:` or `tel:` URI.
        to: String,
        headers: Vec<(String, String)>,
    },
    /// Tells the other side what has come of its REFER.
    Notify {
        code: u16,
        phrase: String,
        is_final: bool,
    },
}

/// Its kind only: targets are phone numbers.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ringing => "Ringing",
            Self::Accept { .. } => "Accept(..)",
            Self::Reject(_) => "Reject(..)",
            Self::Bye { .. } => "Bye(..)",
            Self::Refer { .. } => "Refer(..)",
            Self::Notify { .. } => "Notify(..)",
        })
    }
}

/// A final answer other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// 300–699.
    pub code: u16,
    /// The value of a `Reason` header (RFC 3326), such as `SIP;cause=480;text="no agent"`.
    pub reason: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Rejection {
    /// A bare status.
    pub fn code(code: u16) -> Self {
        Self {
            code,
            reason: None,
            headers: Vec::new(),
        }
    }

    /// A status with a Reason header, whose text must hold no quote.
    pub fn with_reason(code: u16, text: &str) -> Self {
        Self {
            code,
            reason: Some(reason(code, text)),
            headers: Vec::new(),
        }
    }
}

/// The value of a Reason header (RFC 3326).
pub(crate) fn reason(code: u16, text: &str) -> String {
    format!("SIP;cause={code};text=\"{text}\"")
}

/// The call has ended; there is nothing left to do to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the call has ended")]
pub struct CallClosed;

/// The owner's handle on a call. Dropping it rejects the call with 500, or hangs it up. A call that was not answered counts as ringing
/// until then.
#[derive(Debug)]
pub struct CallControl {
    commands: mpsc::Sender<Command>,
    /// Given back with the control: its owner holds it until it has released all that the call needed.
    _place: Option<RingingCall>,
}

impl CallControl {
    /// Commands that may wait.
    pub const QUEUE: usize = 8;

    /// A handle that feeds `commands`, for stacks and for scripted fakes of them.
    pub fn new(commands: mpsc::Sender<Command>) -> Self {
        Self {
            commands,
            _place: None,
        }
    }

    pub(crate) fn ringing_in(place: RingingCall, commands: mpsc::Sender<Command>) -> Self {
        Self {
            commands,
            _place: Some(place),
        }
    }

    /// Sends 180.
    ///
    /// # Errors
    /// [`CallClosed`], as for every method here.
    pub async fn ringing(&self) -> Result<(), CallClosed> {
        self.send(Command::Ringing).await
    }

    /// Sends 200 with `answer` as its SDP.
    pub async fn accept(&self, answer: Vec<u8>, headers: Vec<(String, String)>) -> Result<(), CallClosed> {
        self.send(Command::Accept { answer, headers }).await
    }

    /// Sends a final answer. No effect after [`CallControl::accept`].
    pub async fn reject(&self, rejection: Rejection) -> Result<(), CallClosed> {
        self.send(Command::Reject(rejection)).await
    }

    /// Sends BYE, after the ACK if that is still to come (RFC 3261 §15), or takes a call back that we placed and nobody has answered.
    /// `reason` is the value of a `Reason` header.
    pub async fn bye(&self, reason: Option<String>) -> Result<(), CallClosed> {
        self.bye_with(reason, Vec::new()).await
    }

    /// The same with more headers; each must be one that [`crate::is_extra_header`] allows.
    pub async fn bye_with(
        &self,
        reason: Option<String>,
        headers: Vec<(String, String)>,
    ) -> Result<(), CallClosed> {
        self.send(Command::Bye { reason, headers }).await
    }

    /// Sends REFER; [`CallEvent::Transfer`] says what comes of it. No effect before the answer.
    pub async fn refer(&self, to: String, headers: Vec<(String, String)>) -> Result<(), CallClosed> {
        self.send(Command::Refer { to, headers }).await
    }

    /// Tells the other side how the call stands that it wanted by REFER (RFC 3515 §2.4.5), as a status line of one line.
    pub async fn notify(&self, code: u16, phrase: String, is_final: bool) -> Result<(), CallClosed> {
        self.send(Command::Notify {
            code,
            phrase,
            is_final,
        })
        .await
    }

    async fn send(&self, command: Command) -> Result<(), CallClosed> {
        self.commands.send(command).await.map_err(|_| CallClosed)
    }
}
