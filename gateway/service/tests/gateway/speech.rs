//! What is said, and whether it was heard.

/// Of all speech here.
const RATE_HZ: u32 = 16_000;

/// Speech-like: syllables of changing pitch, which no two places have in common.
pub(crate) fn babble(seconds: usize) -> Vec<i16> {
    let mut samples = Vec::new();
    for syllable in 0..seconds * 5 {
        let pitch = 180.0 + f64::from(u32::try_from((syllable * 7919) % 640).expect("small"));
        let mut tone = audio::tone::Tone::new(pitch, RATE_HZ, 9_000);
        let mut overtone = audio::tone::Tone::new(pitch * 2.7, RATE_HZ, 3_000);
        samples.extend((0..2_400).map(|_| tone.next().unwrap_or(0) + overtone.next().unwrap_or(0)));
        samples.extend([0; 800]);
    }
    samples
}

/// Noise that is the same every time and like nothing else.
pub(crate) fn noise(seconds: usize) -> Vec<i16> {
    let mut state = 0x5eed_u32;
    let mut smooth = 0_i32;
    (0..seconds * 16_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sample = i32::try_from(state >> 17).expect("15 bits") - 16_384;
            // Below 4 kHz, so that every codec carries it.
            smooth += (sample - smooth) / 3;
            i16::try_from(smooth).expect("no louder than it was")
        })
        .collect()
}

/// `samples` at `rate_hz`.
pub(crate) fn at_rate(samples: &[i16], rate_hz: u32) -> Vec<i16> {
    if rate_hz == RATE_HZ {
        return samples.to_vec();
    }
    let mut out = Vec::new();
    audio::Resampler::new(RATE_HZ, rate_hz)
        .expect("rates")
        .process(samples, &mut out);
    out
}

/// Of each 600 ms that were said, how alike the likest part of what was heard is (-1 to 1), and how many milliseconds later.
pub(crate) fn found_in(said: &[i16], heard: &[i16], rate_hz: u32) -> Vec<(f64, isize)> {
    let said = at_rate(said, rate_hz);
    let window = usize::try_from(rate_hz).expect("fits") * 6 / 10;
    said.chunks_exact(window)
        .enumerate()
        .map(|(n, part)| {
            let best = audio::correlate::best_lag(part, heard, heard.len());
            let lag = best.lag_samples - isize::try_from(n * window).expect("short");
            (
                best.coefficient,
                lag * 1000 / isize::try_from(rate_hz).expect("fits"),
            )
        })
        .collect()
}
