//! The two halves of a stream against each other, in virtual time.

use std::time::Duration;

use audio::{correlate, level::rms_dbfs, tone::Tone};
use media::{
    Codec, Digit, FrameKind, OpusOptions, Received, Receiver, ReceiverOptions, Start, TelephoneEvents,
    Transmitter, rtp::Packet, sdp::offered_payload_type,
};
use proptest::prelude::*;

const START: Start = Start {
    ssrc: 7,
    sequence: 65_500,
    timestamp: u32::MAX - 1_000,
};
const DTMF: u8 = 101;

fn receiver(codec: Codec) -> Receiver {
    Receiver::new(ReceiverOptions {
        codec,
        payload_type: offered_payload_type(codec),
        dtmf_payload_type: Some(DTMF),
        jitter_target: Duration::from_millis(40),
    })
}

fn events(codec: Codec) -> TelephoneEvents {
    TelephoneEvents {
        payload_type: DTMF,
        clock_rate_hz: codec.clock_rate_hz(),
    }
}

fn transmitter(codec: Codec) -> Transmitter {
    let opus = OpusOptions::default();
    Transmitter::new(
        codec,
        offered_payload_type(codec),
        Some(events(codec)),
        opus,
        START,
    )
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A tone that glides, so that each part of it is like no other.
fn glide(codec: Codec, frames: usize) -> Vec<i16> {
    let mut out = Vec::new();
    for n in 0..frames * 2 {
        let hz = 300.0 + 37.0 * (n * n % 61) as f64;
        Tone::new(hz, codec.sample_rate_hz(), 8_000).fill(codec.frame_samples() / 2, &mut out);
    }
    out
}

fn packets(transmitter: &mut Transmitter, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    transmitter.frame(pcm, |datagram| out.push(datagram.to_vec()));
    out
}

#[test]
fn what_is_sent_is_heard_after_the_jitter_delay() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        let (mut transmitter, mut receiver) = (transmitter(codec), receiver(codec));
        let sent = glide(codec, 50);
        let mut heard = Vec::new();
        for (n, frame) in sent.chunks(codec.frame_samples()).enumerate() {
            for datagram in packets(&mut transmitter, frame) {
                receiver.datagram(&datagram, ms(n as u64 * 20));
            }
            heard.extend_from_slice(&receiver.frame(ms(n as u64 * 20 + 5)));
        }
        let found = correlate::best_lag(&sent, &heard, 2_000);
        let expected = codec.sample_rate_hz() as isize * 40 / 1_000;
        assert!((found.lag_samples - expected).abs() <= 24, "{codec:?}: {found:?}");
        assert!(found.coefficient > 0.98, "{codec:?}: {found:?}");
        assert_eq!(receiver.stats().packets_lost, 0);
    }
}

#[test]
fn timestamps_and_numbers_run_on_through_digits_and_skips() {
    let mut transmitter = transmitter(Codec::Pcmu);
    transmitter.press(Digit::from_char('5').unwrap()).unwrap();
    let mut seen = Vec::new();
    for step in 0..40 {
        if step == 30 {
            transmitter.skip();
            continue;
        }
        for datagram in packets(&mut transmitter, &[0; 160]) {
            let packet = Packet::parse(&datagram).unwrap();
            seen.push((
                step,
                packet.sequence,
                packet.timestamp,
                packet.payload_type,
                packet.marker,
            ));
        }
    }
    assert!(!transmitter.is_pressing());
    for (n, &(step, sequence, timestamp, payload_type, marker)) in seen.iter().enumerate() {
        assert_eq!(
            sequence,
            START.sequence.wrapping_add(n as u16),
            "the numbers have no gap"
        );
        let event = step < 13;
        let expected = START.timestamp.wrapping_add(if event { 0 } else { step * 160 });
        assert_eq!(
            (timestamp, payload_type),
            (expected, if event { DTMF } else { 0 }),
            "step {step}"
        );
        assert_eq!(marker, [0, 13, 31].contains(&step), "step {step}");
    }
    assert_eq!(
        seen.len(),
        39 + 2,
        "the last packet of the digit comes three times"
    );
}

