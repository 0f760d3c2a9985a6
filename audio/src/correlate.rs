//! How alike two signals are, and how far apart in time: normalised cross-correlation.

use crate::fft::{self, Complex};

/// Where two signals match best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// So many samples later does `signal` hold what `reference` holds; negative when it is earlier.
    pub lag_samples: isize,
    /// The normalised cross-correlation at that lag, −1..=1: 1 is the same shape at any loudness, 0 nothing
    /// in common.
    pub coefficient: f64,
}

/// The lag within ±`max_lag_samples` at which `signal` is most like `reference` (both at one rate), and how
/// alike they are there.
///
/// The coefficient is Σ r·s / √(Σ r² · Σ s²) over the samples where both exist, each signal's mean taken off
/// first. Lags at which less than half of the shorter signal overlaps are left out, since a few samples
/// always match something. Silence or nothing in common: 0 at lag 0. One Fourier transform over both whole
/// signals: 60 s at 8 kHz take about 0.2 s and 50 MB.
pub fn best_lag(reference: &[i16], signal: &[i16], max_lag_samples: usize) -> Match {
    let none = Match {
        lag_samples: 0,
        coefficient: 0.0,
    };
    let shorter = reference.len().min(signal.len());
    if shorter == 0 {
        return none;
    }
    let (reference, signal) = (centred(reference), centred(signal));
    let products = cross_products(&reference, &signal);
    let energy_reference = running_energy(&reference);
    let energy_signal = running_energy(&signal);
    let earliest = -(max_lag_samples.min(reference.len() - 1) as isize);
    let latest = max_lag_samples.min(signal.len() - 1) as isize;
    (earliest..=latest)
        .filter_map(|lag_samples| {
            let (from, to) = overlap(reference.len(), signal.len(), lag_samples);
            if (to - from) * 2 < shorter {
                return None;
            }
            let in_signal = |n: usize| n.wrapping_add_signed(lag_samples);
            let energy = (energy_reference[to] - energy_reference[from])
                * (energy_signal[in_signal(to)] - energy_signal[in_signal(from)]);
            // Below one step of one sample on each side there is only the rounding of the running sums.
            if energy < 1.0 {
                return None;
            }
            let product = products[lag_samples.rem_euclid(products.len() as isize) as usize].re;
            Some(Match {
                lag_samples,
                coefficient: product / energy.sqrt(),
            })
        })
        .fold(none, |best, next| {
            if next.coefficient > best.coefficient {
                next
            } else {
                best
            }
        })
}

/// The range of indices of the reference that also exist in the signal at this lag. Empty ranges come out as
/// `from == to`.
fn overlap(reference: usize, signal: usize, lag: isize) -> (usize, usize) {
    let from = 0.max(-lag) as usize;
    let to = (reference as isize).min(signal as isize - lag).max(0) as usize;
    (from.min(to), to)
}

fn centred(samples: &[i16]) -> Vec<f64> {
    let mean = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64;
    samples.iter().map(|&sample| f64::from(sample) - mean).collect()
}

/// `sums[n]` is the energy of the first `n` samples.
fn running_energy(samples: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    std::iter::once(0.0)
        .chain(samples.iter().map(|sample| {
            sum += sample * sample;
            sum
        }))
        .collect()
}

/// Σ r(n)·s(n + lag) for all lags, at index `lag mod length`. Both signals go through one transform, as real
/// and imaginary part.
fn cross_products(reference: &[f64], signal: &[f64]) -> Vec<Complex> {
    let length = (reference.len() + signal.len()).next_power_of_two();
    let mut both = vec![Complex::default(); length];
    for (value, &sample) in both.iter_mut().zip(reference) {
        value.re = sample;
    }
    for (value, &sample) in both.iter_mut().zip(signal) {
        value.im = sample;
    }
    fft::forward(&mut both);
    let mut product: Vec<Complex> = (0..length)
        .map(|k| {
            let (here, mirrored) = (both[k], both[(length - k) % length].conjugate());
            // R = (here + mirrored)/2 and S = (here − mirrored)/2i are the two spectra; the correlation's is
            // conj(R)·S.
            let r = Complex::new(here.re.midpoint(mirrored.re), here.im.midpoint(mirrored.im));
            let s = Complex::new((here.im - mirrored.im) / 2.0, (mirrored.re - here.re) / 2.0);
            r.conjugate().times(s)
        })
        .collect();
    fft::inverse(&mut product);
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal that is like nothing but itself.
    fn noise(length: usize, mut seed: u32) -> Vec<i16> {
        (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 18) as i16 - 8_192
            })
            .collect()
    }

    #[test]
    fn finds_the_delay_and_calls_a_quieter_copy_the_same() {
        let reference = noise(8_000, 1);
        let mut signal = vec![0; 1_234];
        signal.extend(reference.iter().map(|sample| sample / 4));
        let found = best_lag(&reference, &signal, 8_000);
        assert_eq!(found.lag_samples, 1_234);
        assert!(found.coefficient > 0.99, "{found:?}");
        let back = best_lag(&signal, &reference, 8_000);
        assert_eq!(back.lag_samples, -1_234);
    }

    #[test]
    fn agrees_with_the_definition_at_every_lag() {
        let (reference, signal) = (noise(50, 3), noise(70, 4));
        let (r, s) = (centred(&reference), centred(&signal));
        for max_lag in [0, 1, 7, 100] {
            let found = best_lag(&reference, &signal, max_lag);
            let direct = (-(max_lag as isize)..=max_lag as isize)
                .filter_map(|lag| {
                    let (mut product, mut er, mut es, mut overlap) = (0.0, 0.0, 0.0, 0);
                    for (n, r) in r.iter().enumerate() {
                        let Some(s) = usize::try_from(n as isize + lag).ok().and_then(|m| s.get(m)) else {
                            continue;
                        };
                        (product, er, es, overlap) = (product + r * s, er + r * r, es + s * s, overlap + 1);
                    }
                    (overlap * 2 >= 50).then_some((lag, product / (er * es).sqrt()))
                })
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .unwrap();
            assert!(
                (found.coefficient - direct.1.max(0.0)).abs() < 1e-9,
                "{found:?} {direct:?}"
            );
            assert!(direct.1 <= 0.0 || found.lag_samples == direct.0);
        }
    }

    #[test]
    fn different_signals_silence_and_nothing_do_not_match() {
        assert!(best_lag(&noise(8_000, 1), &noise(8_000, 2), 4_000).coefficient < 0.1);
        let none = Match {
            lag_samples: 0,
            coefficient: 0.0,
        };
        assert_eq!(best_lag(&noise(800, 1), &[0; 800], 100), none);
        assert_eq!(best_lag(&[], &[1, 2, 3], 100), none);
        assert_eq!(best_lag(&[5], &[5], 100), none);
    }

    #[test]
    fn a_minute_with_a_second_of_lag_is_searched() {
        let reference = noise(480_000, 9);
        let mut signal = vec![0; 7_999];
        signal.extend_from_slice(&reference[..472_000]);
        let found = best_lag(&reference, &signal, 8_000);
        assert_eq!(found.lag_samples, 7_999);
        assert!(found.coefficient > 0.99);
    }
}
