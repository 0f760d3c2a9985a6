//! Calls in.

use std::time::Duration;

use caller::{Call, CallerConfig, Codec, Credentials};
use livekit_protocol as proto;
use proto::sip_dispatch_rule::Rule;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use super::bus::Of;
use super::messages::Told;
use super::outbound::has_status;
use super::{Seen, Stage};
use crate::agent::Agent;
use crate::fixture::{FROM, PASSWORD, SOON, place};

const PIN: &str = "1234";

/// Where the call leads, and how it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// No trunk has the number, or no rule has the trunk.
    NoTrunk,
    NoRule,
    /// The trunk wants a password: there is none, the wrong one, or the right one, and the rule hides the number.
    Challenged,
    WrongPassword,
    Hidden,
    /// The phone offers G.729 alone.
    NoCodec,
    /// A room of its own; the phone gives up, or an agent comes and the phone hangs up.
    Cancelled,
    LateAgent,
    LateAgentG722,
    /// A room with an agent.
    AgentLeaves,
    Deleted,
    Removed,
    Silent,
    /// No sound comes at all.
    Mute,
    /// The phone hangs up, after it has said more in its INVITE, or asked for other things from the same port.
    Headers,
    Others,
    /// The room needs a PIN; the phone hangs up.
    Pin,
}

impl Way {
    fn joins(self) -> bool {
        let refused = [
            Self::NoTrunk,
            Self::NoRule,
            Self::Challenged,
            Self::WrongPassword,
            Self::NoCodec,
        ];
        !refused.contains(&self)
    }

    fn has_room_of_its_own(self) -> bool {
        matches!(self, Self::Cancelled | Self::LateAgent | Self::LateAgentG722)
    }

    /// An agent waits in the room.
    fn is_awaited(self) -> bool {
        (self.joins() && !self.has_room_of_its_own()) || matches!(self, Self::NoCodec | Self::WrongPassword)
    }

    fn wants_password(self) -> bool {
        matches!(self, Self::Challenged | Self::WrongPassword | Self::Hidden)
    }

    fn has_headers(self) -> bool {
        matches!(self, Self::Removed | Self::Headers)
    }
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
    inbound("inbound-wrong-number-40s", Way::NoTrunk),
    inbound("inbound-trunk-no-rule", Way::NoRule),
    inbound("inbound-auth-challenge", Way::Challenged),
    inbound("inbound-no-codec", Way::NoCodec),
    inbound("inbound-cancel", Way::Cancelled),
    inbound("inbound-bye-individual-late-agent", Way::LateAgent),
    inbound("inbound-bye-individual-g722", Way::LateAgentG722),
    inbound("inbound-agent-leaves", Way::AgentLeaves),
    inbound("inbound-deleteroom", Way::Deleted),
    inbound("inbound-remove-direct-agent-first", Way::Removed),
    inbound("inbound-media-timeout", Way::Mute),
    inbound("extra-rtpstop", Way::Silent),
    inbound("extra-auth-wrong", Way::WrongPassword),
    inbound("extra-auth-ok-hide", Way::Hidden),
    inbound("extra-pin", Way::Pin),
    inbound("extra-xheaders", Way::Headers),
    inbound("extra-misc", Way::Others),
];

/// The trunk and the rule of the recording.
async fn route(stage: &Stage, way: Way, number: &str, room: &str) {
    if way == Way::NoTrunk {
        return;
    }
    let mut trunk = proto::SipInboundTrunkInfo {
        name: "in".into(),
        numbers: vec![number.into()],
        ..proto::SipInboundTrunkInfo::default()
    };
    if way.wants_password() {
        (trunk.auth_username, trunk.auth_password) = ("user".into(), PASSWORD.into());
    }
    if way.has_headers() {
        trunk.headers_to_attributes = [("X-Acct".to_owned(), "acct".to_owned())].into();
        trunk.include_headers = proto::SipHeaderOptions::SipXHeaders.into();
    }
    let rule = if way.has_room_of_its_own() {
        Rule::DispatchRuleIndividual(proto::SipDispatchRuleIndividual {
            room_prefix: "call".into(),
            ..proto::SipDispatchRuleIndividual::default()
        })
    } else {
        Rule::DispatchRuleDirect(proto::SipDispatchRuleDirect {
            room_name: room.into(),
            pin: if way == Way::Pin {
                PIN.into()
            } else {
                String::new()
            },
        })
    };
    let mut info = proto::SipDispatchRuleInfo {
        rule: Some(proto::SipDispatchRule { rule: Some(rule) }),
        hide_phone_number: way == Way::Hidden,
        ..proto::SipDispatchRuleInfo::default()
    };
    if way.has_room_of_its_own() {
        info.metadata = "mm".into();
        info.attributes = [("biz".to_owned(), "x".to_owned())].into();
    }
    make(stage, trunk, (way != Way::NoRule).then_some(info)).await;
}

