use audio::codec::{Codec, Decoder, Encoder, g711};
use proptest::prelude::*;

use crate::signals::{fingerprint, mixture, pcm_fingerprint, snr_db};

fn encoded(codec: Codec, pcm: &[i16]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(codec).encode(pcm, &mut out);
    out
}

fn decoded(codec: Codec, payload: &[u8]) -> Vec<i16> {
    let mut out = Vec::new();
    Decoder::new(codec).decode(payload, &mut out);
    out
}

/// Two independent implementations (the encoder and decoder of `FFmpeg` 8, and libg722) gave these very bytes
/// and samples for the same signal.
#[test]
fn g722_is_bit_exact_with_other_implementations() {
    let signal = mixture(16_000);
    assert_eq!(
        pcm_fingerprint(&signal),
        0x01DF_596D_DC0C_C969,
        "the test signal itself"
    );
    let bytes = encoded(Codec::G722, &signal);
    assert_eq!(bytes[..8], [0x7A, 0x98, 0x29, 0x88, 0x20, 0x84, 0x04, 0x8F]);
    assert_eq!(fingerprint(bytes.iter().copied()), 0x9BEA_5BBB_CF52_2407);
    let pcm = decoded(Codec::G722, &bytes);
    assert_eq!(
        pcm[100..110],
        [9, -69, -209, -246, -220, -364, -164, 41, 205, -105]
    );
    assert_eq!(pcm_fingerprint(&pcm), 0x1F64_F644_9A54_F187);
}

/// Full-scale noise and random bytes drive every register to its bounds; the same two implementations gave
/// these.
#[test]
fn g722_saturates_where_other_implementations_do() {
    let random = |mut seed: u32| {
        std::iter::repeat_with(move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u16
        })
    };
    let noise: Vec<i16> = random(7).take(16_000).map(u16::cast_signed).collect();
    assert_eq!(fingerprint(encoded(Codec::G722, &noise)), 0x3D80_36BE_A299_0E35);
    let bytes: Vec<u8> = random(9).take(8_000).map(|value| (value >> 8) as u8).collect();
    assert_eq!(
        pcm_fingerprint(&decoded(Codec::G722, &bytes)),
        0x20E6_FD3C_5F12_44C7
    );
}

#[test]
fn g722_frame_by_frame_equals_the_whole() {
    let signal = mixture(3_200);
    let whole = encoded(Codec::G722, &signal);
    let mut encoder = Encoder::new(Codec::G722);
    let mut by_frames = Vec::new();
    for frame in signal.chunks(Codec::G722.frame_samples()) {
        encoder.encode(frame, &mut by_frames);
    }
    assert_eq!(by_frames, whole);
    let mut decoder = Decoder::new(Codec::G722);
    let mut pcm = Vec::new();
    for payload in whole.chunks(Codec::G722.max_frame_bytes()) {
        decoder.decode(payload, &mut pcm);
    }
    assert_eq!(pcm, decoded(Codec::G722, &whole));
}

/// ITU-T G.711, tables 1a (A-law) and 2a (µ-law): character signals and decoder outputs of the positive
/// values, scaled to 16 bits.
#[test]
fn g711_agrees_with_the_tables_of_the_recommendation() {
    for (byte, value) in [
        (0xD5, 8),
        (0xC5, 264),
        (0xF5, 528),
        (0xE5, 1_056),
        (0xAA, 32_256),
        (0x80, 5_504),
    ] {
        assert_eq!(g711::alaw_decode(byte), value, "A-law {byte:#x}");
        assert_eq!(g711::alaw_decode(byte & 0x7F), -value);
    }
    for (byte, value) in [
        (0xFF, 0),
        (0xEF, 132),
        (0xDF, 396),
        (0xCF, 924),
        (0x8F, 16_764),
        (0x80, 32_124),
    ] {
        assert_eq!(g711::ulaw_decode(byte), value, "µ-law {byte:#x}");
        assert_eq!(g711::ulaw_decode(byte & 0x7F), -value);
    }
}

#[test]
fn g711_decoders_agree_with_other_implementations() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(
        pcm_fingerprint(&decoded(Codec::Pcma, &all)),
        0x693A_40CA_62A3_D2A5
    );
    assert_eq!(
        pcm_fingerprint(&decoded(Codec::Pcmu, &all)),
        0xB91E_65D6_8481_A1A8
    );
}

