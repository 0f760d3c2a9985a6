//! The media of a SIP call: SDP offer and answer, RTP, DTMF, and the codecs on the wire.
//!
//! # The calling contract
//!
//! 1. [`PortPool::bind`] reserves an even port for RTP and the odd one above it for RTCP. Both are free again
//!    when the [`RtpPort`] is dropped, or the task and the sender of the session made of it have ended.
//! 2. [`sdp::answer`] (or [`sdp::make_offer`] and [`sdp::parse_answer`]) agrees on one codec and yields
//!    [`sdp::Negotiated`].
//! 3. [`RtpSession::start`] runs one task on the caller's `TaskTracker` until the caller's token is
//!    cancelled. From then on exactly one [`Frame`] per 20 ms comes out, sound or silence, and DTMF digits
//!    apart; the caller sends one frame per 20 ms, or silence.
//!
//! The session reports by RTCP what it sends and gets, every five seconds on average, and says good-bye at its end.
//!
//! The parsers ([`sdp`], [`rtp`], [`rtcp`], [`dtmf`]) and the two halves of a stream ([`Receiver`], [`Transmitter`])
//! know no socket and no clock. Bytes from the network can only be counted or refused: they cause no panic,
//! no allocation beyond fixed bounds, no log line.
//!
//! An encrypted session ([`SessionOptions::srtp`]) sends nothing in the clear and takes nothing that is not authentic. Its packets cost an
//! allocation each, in the library that seals and opens them.

#![warn(missing_docs)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    reason = "packets have fixed-size fields at fixed places; lengths are checked where bytes come in"
)]

pub mod dtmf;
mod frame;
mod ports;
pub mod quality;
mod receive;
mod reports;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod session;
mod source;
mod srtp;
mod stats;
mod transmit;

pub use audio::{Codec, OpusOptions};
pub use dtmf::{Digit, TelephoneEvents};
pub use frame::{Frame, FrameKind};
pub use ports::{PortError, PortPool, PortRange, PortRangeError, RtpPort};
pub use receive::{Received, Receiver, ReceiverOptions};
pub use session::{ReportsTo, RtpControl, RtpSender, RtpSession, SessionOptions};
pub use source::SourcePolicy;
pub use srtp::{MasterKey, SrtpKeys, Suite};
pub use stats::RtpStats;
pub use transmit::{Start, Transmitter};