/// Makes a trunk, and a rule for it.
pub(super) async fn make(
    stage: &Stage,
    trunk: proto::SipInboundTrunkInfo,
    rule: Option<proto::SipDispatchRuleInfo>,
) {
    let api = &stage.fixture.api;
    let trunk = api.create_sip_inbound_trunk(trunk).await.expect("trunk");
    if let Some(mut rule) = rule {
        rule.trunk_ids = vec![trunk.sip_trunk_id];
        api.create_sip_dispatch_rule(rule).await.expect("rule");
    }
}

fn phone(stage: &Stage, way: Way, number: &str) -> CallerConfig {
    let mut config = CallerConfig {
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        ..CallerConfig::new(number, FROM, stage.fixture.gateway.local_addr())
    };
    if way == Way::LateAgentG722 {
        config.codecs.insert(0, Codec::G722);
    }
    if matches!(way, Way::Hidden | Way::WrongPassword) {
        let password = if way == Way::Hidden { PASSWORD } else { "another" };
        config.credentials = Some(Credentials {
            username: "user".into(),
            password: password.into(),
        });
    }
    if way == Way::NoCodec {
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 16082 RTP/AVP 18\r\n";
        config.offer = Some(sdp.into());
    }
    if way.has_headers() {
        let headers = [("X-Acct", "42"), ("X-Other", "yes"), ("Subject", "hi")];
        config.headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
    }
    config
}

pub(super) async fn play(stage: &Stage, at: usize, scenario: &'static Inbound) -> Seen {
    let way = scenario.way;
    let number = format!("+155502{at:02}");
    let mut room = format!("replayed-in-{at}");
    route(stage, way, &number, &room).await;
    let mut agent = if way.is_awaited() {
        Some(stage.agent(&room).await)
    } else {
        None
    };
    let call = place(phone(stage, way, &number)).await;
    let mut seen = Map::new();
    if way.joins() {
        room = in_the_room(stage, way, &call, &mut agent, &mut seen).await;
    }
    call.wait_ended(Duration::from_secs(30)).await.expect("ended");
    if way.joins() || way.is_awaited() {
        let _ = stage.fixture.api.delete_room(&room).await;
        seen.insert("webhooks".into(), stage.story(&room).await);
    }
    let events = seen.get_mut("webhooks").and_then(Value::as_array_mut);
    match (way, events) {
        // The recording ends before the room does, or begins when it is there.
        (Way::NoCodec | Way::WrongPassword, Some(events)) => events.truncate(1),
        (Way::Mute, Some(events)) => drop(events.remove(0)),
        _ => {}
    }
    let trace = call.trace().into_iter();
    let trace = trace.map(|message| Told {
        sent: message.sent,
        text: message.text,
    });
    let names = names(&seen, room, number);
    Seen {
        scenario: scenario.name,
        bus: stage.bus.of(&Of::CallId(call.call_id())),
        fields: seen,
        trace: trace.collect(),
        names,
    }
}

/// What room, host and numbers are called in the comparison.
pub(super) fn names(seen: &Map<String, Value>, room: String, number: String) -> super::Names {
    let events = seen.get("webhooks").and_then(Value::as_array);
    let mut hosts = events
        .into_iter()
        .flatten()
        .filter_map(|event| event["participant"]["attributes"]["sip.hostname"].as_str());
    let host = hosts.next().unwrap_or_default().to_owned();
    vec![
        (room, "<room>".into()),
        (host, "<host>".into()),
        (number, "<trunk's number>".into()),
        (FROM.to_owned(), "<phone>".into()),
    ]
}

