//! What happens within an answered call: digits both ways, hold.

use std::time::Duration;

use livekit::prelude::SipDTMF;
use livekit_protocol::SipInboundTrunkInfo;
use media::{Codec, Digit, RtpSession};
use service::Timeouts;
use tokio::time::{interval, timeout};

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, Wishes};
use crate::peer::{Offering, Phone};

/// Sends silence at the usual pace for `frames` frames, for the digits that wait.
async fn pace(rtp: &mut RtpSession, frames: usize) {
    let mut ticks = interval(audio::FRAME);
    for _ in 0..frames {
        ticks.tick().await;
        rtp.sender.send_silence();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_go_both_ways_beside_pcmu() {
    digits_go_both_ways(Codec::Pcmu).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_go_both_ways_beside_opus_on_its_clock() {
    digits_go_both_ways(Codec::Opus).await;
}

async fn digits_go_both_ways(codec: Codec) {
    let fixture = Fixture::wishing(Wishes {
        codecs: media::sdp::CODECS.to_vec(),
        ..Wishes::default()
    })
    .await;
    fixture.trunk(SipInboundTrunkInfo::default()).await;
    let mut phone = Phone::dial_offering(fixture.gateway.local_addr(), Offering::plain(codec)).await;
    phone.expect("SIP/2.0 180").await;
    let mut agent = Agent::join(&fixture).await;
    let mut rtp = phone.answered().await;
    let events = format!(" telephone-event/{}\r\n", codec.clock_rate_hz());
    assert!(phone.ok.contains(&events), "{}", phone.ok);
    pace(&mut rtp, 10).await;
    for (pressed, noticed) in [('5', "5"), ('#', "#"), ('A', "a")] {
        rtp.sender
            .press(Digit::from_char(pressed).expect("a digit"))
            .expect("room for it");
        pace(&mut rtp, 30).await;
        agent.wait_for(Noticed::Digit(noticed.into())).await;
    }
    let dtmf = SipDTMF {
        code: 7,
        digit: "7".into(),
        destination_identities: Vec::new(),
    };
    agent
        .room
        .local_participant()
        .publish_dtmf(dtmf)
        .await
        .expect("published");
    let digit = timeout(Duration::from_secs(5), rtp.digits.recv())
        .await
        .expect("in time");
    assert_eq!(digit.map(Digit::to_char), Some('7'));
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_answered_as_held_and_goes_on() {
    let fixture = Fixture::start(Timeouts {
        media: Duration::from_secs(1),
        ..Timeouts::default()
    })
    .await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    phone.expect("SIP/2.0 180").await;
    let _agent = Agent::join(&fixture).await;
    let mut rtp = phone.answered().await;
    pace(&mut rtp, 10).await;
    let held = phone.reinvite(2, "sendonly").await;
    assert!(held.contains("a=recvonly"), "{held}");
    // Longer than the media timeout: a held call owes no RTP.
    let bye = timeout(Duration::from_secs(2), phone.expect("BYE ")).await;
    assert!(bye.is_err(), "hung up while held");
    let resumed = phone.reinvite(3, "sendrecv").await;
    assert!(resumed.contains("a=sendrecv"), "{resumed}");
    // From here on the phone has the time of a call that has just been answered to be heard again.
    let bye = timeout(Duration::from_secs(2), phone.expect("BYE ")).await;
    assert!(bye.is_err(), "hung up when resumed");
    pace(&mut rtp, 10).await;
    phone.in_dialog("BYE", 4, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    fixture.stop().await;
}
