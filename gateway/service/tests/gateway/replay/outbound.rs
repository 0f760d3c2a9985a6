//! Calls out.

use serde_json::{Map, Value, json};
use tokio::time::{Duration, sleep};

use super::bus::Of;
use super::messages::Told;
use super::{Seen, Stage};
use crate::agent::Agent;
use crate::fixture::NUMBER;
use crate::sipp::{self, Sipp};

/// What becomes of the call.
pub(super) enum Then {
    /// The phone refuses with this.
    Refused(&'static str),
    /// It rings, and nobody picks up within so many seconds.
    InVain(u32),
    /// It does not even ring.
    Silence(u32),
    /// The phone is removed, or the room deleted, while it rings.
    Removed,
    Deleted,
    /// It is picked up; then the phone hangs up.
    HangsUp,
    /// It is picked up; then the phone is removed.
    Answered,
    /// The same, after a key was pressed, and half a second later another.
    Presses,
    /// It wants to know who calls before it is picked up.
    Challenges,
    /// It is sent elsewhere: the answer to REFER, and what NOTIFY says.
    Sent(&'static str, Option<&'static str>),
}

pub(super) struct Outbound {
    name: &'static str,
    waits: bool,
    then: Then,
    /// The recording ends in the call.
    cut: bool,
}

const fn outbound(name: &'static str, waits: bool, then: Then) -> Outbound {
    Outbound {
        name,
        waits,
        then,
        cut: false,
    }
}

const fn cut(name: &'static str, then: Then) -> Outbound {
    Outbound {
        name,
        waits: true,
        then,
        cut: true,
    }
}

pub(super) const SCENARIOS: &[Outbound] = &[
    outbound("outbound-answer-wait", true, Then::HangsUp),
    outbound("outbound-answer-async", false, Then::HangsUp),
    outbound("outbound-answer-remove", true, Then::Answered),
    outbound("outbound-busy-wait", true, Then::Refused("486 Busy Here")),
    outbound("outbound-busy-async", false, Then::Refused("486 Busy Here")),
    outbound("outbound-decline-wait", true, Then::Refused("603 Decline")),
    outbound(
        "outbound-unavail-wait",
        true,
        Then::Refused("480 Temporarily Unavailable"),
    ),
    outbound("outbound-notfound-wait", true, Then::Refused("404 Not Found")),
    outbound("outbound-forbidden-wait", true, Then::Refused("403 Forbidden")),
    outbound(
        "outbound-svcunavail-wait",
        true,
        Then::Refused("503 Service Unavailable"),
    ),
    outbound("outbound-noanswer-wait", true, Then::InVain(2)),
    outbound("outbound-noanswer-async", false, Then::InVain(2)),
    outbound("outbound-silent-wait", true, Then::Silence(3)),
    outbound("outbound-remove-ringing", true, Then::Removed),
    outbound("outbound-delete-ringing", true, Then::Deleted),
    outbound(
        "outbound-transfer-ok",
        true,
        Then::Sent("202 Accepted", Some("200 OK")),
    ),
    cut(
        "outbound-transfer-busy",
        Then::Sent("202 Accepted", Some("486 Busy Here")),
    ),
    cut("outbound-transfer-reject", Then::Sent("603 Decline", None)),
    cut("outbound-transfer-hang", Then::Sent("202 Accepted", None)),
    cut("outbound-auth", Then::Challenges),
    outbound("outbound-dtmf-param", true, Then::Presses),
    cut("outbound-hide", Then::Answered),
];

impl Outbound {
    fn identity(&self) -> &'static str {
        if self.hides() { "" } else { "callee-1" }
    }

    fn hides(&self) -> bool {
        self.name == "outbound-hide"
    }

    fn is_answered(&self) -> bool {
        matches!(
            self.then,
            Then::HangsUp | Then::Answered | Then::Presses | Then::Challenges | Then::Sent(..)
        )
    }

