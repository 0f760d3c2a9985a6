use audio::codec::opus::{Decoder, Encoder, Options, RATE_HZ};
use audio::{Codec, correlate, frame_samples, level::rms_dbfs, tone::Tone};
use proptest::prelude::*;

use crate::signals::vowel;

const FRAME: usize = Encoder::FRAME_SAMPLES;

fn packets(options: Options, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(options);
    let all = pcm.chunks_exact(FRAME).map(|frame| {
        let mut packet = Vec::new();
        encoder.encode(frame, &mut packet);
        packet
    });
    all.collect()
}

fn with_fec() -> Options {
    Options {
        fec: true,
        ..Options::default()
    }
}

/// Vowels of changing pitch at 48 kHz, with pauses of 60 ms between them: what comes next is never what came before.
fn speech(frames: usize) -> Vec<i16> {
    let mut narrow = Vec::new();
    for n in 0..frames / 10 {
        narrow.extend(vowel(7 * frame_samples(16_000), 110.0 + (n * 37 % 90) as f64));
        narrow.extend(vec![0; 3 * frame_samples(16_000)]);
    }
    let mut wide = Vec::new();
    audio::Resampler::new(16_000, RATE_HZ)
        .unwrap()
        .process(&narrow, &mut wide);
    wide
}

#[test]
fn a_tone_keeps_its_level_and_its_packets_are_small() {
    let tone: Vec<i16> = Tone::new(1_000.0, RATE_HZ, 8_000).take(FRAME * 100).collect();
    let packets = packets(Options::default(), &tone);
    let bytes: usize = packets.iter().map(Vec::len).sum();
    assert!((2_000..=8_500).contains(&bytes), "{bytes} bytes in two seconds");
    let (mut decoder, mut heard) = (Decoder::new(), Vec::new());
    assert!(packets.iter().all(|packet| decoder.decode(packet, &mut heard)));
    assert_eq!(heard.len(), tone.len());
    let (said, heard) = (rms_dbfs(&tone), rms_dbfs(&heard[FRAME * 20..]));
    assert!((said - heard).abs() < 0.5, "{said} dBFS, heard at {heard}");
}

/// Every seventh packet is lost, all over the syllables in turn. With recovery data in the next one the hole is filled with what was said; without it the decoder can
/// only go on with what was said before.
#[test]
fn a_lost_packet_is_recovered_from_the_next_one() {
    let said = speech(200);
    let likeness = |options: Options| {
        let packets = packets(options, &said);
        let decoded = |losses: bool| {
            let (mut decoder, mut heard) = (Decoder::new(), Vec::new());
            for (n, packet) in packets.iter().enumerate() {
                if losses && n % 7 == 6 {
                    decoder.conceal(packets.get(n + 1).map(Vec::as_slice), FRAME, &mut heard);
                } else {
                    assert!(decoder.decode(packet, &mut heard));
                }
            }
            heard
        };
        let (whole, mended) = (decoded(false), decoded(true));
        assert_eq!(whole.len(), mended.len());
        let lost = (0..packets.len()).filter(|n| n % 7 == 6);
        let lost = lost.map(|n| n * FRAME..(n + 1) * FRAME);
        let parts = lost
            .filter(|part| rms_dbfs(&whole[part.clone()]) > -35.0)
            .map(|part| correlate::best_lag(&whole[part.clone()], &mended[part], 10).coefficient);
        let parts: Vec<f64> = parts.collect();
        parts.iter().sum::<f64>() / parts.len() as f64
    };
    let (with, without) = (likeness(with_fec()), likeness(Options::default()));
    println!("likeness of what was lost: {with:.3} with recovery data, {without:.3} without");
    assert!(with > 0.8 && with > without + 0.05, "{with} and {without}");
}

