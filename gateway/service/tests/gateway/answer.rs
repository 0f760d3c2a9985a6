//! The string that everything hangs on: a caller's speech into the room and back.

use std::time::Duration;

use caller::Codec;
use service::Timeouts;
use tokio::time::sleep;

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, NUMBER, SOON, place};
use crate::speech::{babble, found_in};

async fn echo_comes_back(codec: Codec) {
    let fixture = Fixture::start(Timeouts::default()).await;
    let call = place(caller::CallerConfig {
        codecs: vec![codec],
        ..fixture.caller()
    })
    .await;
    call.wait_ringing(SOON).await.expect("ringing");
    let mut agent = Agent::join(&fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    agent.wait_for(Noticed::Status("active".into())).await;
    let spoken = babble(3);
    call.speak(&spoken).await.expect("spoken");
    sleep(Duration::from_millis(700)).await;
    let received = call.received();
    assert_eq!(received.sample_rate_hz, codec.sample_rate_hz());
    let matches = found_in(&spoken, &received.samples, received.sample_rate_hz);
    println!("{codec:?}: coefficient and lag in ms of each 600 ms: {matches:.2?}");
    println!("{:?}", call.report());
    let good = matches
        .iter()
        .filter(|(coefficient, _)| *coefficient >= 0.8)
        .count();
    assert!(
        good * 5 >= matches.len() * 4,
        "the echo is not what was said: {matches:.2?}"
    );
    call.hang_up().await;
    agent.wait_for(Noticed::Status("hangup".into())).await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_goes_into_the_room_and_back_by_g722() {
    echo_comes_back(Codec::G722).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_goes_into_the_room_and_back_by_pcmu() {
    echo_comes_back(Codec::Pcmu).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_participant_is_what_livekit_sip_would_make_of_it() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let call = fixture.dial().await;
    let ringing = fixture.participant().await;
    assert_eq!(ringing.kind(), livekit_protocol::participant_info::Kind::Sip);
    assert_eq!(
        (ringing.name.as_str(), ringing.metadata.as_str()),
        ("Phone +15551234", "mm")
    );
    let mut names: Vec<&str> = ringing.attributes.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "biz",
        "sip.callID",
        "sip.callIDFull",
        "sip.callStatus",
        "sip.callTag",
        "sip.hostname",
        "sip.phoneNumber",
        "sip.ruleID",
        "sip.trunkID",
        "sip.trunkPhoneNumber",
        "trunkline.downlink_ms",
        "trunkline.invite_at",
        "trunkline.ringing_at",
        "trunkline.uplink_ms",
    ];
    assert_eq!(names, expected);
    let value = |name: &str| ringing.attributes[name].as_str();
    assert_eq!(
        (value("sip.callStatus"), value("sip.trunkPhoneNumber")),
        ("ringing", NUMBER)
    );
    assert!(value("sip.callID").starts_with("SCL_"));
    assert_eq!(value("sip.callIDFull"), call.call_id());
    let track = ringing
        .tracks
        .first()
        .expect("its track is there before the answer");
    assert_eq!(track.name, ringing.identity);
    assert_eq!(track.source(), livekit_protocol::TrackSource::Microphone);
    call.hang_up().await;
    fixture.released().await;
    fixture.stop().await;
}
