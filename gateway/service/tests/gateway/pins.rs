//! Rooms that need a PIN.

use std::time::Duration;

use audio::tone::{Tone, tone_dbfs};
use events::{EndedBy, LegRecord};
use media::{Digit, RtpSession};
use platform::config::SipLadder;
use service::Timeouts;
use tokio::time::timeout;

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, IDENTITY, ROOM, SOON, Wishes};
use crate::logs;
use crate::peer::{Phone, talk};
use crate::sessions::{HOPS, SDP, answered, asked, invite, replies, within};
use crate::sipp::{self, Sipp};

/// Long enough to be nowhere by chance.
const PIN: &str = "9021044817";
const RATE_HZ: u32 = 8_000;

async fn asking(pin: &str, timeouts: Timeouts) -> Fixture {
    let fixture = Fixture::wishing(Wishes {
        timeouts,
        ladder: SipLadder::Whole,
        info_dtmf: true,
        ..Wishes::default()
    })
    .await;
    fixture.locked(pin).await;
    fixture
}

/// Presses keys one after the other; returns with the beginning of the last.
pub(crate) async fn press(rtp: &mut RtpSession, keys: &str) {
    for key in keys.chars() {
        while rtp.sender.is_pressing() {
            talk(rtp, &[], 1).await;
        }
        let digit = Digit::from_char(key).expect("a digit");
        rtp.sender.press(digit).expect("room for it");
        talk(rtp, &[], 2).await;
    }
}

/// Listens until a tone of this frequency sounds.
pub(crate) async fn hears(rtp: &mut RtpSession, frequency_hz: f64) {
    let search = async { while tone_dbfs(&talk(rtp, &[], 8).await, frequency_hz, RATE_HZ) < -32.0 {} };
    let heard = timeout(SOON, search).await;
    assert!(heard.is_ok(), "{frequency_hz} Hz is not heard");
}

/// The agent speaks until the phone hears it.
pub(crate) async fn hears_the_agent(rtp: &mut RtpSession, agent: &Agent) {
    let says = async {
        loop {
            agent.say(440.0, Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = hears(rtp, 440.0) => {}
        () = says => {}
    }
}

/// Whether the caller is in the room.
async fn is_in(fixture: &Fixture) -> bool {
    let participants = fixture.api.list_participants(ROOM).await.unwrap_or_default();
    participants.iter().any(|p| p.identity == IDENTITY)
}

async fn speaks(rtp: &mut RtpSession, frequency_hz: f64) {
    let mut tone = Tone::new(frequency_hz, RATE_HZ, 8_000);
    loop {
        let mut second = Vec::new();
        tone.fill(8_000, &mut second);
        talk(rtp, &second, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_pin_opens_the_room_and_is_left_nowhere() {
    let fixture = asking(PIN, Timeouts::default()).await;
    let mut agent = Agent::join(&fixture).await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    let mut rtp = phone.answered().await;
    hears(&mut rtp, 600.0).await;
    assert!(!is_in(&fixture).await, "in the room without a PIN");
    press(&mut rtp, PIN).await;
    assert!(!is_in(&fixture).await, "in the room before the PIN was complete");
    press(&mut rtp, "#").await;
    let participant = fixture.participant().await;
    let attribute = |name: &str| participant.attributes.get(name).map(String::as_str);
    assert_eq!(
        (attribute("sip.callStatus"), attribute("biz")),
        (Some("active"), Some("x"))
    );
    tokio::select! {
        () = agent.hears(1_000.0) => {}
        () = speaks(&mut rtp, 1_000.0) => {}
    }
    hears_the_agent(&mut rtp, &agent).await;
    press(&mut rtp, "5").await;
    let before = agent.until(Noticed::Digit("5".into())).await;
    let is_digit = |noticed: &Noticed| matches!(noticed, Noticed::Digit(_));
    assert!(!before.iter().any(is_digit), "{before:?}");
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;

    let leg = fixture.leg().await;
    assert_eq!(leg.reason, "caller_hung_up");
    assert!(leg.answered_at.is_some() && leg.rule.is_some(), "{leg:?}");
    let kept = fixture.kept("calls/", "").await;
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|(_, text)| !text.contains(PIN)), "{kept:?}");
    logs::assert_free_of(&[PIN]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_pins_end_the_call() {
    let fixture = asking(PIN, Timeouts::default()).await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    let mut rtp = phone.answered().await;
    for wrong in ["17#", "#", "12345678901234567"] {
        press(&mut rtp, wrong).await;
        hears(&mut rtp, 300.0).await;
    }
    let bye = phone.expect("BYE ").await;
    assert!(bye.contains("wrong_pin"), "{bye}");
    phone.agree(&bye).await;
    phone.cancel.cancel();
    fixture.released().await;
    let kept = fixture.kept("refused/", ".json").await;
    let [(_, record)] = kept.as_slice() else {
        panic!("{} records", kept.len());
    };
    let leg = LegRecord::decode(record).expect("a record");
    assert_eq!(
        (leg.status.map(|status| status.code), leg.ended_by, leg.call),
        (Some(200), EndedBy::Gateway, None)
    );
    assert_eq!(leg.why, "no PIN that the caller entered was right");
    logs::assert_free_of(&["12345678901234567"]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_enters_nothing_is_hung_up_on() {
    let timeouts = Timeouts {
        pin: Duration::from_secs(2),
        ..Timeouts::default()
    };
    let fixture = asking(PIN, timeouts).await;
    let call = fixture.dial().await;
    call.wait_answered(SOON).await.expect("answered");
    match call.wait_ended(SOON).await.expect("ended") {
        caller::EndedBy::Callee { reason } => assert!(reason.expect("said").contains("no_pin")),
        other => panic!("ended by {other:?}"),
    }
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_by_info_is_taken_and_is_in_no_ladder() {
    let fixture = asking("42", Timeouts::default()).await;
    let info = |cseq: u32, signal: &str| {
        let body = format!("Signal={signal}\nDuration=160\n");
        let info = within("INFO", cseq, "", &body).replace("application/sdp", "application/dtmf-relay");
        info + &answered("200", &[])
    };
    let without = SDP
        .replace("AVP 0 101", "AVP 0")
        .replace("a=rtpmap:101 telephone-event/8000\n", "");
    let steps = [
        invite(1, HOPS, &without),
        answered("200", &[]),
        within("ACK", 1, "", ""),
        sipp::pause(300),
        info(2, "4"),
        info(3, "2"),
        info(4, "#"),
        asked("BYE", "Reason", "removed"),
        replies("", ""),
    ];
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    fixture.participant().await;
    let removed = fixture.api.remove_participant(ROOM, IDENTITY).await;
    removed.expect("removed");
    caller.went_by_the_scenario().await;
    fixture.released().await;
    let kept = fixture.kept("calls/", ".txt").await;
    let [(_, ladder)] = kept.as_slice() else {
        panic!("{} ladders", kept.len());
    };
    assert!(ladder.matches("[keys]").count() >= 3, "{ladder}");
    assert!(!ladder.contains("Signal"), "{ladder}");
    fixture.stop().await;
}
