use std::net::SocketAddr;

use media::{
    Codec, MasterKey, OpusOptions, ReportsTo, Suite, TelephoneEvents,
    sdp::{
        Direction, LocalMedia, LocalSrtp, MAX_BYTES, Negotiated, SdpError, answer, make_offer, parse_answer,
    },
};
use proptest::prelude::*;

/// Our codecs without Opus.
const TELEPHONE: [Codec; 3] = [Codec::G722, Codec::Pcmu, Codec::Pcma];

fn local() -> LocalMedia<'static> {
    LocalMedia {
        address: "192.0.2.10".parse().unwrap(),
        port: 10_000,
        codecs: &TELEPHONE,
        session_id: 42,
        version: 1,
        srtp: None,
    }
}

fn offer(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n{media}")
}

fn negotiate(media: &str) -> Negotiated {
    answer(offer(media).as_bytes(), &local()).unwrap().1
}

fn refusal(text: impl AsRef<[u8]>) -> SdpError {
    answer(text.as_ref(), &local()).unwrap_err()
}

fn events(payload_type: u8) -> TelephoneEvents {
    TelephoneEvents {
        payload_type,
        clock_rate_hz: 8_000,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_answer_takes_our_preferred_codec_with_the_peers_numbers() {
    let offer = offer(
        "m=audio 4000 RTP/AVP 0 8 96 97\r\na=rtpmap:96 g722/8000\r\n\
         a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-16\r\na=ptime:20\r\n",
    );
    let (text, agreed) = answer(offer.as_bytes(), &local()).unwrap();
    assert_eq!(
        agreed,
        Negotiated {
            codec: Codec::G722,
            payload_type: 96,
            opus: OpusOptions::default(),
            events: Some(events(97)),
            remote: Some(address("203.0.113.5:4000")),
            direction: Direction::SendRecv,
            held: false,
            srtp: None,
            reports_to: ReportsTo::Address(Some(address("203.0.113.5:4001"))),
        }
    );
    assert_eq!(
        text,
        "v=0\r\no=- 42 1 IN IP4 192.0.2.10\r\ns=trunkline\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 10000 RTP/AVP 96 97\r\na=rtpmap:96 G722/8000\r\n\
         a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\n\
         a=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn reports_go_where_the_peer_says() {
    let at = |port: u16| ReportsTo::Address(Some(SocketAddr::new("203.0.113.5".parse().unwrap(), port)));
    let held = "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n";
    for (media, expected) in [
        ("m=audio 4000 RTP/AVP 0\r\n", at(4001)),
        ("m=audio 4000 RTP/AVP 0\r\na=rtcp:5000\r\n", at(5000)),
        (
            "m=audio 4000 RTP/AVP 0\r\na=rtcp:5000 IN IP4 192.0.2.66\r\n",
            at(5000),
        ),
        ("m=audio 4000 RTP/AVP 0\r\na=rtcp:0\r\n", at(4001)),
        ("m=audio 4000 RTP/AVP 0\r\na=rtcp:70000 x\r\n", at(4001)),
        (
            "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\na=rtcp:5000\r\n",
            ReportsTo::WithSound,
        ),
        ("m=audio 65535 RTP/AVP 0\r\n", ReportsTo::Address(None)),
        (held, ReportsTo::Address(None)),
    ] {
        let (text, agreed) = answer(offer(media).as_bytes(), &local()).unwrap();
        assert_eq!(agreed.reports_to, expected, "{media}");
        let is_muxed = expected == ReportsTo::WithSound;
        assert_eq!(text.contains("a=rtcp-mux\r\n"), is_muxed, "{text}");
    }
}

#[test]
fn static_payload_types_need_no_rtpmap_and_our_order_wins() {
    assert_eq!(negotiate("m=audio 4000 RTP/AVP 8 0\r\n").codec, Codec::Pcmu);
    assert_eq!(negotiate("m=audio 4000 RTP/AVP 8 0 9\r\n").payload_type, 9);
    assert_eq!(negotiate("m=audio 4000 RTP/AVP 8\r\n").events, None);
    let only_pcma = LocalMedia {
        codecs: &[Codec::Pcma],
        ..local()
    };
    let (_, agreed) = answer(offer("m=audio 4000 RTP/AVP 9 0 8\r\n").as_bytes(), &only_pcma).unwrap();
    assert_eq!(agreed.codec, Codec::Pcma);
}

#[test]
fn a_mapping_that_renames_a_static_number_counts() {
    let SdpError::NoCommonCodec { theirs, .. } =
        refusal(offer("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 opus/48000/2\r\n"))
    else {
        panic!("0 is not PCMU here");
    };
    assert_eq!(theirs, "opus");
    // Wideband telephone-events and stereo are something else.
    let agreed = negotiate(
        "m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/16000\r\na=rtpmap:0 PCMU/8000/1\r\n",
    );
    assert_eq!((agreed.codec, agreed.events), (Codec::Pcmu, None));
}

#[test]
fn the_address_of_the_media_goes_before_that_of_the_session() {
    assert_eq!(
        negotiate("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 198.51.100.7\r\n").remote,
        Some(address("198.51.100.7:4000"))
    );
    assert_eq!(
        negotiate("m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n").remote,
        Some(address("[2001:db8::1]:4000"))
    );
}

#[test]
fn hold_is_answered_in_kind_and_reported() {
    for (theirs, ours, held) in [
        ("sendrecv", Direction::SendRecv, false),
        ("sendonly", Direction::RecvOnly, true),
        ("recvonly", Direction::SendOnly, false),
        ("inactive", Direction::Inactive, true),
    ] {
        for text in [
            offer(&format!("m=audio 4000 RTP/AVP 0\r\na={theirs}\r\n")),
            offer(&format!("a={theirs}\r\nm=audio 4000 RTP/AVP 0\r\n")),
        ] {
            let (text, agreed) = answer(text.as_bytes(), &local()).unwrap();
            assert_eq!((agreed.direction, agreed.held), (ours, held), "{theirs}");
            assert!(text.ends_with(&format!("a={}\r\n", ours.name())), "{text}");
        }
    }
    let agreed = negotiate("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    assert_eq!(
        (agreed.remote, agreed.direction, agreed.held),
        (None, Direction::RecvOnly, true)
    );
}

#[test]
fn other_media_are_refused_in_their_places() {
    let (text, agreed) = answer(
        offer(
            "m=video 5000 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/SAVP 0\r\n\
             m=audio 4002 RTP/AVP 8\r\nm=image 5002 udptl t38\r\n",
        )
        .as_bytes(),
        &local(),
    )
    .unwrap();
    assert_eq!(agreed.remote, Some(address("203.0.113.5:4002")));
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/AVP 0",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 10000 RTP/AVP 8",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn each_refusal_names_its_line() {
    let many_formats = " 0".repeat(65);
    for (text, field, message) in [
        ("garbage".to_owned(), "sdp", "not SDP"),
        (
            "x".repeat(MAX_BYTES + 1),
            "sdp",
            "the description has 16385 bytes, more than 16384",
        ),
        (
            offer(&"m=video 1 RTP/AVP 31\r\n".repeat(17)),
            "sdp",
            "17 m= lines, more than 16",
        ),
        (offer(""), "m=audio", "no m=audio line"),
        (offer("m=video 5000 RTP/AVP 31\r\n"), "m=audio", "no m=audio line"),
        (offer("m=audio 0 RTP/AVP 0\r\n"), "m=audio", "port 0 in m=audio"),
        (
            offer("m=audio 4000 RTP/SAVP 0\r\n"),
            "m=audio",
            "SRTP in m=audio, and encryption is off",
        ),
        (
            offer("m=audio 4000 UDP/TLS/RTP/SAVP 0\r\n"),
            "m=audio",
            "transport `UDP/TLS/RTP/SAVP` in m=audio; only RTP/AVP and RTP/SAVP are supported",
        ),
        (
            offer(&format!("m=audio 4000 RTP/AVP{many_formats}\r\n")),
            "m=audio",
            "more than 64 payload types in m=audio",
        ),
        (
            offer("m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000\r\n"),
            "m=audio",
            "no common codec in m=audio: ours are G722 PCMU PCMA, theirs 18 telephone-event",
        ),
        (
            "v=0\r\no=- 1 1 IN IP4 203.0.113.5\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n".to_owned(),
            "c=",
            "no c= line for m=audio",
        ),
        (
            offer("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 pbx.example.com\r\n"),
            "c=",
            "the address in c= is not a unicast IP address",
        ),
        (
            offer("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n"),
            "c=",
            "the address in c= is not a unicast IP address",
        ),
    ] {
        let error = refusal(&text);
        assert_eq!((error.field(), error.to_string().as_str()), (field, message));
    }
}

#[test]
fn two_of_us_agree() {
    let caller = LocalMedia {
        address: "198.51.100.1".parse().unwrap(),
        port: 6_000,
        ..local()
    };
    let (text, callee) = answer(make_offer(&caller).as_bytes(), &local()).unwrap();
    let caller = parse_answer(text.as_bytes(), &caller).unwrap();
    assert_eq!(callee.remote, Some(address("198.51.100.1:6000")));
    assert_eq!(caller.remote, Some(address("192.0.2.10:10000")));
    assert_eq!((caller.codec, caller.payload_type), (Codec::G722, 9));
    assert_eq!((callee.codec, callee.payload_type), (Codec::G722, 9));
    assert_eq!(
        (caller.events, callee.events),
        (Some(events(101)), Some(events(101)))
    );
    assert_eq!(caller.direction, Direction::SendRecv);
}

/// As livekit-sip 1.11.0 wrote them.
#[test]
fn the_offer_and_the_answer_of_livekit_sip_are_read() {
    let text = "v=0\r\no=- 9069762246510004037 9069762246510004037 IN IP4 127.0.0.1\r\ns=LiveKit\r\n\
                c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20020 RTP/AVP 9 0 8 101\r\na=rtpmap:9 G722/8000\r\n\
                a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
                a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    let (_, agreed) = answer(text.as_bytes(), &local()).unwrap();
    assert_eq!((agreed.codec, agreed.events), (Codec::G722, Some(events(101))));
    let text = "v=0\r\no=- 1 3 IN IP4 127.0.0.1\r\ns=LiveKit\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                m=audio 20114 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
                a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    let agreed = parse_answer(text.as_bytes(), &local()).unwrap();
    assert_eq!(
        (agreed.codec, agreed.remote),
        (Codec::Pcmu, Some(address("127.0.0.1:20114")))
    );
}

#[test]
fn a_terse_answer_with_bare_line_ends_is_read() {
    let text = "v=0\no=- 1 1 IN IP4 203.0.113.9\ns=-\nc=IN IP4 203.0.113.9\nt=0 0\n\
                m=audio 5004 RTP/AVP 8\na=recvonly\n";
    let agreed = parse_answer(text.as_bytes(), &local()).unwrap();
    assert_eq!(
        (agreed.codec, agreed.direction, agreed.held),
        (Codec::Pcma, Direction::SendOnly, false)
    );
    let refused = offer("m=audio 0 RTP/AVP 0\r\n");
    assert!(matches!(
        parse_answer(refused.as_bytes(), &local()),
        Err(SdpError::PortZero)
    ));
}

const THEIR_KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// Keys of ours, and what they make of `required`.
fn keys() -> [(Suite, MasterKey); 2] {
    Suite::ALL.map(|suite| (suite, MasterKey::random()))
}

fn encrypting(required: bool, keys: &[(Suite, MasterKey)]) -> LocalMedia<'_> {
    LocalMedia {
        srtp: Some(LocalSrtp { required, keys }),
        ..local()
    }
}

#[test]
fn the_first_key_that_can_be_used_is_answered_with_its_tag_and_a_key_of_ours() {
    let keys = keys();
    let text = offer(&format!(
        "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AEAD_AES_256_GCM inline:AAAA\r\n\
         a=crypto:2 AES_CM_128_HMAC_SHA1_32 {THEIR_KEY}|2^31\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 {THEIR_KEY}\r\n"
    ));
    for required in [false, true] {
        let (answer, agreed) = answer(text.as_bytes(), &encrypting(required, &keys)).unwrap();
        let srtp = agreed.srtp.expect("encrypted");
        assert_eq!((srtp.suite, srtp.sending), (Suite::Aes128CmSha1_32, keys[1].1));
        assert_ne!(srtp.sending, srtp.receiving);
        assert!(answer.contains("m=audio 10000 RTP/SAVP 0\r\n"), "{answer}");
        assert!(
            answer.contains("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:"),
            "{answer}"
        );
        assert!(!answer.contains("WVNf") && !format!("{agreed:?}").contains("inline"));
    }
}

#[test]
fn an_encrypted_line_goes_before_a_plain_one_and_plain_rtp_with_keys_is_an_offer_too() {
    let keys = keys();
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {THEIR_KEY}\r\n");
    let both = offer(&format!(
        "m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/SAVP 0\r\n{crypto}"
    ));
    let (text, agreed) = answer(both.as_bytes(), &encrypting(false, &keys)).unwrap();
    assert_eq!(agreed.remote, Some(address("203.0.113.5:4002")));
    assert!(
        agreed.srtp.is_some() && text.contains("m=audio 0 RTP/AVP 0"),
        "{text}"
    );
    let (text, agreed) = answer(both.as_bytes(), &local()).unwrap();
    assert_eq!(
        (agreed.srtp, agreed.remote),
        (None, Some(address("203.0.113.5:4000")))
    );
    assert!(!text.contains("a=crypto"), "{text}");

    let beside = offer(&format!("m=audio 4000 RTP/AVP 0\r\n{crypto}"));
    let (text, agreed) = answer(beside.as_bytes(), &encrypting(true, &keys)).unwrap();
    assert!(
        agreed.srtp.is_some() && text.contains("m=audio 10000 RTP/AVP 0"),
        "{text}"
    );
    let (text, agreed) = answer(beside.as_bytes(), &local()).unwrap();
    assert!(agreed.srtp.is_none() && !text.contains("a=crypto"), "{text}");
}

#[test]
fn what_is_required_or_off_is_not_negotiable() {
    let keys = keys();
    let plain = offer("m=audio 4000 RTP/AVP 0\r\n");
    let unknown = offer("m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AEAD_AES_256_GCM inline:AAAA\r\n");
    let required = encrypting(true, &keys);
    assert!(matches!(
        answer(plain.as_bytes(), &required),
        Err(SdpError::NotEncrypted)
    ));
    assert!(matches!(
        parse_answer(plain.as_bytes(), &required),
        Err(SdpError::NotEncrypted)
    ));
    let allowed = encrypting(false, &keys);
    assert_eq!(answer(plain.as_bytes(), &allowed).unwrap().1.srtp, None);
    for local in [required, allowed] {
        assert!(matches!(
            answer(unknown.as_bytes(), &local),
            Err(SdpError::NoCommonSuite)
        ));
    }
    assert!(matches!(
        answer(unknown.as_bytes(), &local()),
        Err(SdpError::EncryptionOff)
    ));
}

#[test]
fn two_of_us_agree_on_keys_crosswise() {
    let (ours, theirs) = (keys(), keys());
    for (required, transport) in [(true, "RTP/SAVP"), (false, "RTP/AVP")] {
        let caller = encrypting(required, &ours);
        let made = make_offer(&caller);
        assert!(made.contains(&format!("m=audio 10000 {transport} 9")), "{made}");
        let (text, callee) = answer(made.as_bytes(), &encrypting(true, &theirs)).unwrap();
        let caller = parse_answer(text.as_bytes(), &caller).unwrap().srtp.unwrap();
        let callee = callee.srtp.unwrap();
        assert_eq!(
            (caller.sending, caller.receiving),
            (callee.receiving, callee.sending)
        );
        assert_eq!(
            (caller.suite, callee.suite),
            (Suite::Aes128CmSha1_80, Suite::Aes128CmSha1_80)
        );
    }
    // Whoever does not know keys passes them over.
    let caller = encrypting(false, &ours);
    let (text, callee) = answer(make_offer(&caller).as_bytes(), &local()).unwrap();
    let caller = parse_answer(text.as_bytes(), &caller).unwrap();
    assert_eq!((caller.srtp, callee.srtp), (None, None));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, media: bool) {
        let mut text = if media { offer("m=audio 4000 RTP/AVP 0 101\r\n").into_bytes() } else { Vec::new() };
        text.extend(bytes);
        let _ = answer(&text, &local());
        let _ = parse_answer(&text, &local());
    }

    #[test]
    fn no_mutation_of_an_offer_makes_it_panic_and_what_is_answered_can_be_read(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut text = make_offer(&local()).into_bytes();
        for (index, value) in changes {
            let length = text.len();
            text[index.index(length)] = value;
        }
        if let Ok((text, agreed)) = answer(&text, &local()) {
            let back = parse_answer(text.as_bytes(), &local()).unwrap();
            prop_assert_eq!((back.codec, back.payload_type), (agreed.codec, agreed.payload_type));
        }
    }

    #[test]
    fn lines_of_the_right_form_in_any_order_do_not_panic(
        lines in prop::collection::vec("[vosctmak]=[ -~]{0,40}", 0..30),
    ) {
        let text = format!("v=0\r\n{}\r\n", lines.join("\r\n"));
        let _ = answer(text.as_bytes(), &local());
    }
}
