//! Test tones, and the level of one frequency in a signal.

use std::f64::consts::TAU;

/// A continuous sine.
#[derive(Debug, Clone)]
pub struct Tone {
    step: f64,
    phase: f64,
    amplitude: f64,
}

impl Tone {
    /// A sine of `frequency_hz` at `sample_rate_hz` with a peak of `amplitude` (0..=32767).
    pub fn new(frequency_hz: f64, sample_rate_hz: u32, amplitude: i16) -> Self {
        Self {
            step: TAU * frequency_hz / f64::from(sample_rate_hz),
            phase: 0.0,
            amplitude: f64::from(amplitude),
        }
    }

    /// Appends the next `samples` samples to `out`.
    pub fn fill(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.extend(self.by_ref().take(samples));
    }
}

impl Iterator for Tone {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        let sample = (self.amplitude * self.phase.sin()).round() as i16;
        self.phase = (self.phase + self.step) % TAU;
        Some(sample)
    }
}

/// The level of `frequency_hz` alone in `samples`, in dBFS on the scale of
/// [`rms_dbfs`](crate::level::rms_dbfs): a lone sine of that frequency has the same value there. By
/// Goertzel's recurrence; it separates frequencies about `sample_rate_hz / samples.len()` apart. Never below
/// [`SILENCE_DBFS`](crate::level::SILENCE_DBFS).
pub fn tone_dbfs(samples: &[i16], frequency_hz: f64, sample_rate_hz: u32) -> f32 {
    let coefficient = 2.0 * (TAU * frequency_hz / f64::from(sample_rate_hz)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        (last, before) = (f64::from(sample) + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    // |X|² of a sine with peak A over N samples is (A·N/2)²; its mean square is A²/2.
    let mean_square = 2.0 * power / (samples.len().max(1) as f64).powi(2) / 32_768f64.powi(2);
    ((10.0 * mean_square.log10()) as f32).max(crate::level::SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::rms_dbfs;

    #[test]
    fn a_lone_tone_has_the_level_of_the_whole() {
        let tone: Vec<i16> = Tone::new(1_000.0, 8_000, 10_000).take(1_600).collect();
        assert!((tone_dbfs(&tone, 1_000.0, 8_000) - rms_dbfs(&tone)).abs() < 0.1);
        assert!(tone_dbfs(&tone, 1_500.0, 8_000) < -60.0);
    }

    #[test]
    fn a_tone_goes_on_where_it_stopped() {
        let mut tone = Tone::new(440.0, 16_000, 8_000);
        let whole: Vec<i16> = tone.clone().take(640).collect();
        let mut halves = Vec::new();
        tone.fill(320, &mut halves);
        tone.fill(320, &mut halves);
        assert_eq!(whole, halves);
    }
}
