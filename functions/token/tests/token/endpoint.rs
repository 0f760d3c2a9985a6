//! What a well-behaved client gets.

use std::sync::Arc;

use access::Access;
use axum::{Router, body::Body};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use events::agents::Pattern;
use http::{HeaderMap, Request, StatusCode};
use platform::{
    Secret,
    clock::ManualClock,
    config::{AccessConfig, AccessKey, Grant, KeyHash, LiveKitConfig, Scope, TokenConfig, TokenGrant},
    livekit::LiveKit,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use token::{PATH, TokenState, router};
use tower::ServiceExt;

/// May set most of what can be set.
pub(crate) const FREE: &str = "free-0123456789-0123456789-0123456789";
/// May set nothing.
pub(crate) const BARE: &str = "bare-0123456789-0123456789-0123456789";
/// Has another scope.
pub(crate) const READER: &str = "reader-0123456789-0123456789-0123456";
pub(crate) const ORIGIN: &str = "https://app.example.com";

pub(crate) fn livekit(url: &str, api_key: &str, api_secret: &str) -> LiveKit {
    LiveKit::new(&LiveKitConfig {
        url: url.into(),
        api_key: api_key.into(),
        api_secret: Secret::new(api_secret),
        webhook_keys: Vec::new(),
    })
    .unwrap()
}

pub(crate) fn app(livekit: LiveKit) -> Router {
    let key = |name: &str, key: &str, scope, token| AccessKey {
        name: name.into(),
        hash: KeyHash(Sha256::digest(key).into()),
        key: None,
        grant: Grant {
            scopes: vec![scope],
            rooms: vec!["web-*".into()],
            token,
            ..Grant::default()
        },
    };
    let free = TokenGrant {
        identities: vec![Pattern::new("*").unwrap()],
        name: true,
        metadata: true,
        attributes: vec!["tier".into()],
        room_config: true,
        agents: vec!["greeter".into()],
    };
    let config = AccessConfig {
        keys: vec![
            key("free", FREE, Scope::TokenCreate, free),
            key("bare", BARE, Scope::TokenCreate, TokenGrant::default()),
            key("reader", READER, Scope::CallsRead, TokenGrant::default()),
        ],
        jwt: None,
        requests_per_minute: 600,
    };
    let access = Access::new(&config, Arc::new(ManualClock::default())).unwrap();
    let config = TokenConfig {
        server_url: Some("wss://lk.example.com".into()),
        origins: vec![ORIGIN.into(), "http://127.0.0.1:8000".into()],
    };
    let (router, _) = router(&access, TokenState { livekit, config }).split_for_parts();
    router
}

pub(crate) fn offline() -> Router {
    app(livekit(
        "ws://127.0.0.1:1",
        "devkey",
        "0123456789abcdefghijklmnopqrstuvwxyz",
    ))
}

pub(crate) async fn send(app: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 100_000).await.unwrap();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&bytes).unwrap_or_default(),
    )
}

pub(crate) async fn ask(app: Router, key: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(PATH)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, _, body) = send(app, request).await;
    (status, body)
}

pub(crate) fn claims(answer: &Value) -> Value {
    let token = answer["participant_token"].as_str().unwrap();
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_asked_for_is_a_room_of_the_callers_own_and_a_drawn_identity() {
    let (status, answer) = ask(offline(), BARE, &json!({})).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["server_url"], "wss://lk.example.com");
    let claims = claims(&answer);
    assert!(claims["video"]["room"].as_str().unwrap().starts_with("web-"));
    assert!(claims["sub"].as_str().unwrap().starts_with("user-"));
    let (_, other) = ask(offline(), BARE, &json!({})).await;
    assert_ne!(claims["sub"], self::claims(&other)["sub"]);
}

#[tokio::test]
async fn a_token_grants_the_least_and_lasts_ten_minutes() {
    let (_, answer) = ask(offline(), FREE, &json!({"room_name": "web-1"})).await;
    let claims = claims(&answer);
    let lasts = claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap();
    assert_eq!(lasts, 600 + 120, "and two minutes for clocks that differ");
    let granted: Vec<(&String, &Value)> = claims["video"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| {
            !matches!(value, Value::Bool(false) | Value::Null) && **value != json!("") && **value != json!([])
        })
        .collect();
    let names: Vec<&str> = granted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "canPublish",
            "canPublishData",
            "canPublishSources",
            "canSubscribe",
            "room",
            "roomJoin"
        ]
    );
    assert_eq!(claims["video"]["canPublishSources"], json!(["microphone"]));
    assert_eq!(claims["video"]["room"], "web-1");
    assert_eq!(claims["kind"], "standard");
    for absent in ["sip", "inference", "observability"] {
        let none = claims.get(absent).is_none_or(|grants| {
            grants
                .as_object()
                .is_none_or(|grants| grants.values().all(|grant| *grant == json!(false)))
        });
        assert!(none, "{claims}");
    }
}

#[tokio::test]
async fn what_the_caller_may_set_is_in_the_token_in_either_case_of_names() {
    let snake = json!({"room_name": "web-1", "participant_name": "Ann", "participant_identity": "ann",
        "participant_metadata": "{\"a\":\n1}", "participant_attributes": {"tier": "gold"},
        "room_config": {"empty_timeout": 30, "max_participants": 4, "agents": [{"agent_name": "greeter", "metadata": "m"}]}});
    let camel = json!({"roomName": "web-1", "participantName": "Ann", "participantIdentity": "ann",
        "participantMetadata": "{\"a\":\n1}", "participantAttributes": {"tier": "gold"},
        "roomConfig": {"emptyTimeout": 30, "maxParticipants": 4, "agents": [{"agentName": "greeter", "metadata": "m"}]}});
    for body in [snake, camel] {
        let (status, answer) = ask(offline(), FREE, &body).await;
        assert_eq!(status, 201, "{answer}");
        let claims = claims(&answer);
        assert_eq!(
            json!([
                claims["sub"],
                claims["name"],
                claims["attributes"],
                claims["metadata"]
            ]),
            json!(["ann", "Ann", {"tier": "gold"}, "{\"a\":\n1}"])
        );
        let config = claims["roomConfig"].to_string();
        assert!(config.contains("greeter") && config.contains("30"), "{config}");
    }
}

#[tokio::test]
async fn the_answer_is_kept_by_nobody() {
    let request = Request::post(PATH)
        .header("authorization", format!("Bearer {BARE}"))
        .body(Body::empty())
        .unwrap();
    let (status, headers, _) = send(offline(), request).await;
    assert_eq!(
        (status.as_u16(), headers["cache-control"].to_str().unwrap()),
        (201, "no-store")
    );
}
