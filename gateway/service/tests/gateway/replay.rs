//! The calls that were recorded with livekit-sip, placed again with our gateway: what LiveKit tells of them is the same, field by field,
//! but for the differences that are named here with their reasons, and in `docs/sip.md`.
//!
//! The recordings in `tests/samples` hold what LiveKit's API answered (`create`, `transfer`, `errors`), the phone's participant when the call was
//! answered (`active`), the webhooks about room and phone, what an agent in the room saw of the phone (`others`), the SIP messages (`trace`),
//! and what livekit-sip published on the bus (`bus`).

mod bus;
mod compare;
mod dialogs;
mod differences;
mod errors;
mod http;
mod inbound;
mod messages;
mod outbound;

use std::path::Path;

use dev::{LocalStack, LocalStackConfig};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Map, Value};
use service::Timeouts;
use std::time::Duration;

use crate::agent::Agent;
use crate::fixture::{Fixture, Turn, Wishes, turn};
use bus::Bus;
use compare::{Finding, Names};
use differences::DIFFERENCES;
use http::Webhooks;
use messages::Told;

/// Each has an agent with an engine of its own.
const AT_ONCE: usize = 6;

/// What all scenarios share.
struct Stage {
    fixture: Fixture,
    webhooks: Webhooks,
    bus: Bus,
}

impl Stage {
    async fn set(timeouts: Timeouts) -> Self {
        let turn: Turn = turn().await;
        platform::install_providers();
        crate::logs::collect();
        let webhooks = Webhooks::listen().await;
        let config = LocalStackConfig {
            webhook_url: Some(webhooks.url.clone()),
            ..LocalStackConfig::default()
        };
        let stack = LocalStack::start(config).await.expect("Redis and livekit-server");
        let bus = Bus::listen(&stack.redis_url()).await;
        let wishes = Wishes {
            timeouts,
            calls: crate::outbound::allowed(),
            ..Wishes::default()
        };
        let fixture = Fixture::with(turn, stack, wishes).await;
        Self {
            fixture,
            webhooks,
            bus,
        }
    }

    async fn agent(&self, room: &str) -> Agent {
        let token = self.fixture.api.agent_token(room, "agent-1").expect("token");
        Agent::connect(&self.fixture.stack.ws_url(), token.expose()).await
    }

    async fn twirp(&self, method: &str, request: &Value) -> Value {
        http::twirp(&self.fixture.stack, method, request, http::all_grants(request)).await
    }

    /// Waits until the phone of such a webhook is in its room, with its track: the room and its identity.
    async fn published(&self, is_ours: impl Fn(&Value) -> bool) -> (String, String) {
        let joined = self.webhooks.wait_for("the phone joins", is_ours).await;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (room, identity) = (
            text(&joined["room"]["name"]),
            text(&joined["participant"]["identity"]),
        );
        self.webhooks
            .wait_for_event(&room, "track_published", &identity)
            .await;
        (room, identity)
    }

    /// The phone's participant as LiveKit's API describes it.
    async fn participant(&self, room: &str, identity: &str) -> Value {
        let request = serde_json::json!({"room": room, "identity": identity, "room_name": room});
        self.twirp("RoomService/GetParticipant", &request).await["body"].take()
    }

    /// The webhooks about the room itself and about the phone, once the room is over.
    async fn story(&self, room: &str) -> Value {
        self.webhooks.wait_for_event(room, "room_finished", "").await;
        let mut events = self.webhooks.of(room);
        events.retain(|event| event["participant"]["identity"] != "agent-1");
        Value::Array(events)
    }
}

/// What was seen of one scenario.
struct Seen {
    scenario: &'static str,
    fields: Map<String, Value>,
    trace: Vec<Told>,
    bus: Value,
    names: Names,
}

