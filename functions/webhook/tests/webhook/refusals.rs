//! What is refused, by whom it has to be cured, and what is not.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::sender::{Function, KEY, SECRET, Webhook, claims_for, keys, sample, token_of};

const NOW_S: i64 = 1_795_196_401;

fn body() -> Vec<u8> {
    sample("room_started.json").body
}

/// A token for [`body`] with some claims changed.
fn with_claims(change: impl FnOnce(&mut Value)) -> Webhook {
    let mut claims = claims_for(&body(), NOW_S);
    change(&mut claims);
    with_token(token_of(&json!({"alg": "HS256"}), &claims, SECRET))
}

fn with_token(token: String) -> Webhook {
    Webhook {
        authorization: Some(token),
        body: body(),
        at_ms: NOW_S * 1000,
    }
}

fn with_body(body: impl Into<Vec<u8>>) -> Webhook {
    Webhook::signed(body, NOW_S * 1000)
}

fn tampered() -> Webhook {
    let webhook = with_claims(|_| {});
    let body = String::from_utf8(webhook.body)
        .unwrap()
        .replace("\"emptyTimeout\":30", "\"emptyTimeout\":31");
    Webhook {
        body: body.into_bytes(),
        ..webhook
    }
}

/// Name, request, status and field at fault.
type Case = (&'static str, Webhook, u16, &'static str);

fn bad_tokens() -> Vec<Case> {
    let claims = json!({"iss": KEY, "exp": NOW_S + 300});
    let alg = |alg: &str, secret: &str| token_of(&json!({"alg": alg}), &claims, secret);
    let unsigned = format!("{}.", alg("none", SECRET).rsplit_once('.').unwrap().0);
    let no_header = Webhook {
        authorization: None,
        ..with_claims(|_| {})
    };
    let expired = with_claims(|claims| claims["exp"] = json!(NOW_S - 121));
    let eternal = with_claims(|claims| claims["exp"] = Value::Null);
    let early = with_claims(|claims| claims["nbf"] = json!(NOW_S + 121));
    vec![
        (
            "wrong secret",
            with_token(alg("HS256", "a-wrong-secret")),
            401,
            "Authorization",
        ),
        (
            "unknown key",
            with_claims(|claims| claims["iss"] = json!("other")),
            401,
            "iss",
        ),
        ("alg none", with_token(alg("none", SECRET)), 401, "alg"),
        ("alg none, unsigned", with_token(unsigned), 401, "alg"),
        ("alg HS512", with_token(alg("HS512", SECRET)), 401, "alg"),
        ("expired", expired, 401, "exp"),
        ("no expiry", eternal, 401, "Authorization"),
        ("not valid yet", early, 401, "nbf"),
        ("no header", no_header, 401, "Authorization"),
        (
            "Bearer alone",
            with_token("Bearer".to_owned()),
            401,
            "Authorization",
        ),
        ("garbage", with_token("a.b.c".to_owned()), 401, "Authorization"),
        (
            "long token",
            with_token(format!("{}.b.c", "a".repeat(9_000))),
            401,
            "Authorization",
        ),
    ]
}

fn bad_bodies() -> Vec<Case> {
    let no_sid = r#"{"event":"room_started","room":{"name":"r"},"id":"EV_1","createdAt":"1"}"#;
    let no_hash = with_claims(|claims| claims["sha256"] = json!(""));
    let latin_1 = b"{\"event\":\"\xff\xfe\"}".to_vec();
    vec![
        ("tampered body", tampered(), 401, "sha256"),
        ("no hash", no_hash, 401, "sha256"),
        ("1 MB", with_body(vec![b' '; 1_000_000]), 413, "body"),
        ("invalid UTF-8", with_body(latin_1), 400, "body"),
        ("malformed JSON", with_body("{\"event\":"), 400, "body"),
        ("no sid", with_body(no_sid), 400, "room.sid"),
    ]
}

#[tokio::test]
async fn each_fault_is_refused_with_its_field_and_remedy() {
    let function = Function::new(&[]);
    for (name, webhook, status, field) in [bad_tokens(), bad_bodies()].concat() {
        let (answered, problem) = function.send(webhook).await;
        assert_eq!(
            (answered, &problem["field"]),
            (status, &json!(field)),
            "{name}: {problem}"
        );
        assert_eq!(problem["status"], status, "{name}");
        for member in ["type", "title", "detail", "remedy"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name}: {member} of {problem}");
        }
    }
    assert_eq!(
        function.fuse.operations(),
        0,
        "neither store nor queue was asked for any of them"
    );
    assert_eq!(
        function.send(with_claims(|_| {})).await.0,
        200,
        "without a fault it is accepted"
    );
    assert!(function.fuse.operations() > 0);
}

#[tokio::test]
async fn problems_have_the_media_type_of_rfc_9457() {
    use tower::ServiceExt;
    let state = crate::hosts::state_in_memory();
    let response = webhook::router(state)
        .oneshot(with_token("x".to_owned()).request())
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn clocks_may_differ_by_two_minutes() {
    let function = Function::new(&[]);
    for change in [("exp", NOW_S - 120), ("nbf", NOW_S + 120)] {
        let webhook = with_claims(|claims| claims[change.0] = json!(change.1));
        assert_eq!(function.send(webhook).await.0, 200, "{change:?}");
    }
}

#[tokio::test]
async fn each_of_several_keys_is_accepted_with_its_own_secret_only() {
    let function = Function::new(&[]);
    let claims = |iss: &str| {
        let mut claims = claims_for(&body(), NOW_S);
        claims["iss"] = json!(iss);
        claims
    };
    let header = json!({"alg": "HS256"});
    let right = token_of(
        &header,
        &claims("old-key"),
        "another-secret-another-secret-0123456789",
    );
    let crossed = token_of(&header, &claims("old-key"), SECRET);
    assert_eq!(function.send(with_token(right)).await.0, 200);
    assert_eq!(function.send(with_token(crossed)).await.0, 401);
}

#[tokio::test]
async fn a_body_that_is_too_long_without_saying_so_is_refused_too() {
    use axum::body::Body;
    use tower::ServiceExt;
    let webhook = with_body(vec![b' '; 300_000]);
    let chunks = futures_chunks(&webhook.body);
    let mut request = webhook.request();
    *request.body_mut() = Body::from_stream(chunks);
    let state = crate::hosts::state_in_memory();
    let (status, _) = crate::sender::answer(webhook::router(state).oneshot(request).await.unwrap()).await;
    assert_eq!(status, 413);
}

/// The body in pieces of 10 kB, so that nothing announces its length.
fn futures_chunks(body: &[u8]) -> impl futures_util::Stream<Item = Result<Vec<u8>, std::io::Error>> + use<> {
    futures_util::stream::iter(
        body.chunks(10_000)
            .map(|chunk| Ok(chunk.to_vec()))
            .collect::<Vec<_>>(),
    )
}

proptest! {
    #[test]
    fn no_text_in_place_of_a_token_makes_it_panic(text in any::<String>(), header in "[a-zA-Z0-9_=-]{0,40}") {
        prop_assert!(keys().check(Some(&text), NOW_S).is_err());
        let three_parts = format!("{header}.{text}.{header}");
        prop_assert!(keys().check(Some(&three_parts), NOW_S).is_err());
    }

    #[test]
    fn a_token_with_any_one_byte_changed_is_refused(at in any::<prop::sample::Index>(), to in "[a-zA-Z0-9_.-]") {
        let token = with_claims(|_| {}).authorization.unwrap();
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!(keys().check(Some(&changed), NOW_S).is_err());
    }
}
