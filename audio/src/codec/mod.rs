//! The codecs of the telephone side: PCMU, PCMA, G.722 and Opus.
//!
//! All but Opus are our own, small and bit-exact by the tests; no crate was found that begins a G.722 stream with
//! the recommendation's state and treats both signs of A-law alike.

pub mod g711;
pub mod g722;
pub mod opus;

pub use opus::Options as OpusOptions;

/// A codec of the telephone side. All but Opus run at 64 kbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 µ-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722 at 64 kbit/s, 16 kHz.
    G722,
    /// Opus, 48 kHz, with packets of variable length.
    Opus,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// The encoding name of SDP's `rtpmap` (RFC 3551 §6, RFC 7587 §7). Names compare without regard to case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// The codec with this encoding name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The static RTP payload type, if it has one (RFC 3551 §6, table 4): 0, 8 or 9.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus => None,
        }
    }

    /// The rate of the RTP timestamp, and of the telephone-events beside it (RFC 4733 §2.1): 8000 Hz, for G.722
    /// too, by a historical error that RFC 3551 §4.5.2 keeps, and 48000 Hz for Opus, whatever it carries (RFC 7587 §4.1).
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => opus::RATE_HZ,
        }
    }

    /// The ticks of the RTP clock in 20 ms.
    pub const fn frame_ticks(self) -> u32 {
        self.clock_rate_hz() / 50
    }

    /// The rate of the PCM on our side of the codec.
    pub const fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::G722 => 16_000,
            Self::Opus => opus::RATE_HZ,
        }
    }

    /// The number of PCM samples in a 20 ms frame: 160, 320 or 960.
    pub const fn frame_samples(self) -> usize {
        crate::frame_samples(self.sample_rate_hz())
    }

    /// The largest of [`Codec::frame_samples`].
    pub const MAX_FRAME_SAMPLES: usize = Self::Opus.frame_samples();

    /// The most encoded bytes in a 20 ms frame; of PCMU, PCMA and G.722 every frame has so many.
    pub const fn max_frame_bytes(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 160,
            Self::Opus => opus::MAX_PACKET_BYTES,
        }
    }
}

/// Encodes one stream.
pub struct Encoder(EncoderState);

enum EncoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
    Opus(Box<opus::Encoder>),
}

impl Encoder {
    /// An encoder at the start of a stream.
    pub fn new(codec: Codec) -> Self {
        Self::with(codec, OpusOptions::default())
    }

    /// The same, with what the peer wants of Opus.
    pub fn with(codec: Codec, options: OpusOptions) -> Self {
        Self(match codec {
            Codec::Pcmu => EncoderState::Pcmu,
            Codec::Pcma => EncoderState::Pcma,
            Codec::G722 => EncoderState::G722(Box::default()),
            Codec::Opus => EncoderState::Opus(Box::new(opus::Encoder::new(options))),
        })
    }

    /// Appends the encoding of `pcm`, at [`Codec::sample_rate_hz`], to `out`.
    ///
    /// G.722 takes samples in pairs: an odd last sample is ignored. Opus takes one frame of 20 ms, and nothing else.
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        match &mut self.0 {
            EncoderState::Pcmu => out.extend(pcm.iter().map(|&sample| g711::ulaw_encode(sample))),
            EncoderState::Pcma => out.extend(pcm.iter().map(|&sample| g711::alaw_encode(sample))),
            EncoderState::G722(encoder) => {
                out.extend(pcm.as_chunks().0.iter().map(|&pair| encoder.encode(pair)));
            }
            EncoderState::Opus(encoder) => encoder.encode(pcm, out),
        }
    }
}

/// Decodes one stream.
pub struct Decoder(DecoderState);

enum DecoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Decoder>),
    Opus(Box<opus::Decoder>),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(codec: Codec) -> Self {
        Self(match codec {
            Codec::Pcmu => DecoderState::Pcmu,
            Codec::Pcma => DecoderState::Pcma,
            Codec::G722 => DecoderState::G722(Box::default()),
            Codec::Opus => DecoderState::Opus(Box::default()),
        })
    }

    /// Appends the decoding of `payload` to `out`: one sample per byte for G.711, two for G.722, which any bytes
    /// decode to. False when it is to be Opus and is not: then nothing is appended.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> bool {
        match &mut self.0 {
            DecoderState::Pcmu => out.extend(payload.iter().map(|&byte| g711::ulaw_decode(byte))),
            DecoderState::Pcma => out.extend(payload.iter().map(|&byte| g711::alaw_decode(byte))),
            DecoderState::G722(decoder) => {
                out.extend(payload.iter().flat_map(|&byte| decoder.decode(byte)));
            }
            DecoderState::Opus(decoder) => return decoder.decode(payload, out),
        }
        true
    }

    /// Appends `samples` samples, to the next 2.5 ms, of what may have been in a missing packet, with the help of the
    /// packet after it. False when the codec has no means for that: then it is for [`Concealer`](crate::Concealer).
    pub fn conceal(&mut self, following: Option<&[u8]>, samples: usize, out: &mut Vec<i16>) -> bool {
        match &mut self.0 {
            DecoderState::Opus(decoder) => {
                decoder.conceal(following, samples, out);
                true
            }
            _ => false,
        }
    }

    /// Whether [`conceal`](Self::conceal) does anything.
    pub const fn conceals(&self) -> bool {
        matches!(self.0, DecoderState::Opus(_))
    }
}
