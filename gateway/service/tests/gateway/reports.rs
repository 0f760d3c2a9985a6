//! Reports of RTCP, between the gateway and a phone.

use std::time::Duration;

use media::{Codec, Suite};
use service::Timeouts;
use tokio::time::timeout;

use crate::agent::Agent;
use crate::fixture::Fixture;
use crate::peer::{Offering, Phone, talk};
use crate::srtp;

/// The gateway's first report comes within four seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Reports of the phone's, a second of them, so that the gateway has read what they say.
const MORE: u64 = 5;

/// What the phone says of the gateway's sound, and what both measure, is in the call's record.
async fn are_in_the_record(fixture: Fixture, offering: Offering) {
    let mux = offering.mux;
    let mut phone = Phone::dial_offering(fixture.gateway.local_addr(), offering).await;
    phone.expect("SIP/2.0 180").await;
    let _agent = Agent::join(&fixture).await;
    let mut rtp = phone.answered().await;
    assert_eq!(phone.ok.contains("a=rtcp-mux"), mux, "{}", phone.ok);
    let told = async {
        while rtp.control.stats().round_trip.is_none() {
            talk(&mut rtp, &[], 5).await;
        }
        let enough = rtp.control.stats().reports_sent + MORE;
        while rtp.control.stats().reports_sent < enough {
            talk(&mut rtp, &[], 5).await;
        }
    };
    timeout(PATIENCE, told).await.expect("they report to each other");
    let stats = rtp.control.stats();
    println!("the phone: {stats:?}");
    assert_eq!(
        (stats.reports_refused, stats.packets_malformed),
        (0, 0),
        "{stats:?}"
    );
    phone.in_dialog("BYE", 2, "").await;
    phone.expect("SIP/2.0 200").await;
    phone.cancel.cancel();
    fixture.released().await;
    let media = fixture.leg().await.media.expect("sound");
    println!("the gateway: {media:?}");
    assert!(media.round_trip_ms.is_some_and(|ms| ms < 5_000.0), "{media:?}");
    assert!(
        media.phone_lost.is_some() && media.phone_jitter_ms.is_some(),
        "{media:?}"
    );
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_port_of_their_own_they_are_heard_and_kept() {
    let fixture = Fixture::start(Timeouts::default()).await;
    are_in_the_record(fixture, Offering::plain(Codec::Pcmu)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_encrypted_sound_they_are_heard_and_kept() {
    let fixture = Fixture::bare(Timeouts::default()).await;
    fixture.trunk(srtp::requiring()).await;
    let offering = Offering {
        mux: true,
        ..Offering::encrypted(Codec::Pcmu, Suite::Aes128CmSha1_32)
    };
    are_in_the_record(fixture, offering).await;
}