/// Decided for every sample: the decision values lie where the recommendation has them.
#[test]
fn g711_decodes_to_the_middle_of_the_interval_that_was_encoded() {
    for (name, encode, decode) in [
        (
            "A-law",
            g711::alaw_encode as fn(i16) -> u8,
            g711::alaw_decode as fn(u8) -> i16,
        ),
        ("µ-law", g711::ulaw_encode, g711::ulaw_decode),
    ] {
        let mut intervals = vec![(i32::MAX, i32::MIN, 0); 256];
        for sample in i16::MIN..=i16::MAX {
            let (low, high, count) = &mut intervals[usize::from(encode(sample))];
            let sample = i32::from(sample);
            (*low, *high, *count) = ((*low).min(sample), (*high).max(sample), *count + 1);
        }
        for byte in 0..=255u8 {
            let (low, high, count) = intervals[usize::from(byte)];
            let decoded = i32::from(decode(byte));
            let is_zero = name == "µ-law" && byte & 0x7F == 0x7F;
            let is_last = name == "µ-law" && matches!(byte, 0x00 | 0x80);
            if is_zero || is_last {
                // µ-law's two zeros share one interval, and its last one is clipped.
                continue;
            }
            assert_eq!(high - low + 1, count, "{name} {byte:#x} is one interval");
            // The middle of an even number of samples lies between two.
            assert!(
                (decoded * 2 - low - high).abs() <= 1,
                "{name} {byte:#x}: {decoded} in {low}..={high}"
            );
        }
    }
}

#[test]
fn g711_codes_survive_decoding_and_encoding() {
    for byte in 0..=255u8 {
        assert_eq!(g711::alaw_encode(g711::alaw_decode(byte)), byte);
        // µ-law has two zeros; the positive one is sent.
        let expected = if byte == 0x7F { 0xFF } else { byte };
        assert_eq!(g711::ulaw_encode(g711::ulaw_decode(byte)), expected);
    }
}

/// G.712 wants at least 33 dB for tones in the middle of the range; G.722 has noise shaping and its filters'
/// delay of 22 samples.
#[test]
fn each_codec_keeps_its_signal_to_noise_ratio() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let tone: Vec<i16> = audio::tone::Tone::new(1_004.0, 8_000, 8_000)
            .take(8_000)
            .collect();
        let snr = snr_db(&tone, &decoded(codec, &encoded(codec, &tone)));
        assert!(snr > 36.0, "{codec:?}: {snr} dB");
    }
    let tone: Vec<i16> = audio::tone::Tone::new(1_004.0, 16_000, 8_000)
        .take(16_000)
        .collect();
    let pcm = decoded(Codec::G722, &encoded(Codec::G722, &tone));
    let snr = snr_db(&tone[400..15_000], &pcm[422..]);
    assert!(snr > 36.0, "G.722: {snr} dB");
}

#[test]
fn names_and_numbers_are_those_of_rfc_3551() {
    for (codec, name, payload_type, samples) in [
        (Codec::Pcmu, "PCMU", 0, 160),
        (Codec::Pcma, "PCMA", 8, 160),
        (Codec::G722, "G722", 9, 320),
    ] {
        assert_eq!(
            (codec.name(), codec.static_payload_type(), codec.frame_samples()),
            (name, Some(payload_type), samples)
        );
        assert_eq!((codec.clock_rate_hz(), codec.frame_ticks()), (8_000, 160));
        assert_eq!(Codec::from_name(&name.to_lowercase()), Some(codec));
    }
    assert_eq!(Codec::from_name("gsm"), None);
}

proptest! {
    #[test]
    fn any_bytes_decode_and_any_samples_encode(bytes: Vec<u8>, pcm: Vec<i16>) {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            let per_byte = codec.frame_samples() / codec.max_frame_bytes();
            prop_assert_eq!(decoded(codec, &bytes).len(), bytes.len() * per_byte);
            prop_assert_eq!(encoded(codec, &pcm).len(), pcm.len() / per_byte);
        }
    }
}
