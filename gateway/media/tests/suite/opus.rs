//! Opus: what is agreed on, and a stream of it with losses, in virtual time.

use std::time::Duration;

use audio::{correlate, level::rms_dbfs, tone::Tone};
use media::rtp::Packet;
use media::sdp::{CODECS, LocalMedia, Negotiated, SdpError, answer, make_offer, parse_answer};
use media::{
    Codec, Digit, FrameKind, OpusOptions, Received, Receiver, ReceiverOptions, Start, TelephoneEvents,
    Transmitter,
};

const FRAME: usize = Codec::Opus.frame_samples();
const OPUS: u8 = 96;
const EVENTS: TelephoneEvents = TelephoneEvents {
    payload_type: 102,
    clock_rate_hz: 48_000,
};

fn local(codecs: &[Codec]) -> LocalMedia<'_> {
    LocalMedia {
        address: "192.0.2.10".parse().unwrap(),
        port: 10_000,
        codecs,
        session_id: 42,
        version: 1,
        srtp: None,
    }
}

fn offer(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n{media}")
}

fn agreed(media: &str, codecs: &[Codec]) -> (String, Negotiated) {
    answer(offer(media).as_bytes(), &local(codecs)).unwrap()
}

const fn events(payload_type: u8, clock_rate_hz: u32) -> TelephoneEvents {
    TelephoneEvents {
        payload_type,
        clock_rate_hz,
    }
}

/// As Linphone writes them.
const LINPHONE: &str = "m=audio 7078 RTP/AVP 96 97 98 0 8 101 99 100\r\na=rtpmap:96 opus/48000/2\r\n\
     a=fmtp:96 useinbandfec=1\r\na=rtpmap:97 speex/16000\r\na=fmtp:97 vbr=on\r\na=rtpmap:98 speex/8000\r\n\
     a=fmtp:98 vbr=on\r\na=rtpmap:101 telephone-event/48000\r\na=rtpmap:99 telephone-event/16000\r\n\
     a=rtpmap:100 telephone-event/8000\r\n";
/// As Zoiper does, with all that it may say of Opus.
const ZOIPER: &str = "m=audio 8000 RTP/AVP 106 9 98 101 0 8 3\r\na=rtpmap:106 opus/48000/2\r\n\
     a=fmtp:106 sprop-maxcapturerate=16000; minptime=20; MaxPlaybackRate=16000; cbr=1; useinbandfec=1; \
     maxaveragebitrate=20000; stereo=0\r\na=rtpmap:98 telephone-event/48000\r\na=fmtp:98 0-16\r\n\
     a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:60\r\n";
/// As baresip does.
const BARESIP: &str = "m=audio 4000 RTP/AVP 99 9 0 8 101\r\na=rtpmap:99 opus/48000/2\r\na=fmtp:99 stereo=1;sprop-stereo=1\r\n\
     a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
     a=fmtp:101 0-15\r\na=ptime:20\r\n";

#[test]
fn opus_is_agreed_on_with_the_peers_number_its_wishes_and_events_on_its_clock() {
    let (text, linphone) = agreed(LINPHONE, &CODECS);
    assert_eq!((linphone.codec, linphone.payload_type), (Codec::Opus, 96));
    assert_eq!(linphone.events, Some(events(101, 48_000)));
    assert!(linphone.opus.fec);
    assert!(
        text.contains(
            "m=audio 10000 RTP/AVP 96 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
             a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
        ),
        "{text}"
    );

    let (_, zoiper) = agreed(ZOIPER, &CODECS);
    let wishes = OpusOptions {
        fec: true,
        max_playback_rate_hz: 16_000,
        max_bitrate: 20_000,
        cbr: true,
    };
    assert_eq!((zoiper.payload_type, zoiper.opus), (106, wishes));
    assert_eq!(zoiper.events, Some(events(98, 48_000)));

    let (_, baresip) = agreed(BARESIP, &CODECS);
    assert_eq!(
        (baresip.codec, baresip.opus),
        (Codec::Opus, OpusOptions::default())
    );
    assert_eq!(baresip.events, Some(events(101, 8_000)), "rather these than none");
}

#[test]
fn with_the_other_codecs_events_stay_at_8000_hz() {
    let telephone = [Codec::G722, Codec::Pcmu];
    for (media, number) in [(LINPHONE, 100), (ZOIPER, 101), (BARESIP, 101)] {
        let (text, agreed) = agreed(media, &telephone);
        assert_eq!(agreed.events, Some(events(number, 8_000)), "{media}");
        assert!(!text.contains("48000"), "{text}");
    }
    let only_wide = "m=audio 4000 RTP/AVP 0 97\r\na=rtpmap:97 telephone-event/48000\r\n";
    assert_eq!(agreed(only_wide, &CODECS).1.events, None);
}

