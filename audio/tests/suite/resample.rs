use std::time::Duration;

use audio::{
    Resampler, UnsupportedRates, correlate, frame_samples,
    level::rms_dbfs,
    tone::{Tone, tone_dbfs},
};
use proptest::prelude::*;

const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

fn converted(from_hz: u32, to_hz: u32, input: &[i16]) -> Vec<i16> {
    let mut out = Vec::new();
    Resampler::new(from_hz, to_hz).unwrap().process(input, &mut out);
    out
}

fn every_pair() -> impl Iterator<Item = (u32, u32)> {
    RATES
        .into_iter()
        .flat_map(|from| RATES.into_iter().map(move |to| (from, to)))
        .chain([
            (22_050, 16_000),
            (44_100, 48_000),
            (11_025, 8_000),
            (16_000, 44_100),
        ])
}

#[test]
fn a_tone_in_the_pass_band_keeps_its_level_and_gains_no_noise() {
    for (from, to) in every_pair() {
        for hz in [100.0, 1_000.0, 3_000.0] {
            let input: Vec<i16> = Tone::new(hz, from, 16_000).take(from as usize).collect();
            let output = converted(from, to, &input);
            let settled = &output[to as usize / 10..];
            let (all, tone) = (rms_dbfs(settled), tone_dbfs(settled, hz, to));
            assert!(
                (all - rms_dbfs(&input)).abs() < 0.1,
                "{from} to {to}, {hz} Hz: {all} dB"
            );
            let rest = 1.0 - 10f32.powf((tone - all) / 10.0);
            assert!(
                rest < 1e-4,
                "{from} to {to}, {hz} Hz: {rest} of the energy is not the tone"
            );
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_hold_is_gone() {
    for (from, to, hz) in [
        (16_000, 8_000, 4_200.0),
        (48_000, 8_000, 6_000.0),
        (48_000, 16_000, 9_000.0),
    ] {
        let input: Vec<i16> = Tone::new(hz, from, 16_000).take(from as usize).collect();
        let level = rms_dbfs(&converted(from, to, &input)[to as usize / 10..]);
        assert!(
            level < rms_dbfs(&input) - 60.0,
            "{from} to {to}: alias at {level} dBFS"
        );
    }
}

#[test]
fn images_of_the_lower_rate_are_gone() {
    let input: Vec<i16> = Tone::new(3_000.0, 8_000, 16_000).take(8_000).collect();
    let output = converted(8_000, 48_000, &input);
    for image in [5_000.0, 11_000.0, 13_000.0, 19_000.0] {
        let level = tone_dbfs(&output[4_800..], image, 48_000);
        assert!(level < rms_dbfs(&input) - 60.0, "{image} Hz at {level} dBFS");
    }
}

#[test]
fn frames_in_give_frames_out() {
    for (from, to) in every_pair().filter(|(from, to)| from % 50 == 0 && to % 50 == 0) {
        let mut resampler = Resampler::new(from, to).unwrap();
        let frame = vec![1_000; frame_samples(from)];
        for n in 1..=50 {
            let mut out = Vec::new();
            resampler.process(&frame, &mut out);
            assert_eq!(out.len(), frame_samples(to), "{from} to {to}, frame {n}");
        }
    }
}

#[test]
fn the_delay_is_what_it_says() {
    for (from, to) in [
        (8_000, 16_000),
        (16_000, 8_000),
        (16_000, 48_000),
        (48_000, 8_000),
    ] {
        let mut noise = crate::signals::Noise(7);
        let mut smooth = 0.0;
        // Noise that is mostly below 1 kHz, so that it passes.
        let input: Vec<i16> = (0..from)
            .map(|_| {
                smooth += (f64::from(noise.next_i16()) * 4.0 - smooth) * 2_000.0 / f64::from(from);
                smooth as i16
            })
            .collect();
        let resampler = Resampler::new(from, to).unwrap();
        let there_and_back = converted(to, from, &converted(from, to, &input));
        let back = Resampler::new(to, from).unwrap();
        let expected = (resampler.delay() + back.delay()).as_secs_f64() * f64::from(from);
        let found = correlate::best_lag(&input, &there_and_back, 1_000);
        assert!(
            (found.lag_samples as f64 - expected).abs() <= 1.0,
            "{from} to {to}: {found:?}, expected {expected}"
        );
        assert!(found.coefficient > 0.95, "{from} to {to}: {found:?}");
    }
    assert_eq!(
        Resampler::new(8_000, 16_000).unwrap().delay(),
        Duration::from_millis(3)
    );
    assert_eq!(Resampler::new(16_000, 16_000).unwrap().delay(), Duration::ZERO);
}

#[test]
fn full_scale_does_not_wrap() {
    let square: Vec<i16> = (0..4_000)
        .map(|n| if n / 10 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    let output = converted(8_000, 16_000, &square);
    let crossings = output[100..]
        .windows(2)
        .filter(|pair| (pair[0] < 0) != (pair[1] < 0))
        .count();
    assert!(
        (crossings as f64 - 395.0).abs() < 5.0,
        "{crossings} changes of sign"
    );
}

#[test]
fn rates_out_of_reach_are_refused() {
    for (from_hz, to_hz) in [
        (0, 8_000),
        (8_000, 0),
        (1_000, 8_000),
        (8_000, 400_000),
        (8_001, 48_000),
    ] {
        assert_eq!(
            Resampler::new(from_hz, to_hz).unwrap_err(),
            UnsupportedRates { from_hz, to_hz }
        );
    }
}

proptest! {
    #[test]
    fn the_cuts_of_the_input_do_not_matter(
        cuts in prop::collection::vec(0usize..700, 0..12),
        pair in 0usize..20,
    ) {
        let (from, to) = every_pair().nth(pair).unwrap();
        let input = crate::signals::mixture(cuts.iter().sum());
        let mut resampler = Resampler::new(from, to).unwrap();
        let (mut out, mut rest) = (Vec::new(), &input[..]);
        for cut in cuts {
            resampler.process(&rest[..cut], &mut out);
            rest = &rest[cut..];
        }
        let expected = (input.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
        prop_assert_eq!(out.len() as u64, expected);
        prop_assert_eq!(out, converted(from, to, &input));
    }
}
