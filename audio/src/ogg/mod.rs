//! Stereo recordings as Opus in OGG (RFC 7845).

mod reader;
mod writer;

pub use reader::{ReadError, Recording, read};
pub use writer::{Options, OpusWriter};

/// Granule positions and the pre-skip count at 48 kHz, whatever the rate of the audio (RFC 7845 §4).
const GRANULES_PER_SECOND: u32 = 48_000;