#[test]
fn digits_come_across_in_order_and_the_sound_goes_on() {
    let (mut transmitter, mut receiver) = (transmitter(Codec::G722), receiver(Codec::G722));
    for digit in "1#1".chars() {
        transmitter.press(Digit::from_char(digit).unwrap()).unwrap();
    }
    let mut digits = String::new();
    for n in 0..100u64 {
        for datagram in packets(&mut transmitter, &[500; 320]) {
            if let Received::Digit(digit) = receiver.datagram(&datagram, ms(n * 20)) {
                digits.push(digit.to_char());
            }
        }
        receiver.frame(ms(n * 20 + 5));
    }
    assert_eq!(digits, "1#1");
    let stats = receiver.stats();
    assert_eq!(
        (
            stats.digits_received,
            stats.packets_lost,
            stats.packets_unexpected
        ),
        (3, 0, 0)
    );
    assert_eq!(receiver.frame(ms(2_005)).kind(), FrameKind::Received);
}

#[test]
fn too_many_digits_are_refused_and_without_events_none_is_sent() {
    let mut with = transmitter(Codec::Pcmu);
    let digit = Digit::from_char('1').unwrap();
    assert!((0..32).all(|_| with.press(digit).is_ok()));
    assert!(with.press(digit).is_err());
    let mut without = Transmitter::new(Codec::Pcmu, 0, None, OpusOptions::default(), START);
    without.press(digit).unwrap();
    assert!(!without.is_pressing());
}

#[test]
fn a_lost_packet_is_concealed_and_counted() {
    let (mut transmitter, mut receiver) = (transmitter(Codec::Pcmu), receiver(Codec::Pcmu));
    let tone: Vec<i16> = Tone::new(200.0, 8_000, 8_000).take(160 * 30).collect();
    let mut kinds = Vec::new();
    for (n, frame) in tone.chunks(160).enumerate() {
        for datagram in packets(&mut transmitter, frame) {
            if n != 15 {
                receiver.datagram(&datagram, ms(n as u64 * 20));
            }
        }
        let frame = receiver.frame(ms(n as u64 * 20 + 5));
        if n >= 3 {
            assert!(rms_dbfs(&frame) > -20.0, "frame {n} has a hole");
        }
        kinds.push(frame.kind());
    }
    assert_eq!(kinds[..2], [FrameKind::Silence; 2]);
    assert_eq!(kinds[17], FrameKind::Concealed);
    assert_eq!(
        kinds.iter().filter(|kind| **kind == FrameKind::Concealed).count(),
        1
    );
    assert_eq!(
        (receiver.stats().packets_lost, receiver.stats().frames_concealed),
        (1, 1)
    );
}

#[test]
fn packets_of_other_lengths_give_frames_all_the_same() {
    for packet_ms in [10, 30, 40, 60] {
        let mut receiver = receiver(Codec::Pcmu);
        let tone: Vec<i16> = Tone::new(440.0, 8_000, 8_000).take(8_000).collect();
        let bytes = packet_ms * 8;
        let mut heard = Vec::new();
        let mut sent = 0;
        for tick in 0..50u64 {
            while sent * packet_ms <= tick * 20 && (sent + 1) * bytes <= 8_000 {
                let range = (sent * bytes) as usize..((sent + 1) * bytes) as usize;
                let mut payload = Vec::new();
                audio::Encoder::new(Codec::Pcmu).encode(&tone[range], &mut payload);
                let mut datagram = Vec::new();
                let (sequence, timestamp) = (sent as u16, (sent * bytes) as u32);
                Packet {
                    marker: false,
                    payload_type: 0,
                    sequence,
                    timestamp,
                    ssrc: 1,
                    payload: &payload,
                }
                .write(&mut datagram);
                receiver.datagram(&datagram, ms(sent * packet_ms));
                sent += 1;
            }
            heard.extend_from_slice(&receiver.frame(ms(tick * 20 + 5)));
        }
        let found = correlate::best_lag(&tone[..6_400], &heard, 1_000);
        assert!(found.coefficient > 0.98, "{packet_ms} ms: {found:?}");
        assert_eq!(receiver.stats().packets_lost, 0, "{packet_ms} ms");
    }
}

