//! Calls whose sound is encrypted, by keys in the SDP.

use events::LegRecord;
use livekit_protocol as proto;
use media::{Codec, Suite};
use platform::config::SipLadder;
use proto::SipMediaEncryption::{SipMediaEncryptAllow, SipMediaEncryptDisable, SipMediaEncryptRequire};
use service::Timeouts;

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, Wishes};
use crate::logs;
use crate::peer::{Offering, Phone, talk};
use crate::speech::{at_rate, babble, found_in};

pub(crate) fn config(encryption: proto::SipMediaEncryption) -> proto::SipMediaConfig {
    proto::SipMediaConfig {
        encryption: Some(encryption.into()),
        ..proto::SipMediaConfig::default()
    }
}

fn encrypting(encryption: proto::SipMediaEncryption) -> proto::SipInboundTrunkInfo {
    proto::SipInboundTrunkInfo {
        media: Some(config(encryption)),
        ..proto::SipInboundTrunkInfo::default()
    }
}

pub(crate) fn requiring() -> proto::SipInboundTrunkInfo {
    encrypting(SipMediaEncryptRequire)
}

pub(crate) async fn suite_of(fixture: &Fixture) -> Option<String> {
    let LegRecord { media, .. } = fixture.leg().await;
    media.expect("sound").srtp
}

async fn speech_comes_back(suite: Suite) {
    let fixture = Fixture::wishing(Wishes {
        ladder: SipLadder::Whole,
        ..Wishes::default()
    })
    .await;
    fixture.trunk(encrypting(SipMediaEncryptRequire)).await;
    let offering = Offering::encrypted(Codec::Pcmu, suite);
    let mut phone = Phone::dial_offering(fixture.gateway.local_addr(), offering).await;
    phone.expect("SIP/2.0 180").await;
    let mut agent = Agent::join(&fixture).await;
    let mut rtp = phone.answered().await;
    assert!(phone.ok.contains(" RTP/SAVP "), "{}", phone.ok);
    talk(&mut rtp, &[], 10).await;
    agent.wait_for(Noticed::Status("active".into())).await;
    let spoken = babble(3);
    let heard = talk(&mut rtp, &at_rate(&spoken, 8_000), 190).await;
    let matches = found_in(&spoken, &heard, 8_000);
    println!("{suite:?}: coefficient and lag in ms of each 600 ms: {matches:.2?}");
    let good = matches.iter().filter(|(coefficient, _)| *coefficient >= 0.8);
    assert!(good.count() * 5 >= matches.len() * 4, "{matches:.2?}");
    let stats = rtp.control.stats();
    assert_eq!(
        (stats.packets_unauthentic, stats.packets_replayed),
        (0, 0),
        "{stats:?}"
    );
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    assert_eq!(suite_of(&fixture).await.as_deref(), Some(suite.name()));
    let keys = phone.keys();
    assert_eq!(keys.len(), 2, "{}", phone.ok);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    logs::assert_free_of(&keys);
    let ladders = fixture.kept("calls/", ".txt").await;
    for (_, ladder) in &ladders {
        assert_eq!(ladder.matches("inline:[key]").count(), 2, "{ladder}");
        assert!(!keys.iter().any(|key| ladder.contains(key)), "{ladder}");
    }
    assert_eq!(ladders.len(), 1);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_speech_goes_into_the_room_and_back_with_80_bits() {
    speech_comes_back(Suite::Aes128CmSha1_80).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_speech_goes_into_the_room_and_back_with_32_bits() {
    speech_comes_back(Suite::Aes128CmSha1_32).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_requires_srtp_refuses_plain_calls_and_one_without_refuses_encrypted_ones() {
    for (encryption, offering, why) in [
        (
            SipMediaEncryptRequire,
            Offering::plain(Codec::Pcmu),
            "SRTP is required",
        ),
        (
            SipMediaEncryptDisable,
            Offering::encrypted(Codec::Pcmu, Suite::Aes128CmSha1_80),
            "SRTP is off for this trunk",
        ),
    ] {
        let fixture = Fixture::bare(Timeouts::default()).await;
        fixture.trunk(encrypting(encryption)).await;
        let phone = Phone::dial_offering(fixture.gateway.local_addr(), offering).await;
        let refusal = phone.expect("SIP/2.0 488").await;
        assert!(refusal.contains(why), "{refusal}");
        fixture.released().await;
        fixture.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_allows_srtp_takes_plain_calls_too() {
    let fixture = Fixture::bare(Timeouts::default()).await;
    fixture.trunk(encrypting(SipMediaEncryptAllow)).await;
    let mut phone = Phone::dial(fixture.gateway.local_addr()).await;
    phone.expect("SIP/2.0 180").await;
    let _agent = Agent::join(&fixture).await;
    let mut rtp = phone.answered().await;
    talk(&mut rtp, &[], 10).await;
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    assert_eq!(suite_of(&fixture).await, None);
    fixture.stop().await;
}
