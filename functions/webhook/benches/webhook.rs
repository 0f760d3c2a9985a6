//! What one webhook costs beside store and queue: token and hash, parsing, plan. Budget: 1 ms of CPU at the median.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]

use std::{fs, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use events::{
    CallEvent, ProfileHash, Timestamp,
    agents::{AgentRule, Agents},
    livekit,
};
use platform::Secret;
use serde_json::{Value, json};
use webhook::{Keys, Policy, plan};

struct Sample {
    token: String,
    body: String,
    at: Timestamp,
}

fn sample(name: &str) -> Sample {
    let path = format!(
        "{}/../../events/samples/webhooks/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let event: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    Sample {
        token: event["headers"]["authorization"].as_str().unwrap().to_owned(),
        body: event["body"].as_str().unwrap().to_owned(),
        at: Timestamp::from_unix_ms(event["requestContext"]["timeEpoch"].as_i64().unwrap()).unwrap(),
    }
}

/// Twenty entries, of which the last fits.
fn policy() -> Policy {
    let rule = |n: u32| {
        let number = if n == 19 {
            "+1555*".to_owned()
        } else {
            format!("+4930{n:04}*")
        };
        let rule: AgentRule =
            serde_json::from_value(json!({"profile": format!("agent-{n}"), "numbers": [number]})).unwrap();
        (rule, ProfileHash::of(number.as_bytes()))
    };
    Policy {
        agents: Agents::new((0..20).map(rule).collect()).unwrap(),
        ..Policy::default()
    }
}

fn webhook(criterion: &mut Criterion) {
    platform::install_providers();
    let keys = Keys::new([(
        "devkey".to_owned(),
        Secret::new("devsecret-devsecret-devsecret-0123456789"),
    )]);
    let policy = policy();
    let mut group = criterion.benchmark_group("verify_parse_plan");
    for name in [
        "room_started",
        "participant_joined.sip.ringing",
        "track_published.microphone",
        "egress_ended.complete",
    ] {
        let Sample { token, body, at } = sample(&format!("{name}.json"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let hash = keys.check(Some(black_box(&token)), at.unix_ms() / 1000).unwrap();
                hash.check(black_box(body.as_bytes())).unwrap();
                let parsed = livekit::parse(body.as_bytes()).unwrap();
                let event = CallEvent::new(parsed, at, None).unwrap();
                plan(&event, &policy)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, webhook);
criterion_main!(benches);
