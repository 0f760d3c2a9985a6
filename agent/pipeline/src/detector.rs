//! Where the probability of voice comes from.

use audio::Vad;
use audio::level::{SILENCE_DBFS, rms_dbfs};

/// What is so much quieter than the voice before it is its dying away, or the line's own noise: the network still takes that for voice for
/// some 120 ms, by which each answer would be later (measured). Within a word hardly a sound is so quiet.
const DIES_AWAY_DB: f32 = 30.0;
/// The voice before it is forgotten by so much a frame: 6 dB a second.
const FORGETS_DB: f32 = 0.12;

/// Tells, frame by frame, how probable it is that the caller speaks.
pub trait SpeechDetector: Send {
    /// The probability, 0.0 to 1.0, for this frame of 20 ms at 16 kHz. Frames come in order, without gaps.
    fn probability(&mut self, frame: &[i16]) -> f32;
}

/// The detector of the `audio` room.
pub struct EarshotDetector {
    vad: Vad,
    probabilities: Vec<f32>,
    /// The loudest frame, as far as it is remembered.
    loudest_dbfs: f32,
}

impl EarshotDetector {
    /// A detector that has heard nothing.
    pub fn new() -> Self {
        Self {
            vad: Vad::new(),
            probabilities: Vec::with_capacity(4),
            loudest_dbfs: SILENCE_DBFS,
        }
    }
}

impl Default for EarshotDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl SpeechDetector for EarshotDetector {
    /// The highest of the network's own windows that end in this frame; none of one that is far quieter than what was before.
    fn probability(&mut self, frame: &[i16]) -> f32 {
        self.probabilities.clear();
        self.vad.push(frame, &mut self.probabilities);
        let level = rms_dbfs(frame);
        self.loudest_dbfs = level.max(self.loudest_dbfs - FORGETS_DB);
        if level < self.loudest_dbfs - DIES_AWAY_DB {
            return 0.0;
        }
        self.probabilities.iter().copied().fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second of an open vowel of 150 Hz, this loud.
    fn vowel(peak: f32) -> Vec<i16> {
        (0..8_000_u16)
            .map(|n| {
                let angle = std::f32::consts::TAU * 150.0 * f32::from(n) / 16_000.0;
                let wave: f32 = (1..=10_u8)
                    .map(|h| (f32::from(h) * angle).sin() / f32::from(h))
                    .sum();
                #[allow(clippy::cast_possible_truncation, reason = "a sample")]
                let sample = (wave / 2.0 * peak) as i16;
                sample
            })
            .collect()
    }

    fn last_voice(detector: &mut EarshotDetector, samples: &[i16]) -> Option<usize> {
        let frames: Vec<bool> = samples
            .chunks_exact(320)
            .map(|frame| detector.probability(frame) > 0.35)
            .collect();
        frames.iter().rposition(|voiced| *voiced)
    }

    #[test]
    fn a_voice_ends_with_its_last_sound() {
        let mut sound = vowel(12_000.0);
        sound.extend([3; 8_000]);
        let last = last_voice(&mut EarshotDetector::new(), &sound);
        assert!(last.is_some_and(|last| (22..=25).contains(&last)), "{last:?}");
    }

    #[test]
    fn a_quiet_voice_soon_after_a_loud_one_is_heard() {
        let mut sound = vowel(12_000.0);
        sound.extend([3; 8_000]);
        sound.extend(vowel(1_200.0));
        let last = last_voice(&mut EarshotDetector::new(), &sound);
        assert!(last.is_some_and(|last| last > 65), "{last:?}");
    }
}