#[test]
fn a_stray_ssrc_is_foreign_and_a_steady_one_takes_over() {
    let (mut first, mut receiver) = (transmitter(Codec::Pcmu), receiver(Codec::Pcmu));
    let mut second = Transmitter::new(
        Codec::Pcmu,
        0,
        None,
        OpusOptions::default(),
        Start {
            ssrc: 8,
            sequence: 9,
            timestamp: 9,
        },
    );
    let mut take = |transmitter: &mut Transmitter, n: u64| {
        let datagram = packets(transmitter, &[0; 160]).remove(0);
        receiver.datagram(&datagram, ms(n * 20))
    };
    assert_eq!(take(&mut first, 0), Received::Packet);
    assert_eq!(take(&mut second, 1), Received::Foreign);
    assert_eq!(take(&mut second, 2), Received::Foreign);
    assert_eq!(take(&mut first, 3), Received::Packet);
    assert_eq!(take(&mut second, 4), Received::Foreign);
    assert_eq!(take(&mut second, 5), Received::Foreign);
    assert_eq!(take(&mut second, 6), Received::Packet);
    assert_eq!(take(&mut first, 7), Received::Foreign);
    let stats = receiver.stats();
    assert_eq!((stats.ssrc_changes, stats.packets_foreign), (1, 5));
}

#[test]
fn other_payload_types_are_counted_and_leave_no_hole() {
    let mut receiver = receiver(Codec::Pcmu);
    for n in 0..20u16 {
        // Comfort noise between the packets.
        let payload_type = if n % 2 == 0 { 0 } else { 13 };
        let timestamp = u32::from(n / 2) * 160;
        let mut datagram = Vec::new();
        Packet {
            marker: false,
            payload_type,
            sequence: n,
            timestamp,
            ssrc: 1,
            payload: &[0xFF; 160],
        }
        .write(&mut datagram);
        receiver.datagram(&datagram, ms(u64::from(n) * 10));
        if n % 2 == 0 {
            receiver.frame(ms(u64::from(n) * 10 + 5));
        }
    }
    let stats = receiver.stats();
    assert_eq!(
        (
            stats.packets_unexpected,
            stats.packets_lost,
            stats.frames_concealed
        ),
        (10, 0, 0)
    );
}

/// Two seconds of speech-like sound: tones of half a second and pauses of 0.1 s.
fn talk(samples: usize) -> Vec<i16> {
    let mut noise = 1u32;
    let mut smooth = 0.0;
    (0..samples)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            smooth += (f64::from((noise >> 20) as i16 - 2_048) * 6.0 - smooth) * 0.4;
            if n % 4_800 < 4_000 { smooth as i16 } else { 0 }
        })
        .collect()
}

#[test]
fn a_sender_whose_clock_is_fast_does_not_build_up_delay() {
    let (mut transmitter, mut receiver) = (transmitter(Codec::Pcmu), receiver(Codec::Pcmu));
    // Two minutes at 19.9 ms per packet: 0.6 s too much in all.
    let sent = talk(160 * 6_030);
    let mut frames = sent.chunks(160);
    let (mut heard, mut at) = (Vec::new(), 0.0);
    for n in 0..6_000u32 {
        while at <= f64::from(n) * 20.0 {
            for datagram in packets(&mut transmitter, frames.next().unwrap_or_default()) {
                receiver.datagram(&datagram, Duration::from_secs_f64(at / 1e3));
            }
            at += 19.9;
        }
        heard.extend_from_slice(&receiver.frame(ms(u64::from(n) * 20 + 5)));
    }
    let stats = receiver.stats();
    assert_eq!((stats.packets_lost, stats.frames_concealed), (0, 0));
    // What is heard in the last two seconds was sent, on the sender's clock, at most 120 ms before.
    let last = &heard[160 * 5_900..];
    let sent_by_then = (160.0 * 5_900.0 * 20.0 / 19.9) as usize;
    let window = &sent[sent_by_then - 1_600..];
    let found = correlate::best_lag(last, window, 3_000);
    let delay_ms = (1_600 - found.lag_samples) / 8;
    assert!(
        found.coefficient > 0.6 && (20..=120).contains(&delay_ms),
        "{delay_ms} ms, {found:?}"
    );
}

