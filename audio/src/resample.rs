//! Sample rate conversion by an exact polyphase filter.

use std::{f64::consts::PI, time::Duration};

/// The two rates cannot be converted into each other here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot resample from {from_hz} Hz to {to_hz} Hz: both must be 4000 to 192000 Hz, \
     and their ratio one of whole numbers up to 1024"
)]
pub struct UnsupportedRates {
    /// The rate of the input.
    pub from_hz: u32,
    /// The rate of the output.
    pub to_hz: u32,
}

/// Zero crossings of the filter on each side of its middle: the delay is so many samples at the lower of the
/// two rates.
const HALF_LENGTH: usize = 24;
/// Where the filter is 6 dB down, as a share of half the lower rate. Speech at 8 kHz passes up to 3.3 kHz;
/// 4.06 kHz is 70 dB down.
const CUTOFF: f64 = 0.925;
/// The shape of Kaiser's window: about 70 dB of stop band (Kaiser's formula 0.1102·(A − 8.7)).
const KAISER_BETA: f64 = 6.76;
const MAX_FACTOR: u32 = 1_024;

/// Converts one stream from one rate to another.
///
/// It works for every pair of telephone and studio rates (8, 11.025, 12, 16, 22.05, 24, 32, 44.1, 48 kHz …).
/// After `n` samples in, exactly ⌈n · to / from⌉ samples have come out, so that whole 20 ms frames give whole
/// frames and streams never drift. The delay is 24 samples at the lower rate: 3 ms at 8 kHz, 1.5 ms at 16
/// kHz, 0.5 ms at 48 kHz; none between equal rates.
#[derive(Debug, Clone)]
pub struct Resampler {
    from_hz: u32,
    /// The output rate over the input rate, in lowest terms.
    up: usize,
    down: usize,
    /// `up` filters of `taps` coefficients; each gives the output at one of the `up` positions between two
    /// inputs.
    phases: Vec<f32>,
    taps: usize,
    /// The last `taps - 1` inputs, then those not yet used.
    history: Vec<f32>,
    /// The next output lies `position / up` inputs after the first input in `history` that has all its
    /// predecessors.
    position: usize,
}

impl Resampler {
    /// A converter at the start of a stream. Before the stream there was silence.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, UnsupportedRates> {
        let unsupported = UnsupportedRates { from_hz, to_hz };
        if !(4_000..=192_000).contains(&from_hz) || !(4_000..=192_000).contains(&to_hz) {
            return Err(unsupported);
        }
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let (up, down) = (to_hz / divisor, from_hz / divisor);
        if up > MAX_FACTOR || down > MAX_FACTOR {
            return Err(unsupported);
        }
        let (up, down) = (up as usize, down as usize);
        let (phases, taps) = if up == down {
            (Vec::new(), 1)
        } else {
            design(up, down)
        };
        Ok(Self {
            from_hz,
            up,
            down,
            phases,
            taps,
            history: vec![0.0; taps - 1],
            position: 0,
        })
    }

    /// Appends to `out` the output that `input` completes. Any length will do; nothing is allocated once the
    /// buffers have grown.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        if self.up == self.down {
            out.extend_from_slice(input);
            return;
        }
        self.history.extend(input.iter().map(|&sample| f32::from(sample)));
        let mut next = self.position / self.up;
        while next + self.taps <= self.history.len() {
            let phase = self.position % self.up * self.taps;
            let filter = &self.phases[phase..phase + self.taps];
            let sum = dot(filter, &self.history[next..next + self.taps]);
            out.push(sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16);
            self.position += self.down;
            next = self.position / self.up;
        }
        let used = next.min(self.history.len() + 1 - self.taps);
        self.history.drain(..used);
        self.position -= used * self.up;
    }

    /// How much later than the input the output is.
    pub fn delay(&self) -> Duration {
        Duration::from_secs_f64((self.taps / 2) as f64 / f64::from(self.from_hz))
    }
}

/// Several independent sums, so that the compiler can use vector instructions: it may not reorder one sum of
/// floats by itself.
fn dot(filter: &[f32], samples: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (filters, samples_by_lane) = (filter.chunks_exact(LANES), samples.chunks_exact(LANES));
    let rest: f32 = filters
        .remainder()
        .iter()
        .zip(samples_by_lane.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (filter, samples) in filters.zip(samples_by_lane) {
        for lane in 0..LANES {
            sums[lane] += filter[lane] * samples[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The phases of a sinc in Kaiser's window, each reversed for a straight scalar product and scaled to a gain
/// of exactly 1 at 0 Hz (which also keeps a constant signal free of ripple).
fn design(up: usize, down: usize) -> (Vec<f32>, usize) {
    // In units of one input sample: an output reaches `reach` inputs to both sides.
    let stretch = (down as f64 / up as f64).max(1.0);
    let half = (HALF_LENGTH as f64 * stretch).ceil() as usize;
    let taps = 2 * half;
    let mut phases = Vec::with_capacity(up * taps);
    for phase in 0..up {
        let offset = phase as f64 / up as f64;
        let filter: Vec<f64> = (0..taps)
            .map(|tap| {
                // Tap `half - 1` stands at the input just before the output's place, `half` at the one after
                // it.
                let distance = (tap as f64 - (half as f64 - 1.0) - offset) / stretch;
                sinc(distance * CUTOFF) * kaiser(distance / (HALF_LENGTH as f64))
            })
            .collect();
        let gain: f64 = filter.iter().sum();
        phases.extend(filter.iter().map(|coefficient| (coefficient / gain) as f32));
    }
    (phases, taps)
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-12 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Kaiser's window at −1..=1, zero outside.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel_i0(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel_i0(KAISER_BETA)
}

/// The modified Bessel function of order zero, by its power series; 25 terms are exact to f64 for arguments
/// up to 10.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    (1..=25).fold(1.0, |sum, k| {
        term *= quarter / f64::from(k * k);
        sum + term
    })
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
