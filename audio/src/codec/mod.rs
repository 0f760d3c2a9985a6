//! The codecs of the telephone side: PCMU, PCMA and G.722.
//!
//! All are our own, small and bit-exact by the tests; no crate was found that begins a G.722 stream with the
//! recommendation's state and treats both signs of A-law alike.

pub mod g711;
pub mod g722;

/// A codec of the telephone side. All three run at 64 kbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 µ-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722 at 64 kbit/s, 16 kHz.
    G722,
}

impl Codec {
    /// The encoding name of SDP's `rtpmap` (RFC 3551 §6). Names compare without regard to case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// The codec with this encoding name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pcmu, Self::Pcma, Self::G722]
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The static RTP payload type, if it has one (RFC 3551 §6, table 4): 0, 8 or 9.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
        }
    }

    /// The rate of the RTP timestamp, and of the telephone-events beside it (RFC 4733 §2.1): 8000 Hz, for G.722
    /// too, by a historical error that RFC 3551 §4.5.2 keeps.
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
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
        }
    }

    /// The number of PCM samples in a 20 ms frame: 160 or 320.
    pub const fn frame_samples(self) -> usize {
        crate::frame_samples(self.sample_rate_hz())
    }

    /// The largest of [`Codec::frame_samples`].
    pub const MAX_FRAME_SAMPLES: usize = Self::G722.frame_samples();

    /// The most encoded bytes in a 20 ms frame; of PCMU, PCMA and G.722 every frame has so many.
    pub const fn max_frame_bytes(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 160,
        }
    }
}

/// Encodes one stream.
pub struct Encoder(EncoderState);

enum EncoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
}

impl Encoder {
    /// An encoder at the start of a stream.
    pub fn new(codec: Codec) -> Self {
        Self(match codec {
            Codec::Pcmu => EncoderState::Pcmu,
            Codec::Pcma => EncoderState::Pcma,
            Codec::G722 => EncoderState::G722(Box::default()),
        })
    }

    /// Appends the encoding of `pcm`, at [`Codec::sample_rate_hz`], to `out`.
    ///
    /// G.722 takes samples in pairs: an odd last sample is ignored.
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        match &mut self.0 {
            EncoderState::Pcmu => out.extend(pcm.iter().map(|&sample| g711::ulaw_encode(sample))),
            EncoderState::Pcma => out.extend(pcm.iter().map(|&sample| g711::alaw_encode(sample))),
            EncoderState::G722(encoder) => {
                out.extend(pcm.as_chunks().0.iter().map(|&pair| encoder.encode(pair)));
            }
        }
    }
}

/// Decodes one stream.
pub struct Decoder(DecoderState);

enum DecoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Decoder>),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(codec: Codec) -> Self {
        Self(match codec {
            Codec::Pcmu => DecoderState::Pcmu,
            Codec::Pcma => DecoderState::Pcma,
            Codec::G722 => DecoderState::G722(Box::default()),
        })
    }

    /// Appends the decoding of `payload` to `out`: one sample per byte for G.711, two for G.722. Any bytes
    /// decode to something.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        match &mut self.0 {
            DecoderState::Pcmu => out.extend(payload.iter().map(|&byte| g711::ulaw_decode(byte))),
            DecoderState::Pcma => out.extend(payload.iter().map(|&byte| g711::alaw_decode(byte))),
            DecoderState::G722(decoder) => {
                out.extend(payload.iter().flat_map(|&byte| decoder.decode(byte)));
            }
        }
    }
}
