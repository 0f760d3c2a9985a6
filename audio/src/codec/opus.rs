//! Opus (RFC 6716) as RTP carries it (RFC 7587): 48 kHz, here always mono. What comes may be stereo and of any
//! packet time; what is sent has 20 ms.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ropus::{Application, Bandwidth, Bitrate, Channels, DecodeMode, InbandFec};

/// The rate of the PCM on our side, and of the RTP clock.
pub const RATE_HZ: u32 = 48_000;
/// The longest packet of one frame (RFC 6716 §3.4).
pub const MAX_PACKET_BYTES: usize = 1_275;

/// The longest packet: 120 ms.
const MAX_PACKET_SAMPLES: usize = RATE_HZ as usize * 120 / 1_000;
/// What is concealed comes in multiples of 2.5 ms.
const CONCEALED_STEP: usize = RATE_HZ as usize / 400;
/// Full-band speech (RFC 7587 §3.1.1 has 28 to 40 kbit/s).
const BITRATE: u32 = 32_000;
/// The same with recovery data: at 32 kbit/s and the loss below the encoder finds no room for it in the full band.
const BITRATE_WITH_RECOVERY: u32 = 40_000;
const LEAST_BITRATE: u32 = 6_000;
/// Half of the most thorough search: the next steps cost much and are not heard on speech.
const COMPLEXITY: u8 = 5;
/// Without an expectation of loss there is no recovery data.
const EXPECTED_LOSS_PERCENT: u8 = 5;

/// What the peer wants to be sent: of the parameters of RFC 7587 §6.1 those that bind a mono sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Options {
    /// `useinbandfec`: each packet has the one before it once more, in coarse. Default false.
    pub fec: bool,
    /// `maxplaybackrate` in Hz: what lies above half of it would not be played. Default 48000.
    pub max_playback_rate_hz: u32,
    /// `maxaveragebitrate` in bit/s. Default 510000, the most that there is. We send 32000, or 40000 with recovery data, or less.
    pub max_bitrate: u32,
    /// `cbr`: all packets of one length. Default false.
    pub cbr: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fec: false,
            max_playback_rate_hz: RATE_HZ,
            max_bitrate: 510_000,
            cbr: false,
        }
    }
}

impl Options {
    fn bandwidth(self) -> Bandwidth {
        match self.max_playback_rate_hz {
            0..12_000 => Bandwidth::Narrowband,
            12_000..16_000 => Bandwidth::Mediumband,
            16_000..24_000 => Bandwidth::Wideband,
            24_000..48_000 => Bandwidth::Superwideband,
            _ => Bandwidth::Fullband,
        }
    }
}

/// Encodes one stream.
pub struct Encoder(Option<ropus::Encoder>);

impl Encoder {
    /// The samples of a frame: 20 ms.
    pub const FRAME_SAMPLES: usize = crate::frame_samples(RATE_HZ);

    /// At the start of a stream.
    pub fn new(options: Options) -> Self {
        let (fec, bitrate) = if options.fec {
            (InbandFec::Enabled, BITRATE_WITH_RECOVERY)
        } else {
            (InbandFec::Disabled, BITRATE)
        };
        let encoder = ropus::Encoder::builder(RATE_HZ, Channels::Mono, Application::Voip)
            .complexity(COMPLEXITY)
            .bitrate(Bitrate::Bits(options.max_bitrate.clamp(LEAST_BITRATE, bitrate)))
            .max_bandwidth(options.bandwidth())
            .vbr(!options.cbr)
            .inband_fec(fec)
            .packet_loss_perc(EXPECTED_LOSS_PERCENT)
            .build();
        // It refuses values out of their range only, and there are none.
        Self(encoder.ok())
    }

    /// Appends the packet of one frame to `out`; nothing for any other number of samples.
    pub fn encode(&mut self, frame: &[i16], out: &mut Vec<u8>) {
        let Some(encoder) = self.0.as_mut().filter(|_| frame.len() == Self::FRAME_SAMPLES) else {
            return;
        };
        let start = out.len();
        out.resize(start + MAX_PACKET_BYTES, 0);
        let length = encoder.encode(frame, &mut out[start..]).unwrap_or(0);
        out.truncate(start + length);
    }
}

/// Decodes one stream, and conceals what is missing of it.
pub struct Decoder {
    decoder: Option<ropus::Decoder>,
    scratch: Vec<i16>,
}

impl Decoder {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self {
            decoder: fresh(),
            scratch: vec![0; MAX_PACKET_SAMPLES],
        }
    }

    /// Appends the sound of `packet` to `out`: 2.5 to 120 ms. False when it is not Opus; nothing is appended
    /// then.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<i16>) -> bool {
        // Without bytes it would be a request for concealment.
        !packet.is_empty() && self.run(packet, MAX_PACKET_SAMPLES, DecodeMode::Normal, out)
    }

    /// Appends about `samples` samples (to the next 2.5 ms) of what may have been in a missing packet: from the
    /// recovery data of the packet after it where that is there and has some, else by going on with the sound
    /// before it, which fades.
    pub fn conceal(&mut self, following: Option<&[u8]>, samples: usize, out: &mut Vec<i16>) {
        let samples = samples.clamp(CONCEALED_STEP, MAX_PACKET_SAMPLES) / CONCEALED_STEP * CONCEALED_STEP;
        let start = out.len();
        let repaired = following
            .filter(|packet| !packet.is_empty())
            .is_some_and(|packet| self.run(packet, samples, DecodeMode::Fec, out));
        if !repaired {
            self.run(&[], samples, DecodeMode::Normal, out);
        }
        out.resize(start + samples, 0);
    }

    fn run(&mut self, packet: &[u8], room: usize, mode: DecodeMode, out: &mut Vec<i16>) -> bool {
        let (decoder, buffer) = (&mut self.decoder, &mut self.scratch[..room]);
        let Some(running) = decoder else { return false };
        // Packets come from the network: should the decoder have a flaw, it must not take the call down.
        match catch_unwind(AssertUnwindSafe(|| running.decode(packet, buffer, mode))) {
            Ok(Ok(samples)) => {
                out.extend_from_slice(&self.scratch[..samples.min(room)]);
                samples > 0
            }
            Ok(Err(_)) => false,
            Err(_) => {
                self.decoder = fresh();
                false
            }
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// There is always one for this rate.
fn fresh() -> Option<ropus::Decoder> {
    ropus::Decoder::new(RATE_HZ, Channels::Mono).ok()
}
