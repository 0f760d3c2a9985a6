use audio::{Concealer, level::rms_dbfs};
use proptest::prelude::*;

use crate::signals::{snr_db, vowel};

/// Every eighth frame of 20 ms lost.
fn with_losses(signal: &[i16], frame: usize, rate: u32, conceal: bool) -> Vec<i16> {
    let mut concealer = Concealer::new(rate);
    let mut out = Vec::new();
    for (n, frame) in signal.chunks(frame).enumerate() {
        if n % 8 == 5 {
            if conceal {
                concealer.conceal(frame.len(), &mut out);
            } else {
                out.extend(std::iter::repeat_n(0, frame.len()));
            }
            continue;
        }
        let mut frame = frame.to_vec();
        concealer.good(&mut frame);
        out.extend(frame);
    }
    out
}

#[test]
fn a_steady_voice_goes_on_through_lost_frames() {
    let signal = vowel(32_000, 125.0);
    let (concealed, silent) = (
        with_losses(&signal, 320, 16_000, true),
        with_losses(&signal, 320, 16_000, false),
    );
    let (better, worse) = (snr_db(&signal, &concealed), snr_db(&signal, &silent));
    assert!(
        better > worse + 6.0,
        "{better} dB with concealment, {worse} dB with silence"
    );
}

#[test]
fn a_long_gap_fades_to_silence_in_60_ms() {
    let mut concealer = Concealer::new(8_000);
    let mut voice: Vec<i16> = vowel(16_000, 125.0).iter().step_by(2).copied().collect();
    concealer.good(&mut voice);
    let mut out = Vec::new();
    let levels: Vec<f32> = (0..5)
        .map(|_| {
            out.clear();
            concealer.conceal(160, &mut out);
            rms_dbfs(&out)
        })
        .collect();
    assert!(
        levels[0] > rms_dbfs(&voice) - 3.0 && levels[1] < levels[0] && levels[2] < levels[1],
        "{levels:?}"
    );
    assert!(levels[3] < -100.0 && concealer.is_silent(), "{levels:?}");
}

#[test]
fn the_seams_do_not_click() {
    let signal: Vec<i16> = audio::tone::Tone::new(200.0, 8_000, 10_000).take(8_000).collect();
    let out = with_losses(&signal, 160, 8_000, true);
    let step = |samples: &[i16]| {
        samples
            .windows(2)
            .map(|pair| pair[0].abs_diff(pair[1]))
            .max()
            .unwrap()
    };
    assert!(
        step(&out) < step(&signal) * 2,
        "{} against {}",
        step(&out),
        step(&signal)
    );
}

#[test]
fn before_the_first_frame_a_gap_is_silent() {
    let mut out = Vec::new();
    Concealer::new(8_000).conceal(320, &mut out);
    assert_eq!(out, [0; 320]);
}

proptest! {
    #[test]
    fn any_run_of_frames_and_gaps_keeps_its_length(
        runs in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<i16>(), 0..900)), 0..12),
    ) {
        let mut concealer = Concealer::new(16_000);
        let mut out = Vec::new();
        let mut expected = 0;
        for (good, mut frame) in runs {
            expected += frame.len();
            if good {
                concealer.good(&mut frame);
                out.extend(frame);
            } else {
                concealer.conceal(frame.len(), &mut out);
            }
        }
        prop_assert_eq!(out.len(), expected);
    }
}
