//! Signals to test with, all made by integer arithmetic, so that they are the same on every machine.

/// Three triangle waves and noise, whose loudness moves through four steps of 6 dB every 400 samples.
pub(crate) fn mixture(samples: usize) -> Vec<i16> {
    let mut noise = Noise(1);
    (0..samples as i64)
        .map(|n| {
            let triangle = |period: i64, amplitude: i64| {
                let (phase, half) = (n % period, period / 2);
                let rising = if phase < half { phase } else { period - phase };
                (amplitude * rising * 2).div_euclid(half) - amplitude
            };
            let loudness = [1, 2, 4, 8][(n / 400 % 4) as usize];
            let sum = triangle(100, 500) + triangle(37, 300) + triangle(9, 100);
            ((sum + i64::from(noise.next_i16()).div_euclid(8)) * loudness) as i16
        })
        .collect()
}

/// A voiced sound: pulses at the pitch, rung by three resonances like those of a vowel, at 16 kHz.
pub(crate) fn vowel(samples: usize, pitch_hz: f64) -> Vec<i16> {
    let period = (16_000.0 / pitch_hz) as usize;
    let mut resonances =
        [(700.0, 0.985), (1_200.0, 0.980), (2_600.0, 0.97)].map(|(hz, radius): (f64, f64)| {
            let angle = std::f64::consts::TAU * hz / 16_000.0;
            (2.0 * radius * angle.cos(), -radius * radius, 0.0, 0.0)
        });
    let mut raw = Vec::with_capacity(samples);
    for n in 0..samples {
        let mut value = if n % period == 0 { 1.0 } else { 0.0 };
        for (a1, a2, y1, y2) in &mut resonances {
            let y = value + *a1 * *y1 + *a2 * *y2;
            (*y2, *y1) = (*y1, y);
            value = y;
        }
        raw.push(value);
    }
    let peak = raw.iter().fold(1e-9f64, |peak, value| peak.max(value.abs()));
    raw.iter().map(|value| (value / peak * 12_000.0) as i16).collect()
}

/// White noise in −2048..2048, by a linear congruential generator.
pub(crate) struct Noise(pub(crate) u32);

impl Noise {
    pub(crate) fn next_i16(&mut self) -> i16 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 20) as i16 - 2_048
    }
}

/// The signal-to-noise ratio of `test` against `reference`, in dB.
pub(crate) fn snr_db(reference: &[i16], test: &[i16]) -> f64 {
    let (mut signal, mut noise) = (0.0, 1e-9);
    for (&reference, &test) in reference.iter().zip(test) {
        signal += f64::from(reference).powi(2);
        noise += (f64::from(reference) - f64::from(test)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// FNV-1a, 64 bits: enough to tell two streams of bytes apart.
pub(crate) fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    })
}

/// The fingerprint of samples as little-endian bytes.
pub(crate) fn pcm_fingerprint(samples: &[i16]) -> u64 {
    fingerprint(samples.iter().flat_map(|sample| sample.to_le_bytes()))
}
