//! The stack over real sockets, spoken to by a caller that is nothing but text.

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test prints what it measured, and fails by panicking"
)]

mod certificate;
mod dial;
mod flood;
mod hosts;
mod load;
mod mutated;
mod peer;
mod registration;
mod stream_peer;
mod streams;
mod tables;
mod torture;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peer::Peer;
use sip::admission::{Limits, Rate};
use sip::{
    Authorities, CallEvent, Refusal, Rejection, RsipStack, SipConfig, SipStack, StackStats, StreamTimes,
};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(5);

/// So short that nothing is waited for long: 64·T1 are 1.28 s.
const SHORT_T1: Duration = Duration::from_millis(20);

async fn start(max_calls: usize) -> RsipStack {
    start_with(max_calls, SipConfig::T1, 1_000).await
}

async fn start_with(max_calls: usize, t1: Duration, ringing: usize) -> RsipStack {
    let limits = Limits {
        per_source: Rate {
            per_second: 1e6,
            burst: 1e6,
        },
        ringing,
        ringing_per_source: ringing,
        ..Limits::default()
    };
    let config = SipConfig {
        max_calls,
        t1,
        ..config(limits)
    };
    RsipStack::start(config).await.expect("stack")
}

fn config(limits: Limits) -> SipConfig {
    SipConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tcp: None,
        tls: None,
        authorities: Authorities::load(None).expect("Mozilla's"),
        times: StreamTimes::default(),
        registrations: Vec::new(),
        keep_alive: None,
        dns: Vec::new(),
        advertised: None,
        max_calls: 10,
        limits,
        t1: SipConfig::T1,
        user_agent: "test".into(),
        ladders: false,
        session: sip::SessionTimes::DEFAULT,
    }
}

async fn incoming(stack: &mut RsipStack) -> sip::IncomingCall {
    timeout(SOON, stack.next_call())
        .await
        .expect("in time")
        .expect("a call")
}

async fn event(call: &mut sip::IncomingCall) -> CallEvent {
    timeout(SOON, call.events.recv())
        .await
        .expect("in time")
        .expect("an event")
}

async fn drained(stack: &RsipStack) {
    let deadline = Instant::now() + SOON;
    loop {
        let StackStats {
            calls,
            dialogs,
            ringing,
            ..
        } = stack.stats();
        if (calls, dialogs, ringing) == (0, 0, 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{:?} left", stack.stats());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_call_rings_is_answered_and_hung_up_by_the_caller() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let mut call = incoming(&mut stack).await;
    assert_eq!(
        (call.invite.from.user.as_str(), call.invite.to.user.as_str()),
        ("+15551234", "+15550100")
    );
    assert_eq!(call.invite.body, b"v=0\r\n");
    peer.expect("SIP/2.0 100").await;
    call.control.ringing().await.expect("open");
    peer.expect("SIP/2.0 180").await;
    call.control
        .accept(b"v=0 answer".to_vec(), vec![("X-Extra".into(), "1".into())])
        .await
        .expect("open");
    let ok = peer.expect("SIP/2.0 200").await;
    assert!(
        ok.contains("v=0 answer") && ok.contains("X-Extra: 1") && ok.contains("Contact: "),
        "{ok}"
    );
    assert!(ok.contains("UPDATE"), "{ok}");
    peer.ack(&ok).await;
    assert!(matches!(event(&mut call).await, CallEvent::Acknowledged));
    peer.in_dialog(&ok, "INFO", 2, "Signal=5").await;
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::Info { body, .. } if body == b"Signal=5"));
    peer.in_dialog(&ok, "INFO", 1, "").await;
    peer.expect("SIP/2.0 500").await;
    peer.in_dialog(&ok, "BYE", 3, "").await;
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::HungUp));
    drained(&stack).await;
    peer.in_dialog(&ok, "BYE", 4, "").await;
    peer.expect("SIP/2.0 481").await;
    stack.shutdown().await;
}

