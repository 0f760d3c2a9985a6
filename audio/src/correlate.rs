//! How alike two signals are, and how far apart in time: normalised cross-correlation.

use std::ops::Range;

use crate::fft::{self, Complex};
use crate::level::rms_dbfs;

/// A piece of speech quieter than this is a pause: it has no shape to be found by.
const PAUSE_DBFS: f32 = -40.0;

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
    let most = isize::try_from(max_lag_samples).unwrap_or(isize::MAX - 1);
    best_lag_in(reference, signal, -most..most + 1)
}

fn best_lag_in(reference: &[i16], signal: &[i16], lags: Range<isize>) -> Match {
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
    let earliest = lags.start.max(1 - reference.len() as isize);
    let latest = lags.end.min(signal.len() as isize);
    (earliest..latest)
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

/// Where each piece of `reference` lies in `signal` (both at one rate), for sound whose delay changed on the way: buffers take in
/// delay after a stall, and give it back in a pause between two words, so that no single lag fits a whole sentence.
///
/// Pieces are `piece_samples` long (half a second is enough to be like nothing else); pauses and a rest that is shorter are left
/// out. Each is looked for where its lag is in `lags`, and its match's lag counts from its own place in `reference`.
pub fn piecewise(reference: &[i16], signal: &[i16], piece_samples: usize, lags: Range<isize>) -> Vec<Match> {
    let pieces = reference.chunks_exact(piece_samples.max(1)).enumerate();
    pieces
        .filter(|(_, piece)| rms_dbfs(piece) >= PAUSE_DBFS)
        .map(|(index, piece)| {
            let start = index * piece_samples;
            let bound = |lag: isize| start.saturating_add_signed(lag).min(signal.len());
            let (from, to) = (
                bound(lags.start),
                bound(lags.end.saturating_add_unsigned(piece.len())),
            );
            let here = (start as isize).saturating_sub(from as isize);
            let lags = lags.start.saturating_add(here)..lags.end.saturating_add(here);
            let found = best_lag_in(piece, &signal[from..to.max(from)], lags);
            Match {
                lag_samples: from as isize + found.lag_samples - start as isize,
                coefficient: found.coefficient,
            }
        })
        .collect()
}

/// The average coefficient; 0 of nothing.
pub fn mean_coefficient(matches: &[Match]) -> f64 {
    let sum: f64 = matches.iter().map(|found| found.coefficient).sum();
    sum / matches.len().max(1) as f64
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
    fn pieces_are_found_on_both_sides_of_a_jump() {
        let reference = noise(4_000, 5);
        let mut signal = vec![0; 300];
        signal.extend_from_slice(&reference[..2_000]);
        signal.extend([0; 160]);
        signal.extend_from_slice(&reference[2_000..]);
        let found = piecewise(&reference, &signal, 1_000, -500..500);
        let lags: Vec<isize> = found.iter().map(|found| found.lag_samples).collect();
        assert_eq!(lags, [300, 300, 460, 460]);
        assert!(mean_coefficient(&found) > 0.99);
        assert!(best_lag(&reference, &signal, 500).coefficient < 0.8);
    }

    #[test]
    fn pieces_are_looked_for_in_their_range_only_and_pauses_not_at_all() {
        let mut reference = noise(2_000, 6);
        reference[1_000..].fill(3);
        let mut signal = vec![0; 300];
        signal.extend_from_slice(&reference);
        let near = piecewise(&reference, &signal, 1_000, 250..350);
        assert_eq!((near.len(), near[0].lag_samples), (1, 300));
        assert!(mean_coefficient(&piecewise(&reference, &signal, 1_000, 600..700)) < 0.5);
        assert!(piecewise(&reference, &[], 1_000, -5..5)[0].coefficient.abs() < 0.01);
        assert!(piecewise(&[], &signal, 1_000, -5..5).is_empty());
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
