//! Phones that are sent elsewhere.

use std::time::Duration;

use livekit_protocol as proto;
use platform::livekit::{LiveKitError, ProtoDuration};
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, Noticed};
use crate::fixture::{CALLEE, Fixture, IDENTITY, ROOM, SOON, Wishes};
use crate::outbound::{allowed, dial, remove, request, trunk, went_well};
use crate::sessions::{HOPS, SDP, answered, asked, hangs_up, invite, replies, within};
use crate::sipp::{self, Sipp};

fn transfer(to: &str) -> proto::TransferSipParticipantRequest {
    proto::TransferSipParticipantRequest {
        participant_identity: "callee-1".into(),
        room_name: ROOM.into(),
        transfer_to: to.into(),
        play_dialtone: true,
        headers: [("X-T".to_owned(), "1".to_owned())].into(),
        ringing_timeout: Some(ProtoDuration { seconds: 4, nanos: 0 }),
    }
}

/// What a REFER leads to: its answer, and the words of a NOTIFY.
fn is_referred(answer: &str, notify: Option<&str>) -> Vec<String> {
    let mut steps = vec![
        sipp::receive_invite(),
        sipp::answer_with_sdp("200 OK", ""),
        sipp::receive("ACK"),
        "<recv request=\"REFER\" crlf=\"true\" timeout=\"15000\"><action>\
         <ereg regexp=\"tel:[+]15558888\" search_in=\"hdr\" header=\"Refer-To:\" check_it=\"true\" assign_to=\"target\"/>\
         <ereg regexp=\"1\" search_in=\"hdr\" header=\"X-T:\" check_it=\"true\" assign_to=\"extra\"/>\
         </action></recv>\n<Reference variables=\"target,extra\"/>\n"
            .to_owned(),
        sipp::answer_within(answer),
    ];
    let event = |state: &str| {
        format!("Event: refer\nSubscription-State: {state}\nContent-Type: message/sipfrag;version=2.0\n")
    };
    if let Some(notify) = notify {
        steps.push(sipp::request(
            "NOTIFY",
            &event("active;expires=60"),
            "SIP/2.0 100 Trying",
        ));
        steps.push(sipp::request(
            "NOTIFY",
            &event("terminated;reason=noresource"),
            &format!("SIP/2.0 {notify}"),
        ));
    }
    steps.extend(sipp::is_hung_up_on());
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_goes_where_it_is_sent_and_is_hung_up_on_a_second_later() {
    let fixture = Fixture::dialling(allowed()).await;
    let mut agent = Agent::join(&fixture).await;
    let sipp = Sipp::start(&is_referred("202 Accepted", Some("200 OK"))).await;
    let trunk = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    fixture
        .api
        .transfer_sip_participant(&transfer("tel:+15558888"))
        .await
        .expect("transferred");
    let there = Instant::now();
    agent.wait_for(Noticed::Status("hangup".into())).await;
    let after = there.elapsed();
    assert!((500..2_500).contains(&after.as_millis()), "{after:?}");
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_does_not_go_stays_in_its_call() {
    let fixture = Fixture::dialling(allowed()).await;
    let _agent = Agent::join(&fixture).await;
    for (answer, notify, status) in [
        ("603 Decline", None, Some(603)),
        ("202 Accepted", Some("486 Busy Here"), Some(486)),
        ("202 Accepted", None, None),
    ] {
        let sipp = Sipp::start(&is_referred(answer, notify)).await;
        let trunk = trunk(&fixture, &sipp).await;
        dial(&fixture, &request(&trunk)).await.expect("answered");
        let patient = fixture.api.within(Duration::from_secs(10));
        let error = patient.transfer_sip_participant(&transfer("tel:+15558888")).await;
        let error = error.expect_err("it does not go");
        match status {
            Some(status) => assert!(
                matches!(error, LiveKitError::Sip { status: told, .. } if told == status),
                "{error:?}"
            ),
            None => assert!(!matches!(error, LiveKitError::Sip { .. }), "{error:?}"),
        }
        let phone = fixture.api.participant(ROOM, "callee-1").await.expect("answered");
        let phone = phone.expect("still in its call");
        assert_eq!(
            phone.attributes.get("sip.callStatus").map(String::as_str),
            Some("active")
        );
        remove(&fixture).await;
        went_well(sipp, &fixture).await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_whom_nobody_may_call() {
    let fixture = Fixture::dialling(allowed()).await;
    let _agent = Agent::join(&fixture).await;
    let sipp = Sipp::start(&sipp::picks_up()).await;
    let trunk = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    for to in [
        "tel:+4930123456",
        "tel:112",
        "sip:1@evil.example.com",
        "sip:+15558888@evil.example.com",
    ] {
        let error = fixture
            .api
            .transfer_sip_participant(&transfer(to))
            .await
            .expect_err(to);
        assert!(
            matches!(error, LiveKitError::PermissionDenied { .. }),
            "{to}: {error:?}"
        );
    }
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

/// A caller that wants somebody called in its place; what it is told of that.
fn refers(to: &str, answer: &str, told: &[&str]) -> Vec<String> {
    let refer = within(
        "REFER",
        2,
        &format!("Refer-To: <sip:{to}@[remote_ip]:[remote_port]>\n"),
        "",
    );
    let mut steps = vec![
        invite(1, HOPS, SDP),
        answered("200", &[]),
        within("ACK", 1, "", ""),
        sipp::pause(500),
        refer,
        format!("<recv response=\"{answer}\" timeout=\"15000\"/>\n"),
    ];
    for (at, line) in told.iter().enumerate() {
        steps.push(format!(
            "<recv request=\"NOTIFY\" timeout=\"15000\"><action><ereg regexp=\"^SIP/2.0 {line}\" search_in=\"body\" \
             check_it=\"true\" assign_to=\"told{at}\"/></action></recv>\n<Reference variables=\"told{at}\"/>\n"
        ));
        steps.push(replies("", ""));
    }
    steps
}

/// With a trunk and a rule for calls in, and a trunk for whom they refer to.
async fn following(other: Option<&Sipp>) -> (Fixture, Agent) {
    let fixture = Fixture::wishing(Wishes {
        calls: allowed(),
        referred: other.map(Sipp::address),
        ..Wishes::default()
    })
    .await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    let agent = Agent::join(&fixture).await;
    (fixture, agent)
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_phone_refers_to_is_called_into_its_room_and_the_phone_is_hung_up_on() {
    let other = Sipp::start(&sipp::picks_up()).await;
    let (fixture, _agent) = following(Some(&other)).await;
    let mut steps = refers(CALLEE, "202", &["100", "200"]);
    steps.extend([asked("BYE", "Reason", "transferred"), replies("", "")]);
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    caller.went_by_the_scenario().await;
    fixture.gone(IDENTITY).await;
    let phones = fixture.api.list_participants(ROOM).await.expect("listed");
    let is_phone = |p: &&proto::ParticipantInfo| p.kind() == proto::participant_info::Kind::Sip;
    let phones: Vec<_> = phones.iter().filter(is_phone).collect();
    let [phone] = phones.as_slice() else {
        panic!("{} phones", phones.len());
    };
    assert_eq!(
        phone.attributes.get("sip.callStatus").map(String::as_str),
        Some("active")
    );
    let removed = fixture.api.remove_participant(ROOM, &phone.identity).await;
    removed.expect("removed");
    other.went_by_the_scenario().await;
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_whose_refer_comes_to_nothing_stays_in_its_call() {
    let other = Sipp::start(&sipp::refuses("486 Busy Here")).await;
    let (fixture, _agent) = following(Some(&other)).await;
    let mut steps = refers(CALLEE, "202", &["100", "486"]);
    steps.extend([sipp::pause(2_000), hangs_up(3)]);
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    let deadline = Instant::now() + SOON;
    loop {
        let phone = fixture.api.participant(ROOM, IDENTITY).await.unwrap_or_default();
        let told = phone.and_then(|phone| phone.attributes.get("trunkline.refer").cloned());
        if told.as_deref() == Some("failed") {
            break;
        }
        assert!(Instant::now() < deadline, "{told:?}");
        sleep(Duration::from_millis(20)).await;
    }
    caller.went_by_the_scenario().await;
    other.went_by_the_scenario().await;
    fixture.released().await;
    assert_eq!(fixture.kept("calls/", ".json").await.len(), 2);

    for (to, answer) in [("+4930123456", "403"), ("bob", "403")] {
        let mut steps = refers(to, answer, &[]);
        steps.push(hangs_up(3));
        let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
        caller.went_by_the_scenario().await;
        fixture.released().await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refer_is_refused_where_nothing_says_otherwise() {
    let (fixture, _agent) = following(None).await;
    let mut steps = refers(CALLEE, "405", &[]);
    steps.push(hangs_up(3));
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    caller.went_by_the_scenario().await;
    fixture.released().await;
    fixture.stop().await;
}
