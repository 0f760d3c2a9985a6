//! Opus at any sample rate: natively at its own five, by resampling to 48 kHz at the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use audio::Resampler;
use ropus::{
    Application, Bitrate, Channels, DecodeMode, Decoder as RopusDecoder, Encoder as RopusEncoder, InbandFec,
};

use super::OPUS_CLOCK_HZ;

/// The longest Opus packet, and the longest frame (RFC 6716 §3.2).
const LONGEST_PACKET_BYTES: usize = 1_275;
const LONGEST_FRAME_MS: u32 = 120;

/// For speech with recovery data for the packet before it.
const BITRATE_PER_CHANNEL: u32 = 32_000;
/// Half of the most thorough search: the next steps cost much and are not heard on speech.
const COMPLEXITY: u8 = 5;
const EXPECTED_LOSS_PERCENT: u8 = 5;

/// One rate for Opus, another for the program, one converter for each channel between them.
struct Conversion {
    resamplers: Vec<Resampler>,
    channel: Vec<i16>,
    converted: Vec<i16>,
}

/// Encodes frames of 20 ms.
pub(crate) struct OpusEncoder {
    encoder: RopusEncoder,
    conversion: Option<Conversion>,
    at_opus_rate: Vec<i16>,
    frame_samples: usize,
}

/// Decodes packets and conceals missing ones.
pub(crate) struct OpusDecoder {
    decoder: RopusDecoder,
    opus_hz: u32,
    channels: u32,
    conversion: Option<Conversion>,
    scratch: Vec<i16>,
}

fn opus_rate(sample_rate: u32) -> u32 {
    match sample_rate {
        8_000 | 12_000 | 16_000 | 24_000 | 48_000 => sample_rate,
        _ => OPUS_CLOCK_HZ,
    }
}

fn opus_channels(channels: u32) -> Option<Channels> {
    match channels {
        1 => Some(Channels::Mono),
        2 => Some(Channels::Stereo),
        _ => None,
    }
}

impl Conversion {
    /// `None` when the rates are the same, `Err` when there is no converter between them.
    fn between(from_hz: u32, to_hz: u32, channels: u32) -> Result<Option<Self>, audio::UnsupportedRates> {
        if from_hz == to_hz {
            return Ok(None);
        }
        let resampler = Resampler::new(from_hz, to_hz)?;
        Ok(Some(Self {
            resamplers: vec![resampler; channels as usize],
            channel: Vec::new(),
            converted: Vec::new(),
        }))
    }

    /// Appends `samples`, converted, to `out`. Both are interleaved.
    fn convert(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        let channels = self.resamplers.len();
        let start = out.len();
        for (index, resampler) in self.resamplers.iter_mut().enumerate() {
            self.channel.clear();
            self.channel.extend(samples.iter().skip(index).step_by(channels));
            self.converted.clear();
            resampler.process(&self.channel, &mut self.converted);
            out.resize(start + self.converted.len() * channels, 0);
            let places = out.iter_mut().skip(start + index).step_by(channels);
            for (place, sample) in places.zip(&self.converted) {
                *place = *sample;
            }
        }
    }
}

impl OpusEncoder {
    /// `None` for rates and channels that Opus cannot be fed from.
    pub(crate) fn new(sample_rate: u32, channels: u32) -> Option<Self> {
        let opus_hz = opus_rate(sample_rate);
        let encoder = RopusEncoder::builder(opus_hz, opus_channels(channels)?, Application::Voip)
            .complexity(COMPLEXITY)
            .bitrate(Bitrate::Bits(BITRATE_PER_CHANNEL * channels))
            .inband_fec(InbandFec::Enabled)
            .packet_loss_perc(EXPECTED_LOSS_PERCENT)
            .build()
            .ok()?;
        Some(Self {
            encoder,
            conversion: Conversion::between(sample_rate, opus_hz, channels).ok()?,
            at_opus_rate: Vec::new(),
            frame_samples: (opus_hz / 50 * channels) as usize,
        })
    }

    /// The packet for 20 ms of sound at the program's rate.
    pub(crate) fn encode(&mut self, frame: &[i16]) -> Option<Vec<u8>> {
        let mut packet = vec![0; LONGEST_PACKET_BYTES];
        let length = match &mut self.conversion {
            None => self.encoder.encode(frame, &mut packet),
            Some(conversion) => {
                conversion.convert(frame, &mut self.at_opus_rate);
                // The converter starts some samples short, once.
                let missing = self.frame_samples.saturating_sub(self.at_opus_rate.len());
                self.at_opus_rate.splice(0..0, std::iter::repeat_n(0, missing));
                let encoded = self
                    .encoder
                    .encode(&self.at_opus_rate[..self.frame_samples], &mut packet);
                self.at_opus_rate.drain(..self.frame_samples);
                encoded
            }
        };
        packet.truncate(length.ok()?);
        Some(packet)
    }
}

impl OpusDecoder {
    /// `None` for rates and channels that cannot be made of Opus.
    pub(crate) fn new(sample_rate: u32, channels: u32) -> Option<Self> {
        let opus_hz = opus_rate(sample_rate);
        Some(Self {
            decoder: RopusDecoder::new(opus_hz, opus_channels(channels)?).ok()?,
            opus_hz,
            channels,
            conversion: Conversion::between(opus_hz, sample_rate, channels).ok()?,
            scratch: vec![0; (opus_hz / 1_000 * LONGEST_FRAME_MS * channels) as usize],
        })
    }