#[tokio::test]
async fn the_gateway_hangs_up_with_a_reason_after_the_ack() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let mut call = incoming(&mut stack).await;
    call.control
        .accept(b"v=0".to_vec(), Vec::new())
        .await
        .expect("open");
    call.control
        .bye(Some("SIP;cause=200;text=\"agent left\"".into()))
        .await
        .expect("open");
    let ok = peer.expect("SIP/2.0 200").await;
    peer.ack(&ok).await;
    assert!(matches!(event(&mut call).await, CallEvent::Acknowledged));
    let bye = peer.expect("BYE ").await;
    assert!(bye.contains("Reason: SIP;cause=200;text=\"agent left\""), "{bye}");
    peer.answer(&bye, "200 OK").await;
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_call_gets_its_487() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let mut call = incoming(&mut stack).await;
    call.control.ringing().await.expect("open");
    peer.expect("SIP/2.0 180").await;
    peer.cancel("a").await;
    let mut answers = [peer.final_answer().await, peer.final_answer().await];
    answers.sort();
    assert!(
        answers[0].starts_with("SIP/2.0 200") && answers[1].starts_with("SIP/2.0 487"),
        "{answers:?}"
    );
    assert!(matches!(event(&mut call).await, CallEvent::Cancelled));
    drop(call);
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_rejection_carries_its_headers_and_a_dropped_call_is_refused() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "").await;
    let mut call = incoming(&mut stack).await;
    let rejection = Rejection {
        headers: vec![("Proxy-Authenticate".into(), "Digest realm=\"x\"".into())],
        ..Rejection::with_reason(407, "who are you")
    };
    call.control.reject(rejection).await.expect("open");
    let answer = peer.final_answer().await;
    assert!(answer.starts_with("SIP/2.0 407"), "{answer}");
    assert!(
        answer.contains("Proxy-Authenticate: Digest realm=\"x\""),
        "{answer}"
    );
    assert!(
        answer.contains("Reason: SIP;cause=407;text=\"who are you\""),
        "{answer}"
    );
    assert!(answer.contains(";tag="), "{answer}");
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    drop(call);

    peer.invite("b", "").await;
    drop(incoming(&mut stack).await);
    assert!(peer.final_answer_to("b").await.starts_with("SIP/2.0 500"));
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_reinvite_is_answered_by_the_owner_of_the_call() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let mut call = incoming(&mut stack).await;
    call.control
        .accept(b"v=0 one".to_vec(), Vec::new())
        .await
        .expect("open");
    let ok = peer.expect("SIP/2.0 200").await;
    peer.ack(&ok).await;
    assert!(matches!(event(&mut call).await, CallEvent::Acknowledged));
    peer.in_dialog(&ok, "INVITE", 2, "v=0 hold").await;
    let CallEvent::Renegotiation(offer) = event(&mut call).await else {
        panic!("no renegotiation")
    };
    assert_eq!(offer.offer.as_deref(), Some(b"v=0 hold".as_slice()));
    offer.answer.send(Some(b"v=0 two".to_vec())).expect("waiting");
    let answer = peer.expect("SIP/2.0 200").await;
    assert!(
        answer.contains("v=0 two") && answer.contains("CSeq: 2 INVITE"),
        "{answer}"
    );
    stack.shutdown().await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_and_the_number_of_calls_is_bounded() {
    let mut stack = start(1).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    for (method, answer) in [
        ("OPTIONS", "SIP/2.0 200"),
        ("REGISTER", "SIP/2.0 405"),
        ("BYE", "SIP/2.0 481"),
        ("FOO", "SIP/2.0 405"),
    ] {
        peer.request(method, "o", "").await;
        let answer = peer.expect(answer).await;
        assert!(method == "BYE" || answer.contains("Allow: INVITE"), "{answer}");
    }
    peer.invite("a", "").await;
    let _call = incoming(&mut stack).await;
    peer.invite("b", "").await;
    let answer = peer.final_answer_to("b").await;
    assert!(
        answer.starts_with("SIP/2.0 503") && answer.contains("Retry-After: 10"),
        "{answer}"
    );
    stack.shutdown().await;
    let refusals = stack.stats().refusals;
    assert_eq!(
        (refusals.of(Refusal::NotServed), refusals.of(Refusal::Busy)),
        (2, 1)
    );
}