#[test]
fn what_the_peer_wants_binds() {
    let said = speech(100);
    // The first five bits say mode and bandwidth (RFC 6716 §3.1): SILK up to wide band, hybrid, CELT.
    let widest = |rate: u32| {
        let options = Options {
            max_playback_rate_hz: rate,
            ..Options::default()
        };
        let band = |packet: &Vec<u8>| match packet[0] >> 3 {
            config @ 0..12 => config / 4,
            12..14 | 24..28 => 3,
            14..16 | 28..32 => 4,
            16..20 => 0,
            _ => 2,
        };
        packets(options, &said).iter().map(band).max().unwrap()
    };
    let bands = [8_000, 12_000, 16_000, 24_000, 48_000].map(widest);
    assert_eq!(bands, [0, 1, 2, 3, 4]);

    let slow = Options {
        max_bitrate: 12_000,
        ..Options::default()
    };
    let bytes: usize = packets(slow, &said).iter().map(Vec::len).sum();
    // Two seconds, and what the encoder may overdraw for a moment.
    assert!(bytes < 12_000 * 2 / 8 * 11 / 10, "{bytes}");
    for absurd in [0, 1, u32::MAX] {
        let options = Options {
            max_bitrate: absurd,
            max_playback_rate_hz: absurd,
            ..Options::default()
        };
        assert!(packets(options, &said).iter().all(|packet| !packet.is_empty()));
    }

    let constant = Options {
        cbr: true,
        ..Options::default()
    };
    let packets = packets(constant, &said);
    assert!(packets.iter().all(|packet| packet.len() == 80), "32 kbit/s");
}

#[test]
fn stereo_of_60_ms_comes_out_mono() {
    let mut stereo = ropus::Encoder::builder(RATE_HZ, ropus::Channels::Stereo, ropus::Application::Audio)
        .build()
        .unwrap();
    let tone = Tone::new(440.0, RATE_HZ, 8_000);
    let both: Vec<i16> = tone.take(FRAME * 3 * 10).flat_map(|sample| [sample; 2]).collect();
    let (mut decoder, mut heard, mut packet) = (Decoder::new(), Vec::new(), vec![0; 4_000]);
    for frame in both.chunks_exact(FRAME * 3 * 2) {
        let length = stereo.encode(frame, &mut packet).unwrap();
        assert!(decoder.decode(&packet[..length], &mut heard));
    }
    assert_eq!(heard.len(), FRAME * 3 * 10);
    let level = rms_dbfs(&heard[FRAME * 6..]);
    assert!((level - rms_dbfs(&both)).abs() < 0.5, "{level}");
}

#[test]
fn its_names_and_numbers_are_those_of_rfc_7587() {
    let codec = Codec::Opus;
    assert_eq!((codec.name(), codec.static_payload_type()), ("opus", None));
    assert_eq!((codec.clock_rate_hz(), codec.frame_ticks()), (48_000, 960));
    assert_eq!((codec.sample_rate_hz(), codec.frame_samples()), (48_000, FRAME));
    assert_eq!(Codec::from_name("OPUS"), Some(codec));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_comes_the_length_is_bounded_and_the_decoder_goes_on(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        lacking in 0usize..10_000,
    ) {
        let mut decoder = Decoder::new();
        for packet in &packets {
            let mut out = Vec::new();
            let is_opus = decoder.decode(packet, &mut out);
            prop_assert!(out.len() <= FRAME * 6 && is_opus != out.is_empty());
            out.clear();
            decoder.conceal(Some(packet), lacking, &mut out);
            prop_assert!((120..=FRAME * 6).contains(&out.len()) && out.len() <= lacking.max(120));
        }
        let good = self::packets(Options::default(), &vec![0; FRAME]);
        prop_assert!(decoder.decode(&good[0], &mut Vec::new()));
    }

    #[test]
    fn only_whole_frames_are_encoded(length in 0usize..2_000) {
        let mut packet = Vec::new();
        Encoder::new(Options::default()).encode(&vec![100; length], &mut packet);
        prop_assert_eq!(packet.is_empty(), length != FRAME);
    }
}
