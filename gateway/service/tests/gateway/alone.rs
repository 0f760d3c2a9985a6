//! Callers whom nobody answers, and those who wait: what they hear of us, and where they go.

use std::path::PathBuf;
use std::time::Duration;

use events::EndedBy;
use livekit_protocol as proto;
use platform::config::{SipNoAgent, SipSounds};
use platform::livekit::{LiveKitError, ProtoDuration};
use service::Timeouts;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::fixture::{Fixture, IDENTITY, ROOM, SOON, Wishes};
use crate::outbound::allowed;
use crate::peer::Phone;
use crate::pins::{hears, hears_the_agent, press};
use crate::sessions::{HOPS, SDP, answered, asked, invite, replies, within};
use crate::sipp::Sipp;

/// Files of a tone each.
struct Recordings(TempDir);

impl Recordings {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    /// At a rate that is no codec's.
    fn tone(&self, frequency_hz: f64, seconds: usize) -> PathBuf {
        let rate = 22_050;
        let mut samples = Vec::new();
        audio::tone::Tone::new(frequency_hz, rate, 8_000).fill(rate as usize * seconds, &mut samples);
        let path = self.0.path().join(format!("{frequency_hz}.wav"));
        let mut file = std::fs::File::create(&path).expect("created");
        audio::wav::write(&mut file, &samples, rate).expect("written");
        path
    }
}

/// With a trunk and a rule; nobody waits long for an agent.
async fn lonely(no_agent: SipNoAgent, sounds: SipSounds) -> Fixture {
    let fixture = Fixture::wishing(Wishes {
        timeouts: Timeouts {
            no_agent: Duration::from_secs(1),
            ..Timeouts::default()
        },
        calls: allowed(),
        no_agent,
        sounds,
        ..Wishes::default()
    })
    .await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_that_nobody_is_there_and_is_hung_up_on() {
    let recordings = Recordings::new();
    let sounds = SipSounds {
        no_agent: Some(recordings.tone(700.0, 2)),
        ..SipSounds::default()
    };
    let fixture = lonely(SipNoAgent::Prompt, sounds).await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    let mut rtp = phone.answered().await;
    hears(&mut rtp, 700.0).await;
    let bye = phone.expect("BYE ").await;
    assert!(bye.contains("no_agent_prompt"), "{bye}");
    phone.agree(&bye).await;
    phone.cancel.cancel();
    fixture.released().await;
    let leg = fixture.leg().await;
    assert_eq!(
        (leg.reason.as_str(), leg.ended_by),
        ("no_agent_prompt", EndedBy::Gateway)
    );
    let sounded = leg.ended_at.unix_ms() - leg.answered_at.expect("answered").unix_ms();
    assert!((2_000..4_000).contains(&sounded), "{sounded} ms");
    fixture.stop().await;
}

/// A caller that is answered and sent away, and says this of it.
fn is_sent_away(answer: &str, notify: Option<&str>, reason: &str) -> Vec<String> {
    let mut steps = vec![
        invite(1, HOPS, SDP),
        answered("200", &[]),
        within("ACK", 1, "", ""),
        asked("REFER", "Refer-To", "tel:.15558888"),
        replies("", "").replace("200 OK", answer),
    ];
    if let Some(notify) = notify {
        let event = "Event: refer\nSubscription-State: terminated;reason=noresource\n";
        let fragment = within("NOTIFY", 2, event, &format!("SIP/2.0 {notify}"));
        steps.push(fragment.replace("application/sdp", "message/sipfrag;version=2.0"));
        steps.push("<recv response=\"200\" timeout=\"15000\"/>\n".to_owned());
    }
    steps.extend([asked("BYE", "Reason", reason), replies("", "")]);
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_goes_where_calls_without_an_agent_go_or_hears_that_nobody_is_there() {
    let recordings = Recordings::new();
    let sounds = SipSounds {
        no_agent: Some(recordings.tone(700.0, 1)),
        ..SipSounds::default()
    };
    let fixture = lonely(SipNoAgent::Transfer("+15558888".into()), sounds).await;
    for (answer, notify, reason) in [
        ("202 Accepted", Some("200 OK"), "no_agent_transfer"),
        ("603 Decline", None, "no_agent_prompt"),
        ("202 Accepted", Some("486 Busy Here"), "no_agent_prompt"),
    ] {
        let steps = is_sent_away(answer, notify, reason);
        let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
        caller.went_by_the_scenario().await;
        fixture.released().await;
    }
    let kept = fixture.kept("calls/", ".json").await;
    let sent = kept.iter().filter(|(_, text)| text.contains("no_agent_transfer"));
    assert_eq!((kept.len(), sent.count()), (3, 1), "{kept:?}");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_asked_for_the_pin_by_recordings_and_hears_music_until_an_agent_comes() {
    let recordings = Recordings::new();
    let sounds = SipSounds {
        pin: Some(recordings.tone(700.0, 2)),
        wrong_pin: Some(recordings.tone(1_100.0, 1)),
        hold: Some(recordings.tone(850.0, 1)),
        ..SipSounds::default()
    };
    let fixture = Fixture::wishing(Wishes {
        sounds,
        ..Wishes::default()
    })
    .await;
    fixture.locked("4711").await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    let mut rtp = phone.answered().await;
    hears(&mut rtp, 700.0).await;
    press(&mut rtp, "17#").await;
    hears(&mut rtp, 1_100.0).await;
    // Asked again.
    hears(&mut rtp, 700.0).await;
    press(&mut rtp, "4711#").await;
    hears(&mut rtp, 850.0).await;
    let agent = Agent::join(&fixture).await;
    hears_the_agent(&mut rtp, &agent).await;
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_being_transferred_hears_music_and_then_the_room_again() {
    let recordings = Recordings::new();
    let sounds = SipSounds {
        hold: Some(recordings.tone(850.0, 1)),
        ..SipSounds::default()
    };
    let fixture = lonely(SipNoAgent::Refuse, sounds).await;
    let agent = Agent::join(&fixture).await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    let mut rtp = phone.answered().await;
    let wanted = proto::TransferSipParticipantRequest {
        participant_identity: IDENTITY.into(),
        room_name: ROOM.into(),
        transfer_to: "tel:+15558888".into(),
        ringing_timeout: Some(ProtoDuration { seconds: 3, nanos: 0 }),
        ..proto::TransferSipParticipantRequest::default()
    };
    let patient = fixture.api.within(SOON);
    let transfer = patient.transfer_sip_participant(&wanted);
    let waits = async {
        let refer = phone.expect("REFER ").await;
        phone.agree(&refer).await;
        hears(&mut rtp, 850.0).await;
    };
    let (transferred, ()) = tokio::join!(transfer, waits);
    let error = transferred.expect_err("nothing was heard of it");
    assert!(!matches!(error, LiveKitError::Sip { .. }), "{error:?}");
    hears_the_agent(&mut rtp, &agent).await;
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    fixture.stop().await;
}
