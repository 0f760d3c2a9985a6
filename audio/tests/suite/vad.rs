use audio::Vad;
use proptest::prelude::*;

use crate::signals::{Noise, vowel};

fn probabilities(samples: &[i16]) -> Vec<f32> {
    let mut out = Vec::new();
    Vad::new().push(samples, &mut out);
    out
}

#[test]
fn silence_is_not_voice() {
    assert!(
        probabilities(&vec![0; 32_000])
            .iter()
            .all(|&probability| probability < 0.3)
    );
}

#[test]
fn steady_noise_is_voice_at_its_onset_at_most() {
    for loudness in [1, 2, 8] {
        let mut noise = Noise(5);
        let noise: Vec<i16> = (0..80_000).map(|_| noise.next_i16() / 4 * loudness).collect();
        let voiced: Vec<bool> = probabilities(&noise)
            .iter()
            .map(|&probability| probability > 0.5)
            .collect();
        let (onset, steady) = voiced.split_at(20);
        let count = |windows: &[bool]| windows.iter().filter(|&&voiced| voiced).count();
        assert!(
            count(steady) <= 1,
            "{} windows of steady noise, {} at its onset",
            count(steady),
            count(onset)
        );
    }
}

#[test]
fn a_vowel_between_silences_is_found_in_time() {
    let mut signal = vec![0; 16_000];
    // A voice moves: a falling pitch in three steps.
    for pitch in [140.0, 125.0, 110.0] {
        signal.extend(vowel(4_000, pitch));
    }
    signal.resize(signal.len() + 16_000, 0);
    let voiced: Vec<bool> = probabilities(&signal)
        .iter()
        .map(|&probability| probability > 0.5)
        .collect();
    let first = voiced.iter().position(|&voiced| voiced).expect("no voice at all") * 16;
    let last = voiced.iter().rposition(|&voiced| voiced).unwrap() * 16;
    assert!(
        (984..=1_128).contains(&first),
        "begins at {first} ms instead of 1000"
    );
    assert!(
        (1_600..=1_950).contains(&last),
        "ends at {last} ms instead of 1750"
    );
}

#[test]
fn after_a_reset_it_is_like_new() {
    let mut vad = Vad::new();
    let mut out = Vec::new();
    vad.push(&vowel(16_100, 120.0), &mut out);
    vad.reset();
    out.clear();
    vad.push(&vowel(8_000, 120.0), &mut out);
    assert_eq!(out, probabilities(&vowel(8_000, 120.0)));
}

proptest! {
    #[test]
    fn there_is_one_probability_per_window(frames in prop::collection::vec(0usize..700, 0..20), seed: u32) {
        let mut noise = Noise(seed);
        let mut vad = Vad::new();
        let mut out = Vec::new();
        for &length in &frames {
            let frame: Vec<i16> = (0..length).map(|_| noise.next_i16().wrapping_mul(16)).collect();
            vad.push(&frame, &mut out);
        }
        prop_assert_eq!(out.len(), frames.iter().sum::<usize>() / Vad::WINDOW_SAMPLES);
        prop_assert!(out.iter().all(|probability| (0.0..=1.0).contains(probability)));
    }
}
