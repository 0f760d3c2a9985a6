//! What can go wrong in a call, and what to do.

use std::time::Duration;

use crate::report::EndedBy;

/// A failed step of a call. None is repeated by this crate: place another call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("cannot open a UDP socket: see that the local address is one of this machine's")]
    Socket(#[source] std::io::Error),
    #[error(
        "{what} did not happen within {waited:?}; SIP so far: {so_far}. See the log of the side that was called"
    )]
    Late {
        what: &'static str,
        waited: Duration,
        so_far: String,
    },
    #[error("the call had ended ({by}) before {what}; SIP so far: {so_far}")]
    Ended {
        what: &'static str,
        by: EndedBy,
        so_far: String,
    },
    #[error("the SDP answer does not fit the offer: see the codecs of the trunk")]
    Answer(#[source] media::sdp::SdpError),
    #[error("{0} samples at {1} Hz cannot be spoken: use 16-bit mono at a usual rate, at most ten minutes")]
    Speech(usize, u32),
    #[error("not keys of a telephone: press 1 to 32 of 0-9 * # A-D")]
    Digits,
    #[error("not a WAV file to speak: use 16-bit mono PCM")]
    Wav(#[source] audio::wav::WavError),
    #[error("too much is waiting to be spoken: wait for the speech under way")]
    Busy,
}
