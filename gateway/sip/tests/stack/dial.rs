//! Calls that the stack places, to a peer that is nothing but text.

use std::net::SocketAddr;
use std::time::Duration;

use sip::digest::client::Login;
use sip::{CallEvent, Destination, Outgoing, PlacedCall, RsipStack, SipStack, SipUri, TransferEvent};
use tokio::time::timeout;

use crate::peer::{Peer, header};
use crate::{SHORT_T1, SOON, drained, start, start_with};

fn outgoing(peer: &Peer) -> Outgoing {
    to(peer.local_addr())
}

pub(crate) fn to(there: SocketAddr) -> Outgoing {
    Outgoing {
        destinations: vec![Destination::udp(there)],
        to: SipUri {
            user: "+15557777".into(),
            host: there.ip().to_string(),
            port: Some(there.port()),
        },
        from: SipUri {
            user: "+15550200".into(),
            ..SipUri::default()
        },
        display_name: Some("The \"Shop\"".into()),
        tag: "SCL_tag".into(),
        call_id: "id-of-the-call".into(),
        headers: vec![
            ("X-Acct".into(), "42".into()),
            ("To".into(), "<sip:evil@example.com>".into()),
        ],
        login: None,
        offer: b"v=0 offer".to_vec(),
    }
}

pub(crate) fn dial(stack: &RsipStack, outgoing: Outgoing) -> PlacedCall {
    stack.dialer().dial(outgoing).expect("placed")
}

/// The next one but for where the INVITE goes.
pub(crate) async fn event(call: &mut PlacedCall) -> CallEvent {
    loop {
        let event = any_event(call).await;
        if !matches!(event, CallEvent::Trying(_) | CallEvent::HostFailed(_)) {
            return event;
        }
    }
}

pub(crate) async fn any_event(call: &mut PlacedCall) -> CallEvent {
    timeout(SOON, call.events.recv())
        .await
        .expect("in time")
        .expect("an event")
}

/// A stack, its peer, and a call that the peer has answered: its INVITE.
async fn answered() -> (RsipStack, Peer, PlacedCall, String) {
    let stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let mut call = dial(&stack, outgoing(&peer));
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "200 OK", "uas", "X-Callee: yes\r\n", "v=0 answer")
        .await;
    peer.expect("ACK ").await;
    let answered = event(&mut call).await;
    assert!(
        matches!(&answered, CallEvent::Answered(answer)
            if answer.sdp == b"v=0 answer" && answer.tag == "uas" && answer.headers.contains(&("X-Callee".into(), "yes".into()))),
        "{answered:?}"
    );
    (stack, peer, call, invite)
}

