//! Every way that a call ends, and that nothing of it is left.

use std::time::Duration;

use caller::EndedBy;
use service::Timeouts;
use sip::admission::Limits;
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, AgentProcess, Noticed};
use crate::fixture::{Fixture, IDENTITY, ROOM, SOON};
use crate::handles::Handles;

async fn answered(fixture: &Fixture) -> (caller::Call, Agent) {
    let call = fixture.dial().await;
    call.wait_ringing(SOON).await.expect("ringing");
    let agent = Agent::join(fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    (call, agent)
}

/// Waits for our BYE; its Reason.
async fn bye(call: &caller::Call, within: Duration) -> String {
    match call.wait_ended(within).await.expect("ended") {
        EndedBy::Callee { reason } => reason.unwrap_or_default(),
        other => panic!("ended by {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_cancels_leaves_nothing() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let call = fixture.dial().await;
    fixture.participant().await;
    call.hang_up().await;
    assert!(matches!(
        call.wait_ended(SOON).await.expect("ended"),
        EndedBy::Cancelled
    ));
    fixture.released().await;

    let call = fixture.dial().await;
    call.wait_ringing(SOON).await.expect("ringing");
    // In the middle of the join.
    call.hang_up().await;
    assert!(matches!(
        call.wait_ended(SOON).await.expect("ended"),
        EndedBy::Cancelled
    ));
    fixture.released().await;
    fixture.stop().await;
}

/// A loaded server may close its side before it has read that the caller left, and would keep the caller for 20 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_leave_that_the_server_never_read_is_made_good() {
    let (fixture, wire) = Fixture::wired(Timeouts::default()).await;
    let (call, mut agent) = answered(&fixture).await;
    wire.lose_what_websockets_say();
    call.hang_up().await;
    // Before the phone is removed, lest it look as if somebody else had put it out.
    agent.wait_for(Noticed::End("caller_hung_up".into())).await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;
    agent.leave().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_is_told_why_the_call_ended_before_the_caller_leaves() {
    let fixture = Fixture::start(Timeouts {
        no_agent: Duration::from_secs(3),
        ..Timeouts::default()
    })
    .await;
    let call = fixture.dial().await;
    fixture.participant().await;
    let mut mute = Agent::mute(&fixture).await;
    call.hang_up().await;
    mute.wait_for(Noticed::End("cancelled".into())).await;
    mute.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;

    let call = fixture.dial().await;
    let ended = call.wait_ended(SOON).await.expect("ended");
    assert!(matches!(ended, EndedBy::Refused { code: 480, .. }), "{ended:?}");
    let refused = Instant::now();
    mute.wait_for(Noticed::End("no_agent".into())).await;
    mute.wait_for(Noticed::CallerLeft).await;
    println!("out of the room {:?} after the 480", refused.elapsed());
    fixture.released().await;

    mute.leave().await;
    let (call, mut agent) = answered(&fixture).await;
    call.hang_up().await;
    agent.wait_for(Noticed::End("caller_hung_up".into())).await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_ends_the_call_at_once() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let (call, agent) = answered(&fixture).await;
    let left = Instant::now();
    // Leaving takes the SDK a second at times; the phone does not wait for it.
    let ((), (reason, after)) = tokio::join!(agent.leave(), async {
        let reason = bye(&call, SOON).await;
        (reason, left.elapsed())
    });
    println!("BYE {after:?} after the agent began to leave");
    // Far from the grace of an agent that vanished.
    assert!(after < Timeouts::default().agent_gone / 5, "{after:?}");
    assert!(reason.contains("agent_left"), "{reason}");
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_vanishes_is_waited_for_and_may_be_replaced() {
    let agent_gone = Duration::from_secs(3);
    let fixture = Fixture::start(Timeouts {
        agent_gone,
        ..Timeouts::default()
    })
    .await;
    let call = fixture.dial().await;
    call.wait_ringing(SOON).await.expect("ringing");
    let crashing = AgentProcess::join(&fixture, "agent").await;
    call.wait_answered(SOON).await.expect("answered");
    crashing.kill().await;
    fixture.gone("agent").await;
    let successor = AgentProcess::join(&fixture, "successor").await;
    sleep(agent_gone).await;
    assert!(
        call.report().ended().is_none(),
        "the call did not take the other agent"
    );
    successor.kill().await;
    fixture.gone("successor").await;
    let noticed = Instant::now();
    let reason = bye(&call, SOON).await;
    let waited = noticed.elapsed();
    println!("BYE {waited:?} after the server gave the agent up");
    assert!(waited.abs_diff(agent_gone) < Duration::from_secs(2), "{waited:?}");
    assert!(reason.contains("agent_lost"), "{reason}");
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_room_and_a_removed_caller_end_the_call() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let (call, _agent) = answered(&fixture).await;
    fixture.api.delete_room(ROOM).await.expect("deleted");
    bye(&call, SOON).await;
    fixture.released().await;

    let (call, _agent) = answered(&fixture).await;
    fixture
        .api
        .remove_participant(ROOM, IDENTITY)
        .await
        .expect("removed");
    let reason = bye(&call, SOON).await;
    assert!(reason.contains("removed"), "{reason}");
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_sends_no_more_rtp_is_hung_up_on() {
    let fixture = Fixture::start(Timeouts {
        media: Duration::from_secs(2),
        ..Timeouts::default()
    })
    .await;
    let (call, mut agent) = answered(&fixture).await;
    let deadline = Instant::now() + SOON;
    while call.report().rtp.sent < 10 {
        assert!(Instant::now() < deadline, "the caller sends no RTP");
        sleep(Duration::from_millis(20)).await;
    }
    let stopped = Instant::now();
    call.stop_sending();
    let reason = bye(&call, SOON).await;
    let waited = stopped.elapsed();
    assert!(reason.contains("media_timeout"), "{reason}");
    assert!(
        waited > Duration::from_millis(1900) && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    agent.wait_for(Noticed::End("media_timeout".into())).await;
    fixture.released().await;
    let leg = fixture.leg().await;
    assert_eq!(
        (leg.reason.as_str(), leg.ended_by),
        ("media_timeout", events::EndedBy::Network)
    );
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_hangs_up() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let (call, _agent) = answered(&fixture).await;
    let (reason, ()) = tokio::join!(bye(&call, SOON), fixture.stop());
    assert!(reason.contains("shut_down"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_one_after_the_other_and_five_at_once() {
    let fixture = Fixture::alone(Timeouts::default(), Limits::default()).await;
    let agent = {
        let first = fixture.dial().await;
        first.wait_ringing(SOON).await.expect("ringing");
        let agent = Agent::join(&fixture).await;
        first.wait_answered(SOON).await.expect("answered");
        first.hang_up().await;
        fixture.released().await;
        agent
    };
    let before = Handles::count();
    for _ in 0..20 {
        let call = fixture.dial().await;
        call.wait_answered(SOON).await.expect("answered");
        call.hang_up().await;
        fixture.released().await;
    }
    let after = Handles::count();
    // The lines collected by the log test are in it.
    let slope_kb = after.resident_kb.saturating_sub(before.resident_kb) / 20;
    println!("20 calls: {before:?}, then {after:?}: {slope_kb} kB of memory per call");
    // The server's connections and the API client's come and go.
    assert!(
        after.files <= before.files + 3 && after.threads <= before.threads + 3,
        "{before:?}, then {after:?}"
    );
    let mut calls = Vec::new();
    for n in 0..5 {
        let config = caller::CallerConfig {
            from: format!("+1555123{n}"),
            ..fixture.caller()
        };
        calls.push(crate::fixture::place(config).await);
    }
    for call in &calls {
        call.wait_answered(SOON).await.expect("answered");
    }
    for call in &calls {
        call.hang_up().await;
    }
    fixture.released().await;
    agent.leave().await;
    fixture.stop().await;
}
