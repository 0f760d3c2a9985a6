//! Sound as interleaved 16-bit PCM.

use std::borrow::Cow;

#[derive(Debug, Clone)]
pub struct AudioFrame<'a> {
    /// Interleaved: `num_channels * samples_per_channel` samples.
    pub data: Cow<'a, [i16]>,
    pub sample_rate: u32,
    pub num_channels: u32,
    pub samples_per_channel: u32,
}

impl AudioFrame<'_> {
    /// A frame of silence.
    pub fn new(sample_rate: u32, num_channels: u32, samples_per_channel: u32) -> Self {
        Self {
            data: vec![0; num_channels as usize * samples_per_channel as usize].into(),
            sample_rate,
            num_channels,
            samples_per_channel,
        }
    }
}
