use std::time::Duration;

use proptest::prelude::*;

use super::*;

const INVITE: &str = "INVITE sip:100@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bK1;rport\r\n\
    v: SIP/2.0/UDP proxy.example;branch=z9hG4bK0\r\n\
    From: <sip:200@10.0.0.9>;tag=a\r\n\
    To: <sip:100@127.0.0.1>\r\n\
    i: call-1\r\n\
    CSeq: 1 INVITE\r\n\
    Max-Forwards: 70\r\n\
    Content-Length: 4\r\n\r\nbody";

fn source() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 40000))
}

fn check(message: &str) -> Verdict {
    let now = tokio::time::Instant::now().into_std();
    Admission::new(Limits::default()).check(message.as_bytes(), source(), now)
}

fn reply(message: &str) -> String {
    match check(message) {
        Verdict::Reply(_, bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn well_formed_messages_pass() {
    assert_eq!(check(INVITE), Verdict::Pass);
    assert_eq!(
        check(&INVITE.replace(
            "From: <sip:200@10.0.0.9>;tag=a",
            "From:\r\n <sip:200@10.0.0.9>\r\n\t;tag=a"
        )),
        Verdict::Pass
    );
    assert_eq!(check("\r\n\r\n"), Verdict::Pass);
    let response = INVITE.replace("INVITE sip:100@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK");
    assert_eq!(check(&response), Verdict::Pass);
}

#[test]
fn an_unknown_method_is_answered_with_405_and_what_is_allowed() {
    let reply = reply(&INVITE.replace("INVITE", "SUBSCRIBE"));
    assert!(reply.starts_with("SIP/2.0 405 Method Not Allowed\r\n"), "{reply}");
    assert!(
        reply.contains("\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY, PRACK\r\n"),
        "{reply}"
    );
    assert!(
        reply.contains(
            "\r\nVia: SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bK1;rport=40000;received=192.0.2.7\r\n"
        ),
        "{reply}"
    );
    assert!(
        reply.contains("\r\nVia: SIP/2.0/UDP proxy.example;branch=z9hG4bK0\r\n"),
        "{reply}"
    );
    assert!(reply.contains("\r\nTo: <sip:100@127.0.0.1>;tag="), "{reply}");
    assert!(reply.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{reply}");
}

#[test]
fn a_required_extension_is_refused_with_420() {
    let required = "Require: timer, x-one\r\nrequire: 100REL,\r\nRequire: x-two";
    let reply = reply(&INVITE.replace("Max-Forwards: 70", required));
    assert!(reply.starts_with("SIP/2.0 420 Bad Extension\r\n"), "{reply}");
    assert!(reply.contains("\r\nUnsupported: x-one, x-two\r\n"), "{reply}");
    let known = INVITE.replace("Max-Forwards: 70", "Require: 100rel, timer");
    assert_eq!(check(&known), Verdict::Pass);
}

#[test]
fn a_new_call_without_a_hop_left_is_refused_with_483_and_nothing_else_is() {
    let spent = INVITE.replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert!(reply(&spent).starts_with("SIP/2.0 483 Too Many Hops\r\n"));
    assert_eq!(check(&spent.replace("INVITE", "OPTIONS")), Verdict::Pass);
    assert_eq!(check(&spent.replace("INVITE", "ACK")), Verdict::Pass);
}

#[test]
fn an_ack_is_never_answered() {
    let ack = INVITE.replace("INVITE", "ACK");
    assert_eq!(
        check(&ack.replace("1 ACK", "1 BYE")),
        Verdict::Drop(Refusal::Unanswerable)
    );
    assert_eq!(
        check(&ack.replace("Max-Forwards: 70", "Require: x")),
        Verdict::Pass
    );
}

#[test]
fn a_body_shorter_than_its_length_is_refused_with_400() {
    assert!(reply(&INVITE.replace("Content-Length: 4", "Content-Length: 5")).starts_with("SIP/2.0 400 "));
}

#[test]
fn what_is_no_sip_message_is_dropped() {
    let cases = [
        "",
        "hello",
        "\r\n\r\nINVITE",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &INVITE.replace("i: call-1\r\n", ""),
        &INVITE.replace("CSeq: 1 INVITE", "CSeq: INVITE"),
        &INVITE.replace("CSeq: 1 ", "CSeq: 4294967296 "),
        &INVITE.replace("To: <sip:100@127.0.0.1>", "To: a\r\nTo: b"),
        &INVITE.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        &INVITE.replace("INVITE sip", "INV\tITE sip"),
        // A line's end to some: the next header would be of the sender's making.
        &INVITE.replace("Max-Forwards: 70", "Max-Forwards: 70\nTo: <sip:b>"),
        &INVITE.replace("Max-Forwards: 70", "Max-Forwards: 70\rTo: <sip:b>"),
        &INVITE.replace("<sip:200@", "<sip:2\0@"),
    ];
    for case in cases {
        assert_eq!(check(case), Verdict::Drop(Refusal::Malformed), "{case:?}");
    }
}

#[test]
fn size_and_rate_are_bounded() {
    let mut admission = Admission::new(Limits {
        max_datagram: 1000,
        per_source: Rate {
            per_second: 1.0,
            burst: 2.0,
        },
        ..Limits::default()
    });
    let now = tokio::time::Instant::now().into_std();
    assert_eq!(
        admission.check(&[b'x'; 1001], source(), now),
        Verdict::Drop(Refusal::TooLarge)
    );
    let mut check = |now| admission.check(INVITE.as_bytes(), source(), now);
    assert_eq!(
        [check(now), check(now), check(now)],
        [Verdict::Pass, Verdict::Pass, Verdict::Drop(Refusal::TooFast)]
    );
    assert_eq!(check(now + Duration::from_secs(1)), Verdict::Pass);
}

#[test]
fn an_invite_beyond_what_may_ring_is_refused_without_a_transaction() {
    let now = tokio::time::Instant::now().into_std();
    let mut admission = Admission::new(Limits {
        ringing: 2,
        ringing_per_source: 1,
        ..Limits::default()
    });
    let mut check = |n: usize, source: &str| {
        let invite = INVITE.replace("i: call-1", &format!("i: call-{n}"));
        let source = source.parse().expect("an address");
        match admission.check(invite.as_bytes(), source, now) {
            Verdict::Pass => None,
            Verdict::Reply(refusal, reply) => Some((refusal, String::from_utf8(reply).expect("text"))),
            Verdict::Drop(refusal) => panic!("dropped: {refusal:?}"),
        }
    };
    assert_eq!(check(1, "[2001:db8:0:1::1]:5060"), None);
    assert_eq!(check(1, "[2001:db8:0:1::1]:5060"), None, "repeated");
    let (refusal, reply) = check(2, "[2001:db8:0:1::2]:5060").expect("one subscriber has a whole network");
    assert_eq!(refusal, Refusal::SourceRinging);
    assert!(
        reply.starts_with("SIP/2.0 503 Service Unavailable\r\n"),
        "{reply}"
    );
    assert!(
        reply.contains("\r\nRetry-After: 10\r\nReason: SIP;cause=503;text=\""),
        "{reply}"
    );
    assert_eq!(check(3, "[2001:db8:0:2::1]:5060"), None);
    let refused = check(4, "192.0.2.9:5060").map(|(refusal, _)| refusal);
    assert_eq!(refused, Some(Refusal::Ringing));
}

proptest! {
    #[test]
    fn no_mutation_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24), cut in 0..400_usize) {
        let mut bytes = INVITE.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(1));
        let now = tokio::time::Instant::now().into_std();
        let _ = Admission::new(Limits::default()).check(&bytes, source(), now);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let now = tokio::time::Instant::now().into_std();
        let _ = Admission::new(Limits::default()).check(&bytes, source(), now);
    }
}