    /// Appends the sound of `packet` to `out`. False when it is not Opus.
    pub(crate) fn decode(&mut self, packet: &[u8], out: &mut Vec<i16>) -> bool {
        // Without bytes it would be a request for concealment.
        !packet.is_empty() && self.run(packet, self.scratch.len(), DecodeMode::Normal, out)
    }

    /// Appends `ms` of what may have been in a missing packet: from the recovery data of the following packet if it is there, else by
    /// continuing the sound before it.
    pub(crate) fn conceal(&mut self, following: Option<&[u8]>, ms: u32, out: &mut Vec<i16>) {
        let ms = ms.clamp(10, LONGEST_FRAME_MS) / 10 * 10;
        let samples = (self.opus_hz / 1_000 * ms * self.channels) as usize;
        let repaired = following
            .filter(|packet| !packet.is_empty())
            .is_some_and(|packet| self.run(packet, samples, DecodeMode::Fec, out));
        if !repaired {
            self.run(&[], samples, DecodeMode::Normal, out);
        }
    }

    fn run(&mut self, packet: &[u8], room: usize, mode: DecodeMode, out: &mut Vec<i16>) -> bool {
        let (decoder, buffer) = (&mut self.decoder, &mut self.scratch[..room]);
        // Packets come from other participants; should the decoder have a flaw, it must not take the call down.
        let outcome = catch_unwind(AssertUnwindSafe(|| decoder.decode(packet, buffer, mode)));
        let samples = match outcome {
            Ok(Ok(samples)) => (samples * self.channels as usize).min(room),
            Ok(Err(_)) => return false,
            Err(_) => {
                log::error!("the Opus decoder failed on a packet of {} bytes", packet.len());
                if let Some(fresh) = opus_channels(self.channels)
                    .and_then(|channels| RopusDecoder::new(self.opus_hz, channels).ok())
                {
                    self.decoder = fresh;
                }
                return false;
            }
        };
        match &mut self.conversion {
            None => out.extend_from_slice(&self.scratch[..samples]),
            Some(conversion) => conversion.convert(&self.scratch[..samples], out),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(sample_rate: u32, channels: u32, frame: usize) -> Vec<i16> {
        let samples = sample_rate as usize / 50;
        (0..samples)
            .flat_map(|index| {
                let at = (frame * samples + index) as f64 / f64::from(sample_rate);
                let sample = ((at * 440.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16;
                std::iter::repeat_n(sample, channels as usize)
            })
            .collect()
    }

    fn rms(samples: &[i16]) -> f64 {
        let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        (energy / samples.len() as f64).sqrt()
    }

    #[test]
    fn sound_passes_at_native_and_odd_rates() {
        for (rate, channels) in [
            (8_000, 1),
            (12_000, 1),
            (16_000, 1),
            (24_000, 2),
            (48_000, 2),
            (44_100, 1),
            (32_000, 2),
            (22_050, 1),
        ] {
            let mut encoder = OpusEncoder::new(rate, channels).unwrap();
            let mut decoder = OpusDecoder::new(rate, channels).unwrap();
            let mut out = Vec::new();
            for frame in 0..50 {
                let packet = encoder.encode(&tone(rate, channels, frame)).unwrap();
                assert!(decoder.decode(&packet, &mut out));
            }
            let expected = (rate * channels) as usize;
            assert!(
                out.len().abs_diff(expected) < expected / 50,
                "{rate} Hz: {} samples",
                out.len()
            );
            let loudness = rms(&out[expected / 2..]);
            assert!((4_500.0..7_000.0).contains(&loudness), "{rate} Hz: {loudness}");
        }
    }

    #[test]
    fn a_missing_packet_is_concealed_in_its_length() {
        let mut encoder = OpusEncoder::new(16_000, 1).unwrap();
        let mut decoder = OpusDecoder::new(16_000, 1).unwrap();
        let packets: Vec<_> = (0..12)
            .map(|frame| encoder.encode(&tone(16_000, 1, frame)).unwrap())
            .collect();
        let mut out = Vec::new();
        for packet in &packets[..10] {
            decoder.decode(packet, &mut out);
        }
        out.clear();
        decoder.conceal(Some(&packets[11]), 20, &mut out);
        assert_eq!(out.len(), 320);
        assert!(rms(&out) > 3_000.0);
        decoder.conceal(None, 20, &mut out);
        assert_eq!(out.len(), 640);
    }

    #[test]
    fn what_opus_cannot_do_is_refused() {
        assert!(OpusEncoder::new(48_000, 3).is_none());
        assert!(OpusEncoder::new(1, 1).is_none());
        assert!(OpusDecoder::new(0, 1).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn arbitrary_packets_never_panic(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)) {
            let mut decoder = OpusDecoder::new(48_000, 1).unwrap();
            let mut out = Vec::new();
            for packet in &packets {
                decoder.decode(packet, &mut out);
                decoder.conceal(Some(packet), 20, &mut out);
            }
        }
    }
}
