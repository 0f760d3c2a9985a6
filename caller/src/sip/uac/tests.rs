//! The client against a scripted other side, in virtual time.

use super::*;

const PEER: &str = "127.0.0.1:5060";
const OFFER: &str = "v=0\r\n";

/// A client whose INVITE has been sent, and the time.
struct Scene {
    uac: Uac,
    now: Instant,
}

impl Scene {
    fn invited(credentials: Option<Credentials>) -> (Self, Message) {
        let identity = Identity {
            to_uri: format!("sip:+15550100@{PEER}"),
            from_uri: format!("sip:+15550199@{PEER}"),
            display_name: None,
            call_id: "call".to_owned(),
            tag: "us".to_owned(),
            local: "127.0.0.1:40000".parse().unwrap(),
            target: PEER.parse().unwrap(),
            unique: "u".to_owned(),
        };
        let mut uac = Uac::new(identity, credentials, Vec::new(), OFFER.to_owned());
        let now = Instant::now();
        uac.invite(now);
        let mut scene = Self { uac, now };
        let invite = scene.sent().remove(0);
        (scene, invite)
    }

    fn sent(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.uac.poll_transmit())
            .map(|sent| Message::parse(&sent.bytes).unwrap())
            .collect()
    }

    fn events(&mut self) -> Vec<UacEvent> {
        std::iter::from_fn(|| self.uac.poll_event()).collect()
    }

    fn receive(&mut self, message: &Message) -> Vec<Message> {
        self.uac
            .handle_datagram(&message.encode(), PEER.parse().unwrap(), self.now);
        self.sent()
    }

    /// Lets time run to the end, timer by timer, and counts what is sent.
    fn run_out(&mut self) -> usize {
        let mut count = 0;
        while let Some(at) = self.uac.poll_timeout() {
            self.now = at;
            self.uac.handle_timeout(at);
            count += self.sent().len();
        }
        count
    }
}

fn answer(request: &Message, code: u16, phrase: &str) -> Message {
    Message::response_to(request, code, phrase)
        .with("Contact", "<sip:gateway@127.0.0.1:5080>")
        .with_sdp("v=0\r\na=1\r\n")
}

fn method(message: &Message) -> &str {
    message.cseq().map_or("", |(_, method)| method)
}

#[test]
fn a_call_is_set_up_and_ended_at_the_contact() {
    let (mut scene, invite) = Scene::invited(None);
    scene.receive(&answer(&invite, 100, "Trying"));
    scene.receive(&answer(&invite, 180, "Ringing"));
    scene.uac.handle_datagram(
        &answer(&invite, 200, "OK").encode(),
        PEER.parse().unwrap(),
        scene.now,
    );
    let ack = scene.uac.poll_transmit().unwrap();
    assert_eq!(ack.to, "127.0.0.1:5080".parse().unwrap());
    scene.uac.hang_up(scene.now);
    let bye = scene.sent().remove(0);
    assert_eq!((method(&bye), bye.cseq().unwrap().0), ("BYE", 2));
    scene.receive(&answer(&bye, 200, "OK"));
    let provisional = |code, phrase: &str| UacEvent::Provisional {
        code,
        phrase: phrase.to_owned(),
    };
    assert_eq!(
        scene.events(),
        [
            provisional(100, "Trying"),
            provisional(180, "Ringing"),
            UacEvent::Answered {
                sdp: b"v=0\r\na=1\r\n".to_vec()
            },
            UacEvent::Sent { method: "BYE" },
            UacEvent::ByeAnswered { code: 200 },
        ]
    );
}

#[test]
fn an_invite_without_answer_is_repeated_seven_times_in_32_seconds() {
    let (mut scene, _) = Scene::invited(None);
    let start = scene.now;
    assert_eq!(scene.run_out(), 6);
    assert_eq!(scene.now - start, GIVE_UP);
    assert_eq!(scene.events(), [UacEvent::NoAnswer { method: "INVITE" }]);
}

#[test]
fn a_repeated_200_is_acknowledged_again() {
    let (mut scene, invite) = Scene::invited(None);
    let ok = answer(&invite, 200, "OK");
    let first = scene.receive(&ok);
    assert_eq!(scene.receive(&ok), first);
    assert_eq!(method(first.first().unwrap()), "ACK");
    assert_eq!(scene.events().len(), 1);
}

