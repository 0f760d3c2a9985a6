//! SIP for the gateway: calls come in as [`IncomingCall`]s and go out by a [`Dialer`], whatever stack carries them.
//!
//! # Contract
//!
//! - A [`SipStack`] yields calls; each call is a [`CallControl`] (commands in) and a bounded channel of [`CallEvent`]s (out). Dropping the
//!   control ends the call on the wire, so no dialog outlives the task that owns it.
//! - [`RsipStack`] is the one stack there is. It runs `rsipstack` on a thread of its own, and that thread has no `tracing` subscriber:
//!   `rsipstack` logs whole messages, and messages hold phone numbers and credentials. So nothing that it logs can reach any log,
//!   whatever the log configuration says.
//! - In front of the stack stands [`admission`]: what is oversized, malformed, too fast, or of a method that is not served never reaches it,
//!   by UDP, TCP or TLS. Connections are ours, their number, their pace and their memory bounded.
//! - [`digest`], [`admission`] and `stream` are pure: time comes in as an argument.
//! - Our certificate is read from files, and again when told ([`Certificates::refresh`]), and what the system says of names
//!   (`/etc/resolv.conf`, `/etc/hosts`) whenever one is looked for; nothing else is read after the start.
//! - Hosts are found by RFC 3263 (`locate`, on `dns`), and one that fails is tried last for a while, by all calls and registrations.
//!
//! # What this crate does not do
//!
//! It knows no SDP (bodies are bytes), no media, no LiveKit. It holds no credentials and no routing.

pub mod admission;
pub mod digest;
mod dns;
mod invite;
mod ladder;
mod locate;
mod outgoing;
mod registration;
mod rsip;
mod session;
mod stack;
mod stream;
mod tls;
mod transport;
mod uri;

pub use invite::{Invite, InviteError};
pub use ladder::{Ladder, LadderMessage};
pub use locate::LocateError;
pub use outgoing::{DialError, Dialer, Outgoing, PlacedCall, is_extra_header};
pub use registration::{Account, RegistrationFault, RegistrationStatus};
#[doc(hidden)]
pub use rsip::fuzz;
pub use rsip::{RsipStack, SipConfig, StartError, TlsListen};
pub use session::SessionTimes;
pub use stack::{
    Answer, CallClosed, CallControl, CallEvent, Command, HostFault, IncomingCall, Referral, Refusal,
    Refusals, Rejection, Renegotiation, SipStack, StackStats, TransferEvent,
};
pub use stream::StreamTimes;
pub use tls::{Authorities, Certificates, TlsError};
pub use transport::{Destination, Transport};
pub use uri::SipUri;

/// The log target of the wrapped stack. It cannot reach a subscriber by itself (see the crate's contract); a subscriber that
/// filters it at WARN or above as well is a second belt.
pub const STACK_LOG_TARGET: &str = "rsipstack";

/// The methods that are served, as they stand in `Allow`. UPDATE is among them because some session border controllers tear
/// calls down without it; NOTIFY tells what comes of our REFERs. REFER itself is not: whether it is
/// followed, within a call, is for the call's owner to say.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY, PRACK";

/// The extensions that a peer may require: session timers (RFC 4028) and reliable provisional answers (RFC 3262).
pub(crate) const SUPPORTED: [&str; 2] = ["timer", "100rel"];
