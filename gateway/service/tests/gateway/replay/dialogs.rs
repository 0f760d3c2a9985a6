//! Calls in by other programs: sipp, which plays phones that do more than to call and to hang up, and baresip.

use livekit_protocol as proto;
use proto::sip_dispatch_rule::Rule;
use serde_json::{Map, Value, json};

use super::bus::Of;
use super::inbound::{make, names};
use super::messages::Told;
use super::outbound::has_status;
use super::{Seen, Stage};
use crate::baresip::Baresip;
use crate::fixture::NUMBER;
use crate::sessions::{HOPS, SDP, answered, invite, replies, within};
use crate::sipp::{self, Sipp};

/// Whom baresip calls as.
const BARESIP: &str = "+15557002";

/// What the phone does once it was answered.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// It acknowledges nothing, and hangs up.
    NoAck,
    /// It holds the call, and hangs up.
    Holds,
    /// It is sent elsewhere; what its NOTIFY says, and whether it hears the ringing.
    Sent(&'static str, bool),
    /// It hangs up after a while.
    HangsUp,
    /// The same, played by baresip.
    Baresip,
}

pub(super) struct Dialog {
    name: &'static str,
    then: Then,
}

const fn dialog(name: &'static str, then: Then) -> Dialog {
    Dialog { name, then }
}

pub(super) const SCENARIOS: &[Dialog] = &[
    dialog("extra-noack", Then::NoAck),
    dialog("extra-reinvite", Then::Holds),
    dialog("extra-transfer-inbound-ok", Then::Sent("200 OK", false)),
    dialog("extra-transfer-inbound-busy", Then::Sent("486 Busy Here", false)),
    dialog("extra-transfer-inbound-dialtone", Then::Sent("200 OK", true)),
    dialog("real-sipp", Then::HangsUp),
    dialog("real-baresip", Then::Baresip),
];

fn steps(then: Then, number: &str) -> Vec<String> {
    let mut steps = vec![invite(1, HOPS, SDP), answered("200", &[])];
    match then {
        Then::NoAck => {
            // The 200 is repeated after half a second, and a second later.
            steps.extend([sipp::pause(2_500), hangs_up(2)]);
        }
        Then::HangsUp | Then::Baresip => {
            steps.extend([within("ACK", 1, "", ""), sipp::pause(4_000), hangs_up(2)]);
        }
        Then::Holds => {
            let held = format!("{SDP}a=sendonly\n");
            steps.extend([
                within("ACK", 1, "", ""),
                sipp::pause(500),
                within("INVITE", 5, "", &held),
                answered("200", &[]),
                within("ACK", 5, "", ""),
                sipp::pause(500),
                hangs_up(7),
            ]);
        }
        Then::Sent(outcome, _) => {
            steps.extend([
                within("ACK", 1, "", ""),
                sipp::receive("REFER"),
                replies("", "").replace("200 OK", "202 Accepted"),
                notify(11, "active;expires=60", "100 Trying"),
                answered("200", &[]),
                sipp::pause(300),
                notify(12, "terminated;reason=noresource", outcome),
                answered("200", &[]),
            ]);
            if outcome.starts_with("200") {
                steps.extend([sipp::receive("BYE"), replies("", "")]);
            } else {
                steps.extend([sipp::pause(500), hangs_up(13)]);
            }
        }
    }
    steps.iter().map(|step| step.replace(NUMBER, number)).collect()
}

fn hangs_up(cseq: u32) -> String {
    within("BYE", cseq, "", "") + &answered("200", &[("CSeq", "BYE")])
}

fn notify(cseq: u32, state: &str, outcome: &str) -> String {
    let headers = format!("Event: refer\nSubscription-State: {state}\n");
    let notify = within("NOTIFY", cseq, &headers, &format!("SIP/2.0 {outcome}\n"));
    notify.replace("application/sdp", "message/sipfrag;version=2.0")
}

/// Who calls.
enum Phone {
    Sipp(Sipp),
    Baresip(Baresip),
}