#[tokio::test]
async fn an_invite_says_what_it_should_rings_and_is_answered() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let mut call = dial(&stack, outgoing(&peer));
    let (invite, here, there) = (
        peer.expect("INVITE ").await,
        stack.local_addr(),
        peer.local_addr(),
    );
    assert!(
        invite.starts_with(&format!("INVITE sip:+15557777@{there} SIP/2.0\r\n")),
        "{invite}"
    );
    for (name, value) in [
        (
            "From",
            format!("\"The \\\"Shop\\\"\" <sip:+15550200@{}>;tag=SCL_tag", here.ip()),
        ),
        ("To", format!("<sip:+15557777@{there}>")),
        ("Call-ID", "id-of-the-call".to_owned()),
        ("CSeq", "1 INVITE".to_owned()),
        ("Contact", format!("<sip:+15550200@{here}>")),
        ("X-Acct", "42".to_owned()),
        ("Content-Type", "application/sdp".to_owned()),
    ] {
        assert_eq!(header(&invite, name), value, "{invite}");
    }
    assert!(
        !invite.contains("evil") && invite.ends_with("v=0 offer"),
        "{invite}"
    );
    peer.respond(&invite, "183 Session Progress", "uas", "", "v=0 early")
        .await;
    let progress = event(&mut call).await;
    assert!(
        matches!(&progress, CallEvent::Progress { code: 183, sdp: Some(sdp) } if sdp == b"v=0 early"),
        "{progress:?}"
    );
    peer.respond(&invite, "180 Ringing", "uas", "", "").await;
    assert!(matches!(
        event(&mut call).await,
        CallEvent::Progress { code: 180, sdp: None }
    ));
    let route = format!("Record-Route: <sip:far.example;lr>, <sip:{there};lr>\r\n");
    peer.respond(&invite, "200 OK", "uas", &route, "v=0 answer").await;
    let ack = peer.expect("ACK ").await;
    assert!(
        ack.starts_with(&format!("ACK sip:uas@{there} SIP/2.0\r\n")),
        "{ack}"
    );
    assert!(matches!(event(&mut call).await, CallEvent::Answered(_)));
    // The other side did not get the ACK.
    peer.respond(&invite, "200 OK", "uas", &route, "v=0 answer").await;
    peer.expect("ACK ").await;
    call.control
        .bye_with(
            Some("SIP;cause=200;text=\"done\"".into()),
            vec![("X-Why".into(), "done".into())],
        )
        .await
        .expect("open");
    let bye = peer.expect("BYE ").await;
    assert_eq!(header(&bye, "CSeq"), "2 BYE");
    assert_eq!(header(&bye, "X-Why"), "done");
    assert!(
        bye.contains(&format!("Route: <sip:{there};lr>\r\nRoute: <sip:far.example;lr>")),
        "{bye}"
    );
    peer.answer(&bye, "200 OK").await;
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_refusal_tells_its_code_and_words() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    for (status, code, words) in [
        ("486 Busy Here", 486, "Busy Here"),
        ("603 Not Today", 603, "Not Today"),
        ("404 Not Found", 404, "Not Found"),
        ("408 Request Timeout", 408, "Request Timeout"),
        (
            "407 Proxy Authentication Required",
            407,
            "Proxy Authentication Required",
        ),
    ] {
        let mut call = dial(&stack, outgoing(&peer));
        let invite = peer.expect("INVITE ").await;
        peer.respond(&invite, status, "uas", "", "").await;
        peer.expect("ACK ").await;
        let refused = event(&mut call).await;
        assert!(
            matches!(&refused, CallEvent::Refused { code: c, phrase } if *c == code && phrase == words),
            "{refused:?}"
        );
    }
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_challenge_is_answered_with_the_same_call_and_a_refused_password_is_final() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let with_login = Outgoing {
        login: Some(Login {
            username: "user".into(),
            password: "canary".into(),
        }),
        ..outgoing(&peer)
    };
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-512-256\r\n\
                     Proxy-Authenticate: Digest realm=\"r\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth,auth-int\"\r\n";
    let mut call = dial(&stack, with_login.clone());
    let first = peer.expect("INVITE ").await;
    assert_eq!(header(&first, "Proxy-Authorization"), "");
    peer.respond(&first, "407 Proxy Authentication Required", "uas", challenge, "")
        .await;
    let second = peer.expect("INVITE ").await;
    for same in ["From", "To", "Call-ID", "Contact", "X-Acct"] {
        assert_eq!(header(&first, same), header(&second, same));
    }
    assert_eq!(header(&second, "CSeq"), "2 INVITE");
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    let answer = header(&second, "Proxy-Authorization");
    let uri = format!("uri=\"sip:+15557777@{}\"", peer.local_addr());
    assert!(
        answer.contains("nonce=\"n2\"") && answer.contains("algorithm=SHA-256"),
        "{answer}"
    );
    assert!(answer.contains("qop=auth,") && answer.contains(&uri), "{answer}");
    // The server behind the proxy wants to know too, and both answers go on.
    let www = "WWW-Authenticate: Digest realm=\"s\", nonce=\"n3\"\r\n";
    peer.respond(&second, "401 Unauthorized", "uas", www, "").await;
    let third = peer.expect("INVITE ").await;
    assert_eq!(header(&third, "Proxy-Authorization"), answer);
    assert!(
        header(&third, "Authorization").contains("nonce=\"n3\""),
        "{third}"
    );
    // A nonce too old is no wrong password.
    let stale = "WWW-Authenticate: Digest realm=\"s\", nonce=\"n4\", stale=true\r\n";
    peer.respond(&third, "401 Unauthorized", "uas", stale, "").await;
    let fourth = peer.expect("INVITE ").await;
    assert!(
        header(&fourth, "Authorization").contains("nonce=\"n4\""),
        "{fourth}"
    );
    peer.respond(&fourth, "401 Unauthorized", "uas", www, "").await;
    peer.expect("ACK ").await;
    let refused = event(&mut call).await;
    assert!(
        matches!(refused, CallEvent::Refused { code: 401, .. }),
        "{refused:?}"
    );
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_call_that_is_taken_back_is_cancelled_once_the_other_side_knows_of_it() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let mut call = dial(&stack, outgoing(&peer));
    let invite = peer.expect("INVITE ").await;
    call.control.bye(None).await.expect("open");
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    // The INVITE had not been answered by then.
    peer.respond(&invite, "180 Ringing", "uas", "", "").await;
    let cancel = peer.expect("CANCEL ").await;
    assert_eq!(header(&cancel, "Via"), header(&invite, "Via"));
    assert_eq!(header(&cancel, "CSeq"), "1 CANCEL");
    assert_eq!(header(&cancel, "To"), header(&invite, "To"));
    peer.answer(&cancel, "200 OK").await;
    peer.respond(&invite, "487 Request Terminated", "uas", "", "")
        .await;
    peer.expect("ACK ").await;

    // One whose owner is gone, and whose answer crosses the CANCEL.
    let call = dial(&stack, outgoing(&peer));
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "180 Ringing", "uas2", "", "").await;
    drop(call);
    let cancel = peer.expect("CANCEL ").await;
    peer.respond(&invite, "200 OK", "uas2", "", "v=0").await;
    peer.answer(&cancel, "481 Call/Transaction Does Not Exist").await;
    peer.expect("ACK ").await;
    let bye = peer.expect("BYE ").await;
    assert!(header(&bye, "To").contains("uas2"), "{bye}");
    peer.answer(&bye, "200 OK").await;
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn of_two_phones_that_answer_the_second_is_hung_up_on() {
    let (mut stack, mut peer, mut call, invite) = answered().await;
    peer.respond(&invite, "200 OK", "other", "", "v=0").await;
    let ack = peer.expect("ACK ").await;
    assert!(header(&ack, "To").contains("other"), "{ack}");
    let bye = peer.expect("BYE ").await;
    assert!(header(&bye, "To").contains("other"), "{bye}");
    peer.answer(&bye, "200 OK").await;
    peer.ask_back(&invite, "BYE", "uas", "", "").await;
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::HungUp));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_transfer_is_asked_for_and_its_outcome_told() {
    let (mut stack, mut peer, mut call, invite) = answered().await;
    let target = "sip:1@far.example;user=phone";
    let headers = vec![("X-T".into(), "1".into())];
    call.control.refer(target.into(), headers).await.expect("open");
    let refer = peer.expect("REFER ").await;
    assert_eq!(header(&refer, "Refer-To"), format!("<{target}>"));
    assert_eq!(header(&refer, "X-T"), "1");
    // Its NOTIFY overtakes the answer.
    let event_header = |state: &str| {
        format!(
            "Event: refer;id=2\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
        )
    };
    let active = event_header("active;expires=60");
    peer.ask_back(&invite, "NOTIFY", "uas", &active, "SIP/2.0 100 Trying\r\n")
        .await;
    peer.expect("SIP/2.0 200").await;
    let trying = CallEvent::Transfer(TransferEvent::Notified {
        code: 100,
        phrase: "Trying".into(),
        is_final: false,
    });
    assert_eq!(format!("{:?}", event(&mut call).await), format!("{trying:?}"));
    peer.answer(&refer, "202 Accepted").await;
    let accepted = event(&mut call).await;
    assert!(
        matches!(
            accepted,
            CallEvent::Transfer(TransferEvent::Answered { code: 202, .. })
        ),
        "{accepted:?}"
    );
    let over = event_header("terminated;reason=noresource");
    peer.ask_back(&invite, "NOTIFY", "uas", &over, "SIP/2.0 486 Busy Here\r\n")
        .await;
    peer.expect("SIP/2.0 200").await;
    let busy = event(&mut call).await;
    assert!(
        matches!(
            busy,
            CallEvent::Transfer(TransferEvent::Notified {
                code: 486,
                is_final: true,
                ..
            })
        ),
        "{busy:?}"
    );
    // Nobody subscribed to that.
    peer.ask_back(&invite, "NOTIFY", "uas", "Event: presence\r\n", "")
        .await;
    peer.expect("SIP/2.0 489").await;
    peer.ask_back(&invite, "BYE", "uas", "", "").await;
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::HungUp));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_refer_of_the_other_sides_is_for_the_owner_to_answer() {
    let (mut stack, mut peer, mut call, invite) = answered().await;
    for (to, code) in [
        ("", "400"),
        ("Refer-To: <sip:x@y>\r\nRefer-To: <sip:z@y>\r\n", "400"),
    ] {
        peer.ask_back(&invite, "REFER", "uas", to, "").await;
        peer.expect(&format!("SIP/2.0 {code}")).await;
    }
    for (answer, code) in [(None, "405"), (Some(403), "403"), (Some(202), "202")] {
        peer.ask_back(&invite, "REFER", "uas", "Refer-To: <sip:x@y>\r\n", "")
            .await;
        let CallEvent::Referred(referral) = event(&mut call).await else {
            unreachable!("a referral")
        };
        assert_eq!(referral.to, "<sip:x@y>");
        match answer {
            Some(code) => referral.answer.send(code).expect("awaited"),
            None => drop(referral),
        }
        peer.expect(&format!("SIP/2.0 {code}")).await;
    }
    let trying = peer.expect("NOTIFY ").await;
    assert!(trying.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"), "{trying}");
    peer.answer(&trying, "200 OK").await;
    for (code, is_final, state) in [(180, false, "active"), (200, true, "terminated")] {
        let said = call.control.notify(code, "Fine\r\nX: y".into(), is_final).await;
        said.expect("open");
        let notify = peer.expect("NOTIFY ").await;
        assert_eq!(header(&notify, "Event"), "refer");
        assert!(
            header(&notify, "Subscription-State").starts_with(state),
            "{notify}"
        );
        assert!(
            notify.ends_with(&format!("\r\n\r\nSIP/2.0 {code} FineX: y\r\n")),
            "{notify}"
        );
        peer.answer(&notify, "200 OK").await;
    }
    peer.ask_back(&invite, "BYE", "uas", "", "").await;
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::HungUp));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_bye_that_is_challenged_is_sent_again_with_credentials() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let login = Login {
        username: "user".into(),
        password: "p".into(),
    };
    let mut call = dial(
        &stack,
        Outgoing {
            login: Some(login),
            ..outgoing(&peer)
        },
    );
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "200 OK", "uas", "", "v=0").await;
    assert!(matches!(event(&mut call).await, CallEvent::Answered(_)));
    call.control.bye(None).await.expect("open");
    let bye = peer.expect("BYE ").await;
    let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", header(&bye, name)))
        .concat();
    let challenge = format!(
        "SIP/2.0 401 Unauthorized\r\n{copied}WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\nContent-Length: 0\r\n\r\n"
    );
    peer.send_bytes(challenge.as_bytes(), stack.local_addr()).await;
    let again = peer.expect("BYE ").await;
    let uri = format!("uri=\"sip:uas@{}\"", peer.local_addr());
    assert!(header(&again, "Authorization").contains(&uri), "{again}");
    peer.answer(&again, "200 OK").await;
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn nobody_there_is_unreachable_after_64_t1_and_nothing_is_left() {
    let mut stack = start_with(10, SHORT_T1, 1_000).await;
    let peer = Peer::bind(stack.local_addr()).await;
    let mut call = dial(&stack, outgoing(&peer));
    assert!(matches!(event(&mut call).await, CallEvent::Unreachable));
    drained(&stack).await;
    let deadline = tokio::time::Instant::now() + SOON;
    while stack.stats().transactions > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", stack.stats());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stack.shutdown().await;
}