#[test]
fn a_refusal_is_acknowledged_within_its_transaction() {
    let (mut scene, invite) = Scene::invited(None);
    let busy =
        answer(&invite, 480, "Temporarily Unavailable").with("Reason", "SIP;cause=480;text=\"no agent\"");
    for _ in 0..2 {
        let ack = scene.receive(&busy).remove(0);
        assert_eq!((method(&ack), ack.header("Via")), ("ACK", invite.header("Via")));
    }
    let reason = Some("SIP;cause=480;text=\"no agent\"".to_owned());
    let phrase = "Temporarily Unavailable".to_owned();
    assert_eq!(
        scene.events(),
        [UacEvent::Refused {
            code: 480,
            phrase,
            reason
        }]
    );
    assert_eq!(scene.run_out(), 0);
}

#[test]
fn a_challenge_is_answered_once() {
    let who = Credentials {
        username: "u".to_owned(),
        password: "p".to_owned(),
    };
    let (mut scene, invite) = Scene::invited(Some(who));
    let challenge = |to: &Message| {
        answer(to, 407, "Proxy Authentication Required").with(
            "Proxy-Authenticate",
            r#"Digest realm="LiveKit", nonce="n", algorithm=MD5"#,
        )
    };
    let sent = scene.receive(&challenge(&invite));
    let [ack, again] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((method(ack), method(again)), ("ACK", "INVITE"));
    assert_eq!(again.cseq(), Some((2, "INVITE")));
    assert!(
        again
            .header("Proxy-Authorization")
            .unwrap()
            .contains(r#"username="u""#)
    );
    assert_ne!(again.header("Via"), invite.header("Via"));
    // The same challenge again means a wrong password.
    scene.receive(&challenge(&again.clone()));
    assert!(matches!(
        scene.events().last(),
        Some(UacEvent::Refused { code: 407, .. })
    ));
}

#[test]
fn cancel_waits_for_a_provisional_answer() {
    let (mut scene, invite) = Scene::invited(None);
    scene.uac.hang_up(scene.now);
    assert!(scene.sent().is_empty());
    let cancel = scene.receive(&answer(&invite, 180, "Ringing")).remove(0);
    assert_eq!(
        (method(&cancel), cancel.header("Via")),
        ("CANCEL", invite.header("Via"))
    );
    scene.receive(&answer(&cancel, 200, "OK"));
    scene.receive(&answer(&invite, 487, "Request Terminated"));
    assert!(matches!(
        scene.events().last(),
        Some(UacEvent::Refused { code: 487, .. })
    ));
}

#[test]
fn a_200_that_crosses_the_cancel_is_ended_by_bye() {
    let (mut scene, invite) = Scene::invited(None);
    scene.receive(&answer(&invite, 180, "Ringing"));
    scene.uac.hang_up(scene.now);
    scene.sent();
    let sent = scene.receive(&answer(&invite, 200, "OK"));
    assert_eq!(sent.iter().map(method).collect::<Vec<_>>(), ["ACK", "BYE"]);
}

#[test]
fn the_other_side_hangs_up_and_repeats_its_bye() {
    let (mut scene, invite) = Scene::invited(None);
    scene.receive(&answer(&invite, 200, "OK"));
    let bye = Message::request("BYE", "sip:caller@127.0.0.1:40000")
        .with("Call-ID", "call")
        .with("CSeq", "1 BYE");
    for _ in 0..2 {
        let ok = scene.receive(&bye).remove(0);
        assert_eq!(
            ok.start,
            Start::Response {
                code: 200,
                phrase: "OK".to_owned()
            }
        );
    }
    let byes = scene
        .events()
        .into_iter()
        .filter(|event| matches!(event, UacEvent::ByeReceived { .. }));
    assert_eq!(byes.count(), 1);
}

#[test]
fn requests_of_no_call_get_481_and_noise_gets_nothing() {
    let (mut scene, _) = Scene::invited(None);
    let bye = Message::request("BYE", "sip:x")
        .with("Call-ID", "other")
        .with("CSeq", "1 BYE");
    assert!(matches!(
        scene.receive(&bye).remove(0).start,
        Start::Response { code: 481, .. }
    ));
    scene
        .uac
        .handle_datagram(b"\0\0\0\0", PEER.parse().unwrap(), scene.now);
    assert!(scene.sent().is_empty());
}
