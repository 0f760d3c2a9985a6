//! Calls in.

use std::time::Duration;

use caller::{Call, CallerConfig, Codec};
use livekit_protocol as proto;
use proto::sip_dispatch_rule::Rule;
use serde_json::{Map, Value, json};

use super::outbound::has_status;
use super::{Seen, Stage};
use crate::fixture::{FROM, IDENTITY, PASSWORD, SOON, place};

/// Where the call leads, and how it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// No trunk has the number, or no rule has the trunk.
    NoTrunk,
    NoRule,
    /// The trunk wants a password.
    Challenged,
    /// The phone offers G.729 alone.
    NoCodec,
    /// A room of its own; the phone gives up, or an agent comes and the phone hangs up.
    Cancelled,
    LateAgent,
    /// A room with an agent.
    AgentLeaves,
    Deleted,
    Removed,
    Silent,
}

pub(super) struct Inbound {
    name: &'static str,
    way: Way,
}

const fn inbound(name: &'static str, way: Way) -> Inbound {
    Inbound { name, way }
}

pub(super) const SCENARIOS: &[Inbound] = &[
    inbound("inbound-wrong-number", Way::NoTrunk),
    inbound("inbound-trunk-no-rule", Way::NoRule),
    inbound("inbound-auth-challenge", Way::Challenged),
    inbound("inbound-no-codec", Way::NoCodec),
    inbound("inbound-cancel", Way::Cancelled),
    inbound("inbound-bye-individual-late-agent", Way::LateAgent),
    inbound("inbound-agent-leaves", Way::AgentLeaves),
    inbound("inbound-deleteroom", Way::Deleted),
    inbound("inbound-remove-direct-agent-first", Way::Removed),
    inbound("extra-rtpstop", Way::Silent),
];

/// The trunk and the rule of the recording.
async fn route(stage: &Stage, way: Way, number: &str, room: &str) {
    let api = &stage.fixture.api;
    if way == Way::NoTrunk {
        return;
    }
    let individual = matches!(way, Way::Cancelled | Way::LateAgent);
    let mut trunk = proto::SipInboundTrunkInfo {
        name: "in".into(),
        numbers: vec![number.into()],
        ..proto::SipInboundTrunkInfo::default()
    };
    if way == Way::Challenged {
        (trunk.auth_username, trunk.auth_password) = ("user".into(), PASSWORD.into());
    } else if way == Way::Removed {
        trunk.headers_to_attributes = [("X-Acct".to_owned(), "acct".to_owned())].into();
        trunk.include_headers = proto::SipHeaderOptions::SipXHeaders.into();
    }
    let trunk = api.create_sip_inbound_trunk(trunk).await.expect("trunk");
    if way == Way::NoRule {
        return;
    }
    let rule = if individual {
        Rule::DispatchRuleIndividual(proto::SipDispatchRuleIndividual {
            room_prefix: "call".into(),
            ..proto::SipDispatchRuleIndividual::default()
        })
    } else {
        Rule::DispatchRuleDirect(proto::SipDispatchRuleDirect {
            room_name: room.into(),
            pin: String::new(),
        })
    };
    let mut info = proto::SipDispatchRuleInfo {
        rule: Some(proto::SipDispatchRule { rule: Some(rule) }),
        trunk_ids: vec![trunk.sip_trunk_id],
        ..proto::SipDispatchRuleInfo::default()
    };
    if individual {
        info.metadata = "mm".into();
        info.attributes = [("biz".to_owned(), "x".to_owned())].into();
    }
    api.create_sip_dispatch_rule(info).await.expect("rule");
}

