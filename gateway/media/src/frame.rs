//! The unit in which sound leaves a session.

use std::ops::Deref;

use audio::Codec;

/// 20 ms of PCM at the codec's rate ([`Codec::sample_rate_hz`]); a slice of 160, 320 or 960 samples. It lives
/// without the heap.
#[derive(Clone)]
pub struct Frame {
    kind: FrameKind,
    length: u16,
    samples: [i16; Codec::MAX_FRAME_SAMPLES],
}

/// Where the samples of a [`Frame`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// There is no stream from the peer now.
    Silence,
    /// A packet was missing and has been concealed.
    Concealed,
    /// At least a part of it came from the peer.
    Received,
}

impl Frame {
    /// A frame of silence.
    pub fn silence(codec: Codec) -> Self {
        Self {
            kind: FrameKind::Silence,
            length: codec.frame_samples() as u16,
            samples: [0; Codec::MAX_FRAME_SAMPLES],
        }
    }

    /// A frame of these samples: what lacks is silence, what is too much is left out.
    pub(crate) fn new(codec: Codec, kind: FrameKind, samples: &[i16]) -> Self {
        let mut frame = Self::silence(codec);
        frame.kind = kind;
        for (place, &sample) in frame.samples[..codec.frame_samples()].iter_mut().zip(samples) {
            *place = sample;
        }
        frame
    }

    /// Where the samples come from.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }
}

impl Deref for Frame {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.samples[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("samples", &self.length)
            .finish_non_exhaustive()
    }
}
