//! A leg's detail record, as the call fills it in.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use events::livekit::{Attributes, attribute};
use events::{EndedBy, LegHost, LegMedia, LegRecord, Parties, Regions, SipStatus, Timestamp};
use media::quality;
use platform::clock::{Clock as _, SystemClock};
use platform::redact;
use sip::{Destination, HostFault};

use super::machine::EndReason;
use super::media_leg::MediaLeg;
use crate::room::RoomLeg;

/// Of a phrase that the other side has chosen.
const MAX_PHRASE_CHARS: usize = 128;

pub(super) fn now() -> Timestamp {
    SystemClock.now().into()
}

/// What the participant's attributes say: parties, as far as they are not hidden, trunk and rule.
pub(super) fn described(leg: &mut LegRecord, attributes: &HashMap<String, String>, regions: &Regions) {
    let attributes: BTreeMap<String, String> = attributes
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let attributes = Attributes::from(attributes);
    let Parties { caller, called } = Parties::of(&attributes, regions);
    let text = |name| attributes.get(name).map(str::to_owned);
    (leg.caller, leg.called) = (Some(caller), Some(called));
    (leg.trunk, leg.rule) = (text(attribute::SIP_TRUNK), text(attribute::SIP_RULE));
}

/// Which room it is, and when that was created.
pub(super) async fn placed(leg: &mut LegRecord, room: &RoomLeg) -> Option<Timestamp> {
    leg.call = room.sid().await.parse().ok();
    leg.room = room.name().parse().ok();
    room.created_at()
}

/// The INVITE goes to this host.
pub(super) fn tried(leg: &mut LegRecord, host: &Destination) {
    leg.hosts.push(LegHost {
        address: host.address.to_string(),
        transport: host.transport.to_string(),
        fault: None,
    });
}

/// It came to nothing there.
pub(super) fn host_failed(leg: &mut LegRecord, fault: HostFault) {
    if let Some(host) = leg.hosts.last_mut() {
        host.fault = Some(fault.as_str().to_owned());
    }
}

/// The final answer to the INVITE.
pub(super) fn answered(leg: &mut LegRecord, code: u16, phrase: &str) {
    let phrase = redact::mask(phrase).chars().take(MAX_PHRASE_CHARS).collect();
    leg.status = Some(SipStatus { code, phrase });
}

/// How the sound was.
pub(super) fn heard(leg: &mut LegRecord, media: &MediaLeg, delay: Duration) {
    let (Some(codec), Some(stats)) = (media.codec(), media.stats()) else {
        return;
    };
    let loss_percent = quality::loss_percent(&stats);
    let network = stats.round_trip.unwrap_or_default() / 2;
    let mos = (stats.packets_received > 0).then(|| quality::mos(loss_percent, delay + network));
    leg.media = Some(LegMedia {
        codec: codec.name().to_owned(),
        srtp: media.suite().map(|suite| suite.name().to_owned()),
        packets_received: stats.packets_received,
        packets_lost: stats.packets_lost,
        loss_percent: rounded(loss_percent),
        jitter_ms: rounded(ms(stats.jitter)),
        frames_concealed: stats.frames_concealed,
        packets_sent: stats.packets_sent,
        gaps: media.faults().gaps,
        mos: mos.map(rounded),
        round_trip_ms: stats.round_trip.map(|time| rounded(ms(time))),
        phone_lost: stats.peer_lost,
        phone_jitter_ms: stats.peer_jitter.map(|time| rounded(ms(time))),
    });
}

/// Who ended it and why.
pub(super) fn ended(leg: &mut LegRecord, reason: EndReason) {
    leg.ended_at = now();
    reason.as_str().clone_into(&mut leg.reason);
    let (by, why) = told(reason);
    leg.ended_by = by;
    let status = leg.status.as_ref().filter(|_| reason == EndReason::NotPutThrough);
    leg.why = match status {
        Some(SipStatus { code, phrase }) => format!("{why}: {code} {phrase}"),
        None => why.to_owned(),
    };
}