#[test]
fn our_offer_has_events_for_each_clock_and_two_of_us_agree() {
    let made = make_offer(&local(&CODECS));
    let expected = "m=audio 10000 RTP/AVP 96 9 0 8 102 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:102 telephone-event/48000\r\n\
         a=fmtp:102 0-15\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n";
    assert!(made.contains(expected), "{made}");
    let only_opus = make_offer(&local(&[Codec::Opus]));
    assert!(!only_opus.contains("/8000"), "{only_opus}");
    for (theirs, codec, expected) in [
        (&CODECS[..], Codec::Opus, Some(events(102, 48_000))),
        (&[Codec::Pcma][..], Codec::Pcma, Some(events(101, 8_000))),
    ] {
        let (text, callee) = answer(made.as_bytes(), &local(theirs)).unwrap();
        let caller = parse_answer(text.as_bytes(), &local(&CODECS)).unwrap();
        assert_eq!((caller.codec, callee.codec), (codec, codec));
        assert_eq!((caller.events, callee.events), (expected, expected));
        assert_eq!(caller.opus.fec, codec == Codec::Opus);
    }
}

#[test]
fn what_only_looks_like_opus_is_not_taken() {
    for encoding in ["opus/48000", "opus/48000/1", "opus/16000/2", "opus/8000", "opus"] {
        let media = format!("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 {encoding}\r\n");
        let refusal = answer(offer(&media).as_bytes(), &local(&CODECS)).unwrap_err();
        assert!(matches!(refusal, SdpError::NoCommonCodec { .. }), "{encoding}");
    }
    let unmapped = offer("m=audio 4000 RTP/AVP 96\r\n");
    assert!(answer(unmapped.as_bytes(), &local(&CODECS)).is_err());
    // Parameters that are none leave the rest as it is.
    let odd = "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 OPUS/48000/2\r\n\
         a=fmtp:96 ;;=;maxaveragebitrate=-1;maxplaybackrate=99999999999;cbr;useinbandfec=1;x=y=z\r\n";
    let fec = OpusOptions {
        fec: true,
        ..OpusOptions::default()
    };
    assert_eq!(agreed(odd, &CODECS).1.opus, fec);
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn transmitter(opus: OpusOptions, events: TelephoneEvents) -> Transmitter {
    let start = Start {
        ssrc: 7,
        sequence: 65_500,
        timestamp: u32::MAX - 1_000,
    };
    Transmitter::new(Codec::Opus, OPUS, Some(events), opus, start)
}

fn receiver() -> Receiver {
    Receiver::new(ReceiverOptions {
        codec: Codec::Opus,
        payload_type: OPUS,
        dtmf_payload_type: Some(EVENTS.payload_type),
        jitter_target: ms(40),
    })
}

fn packets(transmitter: &mut Transmitter, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    transmitter.frame(pcm, |datagram| out.push(datagram.to_vec()));
    out
}

/// A voice of changing pitch with overtones, in syllables of 140 ms.
fn speech(frames: usize) -> Vec<i16> {
    let mut out = Vec::new();
    for n in 0..frames / 10 {
        let pitch = 120.0 + (n * 53 % 110) as f64;
        let tones = [(1.0, 5_000), (2.0, 3_000), (5.0, 2_000), (11.0, 1_000)];
        let mut tones = tones.map(|(factor, peak)| Tone::new(pitch * factor, 48_000, peak));
        out.extend((0..FRAME * 7).map(|_| tones.iter_mut().map(|tone| tone.next().unwrap()).sum::<i16>()));
        out.extend([0; FRAME * 3]);
    }
    out
}

/// What is heard when the packets for which `is_lost` holds do not come, and of which kind each frame is.
fn over(opus: OpusOptions, said: &[i16], is_lost: impl Fn(usize) -> bool) -> (Vec<i16>, Vec<FrameKind>) {
    let (mut transmitter, mut receiver) = (transmitter(opus, EVENTS), receiver());
    let (mut heard, mut kinds) = (Vec::new(), Vec::new());
    for (n, frame) in said.chunks(FRAME).enumerate() {
        for datagram in packets(&mut transmitter, frame) {
            if !is_lost(n) {
                receiver.datagram(&datagram, ms(n as u64 * 20));
            }
        }
        let frame = receiver.frame(ms(n as u64 * 20 + 5));
        heard.extend_from_slice(&frame);
        kinds.push(frame.kind());
    }
    (heard, kinds)
}

#[test]
fn what_is_sent_is_heard_after_the_jitter_delay() {
    let said = speech(100);
    let (heard, kinds) = over(OpusOptions::default(), &said, |_| false);
    let found = correlate::best_lag(&said, &heard, 6_000);
    // 40 ms in the buffer and 6.5 ms in the codec.
    assert!((found.lag_samples - 2_232).abs() <= 48, "{found:?}");
    assert!(found.coefficient > 0.8, "{found:?}");
    assert!(kinds[2..].iter().all(|kind| *kind == FrameKind::Received));
}

#[test]
fn what_was_lost_is_recovered_from_the_packet_after_it() {
    let said = speech(200);
    let likeness = |fec: bool| {
        let opus = OpusOptions {
            fec,
            ..OpusOptions::default()
        };
        let is_lost = |n: usize| n % 7 == 6 && n > 20;
        let (whole, _) = over(opus, &said, |_| false);
        let (mended, kinds) = over(opus, &said, is_lost);
        let mut parts = Vec::new();
        for (n, _) in kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| **kind == FrameKind::Concealed)
        {
            assert!(is_lost(n - 2), "frame {n}");
            let part = n * FRAME..(n + 1) * FRAME;
            if rms_dbfs(&whole[part.clone()]) > -35.0 {
                parts.push(correlate::best_lag(&whole[part.clone()], &mended[part], 10).coefficient);
            }
        }
        let concealed = kinds.iter().filter(|kind| **kind == FrameKind::Concealed);
        assert_eq!(concealed.count(), (0..198).filter(|n| is_lost(*n)).count());
        parts.iter().sum::<f64>() / parts.len() as f64
    };
    let (with, without) = (likeness(true), likeness(false));
    println!("likeness of what was lost: {with:.3} with recovery data, {without:.3} without");
    assert!(with > 0.9 && with > without + 0.05, "{with} and {without}");
}

