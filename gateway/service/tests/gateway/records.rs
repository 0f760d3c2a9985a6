//! What the gateway keeps of its calls.

use std::time::Duration;

use events::{Direction, EndedBy, LegRecord, Party, RoomName};
use livekit_protocol as proto;
use platform::config::SipLadder;
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::fixture::{CALLEE, FROM, Fixture, NUMBER, ROOM, SOON, Wishes, place};
use crate::outbound::{self, allowed, went_well};
use crate::sipp::{self, Sipp};

fn party(number: &str) -> Party {
    Party::parse(number, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_call_leaves_a_record_and_its_messages_without_a_number() {
    let fixture = Fixture::wishing(Wishes {
        ladder: SipLadder::Masked,
        ..Wishes::default()
    })
    .await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    let call = fixture.dial().await;
    call.wait_ringing(SOON).await.expect("ringing");
    let _agent = Agent::join(&fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    let deadline = Instant::now() + SOON;
    while call.report().rtp.sent < 50 {
        assert!(Instant::now() < deadline, "the caller sends no RTP");
        sleep(Duration::from_millis(20)).await;
    }
    call.hang_up().await;
    fixture.released().await;

    let leg = fixture.leg().await;
    assert_eq!(leg.direction, Direction::Inbound);
    assert_eq!(
        (leg.caller.clone(), leg.called.clone()),
        (Some(party(FROM)), Some(party(NUMBER)))
    );
    assert_eq!(leg.room.as_ref().map(RoomName::as_str), Some(ROOM));
    assert_eq!(leg.sip_call_id, call.call_id());
    assert!(leg.trunk.is_some() && leg.rule.is_some(), "{leg:?}");
    assert_eq!(leg.status.as_ref().map(|status| status.code), Some(200));
    assert_eq!(
        (leg.ended_by.clone(), leg.reason.as_str()),
        (EndedBy::Phone, "caller_hung_up")
    );
    assert_eq!(leg.why, "the phone hung up");
    let moments = [
        Some(leg.started_at),
        leg.ringing_at,
        leg.answered_at,
        Some(leg.ended_at),
    ];
    assert!(
        moments.iter().all(Option::is_some) && moments.is_sorted(),
        "{moments:?}"
    );
    let media = leg.media.expect("sound");
    println!("{media:?}");
    assert_eq!(media.codec, "G722");
    assert!(
        media.packets_received >= 40 && media.packets_sent >= 40,
        "{media:?}"
    );
    assert!(media.mos.is_some_and(|mos| mos > 4.0), "{media:?}");

    let kept = fixture.kept("calls/", ".txt").await;
    let [(_, ladder)] = kept.as_slice() else {
        panic!("{} ladders", kept.len());
    };
    let overview: Vec<&str> = ladder
        .lines()
        .take_while(|line| !line.starts_with("===="))
        .collect();
    for (arrow, what) in [
        ("-->", "INVITE (1 INVITE) SDP"),
        ("<--", "180 Ringing (1 INVITE)"),
        ("<--", "200 OK (1 INVITE) SDP"),
        ("-->", "ACK (1 ACK)"),
        ("-->", "BYE (2 BYE)"),
        ("<--", "200 OK (2 BYE)"),
    ] {
        let said = format!("{arrow} {what}");
        assert!(
            overview.iter().any(|line| line.ends_with(&said)),
            "{said} is not in\n{ladder}"
        );
    }
    for number in [NUMBER, FROM] {
        assert!(
            !ladder.contains(number.trim_start_matches('+')),
            "{number} is in\n{ladder}"
        );
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_busy_and_a_call_that_is_refused_are_told_in_words() {
    let fixture = Fixture::wishing(Wishes {
        calls: allowed(),
        ladder: SipLadder::Whole,
        ..Wishes::default()
    })
    .await;
    let sipp = Sipp::start(&sipp::refuses("486 Busy Here")).await;
    let trunk = outbound::trunk(&fixture, &sipp).await;
    let dialled = outbound::dial(&fixture, &outbound::request(&trunk)).await;
    dialled.expect_err("busy");
    went_well(sipp, &fixture).await;
    let leg = fixture.leg().await;
    assert_eq!(leg.direction, Direction::Outbound);
    assert_eq!(
        (leg.caller, leg.called),
        (Some(party(CALLEE)), Some(party(NUMBER)))
    );
    assert_eq!(leg.status.map(|status| status.code), Some(486));
    assert_eq!(leg.why, "the phone was not put through: 486 Busy Here");
    assert!(leg.media.is_none() && leg.answered_at.is_none());
    let whole = fixture.kept("calls/", ".txt").await;
    assert!(whole.iter().all(|(_, text)| text.contains(CALLEE)), "{whole:?}");
    assert_eq!(whole.len(), 1);

    let call = place(fixture.caller()).await;
    call.wait_ended(SOON).await.expect("refused");
    fixture.released().await;
    let kept = fixture.kept("refused/", "").await;
    let [(_, record), (_, messages)] = kept.as_slice() else {
        panic!("{} objects", kept.len());
    };
    let leg = LegRecord::decode(record).expect("a record");
    assert_eq!(
        (leg.call, leg.status.map(|status| status.code)),
        (None, Some(404))
    );
    assert_eq!(leg.why, "the gateway refused the call: no dispatch rule matches");
    assert!(messages.contains("<-- 404"), "{messages}");
    fixture.stop().await;
}