/// It never had a room.
pub(super) fn refused(leg: &mut LegRecord, code: u16, why: &str) {
    answered(leg, code, "");
    ended(leg, EndReason::Refused);
    leg.why = format!("{}: {why}", leg.why);
}

fn told(reason: EndReason) -> (EndedBy, &'static str) {
    match reason {
        EndReason::Refused => (EndedBy::Gateway, "the gateway refused the call"),
        EndReason::Cancelled => (EndedBy::Phone, "the caller gave up before the call was answered"),
        EndReason::CallerHungUp => (EndedBy::Phone, "the phone hung up"),
        EndReason::NotPutThrough => (EndedBy::Phone, "the phone was not put through"),
        EndReason::NotAnswered => (EndedBy::Network, "nobody picked the phone up in time"),
        EndReason::Unreachable => (EndedBy::Network, "nobody answered the INVITE"),
        EndReason::NoMedia => (
            EndedBy::Gateway,
            "the phone's SDP has nothing that the gateway speaks",
        ),
        EndReason::Transferred => (EndedBy::Agent, "the phone was transferred"),
        EndReason::NoAgent => (EndedBy::Agent, "no agent was heard in time"),
        EndReason::NoAgentPrompt => (
            EndedBy::Gateway,
            "no agent was heard in time, and the caller was told so",
        ),
        EndReason::NoAgentTransfer => (
            EndedBy::Gateway,
            "no agent was heard in time, and the phone was transferred",
        ),
        EndReason::WrongPin => (EndedBy::Gateway, "no PIN that the caller entered was right"),
        EndReason::NoPin => (EndedBy::Phone, "the caller entered no PIN in time"),
        EndReason::AgentLeft => (EndedBy::Agent, "the agent left"),
        EndReason::AgentLost => (
            EndedBy::Agent,
            "the agent vanished and no other came in its place",
        ),
        EndReason::EndCall => (EndedBy::Room, "a participant of the room ended the call"),
        EndReason::RoomClosed => (
            EndedBy::Room,
            "the room was closed, as agents do when they hang up",
        ),
        EndReason::Removed => (EndedBy::Room, "the phone was removed from the room"),
        EndReason::Disconnected => (EndedBy::Network, "the connection to the room was lost"),
        EndReason::MediaTimeout => (EndedBy::Network, "no sound came from the phone for too long"),
        EndReason::MaxDuration => (EndedBy::Gateway, "the longest duration was reached"),
        EndReason::NotAcknowledged => (EndedBy::Network, "the phone never acknowledged the answer"),
        EndReason::SessionExpired => (EndedBy::Network, "the phone did not refresh the session in time"),
        EndReason::DialogEnded => (EndedBy::Network, "the SIP dialog broke off"),
        EndReason::ShutDown => (EndedBy::Gateway, "the gateway was stopped"),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// To two decimals: more of them would promise what is not known.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use events::{Direction, Party};

    use super::*;

    fn leg() -> LegRecord {
        LegRecord::begun("SCL_1", "id", Direction::Outbound, now())
    }

    #[test]
    fn who_refused_says_how_and_numbers_in_a_phrase_are_masked() {
        let mut leg = leg();
        answered(&mut leg, 486, "Busy Here, try +15551234567");
        ended(&mut leg, EndReason::NotPutThrough);
        assert_eq!(
            leg.why,
            "the phone was not put through: 486 Busy Here, try [phone]"
        );
        assert_eq!(
            (leg.ended_by, leg.reason.as_str()),
            (EndedBy::Phone, "not_put_through")
        );
    }

    #[test]
    fn what_the_rule_hides_is_anonymous() {
        let mut leg = leg();
        let attributes = [("sip.trunkID", "ST_1"), ("sip.trunkPhoneNumber", "+15550100")];
        let attributes = attributes.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        described(&mut leg, &attributes, &Regions::default());
        assert_eq!(leg.caller, Some(Party::Anonymous));
        assert_eq!(leg.called, Some(Party::parse("+15550100", None)));
        assert_eq!((leg.trunk.as_deref(), leg.rule), (Some("ST_1"), None));
    }
}