    fn request(&self, trunk: &str, callee: &str, room: &str) -> Value {
        let mut request = json!({
            "sip_trunk_id": trunk, "sip_call_to": callee, "room_name": room, "participant_identity": self.identity(),
            "participant_name": if self.hides() { "" } else { "Callee" }, "participant_metadata": "md",
            "participant_attributes": {"k": "v"}, "wait_until_answered": self.waits,
        });
        if let Then::InVain(seconds) | Then::Silence(seconds) = self.then {
            request["ringing_timeout"] = json!(format!("{seconds}s"));
        }
        if self.hides() {
            request["hide_phone_number"] = json!(true);
        }
        if matches!(self.then, Then::Presses) {
            request["dtmf"] = json!("1w2");
        }
        request
    }

    /// What the phone does.
    fn steps(&self) -> Vec<String> {
        let mut steps = vec![sipp::receive_invite()];
        if matches!(self.then, Then::Silence(_)) {
            // It answers nothing but what takes the call back, as the recorded one did.
            let terminated =
                sipp::answer("487 Request Terminated", "").replace("[last_CSeq:]", "CSeq: 1 INVITE");
            steps.extend([sipp::pause(1_500), sipp::answer("100 Trying", "")]);
            steps.extend([
                sipp::receive("CANCEL"),
                sipp::answer("200 OK", ""),
                terminated,
                sipp::receive("ACK"),
            ]);
            return steps;
        }
        steps.extend([
            sipp::answer("100 Trying", ""),
            sipp::pause(500),
            sipp::answer("180 Ringing", ""),
        ]);
        match self.then {
            Then::Refused(status) => {
                steps.extend([sipp::pause(1_000), sipp::answer(status, ""), sipp::receive("ACK")]);
            }
            Then::InVain(_) | Then::Silence(_) | Then::Removed | Then::Deleted => {
                steps.extend(sipp::rings_in_vain().into_iter().skip(2));
            }
            Then::HangsUp => {
                steps.extend(picked_up());
                steps.extend([sipp::pause(2_000), sipp::request("BYE", "", "")]);
            }
            Then::Answered | Then::Presses => {
                steps.extend(picked_up());
                steps.extend(sipp::is_hung_up_on());
            }
            Then::Challenges => {
                let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"abc\", algorithm=MD5\n";
                steps.extend([
                    sipp::answer("407 Proxy Authentication Required", challenge),
                    sipp::receive("ACK"),
                    sipp::receive("INVITE"),
                    sipp::answer("180 Ringing", ""),
                ]);
                steps.extend(picked_up());
                steps.extend(sipp::is_hung_up_on());
            }
            Then::Sent(answer, notify) => {
                steps.extend(picked_up());
                steps.extend([sipp::receive("REFER"), sipp::answer_within(answer)]);
                let event = |state: &str| {
                    format!(
                        "Event: refer\nSubscription-State: {state}\nContent-Type: message/sipfrag;version=2.0\n"
                    )
                };
                if let Some(notify) = notify {
                    let (trying, done) = (event("active;expires=60"), event("terminated;reason=noresource"));
                    steps.push(sipp::request("NOTIFY", &trying, "SIP/2.0 100 Trying"));
                    steps.push(sipp::request("NOTIFY", &done, &format!("SIP/2.0 {notify}")));
                }
                steps.extend(sipp::is_hung_up_on());
            }
        }
        steps
    }
}

fn picked_up() -> Vec<String> {
    vec![
        sipp::pause(1_000),
        sipp::answer_with_sdp("200 OK", "X-Callee: yes\n"),
        sipp::receive("ACK"),
    ]
}

