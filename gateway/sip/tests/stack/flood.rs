//! More INVITEs than can be served, and callers that never acknowledge.

use std::collections::HashSet;

use sip::admission::Limits;

use super::*;

/// What 64·T1 are with [`SHORT_T1`].
const WINDOW: Duration = Duration::from_millis(64 * 20);

/// Waits until `is_so`.
async fn until(stack: &RsipStack, is_so: impl Fn(StackStats) -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so(stack.stats()) {
        assert!(Instant::now() < deadline, "{:?}", stack.stats());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn of_a_flood_as_many_calls_ring_as_may_and_the_rest_costs_nothing() {
    let mut stack = start_with(1_000, SipConfig::T1, 4).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    for n in 0..300 {
        peer.invite(&format!("c{n}"), "v=0\r\n").await;
        // The next one when this has its answer, so that no datagram is lost in the socket.
        let answer = peer.any_answer_to(&format!("c{n}")).await;
        if n < 4 {
            assert!(answer.starts_with("SIP/2.0 100"), "{answer}");
        } else {
            assert!(answer.starts_with("SIP/2.0 503"), "{answer}");
            assert!(answer.contains("\r\nRetry-After: 10\r\n"), "{answer}");
            let reason = "Reason: SIP;cause=503;text=\"too many calls from this address are ringing\"\r\n";
            assert!(answer.contains(reason), "{answer}");
        }
    }
    let stats = stack.stats();
    assert_eq!(
        (stats.calls, stats.ringing, stats.transactions),
        (4, 4, 4),
        "{stats:?}"
    );
    assert_eq!(stats.refusals.of(Refusal::SourceRinging), 296);

    // An INVITE that is repeated for want of an answer belongs to its call.
    peer.invite("c1", "v=0\r\n").await;
    let answer = peer.any_answer_to("c1").await;
    assert!(answer.starts_with("SIP/2.0 100"), "{answer}");

    let mut calls: Vec<_> = Vec::new();
    for _ in 0..4 {
        calls.push(incoming(&mut stack).await);
    }
    let first = calls.remove(0);
    first
        .control
        .accept(b"v=0".to_vec(), Vec::new())
        .await
        .expect("open");
    let ok = peer.expect("SIP/2.0 200").await;
    peer.ack(&ok).await;
    peer.invite("next", "v=0\r\n").await;
    let answer = peer.any_answer_to("next").await;
    assert!(
        answer.starts_with("SIP/2.0 100"),
        "an answered call rings no more: {answer}"
    );
    stack.shutdown().await;
}

#[tokio::test]
async fn a_burst_that_comes_at_once_lets_no_more_through() {
    let mut stack = start_with(1_000, SipConfig::T1, 4).await;
    let peer = Peer::bind(stack.local_addr()).await;
    for n in 0..60 {
        peer.invite(&format!("c{n}"), "v=0\r\n").await;
    }
    until(&stack, |stats| {
        stats.ringing == 4 && stats.refusals.of(Refusal::SourceRinging) == 56
    })
    .await;
    let mut ids = HashSet::new();
    for _ in 0..4 {
        ids.insert(incoming(&mut stack).await.invite.call_id);
    }
    assert_eq!(ids.len(), 4);
    stack.shutdown().await;
}

#[tokio::test]
async fn a_refusal_counts_until_its_ack_and_its_call_until_the_owner_is_through() {
    let mut stack = start(10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let call = incoming(&mut stack).await;
    assert_eq!((stack.stats().ringing, stack.stats().unacknowledged), (1, 0));
    call.control.reject(Rejection::code(404)).await.expect("open");
    let answer = peer.final_answer_to("a").await;
    assert_eq!((stack.stats().ringing, stack.stats().unacknowledged), (1, 0));
    drop(call);
    until(&stack, |stats| (stats.ringing, stats.unacknowledged) == (0, 1)).await;
    peer.ack_refusal("a", &answer).await;
    // Long before 64·T1, which are 32 s.
    until(&stack, |stats| stats.unacknowledged == 0).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_refusal_that_is_never_acknowledged_is_kept_for_64_t1() {
    let mut stack = start_with(10, SHORT_T1, 10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let call = incoming(&mut stack).await;
    let refused = Instant::now();
    call.control.reject(Rejection::code(404)).await.expect("open");
    peer.final_answer_to("a").await;
    drop(call);
    until(&stack, |stats| stats.unacknowledged + stats.ringing == 0).await;
    assert!(refused.elapsed() >= WINDOW, "{:?}", refused.elapsed());
    // The answer is kept for repeated requests for another 64·T1.
    until(&stack, |stats| stats.transactions == 0).await;
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_is_never_acknowledged_is_given_up_with_a_bye() {
    let mut stack = start_with(10, SHORT_T1, 10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    peer.invite("a", "v=0\r\n").await;
    let mut call = incoming(&mut stack).await;
    let answered = Instant::now();
    let accepted = call.control.accept(b"v=0".to_vec(), Vec::new()).await;
    accepted.expect("open");
    peer.expect("SIP/2.0 200").await;
    assert!(matches!(event(&mut call).await, CallEvent::NotAcknowledged));
    assert!(answered.elapsed() >= WINDOW, "{:?}", answered.elapsed());
    // Nobody answers the BYE either.
    peer.expect("BYE ").await;
    until(&stack, |stats| stats.unacknowledged + stats.transactions == 0).await;
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn refusals_without_ack_are_bounded_and_so_are_invites_of_no_dialog() {
    let mut stack = start_with(1_000, SipConfig::T1, 10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let most = Limits::UNACKNOWLEDGED_PER_SOURCE;
    for n in 0..most + 20 {
        let call = format!("c{n}");
        let within = n % 2 == 0;
        let mut text = peer.text("INVITE", &call, "v=0\r\n");
        if within {
            text = text.replacen(">\r\nCall-ID", ">;tag=none\r\nCall-ID", 1);
        }
        peer.send_bytes(text.as_bytes(), stack.local_addr()).await;
        if !within && n < most {
            let call = incoming(&mut stack).await;
            call.control.reject(Rejection::code(404)).await.expect("open");
        }
        let answer = peer.final_answer_to(&call).await;
        let expected = match (n < most, within) {
            (true, true) => "SIP/2.0 481",
            (true, false) => "SIP/2.0 404",
            (false, _) => "SIP/2.0 503",
        };
        assert!(answer.starts_with(expected), "{n}: {answer}");
    }
    let stats = stack.stats();
    assert_eq!(stats.unacknowledged, most, "{stats:?}");
    assert!(stats.transactions <= most, "{stats:?}");
    assert_eq!(stats.refusals.of(Refusal::Unacknowledged), 20);
    stack.shutdown().await;
}
