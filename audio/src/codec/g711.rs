//! G.711: µ-law and A-law (ITU-T G.711, tables 1a to 2b), on 16-bit samples.
//!
//! A sample gets the code in whose interval it lies, by the decision values of the tables; the decoder gives
//! the middle of the interval. Both signs are treated alike.

/// µ-law works on 14 bits; in 16-bit samples its bias of 33 is 132.
const ULAW_BIAS: i32 = 132;
/// The largest magnitude that still falls in the last µ-law segment.
const ULAW_CLIP: i32 = 32_635;
/// A-law inverts the even bits on the line (G.711 table 1a, note 2).
const ALAW_INVERSION: u8 = 0x55;

static ULAW_DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = ulaw_expand(byte as u8);
        byte += 1;
    }
    table
};

static ALAW_DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = alaw_expand(byte as u8);
        byte += 1;
    }
    table
};

/// Encodes one sample as µ-law.
pub fn ulaw_encode(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(ULAW_CLIP) + ULAW_BIAS;
    // The biased magnitude lies in 132..=32767, so that its highest set bit is bit 7 to 14.
    let segment = (31 - magnitude.leading_zeros()).saturating_sub(7);
    let interval = (magnitude >> (segment + 3)) & 0x0F;
    !(sign | (segment << 4) as u8 | interval as u8)
}

/// Decodes one µ-law byte: −32124..=32124.
pub fn ulaw_decode(byte: u8) -> i16 {
    ULAW_DECODED[usize::from(byte)]
}

/// Encodes one sample as A-law.
pub fn alaw_encode(sample: i16) -> u8 {
    // One's complement for the negatives makes the intervals of both signs equal: −1..=−16 is the mirror of
    // 0..=15.
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    let magnitude = i32::from(magnitude) >> 4;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let segment = 31 - magnitude.leading_zeros() as i32 - 4;
        ((segment + 1) << 4) | ((magnitude >> segment) & 0x0F)
    };
    (sign | code as u8) ^ ALAW_INVERSION
}

/// Decodes one A-law byte: −32256..=32256.
pub fn alaw_decode(byte: u8) -> i16 {
    ALAW_DECODED[usize::from(byte)]
}

/// The middle of the interval that a µ-law byte stands for.
const fn ulaw_expand(byte: u8) -> i16 {
    let code = !byte;
    let segment = code >> 4 & 7;
    let magnitude = (((((code & 0x0F) as i32) << 3) + ULAW_BIAS) << segment) - ULAW_BIAS;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

/// The middle of the interval that an A-law byte stands for.
const fn alaw_expand(byte: u8) -> i16 {
    let code = byte ^ ALAW_INVERSION;
    let interval = ((code & 0x0F) as i32) << 4;
    let magnitude = match code >> 4 & 7 {
        0 => interval + 8,
        segment => (interval + 0x108) << (segment - 1),
    };
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}