pub(super) async fn play(stage: &Stage, at: usize, scenario: &'static Inbound) -> Seen {
    let way = scenario.way;
    let number = format!("+155502{at:02}");
    let mut room = format!("replayed-in-{at}");
    route(stage, way, &number, &room).await;
    let direct = matches!(
        way,
        Way::NoCodec | Way::AgentLeaves | Way::Deleted | Way::Removed | Way::Silent
    );
    let mut agent = if direct {
        Some(stage.agent(&room).await)
    } else {
        None
    };
    let mut config = CallerConfig {
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        ..CallerConfig::new(&number, FROM, stage.fixture.gateway.local_addr())
    };
    if way == Way::NoCodec {
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 16082 RTP/AVP 18\r\n";
        config.offer = Some(sdp.into());
    } else if way == Way::Removed {
        let headers = [("X-Acct", "42"), ("X-Other", "yes")];
        config.headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
    }
    let call = place(config).await;
    let mut seen = Map::new();
    let rings = !matches!(way, Way::NoTrunk | Way::NoRule | Way::Challenged | Way::NoCodec);
    if rings {
        call.wait_ringing(SOON).await.expect("ringing");
        let joined = published(stage, &call).await;
        room = joined["room"]["name"].as_str().expect("a room").to_owned();
        if way == Way::LateAgent {
            agent = Some(stage.agent(&room).await);
        }
        if way != Way::Cancelled {
            call.wait_answered(SOON).await.expect("answered");
            has_status(stage, &room, IDENTITY, "active").await;
            if way != Way::Silent {
                seen.insert("active".into(), stage.participant(&room, IDENTITY).await);
            }
        }
        end(stage, way, &room, &call, &mut agent).await;
        stage
            .webhooks
            .wait_for_event(&room, "participant_left", IDENTITY)
            .await;
    }
    call.wait_ended(Duration::from_secs(30)).await.expect("ended");
    if rings || way == Way::NoCodec {
        let _ = stage.fixture.api.delete_room(&room).await;
        seen.insert("webhooks".into(), stage.story(&room).await);
    }
    if way == Way::NoCodec {
        // The recording ends before the room does.
        let events = seen["webhooks"].as_array_mut().expect("events");
        events.truncate(1);
    }
    let attributes = seen
        .get("webhooks")
        .map(|events| events[1]["participant"]["attributes"].clone());
    let host = attributes.and_then(|it| it["sip.hostname"].as_str().map(str::to_owned));
    seen.insert("answers".into(), answers(&call));
    let names = vec![
        (room, "<room>"),
        (host.unwrap_or_default(), "<host>"),
        (number, "<trunk's number>"),
        (FROM.to_owned(), "<phone>"),
    ];
    Seen {
        scenario: scenario.name,
        fields: seen,
        names,
    }
}

async fn end(stage: &Stage, way: Way, room: &str, call: &Call, agent: &mut Option<crate::agent::Agent>) {
    match way {
        Way::AgentLeaves => agent.take().expect("an agent").leave().await,
        Way::Deleted => stage.fixture.api.delete_room(room).await.expect("deleted"),
        Way::Removed => {
            let removed = stage.fixture.api.remove_participant(room, IDENTITY).await;
            removed.expect("removed");
        }
        Way::Silent => call.stop_sending(),
        _ => call.hang_up().await,
    }
}

/// The webhook of the phone's track.
async fn published(stage: &Stage, call: &Call) -> Value {
    let is_ours = |event: &Value| event["participant"]["attributes"]["sip.callIDFull"] == call.call_id();
    let joined = stage.webhooks.wait_for("the phone joins", is_ours).await;
    let room = joined["room"]["name"].as_str().expect("a room");
    stage
        .webhooks
        .wait_for_event(room, "track_published", IDENTITY)
        .await;
    joined
}

/// What the phone got, without repeats: status lines and methods.
fn answers(call: &Call) -> Value {
    let mut lines = Vec::new();
    for message in call.trace().into_iter().filter(|message| !message.sent) {
        let first = message.text.lines().next().unwrap_or_default();
        let is_answer = first.starts_with("SIP/2.0");
        let line = if is_answer {
            first
        } else {
            first.split(' ').next().unwrap_or_default()
        };
        if lines.last().is_none_or(|last| last != line) {
            lines.push(line.to_owned());
        }
    }
    json!(lines)
}
