//! LiveKit's side: signed requests, recorded and made.

use std::{fs, path::PathBuf, sync::Arc};

use aws_lc_rs::{digest, hmac};
use axum::{Router, body::Body, http::Request, response::Response};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use events::{
    ProfileHash, Timestamp,
    agents::{AgentRule, Agents},
};
use platform::{Secret, clock::ManualClock};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower::ServiceExt;
use webhook::{Keys, PATH, Policy, WebhookState, router};

use crate::fakes::{Access, Fuse, World};

pub(crate) const KEY: &str = "devkey";
pub(crate) const SECRET: &str = "devsecret-devsecret-devsecret-0123456789";

/// A webhook as it goes over the wire.
#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
    /// When it is received, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

impl Webhook {
    pub(crate) fn signed(body: impl Into<Vec<u8>>, at_ms: i64) -> Self {
        let body = body.into();
        Self {
            authorization: Some(token(&body, at_ms / 1000)),
            body,
            at_ms,
        }
    }

    pub(crate) fn request(self) -> Request<Body> {
        let builder = Request::post(PATH).header("content-type", "application/webhook+json");
        let builder = self
            .authorization
            .into_iter()
            .fold(builder, |b, token| b.header("authorization", token));
        builder.body(Body::from(self.body)).unwrap()
    }
}

/// The token that LiveKit would send with `body`.
pub(crate) fn token(body: &[u8], now_s: i64) -> String {
    token_of(
        &json!({"alg": "HS256", "typ": "JWT"}),
        &claims_for(body, now_s),
        SECRET,
    )
}

pub(crate) fn claims_for(body: &[u8], now_s: i64) -> Value {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, body));
    json!({"iss": KEY, "iat": now_s, "nbf": now_s, "exp": now_s + 300, "sha256": hash})
}

pub(crate) fn token_of(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        signed.as_bytes(),
    );
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events/samples")
}

/// One file of `events/samples/webhooks`, with the headers that it came with.
pub(crate) fn sample(name: &str) -> Webhook {
    let text = fs::read_to_string(samples().join("webhooks").join(name)).unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    Webhook {
        authorization: Some(event["headers"]["authorization"].as_str().unwrap().to_owned()),
        body: event["body"].as_str().unwrap().into(),
        at_ms: event["requestContext"]["timeEpoch"].as_i64().unwrap(),
    }
}

pub(crate) fn sample_names() -> Vec<String> {
    let files = fs::read_dir(samples().join("webhooks")).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Bodies that could not be recorded.
pub(crate) fn unrecorded() -> Vec<String> {
    let files = fs::read_dir(samples().join("unrecorded")).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

/// All webhooks of a recording, as they were signed; `signed_again` where the secret is lost.
pub(crate) fn recording(name: &str, signed_again: bool) -> Vec<Webhook> {
    let webhook = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        let body = json["body"].as_str().unwrap();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "times of the recording are far below 2^53 ms"
        )]
        let at_ms = (json["t"].as_f64().unwrap() * 1000.0) as i64;
        let as_it_was = json["headers"]["Authorization"].as_str().unwrap().to_owned();
        let authorization = if signed_again {
            token(body.as_bytes(), at_ms / 1000)
        } else {
            as_it_was
        };
        Webhook {
            authorization: Some(authorization),
            body: body.into(),
            at_ms,
        }
    };
    fs::read_to_string(samples().join("recorded").join(name))
        .unwrap()
        .lines()
        .map(webhook)
        .collect()
}

/// The webhooks of the recorded call in which the caller sent CANCEL while it rang.
pub(crate) fn cancelled_call() -> Vec<Webhook> {
    let of_call = |webhook: &Webhook| String::from_utf8_lossy(&webhook.body).contains("RM_p3ya9fFpUX52");
    recording("sip.jsonl", false)
        .into_iter()
        .filter(of_call)
        .collect()
}

