//! Calls that are not put through.

use std::time::Duration;

use caller::{CallerConfig, Credentials, EndedBy};
use livekit_protocol::{ParticipantInfo, SipInboundTrunkInfo};
use service::Timeouts;
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::fixture::{Fixture, PASSWORD, ROOM, SOON, place};

/// The final answer: its code, its Reason, and when it came.
async fn refusal(config: CallerConfig) -> (u16, String, Duration) {
    let call = place(config).await;
    match call.wait_ended(Duration::from_secs(15)).await.expect("ended") {
        EndedBy::Refused { code, reason, .. } => {
            let at = call.report().ended().map(|(at, _)| at).unwrap_or_default();
            (code, reason.unwrap_or_default(), at)
        }
        other => panic!("ended by {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_is_404_at_once() {
    let fixture = Fixture::bare(Timeouts::default()).await;
    let (code, reason, at) = refusal(fixture.caller()).await;
    assert_eq!(code, 404, "{reason}");
    // Far from the ten seconds of a call without an agent.
    assert!(at < Duration::from_secs(3), "{at:?}");
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_is_480_after_ten_seconds_with_a_reason() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let (code, reason, at) = refusal(fixture.caller()).await;
    assert_eq!((code, reason.as_str()), (480, "SIP;cause=480;text=\"no agent\""));
    assert!(
        at >= Duration::from_secs(9) && at <= Duration::from_secs(11),
        "{at:?}"
    );
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_common_codec_is_488_and_no_sdp_at_all_400() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 16082 RTP/AVP 18\r\n";
    let (code, ..) = refusal(CallerConfig {
        offer: Some(sdp.into()),
        ..fixture.caller()
    })
    .await;
    assert_eq!(code, 488);
    let (code, ..) = refusal(CallerConfig {
        offer: Some("hello".into()),
        ..fixture.caller()
    })
    .await;
    assert_eq!(code, 400);
    fixture.released().await;
    fixture.stop().await;
}

/// Nothing that a caller writes into its URIs looks like a fault of ours.
#[tokio::test(flavor = "multi_thread")]
async fn odd_users_are_400_with_the_header_to_blame_or_ring() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let longest = "7".repeat(128);
    let too_long = "7".repeat(2_000);
    let from = |user: &str| CallerConfig {
        from: user.to_owned(),
        ..fixture.caller()
    };
    for user in ["%00", "+1555%0d%0aX", "%ff%fe", "100%", too_long.as_str()] {
        let (code, reason, _) = refusal(from(user)).await;
        let expected = "SIP;cause=400;text=\"no usable From header\"";
        assert_eq!((code, reason.as_str()), (400, expected), "{user}");
        let to = CallerConfig {
            to: user.to_owned(),
            ..fixture.caller()
        };
        let (code, reason, _) = refusal(to).await;
        let expected = "SIP;cause=400;text=\"no usable To header\"";
        assert_eq!((code, reason.as_str()), (400, expected), "{user}");
    }
    let fine = [
        "",
        "%2B15559876",
        "j%C3%B6rg%20b",
        "a/b?c=d&e",
        "%E2%82%AC%22%27",
        longest.as_str(),
    ];
    for user in fine {
        let call = place(from(user)).await;
        call.wait_ringing(SOON).await.expect("ringing");
        let is_ours = |participant: &ParticipantInfo| {
            participant.attributes.get("sip.callIDFull").map(String::as_str) == Some(call.call_id())
        };
        let deadline = Instant::now() + SOON;
        loop {
            let participants = fixture.api.list_participants(ROOM).await.unwrap_or_default();
            if participants.iter().any(is_ours) {
                break;
            }
            assert!(Instant::now() < deadline, "{user} did not join");
            sleep(Duration::from_millis(20)).await;
        }
        call.hang_up().await;
        fixture.released().await;
    }
    let nobody = CallerConfig {
        to: String::new(),
        ..fixture.caller()
    };
    let (code, reason, _) = refusal(nobody).await;
    assert_eq!(code, 404, "{reason}");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_with_a_password_demands_it() {
    let fixture = Fixture::bare(Timeouts::default()).await;
    let (auth_username, auth_password) = ("u".to_owned(), PASSWORD.to_owned());
    fixture
        .trunk(SipInboundTrunkInfo {
            auth_username,
            auth_password,
            ..SipInboundTrunkInfo::default()
        })
        .await;
    let (code, ..) = refusal(fixture.caller()).await;
    assert_eq!(code, 407);
    let with = |password: &str| CallerConfig {
        credentials: Some(Credentials {
            username: "u".into(),
            password: password.into(),
        }),
        ..fixture.caller()
    };
    let (code, ..) = refusal(with("wrong")).await;
    assert_eq!(code, 401);
    let call = place(with(PASSWORD)).await;
    call.wait_ringing(SOON).await.expect("ringing");
    let _agent = Agent::join(&fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    call.hang_up().await;
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bus_it_is_503() {
    let mut fixture = Fixture::start(Timeouts::default()).await;
    fixture.stack.kill(dev::Program::Redis).await.expect("killed");
    let (code, ..) = refusal(fixture.caller()).await;
    assert_eq!(code, 503);
    fixture
        .stack
        .restart(dev::Program::Redis)
        .await
        .expect("restarted");
    fixture
        .stack
        .restart(dev::Program::LiveKit)
        .await
        .expect("restarted");
    fixture.trunk(SipInboundTrunkInfo::default()).await;
    let deadline = Instant::now() + SOON;
    while !fixture.gateway.stats().bus_connected {
        assert!(
            Instant::now() < deadline,
            "the gateway does not come back to Redis"
        );
        sleep(Duration::from_millis(20)).await;
    }
    let call = fixture.dial().await;
    call.wait_ringing(SOON).await.expect("the bus is back");
    call.hang_up().await;
    fixture.stop().await;
}
