//! Phones that the gateway dials, asked by the real livekit-server, answered by sipp.

use std::time::Duration;

use livekit_protocol as proto;
use platform::config::{CallsConfig, Targets};
use platform::livekit::{LiveKit, LiveKitError, ProtoDuration};
use service::Timeouts;
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, Noticed};
use crate::fixture::{CALLEE, Fixture, NUMBER, PASSWORD, ROOM, SOON, Wishes};
use crate::sipp::{self, Sipp};

const PHONE: &str = "callee-1";

pub(crate) fn allowed() -> CallsConfig {
    CallsConfig {
        targets: Targets {
            numbers: vec!["+1555".parse().expect("a prefix")],
            ..Targets::default()
        },
        ..CallsConfig::default()
    }
}

pub(crate) async fn trunk(fixture: &Fixture, sipp: &Sipp) -> String {
    trunk_over(fixture, &sipp.address(), proto::SipTransport::Udp).await
}

/// Over UDP.
pub(crate) async fn trunk_at(api: &LiveKit, address: &str) -> String {
    trunk_of(api, address, proto::SipTransport::Udp).await
}

pub(crate) async fn trunk_over(fixture: &Fixture, address: &str, transport: proto::SipTransport) -> String {
    trunk_of(&fixture.api, address, transport).await
}

async fn trunk_of(api: &LiveKit, address: &str, transport: proto::SipTransport) -> String {
    let trunk = proto::SipOutboundTrunkInfo {
        name: "out".into(),
        address: address.into(),
        transport: transport.into(),
        numbers: vec![NUMBER.into()],
        auth_username: "user".into(),
        auth_password: PASSWORD.into(),
        headers_to_attributes: [("X-Callee".to_owned(), "callee".to_owned())].into(),
        ..proto::SipOutboundTrunkInfo::default()
    };
    let made = api.create_sip_outbound_trunk(trunk).await.expect("trunk");
    made.sip_trunk_id
}

pub(crate) fn request(trunk: &str) -> proto::CreateSipParticipantRequest {
    proto::CreateSipParticipantRequest {
        sip_trunk_id: trunk.into(),
        sip_call_to: CALLEE.into(),
        room_name: ROOM.into(),
        participant_identity: PHONE.into(),
        participant_name: "Callee".into(),
        participant_metadata: "md".into(),
        participant_attributes: [("k".to_owned(), "v".to_owned())].into(),
        wait_until_answered: true,
        ..proto::CreateSipParticipantRequest::default()
    }
}

pub(crate) async fn dial(
    fixture: &Fixture,
    request: &proto::CreateSipParticipantRequest,
) -> Result<proto::SipParticipantInfo, LiveKitError> {
    let patient = fixture.api.within(Duration::from_secs(40));
    patient.create_sip_participant(request).await
}

async fn phone(fixture: &Fixture) -> Option<proto::ParticipantInfo> {
    fixture.api.participant(ROOM, PHONE).await.expect("answered")
}