#[test]
fn words_are_heard_whole_and_a_delay_is_given_back_in_the_pause_between_them() {
    let (mut transmitter, mut receiver) = (transmitter(Codec::Pcmu), receiver(Codec::Pcmu));
    // Closures of 60 ms in the words, from 4 s to 4.3 s a pause.
    let mut sent = talk(160 * 300);
    for (n, sample) in sent.iter_mut().enumerate() {
        if n % 2_400 < 480 || (32_000..34_400).contains(&n) {
            *sample = 0;
        }
    }
    // The first 20 packets come 100 ms late: from then on the buffer holds 100 ms too much.
    let mut arrivals: Vec<(u64, Vec<u8>)> = Vec::new();
    for (n, frame) in sent.chunks(160).enumerate() {
        let at = n as u64 * 20;
        let at = if n < 20 { at + 100 } else { at.max(480) };
        arrivals.extend(
            packets(&mut transmitter, frame)
                .into_iter()
                .map(|datagram| (at, datagram)),
        );
    }
    let mut arrivals = arrivals.into_iter().peekable();
    let mut heard = Vec::new();
    for n in 0..300u64 {
        while let Some((at, datagram)) = arrivals.next_if(|(at, _)| *at <= n * 20) {
            receiver.datagram(&datagram, ms(at));
        }
        heard.extend_from_slice(&receiver.frame(ms(n * 20 + 5)));
    }
    let lag_of = |from: usize, to: usize| {
        let found = correlate::best_lag(&sent[from..to], &heard[from..to + 2_400], 2_400);
        assert!(found.coefficient > 0.95, "from {from}: {found:?}");
        found.lag_samples
    };
    // To the very first sample after the pause.
    let (before, after) = (lag_of(16_000, 32_000), lag_of(34_400, 40_000));
    assert!((480..=960).contains(&(before - after)), "{before}, then {after}");
}

#[test]
fn on_a_rough_line_no_more_is_concealed_than_was_lost() {
    let (mut transmitter, mut receiver) = (transmitter(Codec::G722), receiver(Codec::G722));
    let mut random = 1u32;
    let mut next = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    // 3 % loss, and each packet up to 35 ms late.
    let mut arrivals: Vec<(u64, Vec<u8>)> = Vec::new();
    for n in 0..3_000u64 {
        let datagram = packets(&mut transmitter, &[2_000; 320]).remove(0);
        let late = if n == 0 { 0 } else { u64::from(next(36)) };
        if n == 0 || next(100) >= 3 {
            arrivals.push((n * 20 + late, datagram));
        }
    }
    let lost = 3_000 - arrivals.len() as u64;
    arrivals.sort_by_key(|(at, _)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    for n in 0..3_002u64 {
        while let Some((at, datagram)) = arrivals.next_if(|(at, _)| *at <= n * 20 + 5) {
            receiver.datagram(&datagram, ms(at));
        }
        receiver.frame(ms(n * 20 + 5));
    }
    let stats = receiver.stats();
    assert!(lost > 60, "the line is rough: {lost} lost");
    assert_eq!((stats.packets_lost, stats.packets_late), (lost, 0));
    assert!(
        stats.frames_concealed <= lost + 2,
        "{} concealed, {lost} lost",
        stats.frames_concealed
    );
}

proptest! {
    #[test]
    fn whatever_comes_there_is_a_frame_every_20_ms(
        datagrams in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..80), any::<bool>(), 0u64..50),
            0..80,
        ),
    ) {
        for codec in [Codec::Pcma, Codec::G722, Codec::Opus] {
            let mut receiver = receiver(codec);
            let mut now = 0;
            for (mut datagram, rtp_like, wait) in datagrams.clone() {
                now += wait;
                if rtp_like && datagram.len() >= 12 {
                    datagram[0] = 0x80;
                    datagram[1] = if datagram[1] > 128 { DTMF } else { offered_payload_type(codec) };
                    datagram[8..11].fill(0);
                    datagram[11] %= 2;
                }
                receiver.datagram(&datagram, ms(now));
                prop_assert_eq!(receiver.frame(ms(now)).len(), codec.frame_samples());
            }
        }
    }

    #[test]
    fn mutated_packets_of_a_good_stream_do_no_harm(
        changes in prop::collection::vec((0usize..50, any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        let (mut transmitter, mut receiver) = (transmitter(Codec::G722), receiver(Codec::G722));
        for n in 0..50usize {
            for mut datagram in packets(&mut transmitter, &[1_000; 320]) {
                for (_, index, value) in changes.iter().filter(|(at, ..)| *at == n) {
                    let length = datagram.len();
                    datagram[index.index(length)] = *value;
                }
                receiver.datagram(&datagram, ms(n as u64 * 20));
            }
            prop_assert_eq!(receiver.frame(ms(n as u64 * 20 + 5)).len(), 320);
        }
    }
}