/// From the ringing to the phone's leave: the room's name.
async fn in_the_room(
    stage: &Stage,
    way: Way,
    call: &Call,
    agent: &mut Option<Agent>,
    seen: &mut Map<String, Value>,
) -> String {
    if way == Way::Mute {
        call.stop_sending();
    }
    if way == Way::Pin {
        call.wait_answered(SOON).await.expect("answered");
        call.press(&format!("{PIN}#")).await.expect("pressed");
    } else {
        call.wait_ringing(SOON).await.expect("ringing");
    }
    let is_ours = |event: &Value| event["participant"]["attributes"]["sip.callIDFull"] == call.call_id();
    let (room, identity) = stage.published(is_ours).await;
    if way.has_room_of_its_own() && way != Way::Cancelled {
        *agent = Some(stage.agent(&room).await);
    }
    let diary = agent.as_ref().map(|agent| agent.diary.clone());
    if way != Way::Cancelled {
        call.wait_answered(SOON).await.expect("answered");
        has_status(stage, &room, &identity, "active").await;
        let recorded = !matches!(way, Way::Silent | Way::Others);
        if recorded {
            seen.insert("active".into(), stage.participant(&room, &identity).await);
        }
    }
    if let Some(diary) = &diary {
        diary.wait_for("subscribed").await;
        diary.wait_for_status("active").await;
    }
    end(stage, way, (&room, &identity), call, agent).await;
    stage
        .webhooks
        .wait_for_event(&room, "participant_left", &identity)
        .await;
    if let Some(diary) = diary {
        if !matches!(way, Way::AgentLeaves | Way::Deleted) {
            diary.wait_for("left").await;
        }
        let others = if way == Way::Deleted {
            diary.read_of_deleted()
        } else {
            diary.read()
        };
        seen.insert("others".into(), Value::Object(others));
    }
    room
}

async fn end(
    stage: &Stage,
    way: Way,
    (room, identity): (&str, &str),
    call: &Call,
    agent: &mut Option<Agent>,
) {
    match way {
        Way::AgentLeaves => agent.take().expect("an agent").leave().await,
        Way::Deleted => stage.fixture.api.delete_room(room).await.expect("deleted"),
        Way::Removed => {
            let removed = stage.fixture.api.remove_participant(room, identity).await;
            removed.expect("removed");
        }
        Way::Silent => call.stop_sending(),
        Way::Mute => {}
        Way::LateAgent | Way::LateAgentG722 => {
            call.press("5#").await.expect("pressed");
            call.hang_up().await;
        }
        Way::Others => {
            asks_for_others(call).await;
            call.hang_up().await;
        }
        _ => call.hang_up().await,
    }
}

/// Requests that belong to no call.
async fn asks_for_others(call: &Call) {
    let trace = call.trace();
    let invite = trace.first().expect("an INVITE");
    let header = |name: &str| {
        let line = invite.text.lines().find(|line| line.starts_with(name));
        line.expect(name).to_owned()
    };
    let via = header("Via:");
    let via = via.split("branch=").next().expect("a part");
    let uri = invite.text.split([' ', '@']).nth(2).expect("a host");
    for method in ["OPTIONS", "REGISTER", "MESSAGE", "INFO"] {
        let request = format!(
            "{method} sip:{uri} SIP/2.0\r\n{via}branch=z9hG4bKm{method};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: {method}-{}\r\nCSeq: 1 {method}\r\n\
             Content-Length: 0\r\n\r\n",
            call.call_id()
        );
        call.send_raw(request.as_bytes()).await;
        let is_answer =
            |text: &str| text.starts_with("SIP/2.0") && text.contains(&format!("CSeq: 1 {method}"));
        let deadline = Instant::now() + SOON;
        while !call.trace().iter().any(|message| is_answer(&message.text)) {
            assert!(Instant::now() < deadline, "no answer to {method}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}