#[tokio::test]
async fn a_reinvite_without_sdp_is_given_an_offer_whose_answer_is_in_the_ack() {
    let (mut stack, mut peer, mut call, invite) = answered().await;
    peer.ask_back(&invite, "INVITE", "uas", "", "").await;
    let CallEvent::Renegotiation(asked) = event(&mut call).await else {
        unreachable!("a renegotiation")
    };
    assert_eq!(asked.offer, None);
    asked
        .answer
        .send(Some(b"v=0 our offer".to_vec()))
        .expect("awaited");
    let ok = peer.expect("SIP/2.0 200").await;
    assert!(ok.ends_with("v=0 our offer"), "{ok}");
    peer.acknowledge(&ok, "v=0 their answer").await;
    let answer = event(&mut call).await;
    assert!(
        matches!(&answer, CallEvent::OfferAnswered(sdp) if sdp == b"v=0 their answer"),
        "{answer:?}"
    );
    peer.ask_back(&invite, "UPDATE", "uas", "", "").await;
    peer.expect("SIP/2.0 200").await;
    peer.ask_back(&invite, "OPTIONS", "uas", "", "").await;
    peer.expect("SIP/2.0 200").await;
    peer.ask_back(&invite, "BYE", "uas", "", "").await;
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::HungUp));
    drained(&stack).await;
    stack.shutdown().await;
}