/// What is sent in place of the header, and the Reason of the 400.
#[tokio::test]
async fn what_no_call_can_be_made_of_is_400_with_the_header_that_is_to_blame() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let long = "1".repeat(2_000);
    let cases = [
        (
            "From: <sip:+15551234@",
            "From: <sip:%00@".to_owned(),
            "From header",
        ),
        (
            "From: <sip:+15551234@",
            "From: <sip:+1555%0d%0a@".to_owned(),
            "From header",
        ),
        (
            "From: <sip:+15551234@",
            "From: <sip:%ff%fe@".to_owned(),
            "From header",
        ),
        (
            "From: <sip:+15551234@",
            format!("From: <sip:{long}@"),
            "From header",
        ),
        (
            "From: <sip:+15551234@",
            "From: <http:+15551234@".to_owned(),
            "From header",
        ),
        ("To: <sip:+15550100@", "To: <sip:%1f@".to_owned(), "To header"),
        ("To: <sip:+15550100@", format!("To: <sip:{long}@"), "To header"),
        (
            "INVITE sip:+15550100@",
            "INVITE sip:a%00b@".to_owned(),
            "Request-URI",
        ),
        (
            "INVITE sip:+15550100@",
            format!("INVITE sip:{long}@"),
            "Request-URI",
        ),
        ("Call-ID: ", format!("Call-ID: {long}"), "Call-ID header"),
        (
            "Contact: <sip:+15551234@",
            "X-Contact: <sip:+15551234@".to_owned(),
            "Contact header",
        ),
    ];
    let count = cases.len();
    for (n, (header, odd, blamed)) in cases.into_iter().enumerate() {
        let text = peer
            .text("INVITE", &format!("odd{n}"), "v=0\r\n")
            .replacen(header, &odd, 1);
        peer.send_bytes(text.as_bytes(), stack.local_addr()).await;
        let answer = peer.final_answer_in(&format!("{n}@test")).await;
        assert!(answer.starts_with("SIP/2.0 400"), "{odd}: {answer}");
        let reason = format!("\r\nReason: SIP;cause=400;text=\"no usable {blamed}\"\r\n");
        assert!(answer.contains(&reason), "{odd}: {answer}");
    }
    assert_eq!(
        stack.stats().refusals.of(Refusal::BadRequest),
        u64::try_from(count).expect("few")
    );
    stack.shutdown().await;
}

#[tokio::test]
async fn escapes_and_telephone_uris_are_read() {
    let mut stack = start(10).await;
    let peer = Peer::bind(stack.local_addr()).await;
    let fine = peer
        .text("INVITE", "fine", "v=0\r\n")
        .replacen("<sip:+15551234@", "<sip:%2B15551234@", 1);
    peer.send_bytes(fine.as_bytes(), stack.local_addr()).await;
    assert_eq!(incoming(&mut stack).await.invite.from.user, "+15551234");
    let number = peer.text("INVITE", "tel", "v=0\r\n");
    let me = number
        .split("From: <sip:+15551234")
        .nth(1)
        .and_then(|rest| rest.split('>').next())
        .expect("a host");
    let number = number.replacen(
        &format!("From: <sip:+15551234{me}>"),
        "From: <tel:+15551234;phone-context=x>",
        1,
    );
    peer.send_bytes(number.as_bytes(), stack.local_addr()).await;
    let tel = incoming(&mut stack).await.invite.from;
    assert_eq!((tel.user.as_str(), tel.host.as_str()), ("+15551234", ""));
    stack.shutdown().await;
}

/// Collects every log line, at TRACE, of the whole process.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_number_reaches_a_log_even_at_trace() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // The only test that sets the global subscriber: the others' lines land here too, and must be as clean.
    tracing::subscriber::set_global_default(subscriber).expect("first");
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let call = incoming(&mut stack).await;
    call.control.ringing().await.expect("open");
    call.control.reject(Rejection::code(486)).await.expect("open");
    peer.final_answer().await;
    tracing::info!("the subscriber works");
    stack.shutdown().await;
    let text = String::from_utf8_lossy(&lines.0.lock().expect("lock")).into_owned();
    assert!(text.contains("the subscriber works"));
    assert!(
        !text.contains("15551234") && !text.contains("15550100"),
        "a number was logged"
    );
}
