//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): two bands by a quadrature mirror filter, each coded by adaptive
//! differential PCM, six bits for the low band and two for the high one. Names in capitals are the
//! recommendation's.

/// The impulse response of the transmit and receive quadrature mirror filter (table 11), its first half; the
/// second mirrors it.
const MIRROR: [i32; 12] = [3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3_876];
const TAPS: usize = 24;

/// The decision levels of the low band's 60-level quantizer, Q6 (table 14).
const LOW_DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121,
    1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
/// The high band's single decision level, Q2 (table 14).
const HIGH_DECISION: i32 = 564;

/// The output levels of the low band's inverse quantizers: all six bits, QQ6, and the upper four, QQ4 (table
/// 15).
const LOW_LEVELS: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232,
    -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008, -3_576, -3_168, -2_776,
    -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280,
    11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000, 5_456, 4_944, 4_464, 4_008, 3_576, 3_168,
    2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432, 136, -432, -136,
];
const LOW_LEVELS_COARSE: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584,
    1_200, 0,
];
/// The output levels of the high band's inverse quantizer, QQ2 (table 15).
const HIGH_LEVELS: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// How the logarithm of the step moves with each code: WL by IL4, and WH by IH2 (table 16).
const LOW_STEPS: [i32; 16] = [
    -60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60,
];
const HIGH_STEPS: [i32; 4] = [798, -214, 798, -214];

/// 2048 · 2^(n/32), ILB (table 17).
const EXPONENTIALS: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774,
    2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838,
    3_922, 4_008,
];

/// Encodes one stream.
#[derive(Debug)]
pub struct Encoder {
    low: Predictor,
    high: Predictor,
    /// The last 24 samples, the newest at the end.
    window: [i32; TAPS],
}

impl Encoder {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self {
            low: Predictor::low(),
            high: Predictor::high(),
            window: [0; TAPS],
        }
    }

    /// Encodes two samples at 16 kHz.
    pub fn encode(&mut self, pair: [i16; 2]) -> u8 {
        push(&mut self.window, pair.map(i32::from));
        let (even, odd) = mirror_sums(&self.window);
        let low_code = self.encode_low((even + odd) >> 14);
        let high_code = self.encode_high((even - odd) >> 14);
        high_code << 6 | low_code
    }

    /// SUBTRA, QUANTL and the local decoder of the low band.
    fn encode_low(&mut self, sample: i32) -> u8 {
        let difference = saturate(sample - self.low.estimate);
        let magnitude = if difference < 0 { !difference } else { difference };
        let step = self.low.step;
        let interval = LOW_DECISIONS
            .iter()
            .take_while(|&&level| magnitude >= (level * step) >> 12)
            .count() as u8;
        // Interval 0 is the smallest. The codes run downwards, and the two smallest negative ones stand at
        // the end (table 13).
        let code = match (difference < 0, interval) {
            (false, interval) => 61 - interval,
            (true, 0 | 1) => 63 - interval,
            (true, interval) => 33 - interval,
        };
        self.low.update_low(code);
        code
    }

    /// SUBTRA, QUANTH and the local decoder of the high band.
    fn encode_high(&mut self, sample: i32) -> u8 {
        let difference = saturate(sample - self.high.estimate);
        let magnitude = if difference < 0 { !difference } else { difference };
        let outer = magnitude >= (HIGH_DECISION * self.high.step) >> 12;
        let code = match (difference < 0, outer) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.high.update_high(code);
        code
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    low: Predictor,
    high: Predictor,
    /// The last 12 sums and differences of the bands, the newest at the end.
    window: [i32; TAPS],
}

