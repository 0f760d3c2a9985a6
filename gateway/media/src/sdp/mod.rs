//! Offer and answer (RFC 3264) in SDP (RFC 8866), for one audio stream.
//!
//! What comes from the peer is parsed once, in `description`, into bounded types; `sdp-types` does not
//! reach further.

mod crypto;
mod description;
mod negotiate;

use std::net::{IpAddr, SocketAddr};

use audio::{Codec, OpusOptions};

use crate::srtp::{MasterKey, SrtpKeys, Suite};
use crate::{ReportsTo, TelephoneEvents};

pub use negotiate::{answer, make_offer, parse_answer};

/// The longest description taken, in bytes. Real ones have 300 to 3,000.
pub const MAX_BYTES: usize = 16_384;
/// The most `m=` lines taken.
pub const MAX_MEDIA: usize = 16;
/// The most payload types of one `m=` line taken.
pub const MAX_FORMATS: usize = 64;

/// Our order of preference: the better sound first (Opus mends losses too), then as livekit-sip has it.
pub const CODECS: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];

/// The payload type of `codec` that we offer.
pub const fn offered_payload_type(codec: Codec) -> u8 {
    match codec.static_payload_type() {
        Some(payload_type) => payload_type,
        None => FIRST_DYNAMIC,
    }
}

/// RFC 3551 §6: for codecs without a static payload type.
const FIRST_DYNAMIC: u8 = 96;

/// The telephone-events that we offer: for each clock of `codecs` one, since events count on the clock of the sound that
/// they stand in for (RFC 4733 §2.1).
fn offered_events(codecs: &[Codec]) -> Vec<TelephoneEvents> {
    let mut events: Vec<TelephoneEvents> = Vec::new();
    for clock_rate_hz in codecs.iter().map(|codec| codec.clock_rate_hz()) {
        if !events.iter().any(|events| events.clock_rate_hz == clock_rate_hz) {
            events.push(TelephoneEvents {
                payload_type: if clock_rate_hz == 8_000 { 101 } else { 102 },
                clock_rate_hz,
            });
        }
    }
    events
}

/// Our side of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalMedia<'a> {
    /// The address that the peer can reach: behind NAT the public one.
    pub address: IpAddr,
    /// The RTP port, even.
    pub port: u16,
    /// The codecs to agree on, the preferred one first; usually [`CODECS`].
    pub codecs: &'a [Codec],
    /// The number of the session in `o=`: any, but constant during a call.
    pub session_id: u64,
    /// The version in `o=`: to be raised with every description that differs from the one before (RFC 3264
    /// §8).
    pub version: u64,
    /// Whether and how sound is encrypted; `None` for plain RTP only.
    pub srtp: Option<LocalSrtp<'a>>,
}

/// What we have for SRTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSrtp<'a> {
    /// Whether plain RTP is refused. Otherwise it is taken from whoever offers no key, and our own offer is one of plain RTP with keys
    /// beside it, which whoever knows them may take.
    pub required: bool,
    /// Suites with a key of ours each, the preferred one first. A key is for one suite of one call.
    pub keys: &'a [(Suite, MasterKey)],
}

impl LocalSrtp<'_> {
    fn key(&self, suite: Suite) -> Option<MasterKey> {
        let mut keys = self.keys.iter();
        keys.find(|(ours, _)| *ours == suite).map(|(_, key)| *key)
    }
}

/// What both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The codec, both ways.
    pub codec: Codec,
    /// Its payload type, both ways.
    pub payload_type: u8,
    /// What the peer wants of Opus, where that is the codec.
    pub opus: OpusOptions,
    /// Telephone-events; `None` when the peer has none. On the codec's clock, but for [peers](TelephoneEvents::clock_rate_hz) that have none
    /// on that of Opus.
    pub events: Option<TelephoneEvents>,
    /// Where to send; `None` for 0.0.0.0 and ::, the old way to hold.
    pub remote: Option<SocketAddr>,
    /// From our point of view.
    pub direction: Direction,
    /// Whether the peer holds the call: it does not want to hear us.
    pub held: bool,
    /// What the sound is encrypted with, if it is.
    pub srtp: Option<SrtpKeys>,
    /// Where the peer wants RTCP: at the port above, or the one of `a=rtcp` (RFC 3605), or beside the sound where it has said so by
    /// `a=rtcp-mux` (RFC 5761).
    pub reports_to: ReportsTo,
}

/// Who sends, from the point of view of the side named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both. The default where a description says nothing.
    #[default]
    SendRecv,
    /// This side only.
    SendOnly,
    /// The other side only.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// The attribute's name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The same from the other side's point of view.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }

    /// Whether this side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name() == name)
    }
}

/// Why there is no agreement. All are final: the same description fails again. An offer is best refused with
/// 488, or 400 where it is not SDP at all.
#[derive(Debug, thiserror::Error)]
pub enum SdpError {
    /// Longer than [`MAX_BYTES`].
    #[error("the description has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
    /// Not SDP.
    #[error("not SDP")]
    Syntax(#[source] sdp_types::ParserError),
    /// More `m=` lines than [`MAX_MEDIA`].
    #[error("{0} m= lines, more than {MAX_MEDIA}")]
    TooManyMedia(usize),
    /// More payload types than [`MAX_FORMATS`].
    #[error("more than {MAX_FORMATS} payload types in m=audio")]
    TooManyFormats,
    /// There is no `m=audio` line.
    #[error("no m=audio line")]
    NoAudio,
    /// The audio is refused or switched off: its port is 0.
    #[error("port 0 in m=audio")]
    PortZero,
    /// Neither RTP nor SRTP with keys in the SDP.
    #[error("transport `{0}` in m=audio; only RTP/AVP and RTP/SAVP are supported")]
    UnsupportedTransport(String),
    /// SRTP, where we are told to have none.
    #[error("SRTP in m=audio, and encryption is off")]
    EncryptionOff,
    /// RTP without a key, where we are told to have SRTP only.
    #[error("no SRTP in m=audio, and encryption is required")]
    NotEncrypted,
    /// SRTP, and none of its `a=crypto` lines can be used.
    #[error("no common suite in a=crypto: ours are AES_CM_128_HMAC_SHA1_80 and AES_CM_128_HMAC_SHA1_32")]
    NoCommonSuite,
    /// There is no `c=` line, neither for the audio nor for the session.
    #[error("no c= line for m=audio")]
    NoAddress,
    /// The address in `c=` is not an IP address of a host.
    #[error("the address in c= is not a unicast IP address")]
    BadAddress,
    /// None of the peer's codecs is among ours.
    #[error("no common codec in m=audio: ours are {ours}, theirs {theirs}")]
    NoCommonCodec {
        /// The names of our codecs.
        ours: String,
        /// The names or payload types that the peer has.
        theirs: String,
    },
}

impl SdpError {
    /// The line of the description that is at fault: `m=audio`, `c=` or `sdp`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::TooLong(_) | Self::Syntax(_) | Self::TooManyMedia(_) => "sdp",
            Self::NoAddress | Self::BadAddress => "c=",
            Self::TooManyFormats
            | Self::NoAudio
            | Self::PortZero
            | Self::UnsupportedTransport(_)
            | Self::EncryptionOff
            | Self::NotEncrypted
            | Self::NoCommonSuite
            | Self::NoCommonCodec { .. } => "m=audio",
        }
    }
}