pub(super) async fn play(stage: &Stage, at: usize, scenario: &'static Outbound) -> Seen {
    let room = format!("replayed-out-{at}");
    let callee = format!("+155577{at:02}");
    let agent = stage.agent(&room).await;
    let sipp = Sipp::start(&scenario.steps()).await;
    let trunk = crate::outbound::trunk(&stage.fixture, &sipp).await;
    let mut seen = Map::new();
    let request = scenario.request(&trunk, &callee, &room);
    let creating = stage.twirp("SIP/CreateSIPParticipant", &request);
    let meanwhile = async {
        if matches!(scenario.then, Then::Removed | Then::Deleted) {
            rings(stage, &room).await;
            agent.diary.wait_for_status("ringing").await;
            end(stage, &room, scenario).await;
        }
    };
    let (created, ()) = tokio::join!(creating, meanwhile);
    let identity = created["body"]["participant_identity"].as_str();
    let identity = identity.unwrap_or(scenario.identity()).to_owned();
    seen.insert("create".into(), created);
    if scenario.is_answered() {
        answered(stage, scenario, &agent, (&room, &identity), &mut seen).await;
    }
    let mut others = agent.diary.read();
    if scenario.cut || matches!(scenario.then, Then::Answered | Then::Presses) {
        end(stage, &room, scenario).await;
    }
    if !scenario.cut {
        others = if matches!(scenario.then, Then::Deleted) {
            agent.diary.read_of_deleted()
        } else {
            agent.diary.wait_for("left").await;
            agent.diary.read()
        };
    }
    // Some of the recorded phones pressed keys; sipp says back what it hears.
    others.remove("digits");
    seen.insert("others".into(), Value::Object(others));
    if !matches!(scenario.then, Then::Deleted) {
        stage
            .webhooks
            .wait_for_event(&room, "participant_left", &identity)
            .await;
        // The recorded room ended so.
        let _ = stage.fixture.api.delete_room(&room).await;
    }
    let story = stage.story(&room).await;
    seen.insert(
        "webhooks".into(),
        if scenario.cut {
            until_published(story)
        } else {
            story
        },
    );
    let trace = sipp.messages().await.into_iter();
    let trace = trace.map(|(sent, text)| Told { sent, text });
    // Where the recording ends in the call it has no BYE.
    let of_the_end =
        |told: &Told| scenario.cut && (told.text.starts_with("BYE ") || told.text.contains(" BYE\r\n"));
    let trace = trace.filter(|told| !of_the_end(told)).collect();
    let host = seen["webhooks"][1]["participant"]["attributes"]["sip.hostname"].clone();
    let bus = stage.bus.of(&Of::Room(&room));
    let names = vec![
        (room, "<room>".into()),
        (host.as_str().unwrap_or_default().to_owned(), "<host>".into()),
        (NUMBER.to_owned(), "<trunk's number>".into()),
        (callee, "<phone>".into()),
    ];
    Seen {
        scenario: scenario.name,
        bus,
        fields: seen,
        trace,
        names,
    }
}

/// The phone was picked up.
async fn answered(
    stage: &Stage,
    scenario: &Outbound,
    agent: &Agent,
    (room, identity): (&str, &str),
    seen: &mut Map<String, Value>,
) {
    has_status(stage, room, identity, "active").await;
    agent.diary.wait_for_status("active").await;
    if !matches!(scenario.then, Then::Challenges) {
        seen.insert("active".into(), stage.participant(room, identity).await);
    }
    if let Then::Sent(answer, notify) = scenario.then {
        let mut request = json!({
            "participant_identity": identity, "room_name": room, "transfer_to": "tel:+15558888", "play_dialtone": false,
            "headers": {"X-T": "1"},
        });
        if (answer, notify) == ("202 Accepted", None) {
            request["ringing_timeout"] = json!("1s");
        }
        let transferred = stage.twirp("SIP/TransferSIPParticipant", &request).await;
        seen.insert("transfer".into(), transferred);
    }
}

async fn end(stage: &Stage, room: &str, scenario: &Outbound) {
    let request = json!({"room": room, "room_name": room, "identity": scenario.identity()});
    let method = if matches!(scenario.then, Then::Deleted) || scenario.cut {
        "RoomService/DeleteRoom"
    } else {
        "RoomService/RemoveParticipant"
    };
    let ended = stage.twirp(method, &request).await;
    assert_eq!(ended["http"], 200, "{ended}");
}

fn until_published(mut story: Value) -> Value {
    if let Some(events) = story.as_array_mut() {
        events.truncate(3);
    }
    story
}

async fn rings(stage: &Stage, room: &str) {
    has_status(stage, room, "callee-1", "ringing").await;
}

pub(super) async fn has_status(stage: &Stage, room: &str, identity: &str, status: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let phone = stage.fixture.api.participant(room, identity).await.ok().flatten();
        let found = phone.and_then(|phone| phone.attributes.get("sip.callStatus").cloned());
        if found.as_deref() == Some(status) {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{room}: {found:?}, not {status}\n{}",
            crate::logs::last(2_000)
        );
        sleep(Duration::from_millis(20)).await;
    }
}