impl Decoder {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self {
            low: Predictor::low(),
            high: Predictor::high(),
            window: [0; TAPS],
        }
    }

    /// Decodes to two samples at 16 kHz.
    pub fn decode(&mut self, byte: u8) -> [i16; 2] {
        let (low_code, high_code) = (byte & 0x3F, byte >> 6);
        // The output takes all six bits of the low band, the predictor four (INVQBL, INVQAL).
        let low = limit(self.low.estimate + ((self.low.step * LOW_LEVELS[usize::from(low_code)]) >> 15));
        self.low.update_low(low_code);
        let high = limit(self.high.estimate + ((self.high.step * HIGH_LEVELS[usize::from(high_code)]) >> 15));
        self.high.update_high(high_code);
        push(&mut self.window, [low + high, low - high]);
        let (even, odd) = mirror_sums(&self.window);
        [saturate(even >> 11) as i16, saturate(odd >> 11) as i16]
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The adaptive quantizer step and predictor of one band: two poles and six zeros.
#[derive(Debug)]
struct Predictor {
    /// The predicted signal, S.
    estimate: i32,
    /// The zeros' part of it, SZ.
    zeros_part: i32,
    /// The last two reconstructed signals RLT, and the last two partial ones PLT.
    reconstructed: [i32; 2],
    partial: [i32; 2],
    /// The last six quantized differences DLT.
    differences: [i32; 6],
    /// The coefficients AL and BL.
    poles: [i32; 2],
    zeros: [i32; 6],
    /// The logarithm of the step NB, and the step DET.
    log_step: i32,
    step: i32,
}

impl Predictor {
    /// DETL begins at 32 (table 9).
    fn low() -> Self {
        Self::with_step(32)
    }

    /// DETH begins at 8.
    fn high() -> Self {
        Self::with_step(8)
    }

    fn with_step(step: i32) -> Self {
        Self {
            estimate: 0,
            zeros_part: 0,
            reconstructed: [0; 2],
            partial: [0; 2],
            differences: [0; 6],
            poles: [0; 2],
            zeros: [0; 6],
            log_step: 0,
            step,
        }
    }

    /// INVQAL, LOGSCL, SCALEL and the predictor.
    fn update_low(&mut self, code: u8) {
        let coarse = usize::from(code >> 2);
        let difference = (self.step * LOW_LEVELS_COARSE[coarse]) >> 15;
        self.log_step = ((self.log_step * 127) / 128 + LOW_STEPS[coarse]).clamp(0, 18_432);
        self.step = exponential(self.log_step, 8);
        self.predict(difference);
    }

    /// INVQAH, LOGSCH, SCALEH and the predictor.
    fn update_high(&mut self, code: u8) {
        let code = usize::from(code);
        let difference = (self.step * HIGH_LEVELS[code]) >> 15;
        self.log_step = ((self.log_step * 127) / 128 + HIGH_STEPS[code]).clamp(0, 22_528);
        self.step = exponential(self.log_step, 10);
        self.predict(difference);
    }

    /// Block 4: reconstruction, adaptation by signs, and the prediction of the next sample.
    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.estimate + difference);
        let partial = saturate(self.zeros_part + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);

        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        self.differences.rotate_right(1);
        self.differences[0] = difference;

        let filtered = |coefficient: i32, value: i32| (coefficient * saturate(value * 2)) >> 15;
        let poles_part = saturate(
            filtered(self.poles[0], self.reconstructed[0]) + filtered(self.poles[1], self.reconstructed[1]),
        );
        let zeros = self.zeros.iter().zip(&self.differences);
        self.zeros_part = saturate(
            zeros
                .map(|(&coefficient, &value)| filtered(coefficient, value))
                .sum(),
        );
        self.estimate = saturate(poles_part + self.zeros_part);
    }

    /// UPPOL2, then UPPOL1 within the bounds that keep the filter stable.
    fn adapt_poles(&mut self, partial: i32) {
        let [first, second] = self.poles;
        let agrees = |earlier: i32| (partial < 0) == (earlier < 0);
        let turned = saturate(first * 4);
        let turned = if agrees(self.partial[0]) {
            saturate(-turned)
        } else {
            turned
        };
        let nudge = if agrees(self.partial[1]) { 128 } else { -128 };
        let second = ((turned >> 7) + nudge + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let nudge = if agrees(self.partial[0]) { 192 } else { -192 };
        let bound = 15_360 - second;
        let first = (nudge + ((first * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        for (coefficient, &earlier) in self.zeros.iter_mut().zip(&self.differences) {
            let nudge = match difference {
                0 => 0,
                _ if (difference < 0) == (earlier < 0) => 128,
                _ => -128,
            };
            *coefficient = saturate(((*coefficient * 32_640) >> 15) + nudge);
        }
    }
}

/// The step whose logarithm is given (SCALEL, SCALEH), for the band's largest exponent.
fn exponential(logarithm: i32, largest_exponent: i32) -> i32 {
    let mantissa = EXPONENTIALS[(logarithm >> 6 & 31) as usize];
    let shift = largest_exponent - (logarithm >> 11);
    (if shift < 0 {
        mantissa << -shift
    } else {
        mantissa >> shift
    }) << 2
}

fn push(window: &mut [i32; TAPS], pair: [i32; 2]) {
    window.copy_within(2.., 0);
    window[TAPS - 2..].copy_from_slice(&pair);
}

/// The two halves of the quadrature mirror filter: over the odd places from the newest on, and over the even
/// ones.
fn mirror_sums(window: &[i32; TAPS]) -> (i32, i32) {
    let (mut even, mut odd) = (0, 0);
    for n in 0..TAPS / 2 {
        even += window[2 * n + 1] * tap(TAPS - 1 - (2 * n + 1));
        odd += window[2 * n] * tap(TAPS - 1 - 2 * n);
    }
    (even, odd)
}

const fn tap(n: usize) -> i32 {
    if n < TAPS / 2 {
        MIRROR[n]
    } else {
        MIRROR[TAPS - 1 - n]
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

/// LIMIT: 15 bits.
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}
