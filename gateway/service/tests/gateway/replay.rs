//! The calls that were recorded with livekit-sip, placed again with our gateway: what LiveKit tells of them is the same, field by field,
//! but for the differences that are named here with their reasons, and in `docs/sip.md`.
//!
//! The recordings in `tests/samples` hold what LiveKit's API answered (`create`, `transfer`), the phone's participant when the call was answered
//! (`active`), the webhooks about room and phone, and, of calls in, the answers and requests that the phone got (`answers`).

mod compare;
mod differences;
mod http;
mod inbound;
mod outbound;

use std::path::Path;

use dev::{LocalStack, LocalStackConfig};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Map, Value};
use service::Timeouts;
use std::time::Duration;

use crate::agent::Agent;
use crate::fixture::{Fixture, Turn, Wishes, turn};
use compare::{Finding, Names};
use differences::DIFFERENCES;
use http::Webhooks;

/// Each has an agent with an engine of its own.
const AT_ONCE: usize = 6;

/// What all scenarios share.
struct Stage {
    fixture: Fixture,
    webhooks: Webhooks,
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
        let wishes = Wishes {
            timeouts,
            calls: crate::outbound::allowed(),
            ..Wishes::default()
        };
        let fixture = Fixture::with(turn, stack, wishes).await;
        Self { fixture, webhooks }
    }

    async fn agent(&self, room: &str) -> Agent {
        let token = self.fixture.api.agent_token(room, "agent-1").expect("token");
        Agent::connect(&self.fixture.stack.ws_url(), token.expose()).await
    }

    async fn twirp(&self, method: &str, request: &Value) -> Value {
        http::twirp(&self.fixture.stack, method, request).await
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
    names: Names,
}

impl Seen {
    fn against_the_recording(&self) -> Vec<Finding> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/samples")
            .join(format!("{}.json", self.scenario));
        let text = std::fs::read_to_string(&path).expect(self.scenario);
        let recorded: Value = serde_json::from_str(&text).expect("JSON");
        let theirs = compare::flatten(&recorded, &recorded_names(&recorded));
        let ours = compare::flatten(&Value::Object(self.fields.clone()), &self.names);
        assert!(theirs.len() >= 2, "{}: an empty recording", self.scenario);
        compare::compare(&theirs, &ours)
    }
}

/// The names that room, numbers and hosts have in a recording.
fn recorded_names(recorded: &Value) -> Names {
    let mut names = Names::new();
    let events = recorded["webhooks"].as_array().cloned().unwrap_or_default();
    let mut add = |value: &Value, what| {
        let known = names.iter().any(|(_, known)| *known == what);
        if let (Some(name), false) = (value.as_str(), known) {
            names.push((name.to_owned(), what));
        }
    };
    for event in events {
        add(&event["room"]["name"], "<room>");
        let attributes = &event["participant"]["attributes"];
        add(&attributes["sip.hostname"], "<host>");
        add(&attributes["sip.trunkPhoneNumber"], "<trunk's number>");
        add(&attributes["sip.phoneNumber"], "<phone>");
    }
    // Where LiveKit hides it.
    if !names.iter().any(|(_, what)| *what == "<phone>") {
        names.push(("+15557777".to_owned(), "<phone>"));
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_told_as_livekit_sip_tells_them_but_for_what_is_listed() {
    let timeouts = Timeouts {
        media: Duration::from_secs(3),
        no_agent: Duration::from_secs(20),
        ..Timeouts::default()
    };
    let stage = Stage::set(timeouts).await;
    let outbound = outbound::SCENARIOS.iter().enumerate();
    let outbound = outbound.map(|(at, it)| outbound::play(&stage, at, it).boxed());
    let inbound = inbound::SCENARIOS.iter().enumerate();
    let inbound = inbound.map(|(at, it)| inbound::play(&stage, at, it).boxed());
    let seen: Vec<Seen> = futures_util::stream::iter(inbound.chain(outbound))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
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