impl Phone {
    async fn calls(stage: &Stage, then: Then, number: &str) -> Self {
        let gateway = stage.fixture.gateway.local_addr();
        if !matches!(then, Then::Baresip) {
            return Self::Sipp(Sipp::call(gateway, &steps(then, number)));
        }
        let baresip = Baresip::calls(BARESIP);
        baresip.says("baresip is ready").await;
        let mut controls = baresip.controls().await;
        controls.tell("dial", &format!("sip:{number}@{gateway}")).await;
        Self::Baresip(baresip)
    }

    /// Sees to it that the phone hangs up, unless it does so by itself.
    async fn hangs_up(&self) {
        if let Self::Baresip(baresip) = self {
            baresip.controls().await.tell("hangup", "").await;
            baresip.says("terminate call").await;
        }
    }

    /// The messages of the call, as far as the phone tells.
    async fn messages(self) -> Vec<Told> {
        let messages = match self {
            Self::Sipp(sipp) => sipp.messages().await,
            Self::Baresip(baresip) => {
                baresip.stop().await;
                Vec::new()
            }
        };
        let messages = messages.into_iter();
        messages.map(|(sent, text)| Told { sent, text }).collect()
    }
}

pub(super) async fn play(stage: &Stage, at: usize, scenario: &'static Dialog) -> Seen {
    let number = format!("+155503{at:02}");
    let room = format!("replayed-dialog-{at}");
    let trunk = proto::SipInboundTrunkInfo {
        name: "in".into(),
        numbers: vec![number.clone()],
        ..proto::SipInboundTrunkInfo::default()
    };
    let direct = proto::SipDispatchRuleDirect {
        room_name: room.clone(),
        pin: String::new(),
    };
    let rule = proto::SipDispatchRuleInfo {
        rule: Some(proto::SipDispatchRule {
            rule: Some(Rule::DispatchRuleDirect(direct)),
        }),
        ..proto::SipDispatchRuleInfo::default()
    };
    make(stage, trunk, Some(rule)).await;
    let agent = stage.agent(&room).await;
    let phone = Phone::calls(stage, scenario.then, &number).await;
    let is_ours = |event: &Value| event["participant"]["attributes"]["sip.trunkPhoneNumber"] == number;
    let (_, identity) = stage.published(is_ours).await;
    let mut seen = Map::new();
    agent.diary.wait_for("subscribed").await;
    if !matches!(scenario.then, Then::NoAck | Then::Holds) {
        has_status(stage, &room, &identity, "active").await;
        agent.diary.wait_for_status("active").await;
    }
    match scenario.then {
        Then::Sent(_, play_dialtone) => {
            let request = json!({
                "participant_identity": identity, "room_name": room, "transfer_to": "tel:+15558888",
                "play_dialtone": play_dialtone, "headers": {"X-T": "1"},
            });
            let transferred = stage.twirp("SIP/TransferSIPParticipant", &request).await;
            seen.insert("transfer".into(), transferred);
        }
        Then::HangsUp | Then::Baresip => {
            seen.insert("active".into(), stage.participant(&room, &identity).await);
        }
        Then::NoAck | Then::Holds => {}
    }
    phone.hangs_up().await;
    agent.diary.wait_for("left").await;
    let trace = phone.messages().await;
    seen.insert("others".into(), Value::Object(agent.diary.read()));
    let _ = stage.fixture.api.delete_room(&room).await;
    let story = stage.story(&room).await;
    let call_id = story[1]["participant"]["attributes"]["sip.callIDFull"].as_str();
    let bus = stage.bus.of(&Of::CallId(call_id.expect("a Call-ID")));
    seen.insert("webhooks".into(), story);
    let mut names = names(&seen, room, number);
    names.push((BARESIP.to_owned(), "<phone>".into()));
    Seen {
        scenario: scenario.name,
        bus,
        fields: seen,
        trace,
        names,
    }
}