impl Seen {
    fn against_the_recording(&self) -> Vec<Finding> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/samples")
            .join(format!("{}.json", self.scenario));
        let text = std::fs::read_to_string(&path).expect(self.scenario);
        let mut recorded: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
        let names = recorded_names(&recorded.remove("names").expect("names"));
        let mut fields = self.fields.clone();
        if let Some(trace) = recorded.remove("trace") {
            messages::add(&mut recorded, &messages::recorded(&trace));
            messages::add(&mut fields, &self.trace);
            messages::drop_single_tryings(&mut recorded, &mut fields);
        }
        fields.insert("bus".into(), self.bus.clone());
        for others in [recorded.get_mut("others"), fields.get_mut("others")] {
            statuses(others);
        }
        let theirs = compare::flatten(&Value::Object(recorded), &names);
        let ours = compare::flatten(&Value::Object(fields), &self.names);
        assert!(theirs.len() >= 2, "{}: an empty recording", self.scenario);
        compare::compare(&theirs, &ours)
    }
}

/// Puts what the phone's status was into one list, whether it came with the phone or after it. That it rang may be over before anybody
/// else in the room hears of it; the webhook says it in any case.
fn statuses(others: Option<&mut Value>) {
    const STATUS: &str = "sip.callStatus";
    let Some(others) = others else { return };
    let mut take = |at: &str| {
        let values = others.pointer_mut(at).and_then(Value::as_object_mut);
        values.and_then(|values| values.remove(STATUS))
    };
    let mut statuses: Vec<Value> = take("/joined/attributes").into_iter().collect();
    if let Some(Value::Array(changes)) = take("/changes") {
        statuses.extend(changes);
    }
    // The phone may be looked at when the change is told already.
    statuses.dedup();
    if statuses.len() > 1 && statuses[0] == "ringing" {
        statuses.remove(0);
    }
    others["statuses"] = Value::Array(statuses);
}

/// What room, numbers and hosts are called in the comparison.
fn recorded_names(names: &Value) -> Names {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let names = names.as_array().expect("a list");
    names
        .iter()
        .map(|name| (text(&name[0]), text(&name[1])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_told_as_livekit_sip_tells_them_but_for_what_is_listed() {
    let timeouts = Timeouts {
        media: Duration::from_secs(3),
        first_media: Duration::from_secs(4),
        no_agent: Duration::from_secs(20),
        ..Timeouts::default()
    };
    let stage = Stage::set(timeouts).await;
    let outbound = outbound::SCENARIOS.iter().enumerate();
    let outbound = outbound.map(|(at, it)| outbound::play(&stage, at, it).boxed());
    let inbound = inbound::SCENARIOS.iter().enumerate();
    let inbound = inbound.map(|(at, it)| inbound::play(&stage, at, it).boxed());
    let dialogs = dialogs::SCENARIOS.iter().enumerate();
    let dialogs = dialogs.map(|(at, it)| dialogs::play(&stage, at, it).boxed());
    let calls = futures_util::stream::iter(inbound.chain(dialogs).chain(outbound));
    let mut seen: Vec<Seen> = calls.buffer_unordered(AT_ONCE).collect().await;
    seen.push(errors::play(&stage).await);
    let mut used = vec![false; DIFFERENCES.len()];
    let (mut unexplained, mut fields) = (Vec::new(), 0);
    for scenario in &seen {
        for finding in scenario.against_the_recording() {
            fields += 1;
            let explains = |it: &differences::Difference| it.explains(scenario.scenario, &finding);
            match DIFFERENCES.iter().position(explains) {
                Some(at) => used[at] = true,
                None => unexplained.push(format!("{}: {finding:?}", scenario.scenario)),
            }
        }
    }
    println!("{} scenarios, {fields} fields that differ", seen.len());
    unexplained.sort();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let unused = DIFFERENCES.iter().zip(&used).filter(|(_, used)| !**used);
    let unused: Vec<_> = unused.map(|(it, _)| (it.scenarios, it.path)).collect();
    assert!(unused.is_empty(), "no scenario shows these any more: {unused:?}");
    stage.fixture.stop().await;
}

#[test]
fn the_differences_are_those_of_the_docs() {
    let docs = include_str!("../../../../docs/sip.md");
    let (_, docs) = docs.split_once("### Field by field").expect("the section");
    let (docs, _) = docs.split_once("\n## ").expect("another one behind it");
    for difference in DIFFERENCES {
        let row = difference.row();
        assert!(docs.contains(&row), "docs/sip.md lacks\n{row}");
    }
    let rows = docs
        .lines()
        .filter(|line| line.starts_with("| `") && line.ends_with(differences::END));
    assert_eq!(rows.count(), DIFFERENCES.len(), "rows of docs/sip.md");
}
