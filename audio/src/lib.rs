//! Frames, codecs, resampling, jitter buffer, concealment, voice activity, mixing, levels, OGG, WAV and
//! quality figures.
//!
//! # The calling contract
//!
//! - Samples are linear 16-bit PCM, mono, in slices of `i16`. The rate is stated by whoever made them;
//!   nothing here guesses it.
//! - A function that takes `&mut Vec<_>` as its output **appends** and never clears: the caller owns the
//!   buffer, clears it and keeps its capacity, so that nothing is allocated per frame once the buffers have
//!   grown.
//! - One value per stream and direction: encoders, decoders, resamplers, voice detectors and jitter buffers
//!   carry the history of the one signal they have seen.
//! - There is no clock: time comes in as `now`, a `Duration` on any monotone clock of the caller's.
//! - There is no IO except the `io::Write` and `io::Read` handed in, no randomness, no task, no log.
//! - Nothing that comes from the network or from a file can make this crate panic.
//!
//! The usual frame is 20 ms ([`FRAME`]): 160 samples at 8 kHz, 320 at 16 kHz, 960 at 48 kHz.

#![warn(missing_docs)]
#![allow(
    clippy::indexing_slicing,
    reason = "signal processing indexes its own fixed-size buffers; the inputs are bounded where they enter"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "signal processing converts between sample types all the time; the ranges are stated at each type"
)]

use std::time::Duration;

mod clean;
pub mod codec;
pub mod concealment;
pub mod correlate;
mod fft;
pub mod jitter;
pub mod level;
mod mix;
pub mod ogg;
mod resample;
pub mod tone;
mod vad;
pub mod wav;

pub use clean::{Cleaner, EchoCanceller, NoiseSuppression};
pub use codec::{Codec, Decoder, Encoder, OpusOptions};
pub use concealment::Concealer;
pub use jitter::JitterBuffer;
pub use mix::{mix, mix_into};
pub use resample::{Resampler, UnsupportedRates};
pub use vad::Vad;

/// The length of the usual frame: 20 ms.
pub const FRAME: Duration = Duration::from_millis(20);

/// The number of samples in a 20 ms frame at `sample_rate_hz`.
pub const fn frame_samples(sample_rate_hz: u32) -> usize {
    (sample_rate_hz / 50) as usize
}
