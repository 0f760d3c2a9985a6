//! Levels.

/// The level reported for digital silence and for an empty slice, in dBFS. One step of one sample in a long
/// frame lies above it.
pub const SILENCE_DBFS: f32 = -120.0;

/// The root mean square of `samples` in dB relative to full scale (a square wave of ±32768 is 0 dBFS, a full
/// sine −3 dBFS).
///
/// Never below [`SILENCE_DBFS`].
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBFS;
    }
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let mean = energy / samples.len() as f64 / 32_768f64.powi(2);
    ((10.0 * mean.log10()) as f32).max(SILENCE_DBFS)
}

/// The largest magnitude in `samples`, 0..=32768.
pub fn peak(samples: &[i16]) -> u16 {
    samples
        .iter()
        .map(|sample| sample.unsigned_abs())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_sine_is_three_db_below_a_full_square() {
        let sine: Vec<i16> = (0..16_000)
            .map(|n| (32_767.0 * (f64::from(n) * 0.3).sin()).round() as i16)
            .collect();
        assert!((rms_dbfs(&sine) + 3.01).abs() < 0.05, "{}", rms_dbfs(&sine));
        assert!(rms_dbfs(&[i16::MIN; 100]).abs() < 0.001);
    }

    #[test]
    fn silence_and_nothing_have_a_floor() {
        assert!((rms_dbfs(&[0; 320]) - SILENCE_DBFS).abs() < f32::EPSILON);
        assert!((rms_dbfs(&[]) - SILENCE_DBFS).abs() < f32::EPSILON);
        assert_eq!(peak(&[]), 0);
        assert_eq!(peak(&[3, i16::MIN]), 32_768);
    }
}