async fn rings(fixture: &Fixture) {
    let is_ringing = |phone: proto::ParticipantInfo| {
        phone.attributes.get("sip.callStatus").map(String::as_str) == Some("ringing")
    };
    let deadline = Instant::now() + SOON;
    while !phone(fixture).await.is_some_and(is_ringing) {
        assert!(Instant::now() < deadline, "the phone does not ring in the room");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn remove(fixture: &Fixture) {
    let removed = fixture.api.remove_participant(ROOM, PHONE).await;
    removed.expect("removed");
}

/// Waits until sipp has seen all that it wanted to see, the phone is out of the room and the gateway holds nothing.
pub(crate) async fn went_well(sipp: Sipp, fixture: &Fixture) {
    sipp.went_by_the_scenario().await;
    fixture.gone(PHONE).await;
    fixture.released().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_rings_is_picked_up_and_heard_both_ways() {
    let fixture = Fixture::dialling(allowed()).await;
    let mut agent = Agent::join(&fixture).await;
    let sipp = Sipp::start(&sipp::picks_up()).await;
    let trunk = trunk(&fixture, &sipp).await;
    let wanted = proto::CreateSipParticipantRequest {
        dtmf: "1w2#".into(),
        play_dialtone: true,
        display_name: Some("The Shop".into()),
        headers: [("X-Acct".to_owned(), "42".to_owned())].into(),
        ..request(&trunk)
    };
    let info = dial(&fixture, &wanted).await.expect("answered");
    assert_eq!(
        (info.participant_identity.as_str(), info.room_name.as_str()),
        (PHONE, ROOM)
    );
    let phone = phone(&fixture).await.expect("in the room");
    assert_eq!(info.participant_id, phone.sid);
    assert_eq!((phone.name.as_str(), phone.metadata.as_str()), ("Callee", "md"));
    assert_eq!(phone.kind(), proto::participant_info::Kind::Sip);
    let attribute = |name: &str| phone.attributes.get(name).map_or("", String::as_str);
    let address = sipp.address();
    for (name, value) in [
        ("k", "v"),
        ("callee", "yes"),
        ("sip.callID", info.sip_call_id.as_str()),
        ("sip.trunkID", trunk.as_str()),
        ("sip.phoneNumber", CALLEE),
        ("sip.trunkPhoneNumber", NUMBER),
        ("sip.hostname", address.as_str()),
        ("sip.callTag", "uas1"),
    ] {
        assert_eq!(attribute(name), value, "{name}");
    }
    assert_eq!(attribute("sip.callIDFull").len(), 40);
    // sipp says everything back: the digits too.
    let digits = ["1", "2", "#"].map(|digit| Noticed::Digit(digit.into()));
    let statuses = ["ringing", "automation", "active"].map(|status| Noticed::Status(status.into()));
    agent
        .wait_for_all(digits.into_iter().chain(statuses).collect())
        .await;
    // The ringing went out into the room, came back by the agent's echo, and once more by sipp's.
    let level = audio::tone::tone_dbfs(&agent.heard(), 425.0, crate::agent::RATE);
    println!("the ringing in the room: {level:.1} dBFS");
    assert!(level > -45.0, "{level} dBFS");
    agent.say(440.0, Duration::from_secs(1)).await;
    agent.hears(440.0).await;
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

/// What livekit-sip says of each, recorded.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_told_by_its_status_and_leaves_nothing() {
    let fixture = Fixture::dialling(allowed()).await;
    for (status, code) in [
        ("486 Busy Here", 486),
        ("480 Temporarily Unavailable", 480),
        ("404 Not Found", 404),
        ("603 Decline", 603),
        ("403 Forbidden", 403),
        ("503 Service Unavailable", 503),
    ] {
        let sipp = Sipp::start(&sipp::refuses(status)).await;
        let trunk = trunk(&fixture, &sipp).await;
        let error = dial(&fixture, &request(&trunk)).await.expect_err(status);
        let text = error.to_string();
        assert!(
            matches!(error, LiveKitError::Sip { status, .. } if status == code),
            "{error:?}"
        );
        let phrase = format!("sip status: {status}")
            .replacen(' ', "\u{0}", 2)
            .replace('\u{0}', " ");
        let expected = phrase.replace(&code.to_string(), &format!("{code}:"));
        assert!(text.contains(&expected), "{text} lacks {expected}");
        went_well(sipp, &fixture).await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_nobody_picks_up_is_cancelled_by_timeout_removal_or_deletion() {
    let fixture = Fixture::dialling(allowed()).await;
    for ends in ["timeout", "removal", "deletion"] {
        let sipp = Sipp::start(&sipp::rings_in_vain()).await;
        let trunk = trunk(&fixture, &sipp).await;
        let wanted = proto::CreateSipParticipantRequest {
            ringing_timeout: Some(ProtoDuration {
                seconds: if ends == "timeout" { 2 } else { 30 },
                nanos: 0,
            }),
            ..request(&trunk)
        };
        let started = Instant::now();
        let ending = async {
            if ends == "timeout" {
                return;
            }
            rings(&fixture).await;
            if ends == "removal" {
                remove(&fixture).await;
            } else {
                fixture.api.delete_room(ROOM).await.expect("deleted");
            }
        };
        let (dialled, ()) = tokio::join!(dial(&fixture, &wanted), ending);
        let error = dialled.expect_err("nobody picks up");
        assert!(
            matches!(&error, LiveKitError::Refused { code, .. } if code == "canceled"),
            "{ends}: {error:?}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{ends}: {:?}",
            started.elapsed()
        );
        sipp.went_by_the_scenario().await;
        fixture.released().await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_given_to_whoever_asks_and_a_wrong_password_is_told() {
    let fixture = Fixture::dialling(allowed()).await;
    let www = "WWW-Authenticate: Digest realm=\"sipp\", nonce=\"4711\", algorithm=MD5";
    let with_qop = format!("{www}, qop=\"auth\"");
    let proxy = "Proxy-Authenticate: Digest realm=\"sipp\", nonce=\"0815\", algorithm=SHA-256, qop=\"auth\"";
    let (unauthorized, of_proxy) = ("401 Unauthorized", "407 Proxy Authentication Required");
    let looks = sipp::looks_for(
        "Proxy-Authorization",
        "nonce=.0815.*response=.[0-9a-f]{64}.*SHA-256.*qop=auth",
    );
    for (status, challenge, check, answered) in [
        (unauthorized, www, sipp::verifies("user", PASSWORD), true),
        (unauthorized, &with_qop, sipp::verifies("user", PASSWORD), true),
        (of_proxy, proxy, looks, true),
        (unauthorized, www, sipp::verifies("user", "another"), false),
    ] {
        let sipp = Sipp::start(&sipp::wants_credentials(status, challenge, &check)).await;
        let trunk = trunk(&fixture, &sipp).await;
        match dial(&fixture, &request(&trunk)).await {
            Ok(_) => {
                assert!(answered, "a wrong password was accepted");
                remove(&fixture).await;
            }
            Err(error) => {
                assert!(
                    matches!(error, LiveKitError::Sip { status: 403, .. }),
                    "{status}: {error:?}"
                );
                assert!(!answered, "{status}: {error:?}");
            }
        }
        went_well(sipp, &fixture).await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_answered_before_the_phone_is_and_the_phone_leaves_when_it_refuses() {
    let fixture = Fixture::dialling(allowed()).await;
    let mut agent = Agent::join(&fixture).await;
    let mut steps = vec![
        sipp::receive("INVITE"),
        // So that the others in the room have seen it before.
        sipp::pause(500),
        sipp::answer("180 Ringing", ""),
        sipp::pause(3_000),
    ];
    steps.extend([sipp::answer("486 Busy Here", ""), sipp::receive("ACK")]);
    let sipp = Sipp::start(&steps).await;
    let trunk = trunk(&fixture, &sipp).await;
    let wanted = proto::CreateSipParticipantRequest {
        wait_until_answered: false,
        ..request(&trunk)
    };
    let started = Instant::now();
    let info = dial(&fixture, &wanted).await.expect("accepted");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert!(info.participant_id.starts_with("PA_"), "{info:?}");
    agent.wait_for(Noticed::Status("ringing".into())).await;
    agent.wait_for(Noticed::CallerLeft).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phone_hangs_up_or_has_talked_long_enough() {
    let limited = CallsConfig {
        max_duration: Duration::from_secs(1),
        ..allowed()
    };
    let fixture = Fixture::dialling(limited).await;
    let mut agent = Agent::join(&fixture).await;
    let sipp = Sipp::start(&sipp::picks_up()).await;
    let trunk_id = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk_id)).await.expect("answered");
    agent.wait_for(Noticed::Status("hangup".into())).await;
    went_well(sipp, &fixture).await;

    let mut steps = vec![
        sipp::receive_invite(),
        sipp::answer_with_sdp("200 OK", ""),
        sipp::receive("ACK"),
    ];
    steps.push(sipp::request("BYE", "", ""));
    let sipp = Sipp::start(&steps).await;
    let trunk_id = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk_id)).await.expect("answered");
    agent.wait_for(Noticed::End("caller_hung_up".into())).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_listed_is_not_dialled_and_a_number_only_as_often_as_it_may() {
    let sipp = Sipp::start(&sipp::rings_in_vain()).await;
    let calls = CallsConfig {
        targets: Targets {
            sip_hosts: vec![sipp.address()],
            ..allowed().targets
        },
        ..CallsConfig::default()
    };
    let fixture = Fixture::dialling(calls).await;
    let trunk = trunk(&fixture, &sipp).await;
    for to in ["+4930123456", "112", "+1911", "+19005551234"] {
        let wanted = proto::CreateSipParticipantRequest {
            sip_call_to: to.into(),
            ..request(&trunk)
        };
        let error = dial(&fixture, &wanted).await.expect_err(to);
        assert!(
            matches!(error, LiveKitError::PermissionDenied { .. }),
            "{to}: {error:?}"
        );
    }
    // A SIP URI, over no trunk; and nobody is called twice at once.
    let wanted = proto::CreateSipParticipantRequest {
        sip_trunk_id: String::new(),
        trunk: Some(proto::SipOutboundConfig {
            hostname: sipp.address(),
            transport: proto::SipTransport::Udp.into(),
            ..proto::SipOutboundConfig::default()
        }),
        sip_number: NUMBER.into(),
        sip_call_to: "alice".into(),
        wait_until_answered: false,
        ..request("")
    };
    dial(&fixture, &wanted).await.expect("accepted");
    let error = dial(&fixture, &wanted).await.expect_err("twice");
    assert!(
        matches!(&error, LiveKitError::Refused { code, .. } | LiveKitError::Unavailable { code, .. } if code == "resource_exhausted"),
        "{error:?}"
    );
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_drains_dials_nobody_and_keeps_its_calls() {
    let fixture = Fixture::dialling(allowed()).await;
    let sipp = Sipp::start(&sipp::picks_up()).await;
    let trunk = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    fixture.gateway.drain();
    let started = Instant::now();
    let wanted = proto::CreateSipParticipantRequest {
        sip_call_to: "+15558888".into(),
        participant_identity: "another".into(),
        ..request(&trunk)
    };
    let error = dial(&fixture, &wanted).await.expect_err("it drains");
    assert!(matches!(error, LiveKitError::Unavailable { .. }), "{error:?}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert!(phone(&fixture).await.is_some(), "the call goes on");
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

/// Of a phone that rings the network may say something first, or nothing; the phone is heard from when it was picked up.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_early_sound_is_not_hung_up_on_when_it_is_picked_up() {
    let early = Duration::from_secs(3);
    let fixture = Fixture::wishing(Wishes {
        calls: allowed(),
        timeouts: Timeouts {
            first_media: early,
            media: early,
            ..Timeouts::default()
        },
        ..Wishes::default()
    })
    .await;
    let _agent = Agent::join(&fixture).await;
    // Nobody is at this port, so that nothing comes back from it.
    let silent = |status: &str| sipp::answer_with_sdp(status, "").replace("[media_port]", "9");
    let steps = vec![
        sipp::receive_invite(),
        // Not again and again: nobody acknowledges it.
        silent("183 Session Progress").replace(" retrans=\"500\"", ""),
        sipp::pause(3_500),
        silent("200 OK"),
        sipp::receive("ACK"),
        sipp::pause(500),
        sipp::request("BYE", "", ""),
    ];
    let sipp = Sipp::start(&steps).await;
    let trunk = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

/// The callee puts us on hold, comes back by asking for our offer, and sends whatever else phones send within a call.
#[tokio::test(flavor = "multi_thread")]
async fn hold_and_resume_are_honoured_on_a_phone_that_we_dialled() {
    let fixture = Fixture::dialling(allowed()).await;
    let _agent = Agent::join(&fixture).await;
    let steps = vec![
        sipp::receive_invite(),
        sipp::answer_with_sdp("200 OK", ""),
        sipp::receive("ACK"),
        sipp::reinvite(Some("sendonly"), "recvonly", None),
        sipp::reinvite(None, "sendrecv", Some("sendrecv")),
        sipp::request("UPDATE", "", ""),
        sipp::request("OPTIONS", "", ""),
        sipp::request("BYE", "", ""),
    ];
    let sipp = Sipp::start(&steps).await;
    let trunk = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}