/// The call of these webhooks, had the connection of its phone been given up before it stood: LiveKit then tells
/// `participant_connection_aborted`, and no join, no track and no leave.
pub(crate) fn aborted(webhooks: Vec<Webhook>) -> Vec<Webhook> {
    let aborted = webhooks.into_iter().filter_map(|webhook| {
        let mut json: Value = serde_json::from_slice(&webhook.body).unwrap();
        match json["event"].as_str().unwrap() {
            "participant_joined" | "track_published" | "track_unpublished" => return None,
            "participant_left" => json["event"] = json!("participant_connection_aborted"),
            _ => return Some(webhook),
        }
        Some(Webhook::signed(json.to_string(), webhook.at_ms))
    });
    aborted.collect()
}

/// Whether a connection is given up in these webhooks.
pub(crate) fn has_aborted(webhooks: &[Webhook]) -> bool {
    let is_it = |webhook: &Webhook| {
        String::from_utf8_lossy(&webhook.body).contains("\"participant_connection_aborted\"")
    };
    webhooks.iter().any(is_it)
}

pub(crate) fn agents(rules: &[Value]) -> Agents {
    let rule = |json: &Value| serde_json::from_value::<AgentRule>(json.clone()).unwrap();
    Agents::new(
        rules
            .iter()
            .map(|json| (rule(json), ProfileHash::of(b"profile")))
            .collect(),
    )
    .unwrap()
}

/// A function in a world, with a clock that follows what is sent.
pub(crate) struct Function {
    pub(crate) world: Arc<World>,
    pub(crate) fuse: Arc<Fuse>,
    agents: Agents,
}

impl Function {
    pub(crate) fn new(rules: &[Value]) -> Self {
        Self {
            world: Arc::default(),
            fuse: Arc::default(),
            agents: agents(rules),
        }
    }

    /// The same world as seen by a process with this fuse.
    pub(crate) fn process(&self, fuse: Fuse) -> Self {
        Self {
            world: self.world.clone(),
            fuse: Arc::new(fuse),
            agents: self.agents.clone(),
        }
    }

    fn router(&self, at_ms: i64) -> Router {
        let access = Arc::new(Access {
            world: self.world.clone(),
            fuse: self.fuse.clone(),
        });
        router(WebhookState {
            keys: keys(),
            policy: Policy {
                agents: self.agents.clone(),
                ..Policy::default()
            },
            queue: access.clone(),
            store: access.clone(),
            clock: clock(at_ms),
            rooms: Some(access),
        })
    }

    /// The answer's status and its JSON.
    pub(crate) async fn send(&self, webhook: Webhook) -> (u16, Value) {
        answer(
            self.router(webhook.at_ms)
                .oneshot(webhook.request())
                .await
                .unwrap(),
        )
        .await
    }

    /// Sends what has to be accepted, and returns the outcome.
    pub(crate) async fn accept(&self, webhook: Webhook) -> String {
        let (status, json) = self.send(webhook).await;
        assert_eq!(status, 200, "{json}");
        json["outcome"].as_str().unwrap().to_owned()
    }

    /// Sends several, and returns their outcomes.
    pub(crate) async fn accept_all(&self, webhooks: Vec<Webhook>) -> Vec<String> {
        let mut outcomes = Vec::new();
        for webhook in webhooks {
            outcomes.push(self.accept(webhook).await);
        }
        outcomes
    }
}

pub(crate) fn keys() -> Keys {
    platform::install_providers();
    let old = (
        "old-key".to_owned(),
        Secret::new("another-secret-another-secret-0123456789"),
    );
    Keys::new([old, (KEY.to_owned(), Secret::new(SECRET))])
}

pub(crate) fn clock(at_ms: i64) -> Arc<ManualClock> {
    let at = Timestamp::from_unix_ms(at_ms).map_or(OffsetDateTime::UNIX_EPOCH, Timestamp::to_offset);
    Arc::new(ManualClock::at(at))
}

pub(crate) async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}
