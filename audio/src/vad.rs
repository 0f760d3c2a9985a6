//! Voice activity by the `earshot` network (pure Rust, its weights are in the crate).

use earshot::Detector;

/// Tells voice from everything else in one stream of 16 kHz PCM.
///
/// The network looks at windows of 16 ms with two windows of context, so that a probability lags the sound by
/// 16 to 48 ms. Steady noise is not voice to it, but the sudden onset of white noise passes for voice for up
/// to 0.3 s.
pub struct Vad {
    detector: Box<Detector>,
    pending: [i16; Self::WINDOW_SAMPLES],
    filled: usize,
}

impl Vad {
    /// The only rate the network knows, in Hz.
    pub const SAMPLE_RATE_HZ: u32 = 16_000;
    /// One probability is made of so many samples: 256, which is 16 ms.
    pub const WINDOW_SAMPLES: usize = 256;

    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self {
            detector: Box::default(),
            pending: [0; Self::WINDOW_SAMPLES],
            filled: 0,
        }
    }

    /// Takes any number of samples and appends to `probabilities` one value in 0..=1 for each window of 16 ms
    /// that they complete (a 20 ms frame completes one window, every fourth frame two). Above 0.5 it is
    /// usually voice.
    pub fn push(&mut self, mut samples: &[i16], probabilities: &mut Vec<f32>) {
        while !samples.is_empty() {
            let taken = samples.len().min(Self::WINDOW_SAMPLES - self.filled);
            let (now, later) = samples.split_at(taken);
            self.pending[self.filled..self.filled + taken].copy_from_slice(now);
            self.filled += taken;
            samples = later;
            if self.filled == Self::WINDOW_SAMPLES {
                self.filled = 0;
                probabilities.push(self.detector.predict_i16(&self.pending).clamp(0.0, 1.0));
            }
        }
    }

    /// Forgets all that was heard, for a new stream.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.filled = 0;
    }
}

impl Default for Vad {
    fn default() -> Self {
        Self::new()
    }
}
