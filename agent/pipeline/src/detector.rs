//! Where the probability of voice comes from.

use audio::Vad;

/// Tells, frame by frame, how probable it is that the caller speaks.
pub trait SpeechDetector: Send {
    /// The probability, 0.0 to 1.0, for this frame of 20 ms at 16 kHz. Frames come in order, without gaps.
    fn probability(&mut self, frame: &[i16]) -> f32;
}

/// The detector of the `audio` room.
pub struct EarshotDetector {
    vad: Vad,
    probabilities: Vec<f32>,
}

impl EarshotDetector {
    /// A detector that has heard nothing.
    pub fn new() -> Self {
        Self {
            vad: Vad::new(),
            probabilities: Vec::with_capacity(4),
        }
    }
}

impl Default for EarshotDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl SpeechDetector for EarshotDetector {
    /// The highest of the detector's own windows that end in this frame.
    fn probability(&mut self, frame: &[i16]) -> f32 {
        self.probabilities.clear();
        self.vad.push(frame, &mut self.probabilities);
        self.probabilities.iter().copied().fold(0.0, f32::max)
    }
}
