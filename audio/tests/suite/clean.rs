use audio::level::rms_dbfs;
use audio::{Cleaner, EchoCanceller, NoiseSuppression, Vad};

use crate::signals::Noise;

const RATE: usize = 16_000;
const FRAME: usize = 320;

/// Something like speech, of a voice with this pitch: syllables of a buzz through two wandering formants, with pauses.
fn babble(pitch_hz: f64, seed: u32, seconds: usize) -> Vec<i16> {
    let mut noise = Noise(seed);
    let mut random = || f64::from(noise.next_i16()) / 2_048.0;
    let mut samples = Vec::new();
    let mut phase = 0.0;
    while samples.len() < seconds * RATE {
        let (first, second) = (500.0 + 250.0 * random(), 1_500.0 + 600.0 * random());
        let pitch = pitch_hz * (1.0 + 0.15 * random());
        let length = (0.16 + 0.06 * random()) * RATE as f64;
        for n in 0..length as usize {
            phase += pitch / RATE as f64;
            let envelope = (std::f64::consts::PI * n as f64 / length).sin();
            let buzz: f64 = (1..30)
                .map(|harmonic| {
                    let hz = pitch * f64::from(harmonic);
                    let near = |formant: f64| (-((hz - formant) / 150.0).powi(2)).exp();
                    (near(first) + 0.6 * near(second) + 0.02)
                        * (std::f64::consts::TAU * phase * f64::from(harmonic)).sin()
                })
                .sum();
            samples.push((buzz * envelope * 5_000.0) as i16);
        }
        let pause = (0.05 + 0.04 * random()) * RATE as f64;
        samples.extend(std::iter::repeat_n(0, pause as usize));
    }
    samples.truncate(seconds * RATE);
    samples
}

fn frames(samples: &[i16]) -> impl Iterator<Item = &[i16; FRAME]> {
    samples.as_chunks().0.iter()
}

/// What somebody is heard to say who hears `far`, with an echo of so many dB after so many ms; and whether one was found.
fn heard(far: &[i16], near: &[i16], echo: Option<(f64, usize)>) -> (Vec<i16>, bool) {
    let mut canceller = EchoCanceller::new();
    let mut clean = Vec::new();
    let mut hum = Noise(9);
    let microphone: Vec<i16> = (0..far.len())
        .map(|n| {
            let echoed = echo.and_then(|(db, ms)| {
                let sample = far.get(n.checked_sub(ms * RATE / 1_000)?)?;
                Some(f64::from(*sample) * 10_f64.powf(db / 20.0))
            });
            let sum = echoed.unwrap_or(0.0) + f64::from(near.get(n).copied().unwrap_or(0));
            sum as i16 + hum.next_i16() / 128
        })
        .collect();
    for (far, near) in frames(far).zip(frames(&microphone)) {
        clean.extend(canceller.process(far, near));
    }
    (clean, canceller.has_echo())
}

fn voiced_ms(samples: &[i16]) -> usize {
    let mut probabilities = Vec::new();
    Vad::new().push(samples, &mut probabilities);
    16 * probabilities
        .iter()
        .filter(|&&probability| probability > 0.5)
        .count()
}

#[test]
fn an_echo_is_gone_and_is_found_whatever_its_delay() {
    let far = babble(190.0, 1, 4);
    for ms in [60, 150, 300, 450] {
        let (clean, found) = heard(&far, &[], Some((-20.0, ms)));
        assert!(found, "{ms} ms");
        let less = rms_dbfs(&far[RATE..]) - 20.0 - rms_dbfs(&clean[RATE..]);
        assert!(less > 6.0, "{ms} ms: {less} dB are gone");
        let (said, left) = (voiced_ms(&far), voiced_ms(&clean));
        assert!(left * 5 <= said, "{ms} ms: {left} of {said} ms of voice are left");
    }
}

#[test]
fn whoever_speaks_over_an_echo_is_heard() {
    let far = babble(190.0, 1, 6);
    let mut near = vec![0; 3 * RATE];
    near.extend(babble(110.0, 2, 3));
    let (clean, found) = heard(&far, &near, Some((-20.0, 150)));
    assert!(found);
    let (before, over) = clean.split_at(3 * RATE);
    assert!(
        voiced_ms(before) <= 100,
        "{} ms of voice before",
        voiced_ms(before)
    );
    let (said, left) = (voiced_ms(&near[3 * RATE..]), voiced_ms(over));
    assert!(left * 10 >= said * 6, "{left} of {said} ms of voice are left");
    // Soon enough to interrupt.
    assert!(
        voiced_ms(&over[..RATE / 2]) >= 200,
        "{} ms",
        voiced_ms(&over[..RATE / 2])
    );
}

#[test]
fn where_there_is_no_echo_none_is_found() {
    let (far, near) = (babble(190.0, 1, 8), babble(110.0, 2, 8));
    for near in [&near[..], &[]] {
        assert!(!heard(&far, near, None).1);
    }
}

#[test]
fn steady_noise_is_less_and_speech_stays() {
    let mut noise = Noise(3);
    let hiss: Vec<i16> = (0..6 * RATE).map(|_| noise.next_i16() / 8).collect();
    let speech = babble(120.0, 4, 6);
    for (level, at_least_db) in [(NoiseSuppression::Low, 4.0), (NoiseSuppression::High, 12.0)] {
        let clean = |samples: &[i16]| -> Vec<i16> {
            let mut cleaner = Cleaner::new(Some(level), false);
            frames(samples).flat_map(|frame| cleaner.process(frame)).collect()
        };
        let less = rms_dbfs(&hiss[3 * RATE..]) - rms_dbfs(&clean(&hiss)[3 * RATE..]);
        assert!(less > at_least_db, "{level:?}: {less} dB");
        let both: Vec<i16> = hiss
            .iter()
            .zip(&speech)
            .map(|(a, b)| a.saturating_add(*b))
            .collect();
        let change = rms_dbfs(&clean(&both)[3 * RATE..]) - rms_dbfs(&both[3 * RATE..]);
        assert!(change > -3.0, "{level:?}: speech changed by {change} dB");
    }
}

#[test]
fn quiet_speech_is_made_louder_and_loud_speech_is_not() {
    let speech = babble(120.0, 4, 12);
    let gain = |divisor: i16| {
        let quiet: Vec<i16> = speech.iter().map(|sample| sample / divisor).collect();
        let mut cleaner = Cleaner::new(None, true);
        let louder: Vec<i16> = frames(&quiet).flat_map(|frame| cleaner.process(frame)).collect();
        rms_dbfs(&louder[9 * RATE..]) - rms_dbfs(&quiet[9 * RATE..])
    };
    let (quiet, loud) = (gain(20), gain(1));
    assert!(quiet > 6.0 && loud < quiet - 4.0, "{quiet} dB and {loud} dB");
}
