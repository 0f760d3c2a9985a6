//! The path of sound. Sending: [`SourceQueue`] → [`AudioSender`] → RTP. Receiving: RTP → [`Sink`] (jitter buffer, decoder) → frames.
//! Nothing here has a clock or a socket: a driver ticks it.

#![allow(
    clippy::indexing_slicing,
    reason = "codec code slices its own buffers by lengths that the codec was given"
)]

mod codec;
mod playout;
mod sender;
mod sink;
mod source;

pub(crate) use sender::{AudioPacket, AudioSender};
pub(crate) use sink::{RECEIVE_DELAY, Sink};
pub(crate) use source::{SEND_DELAY, SourceQueue};

/// Opus's RTP clock, whatever the sample rate (RFC 7587 §4.1).
pub(crate) const OPUS_CLOCK_HZ: u32 = 48_000;