#[test]
fn a_stream_that_stops_fades_and_one_that_goes_on_is_heard_at_once() {
    let said = speech(200);
    let (heard, kinds) = over(OpusOptions::default(), &said, |n| (64..124).contains(&n));
    let silent = &heard[76 * FRAME..124 * FRAME];
    assert!(silent.iter().all(|sample| *sample == 0));
    assert_eq!(kinds[76], FrameKind::Silence);
    // No step into the silence: neighbouring samples stay as near to each other as in the sound before.
    let step = |pcm: &[i16]| {
        pcm.windows(2)
            .map(|pair| pair[0].abs_diff(pair[1]))
            .max()
            .unwrap()
    };
    let (before, end) = (
        step(&heard[20 * FRAME..64 * FRAME]),
        step(&heard[64 * FRAME..76 * FRAME]),
    );
    assert!(end <= before, "{end}, {before} before");
    assert!(rms_dbfs(&heard[126 * FRAME..136 * FRAME]) > -25.0);
}

#[test]
fn payloads_that_are_not_opus_are_concealed() {
    let (mut transmitter, mut receiver) = (transmitter(OpusOptions::default(), EVENTS), receiver());
    let said = speech(40);
    let mut kinds = Vec::new();
    for (n, frame) in said.chunks(FRAME).enumerate() {
        for mut datagram in packets(&mut transmitter, frame) {
            if n == 20 {
                // A count of frames that says 0 (RFC 6716 §3.2.5).
                datagram.truncate(12);
                datagram.extend([0xFF, 0]);
            }
            receiver.datagram(&datagram, ms(n as u64 * 20));
        }
        kinds.push(receiver.frame(ms(n as u64 * 20 + 5)).kind());
    }
    let concealed: Vec<usize> = (0..40).filter(|n| kinds[*n] == FrameKind::Concealed).collect();
    assert_eq!(concealed, [22]);
}

/// The durations of a digit's packets, and whether it arrives.
fn durations(events: TelephoneEvents) -> Vec<u16> {
    let (mut transmitter, mut receiver) = (transmitter(OpusOptions::default(), events), receiver());
    transmitter.press(Digit::from_char('7').unwrap()).unwrap();
    let (mut durations, mut digits, mut timestamps) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..20 {
        for datagram in packets(&mut transmitter, &[0; FRAME]) {
            let packet = Packet::parse(&datagram).unwrap();
            if packet.payload_type == EVENTS.payload_type {
                durations.push(u16::from_be_bytes([packet.payload[2], packet.payload[3]]));
                timestamps.push(packet.timestamp);
            } else {
                assert_eq!(packet.timestamp, (u32::MAX - 1_000).wrapping_add(n * 960));
            }
            if let Received::Digit(digit) = receiver.datagram(&datagram, ms(u64::from(n) * 20)) {
                digits.push(digit.to_char());
            }
        }
    }
    assert_eq!(digits, ['7']);
    timestamps.dedup();
    assert_eq!(
        timestamps,
        [u32::MAX - 1_000],
        "the beginning, on the sound's clock"
    );
    durations
}

#[test]
fn digits_last_as_long_as_their_clock_says() {
    let steps = (1..=13).chain([13, 13]);
    let at_48000: Vec<u16> = steps.clone().map(|step| step * 960).collect();
    assert_eq!(durations(EVENTS), at_48000);
    let at_8000: Vec<u16> = steps.map(|step| step * 160).collect();
    let events = TelephoneEvents {
        clock_rate_hz: 8_000,
        ..EVENTS
    };
    assert_eq!(durations(events), at_8000);
}
