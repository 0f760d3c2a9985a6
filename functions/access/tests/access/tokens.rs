//! Keys and tokens, good and bad.

use std::{sync::Arc, time::Duration};

use access::{Access, MAX_JWKS_BYTES, Refusal};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use platform::{
    clock::ManualClock,
    config::{AccessConfig, AccessKey, Grant, IdentityProvider, KeyHash, Scope},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::provider::{Provider, Signer, forged};

pub(crate) const KEY: &str = "key-0123456789-0123456789-0123456789";
/// 2026-01-01T00:00:00Z, where the clock stands.
pub(crate) const NOW: i64 = 1_767_225_600;

pub(crate) fn access(provider: Option<&Provider>, requests_per_minute: u32) -> Access {
    platform::install_providers();
    let grant = |scopes: &[Scope], rooms: &[&str]| Grant {
        scopes: scopes.to_vec(),
        rooms: rooms.iter().map(ToString::to_string).collect(),
        ..Grant::default()
    };
    let config = AccessConfig {
        keys: vec![AccessKey {
            name: "crm".into(),
            hash: KeyHash(Sha256::digest(KEY).into()),
            key: None,
            grant: grant(&[Scope::CallsRead], &["crm-*"]),
        }],
        jwt: provider.map(|provider| IdentityProvider {
            issuer: "https://id.example.com".into(),
            audience: "trunkline".into(),
            jwks_url: provider.url.clone(),
            grant: grant(&[Scope::CallsRead, Scope::RoomsRead], &["user-{sub}~*"]),
        }),
        requests_per_minute,
    };
    Access::new(&config, Arc::new(ManualClock::default())).unwrap()
}

pub(crate) fn claims() -> Value {
    json!({"iss": "https://id.example.com", "aud": "trunkline", "exp": NOW + 300, "nbf": NOW - 10, "sub": "u1",
        "scope": "openid calls:read calls:write"})
}

fn with(change: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

pub(crate) fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

#[tokio::test]
async fn a_key_is_its_caller_and_anything_else_is_nobody() {
    let access = access(None, 600);
    let caller = access.caller(&bearer(KEY)).await.unwrap();
    assert_eq!(caller.name, "crm");
    assert!(caller.may(Scope::CallsRead) && !caller.may(Scope::CallsWrite));
    assert!(caller.owns_room("crm-1").is_ok());
    assert!(caller.owns_room("sales-1").is_err());
    assert_eq!(
        access.caller(&HeaderMap::new()).await.unwrap_err(),
        Refusal::NoToken
    );
    for wrong in [&KEY[1..], &format!("{KEY}x"), "", "x", &KEY.to_uppercase()] {
        assert_eq!(
            access.caller(&bearer(wrong)).await.unwrap_err(),
            Refusal::UnknownKey,
            "{wrong}"
        );
    }
    let basic = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Basic Y3JtOng="))]);
    let mut twice = bearer(KEY);
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    let long = bearer(&"x".repeat(10_000));
    for headers in [basic, twice, long] {
        assert_eq!(
            access.caller(&headers).await.unwrap_err(),
            Refusal::MalformedToken
        );
    }
}

#[tokio::test]
async fn tokens_of_the_provider_are_taken_in_its_three_algorithms() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let provider = Provider::start(&signers.each_ref().map(|signer| signer.jwk.clone())).await;
    let access = access(Some(&provider), 600);
    for signer in &signers {
        let caller = access.caller(&bearer(&signer.sign(&claims()))).await.unwrap();
        assert_eq!(caller.name, "jwt:u1");
        assert!(caller.may(Scope::CallsRead), "{:?}", signer.algorithm);
        assert!(
            !caller.may(Scope::CallsWrite),
            "the provider may not give this one"
        );
        assert!(!caller.may(Scope::RoomsRead), "the token does not carry this one");
        assert!(caller.owns_room("user-u1~x").is_ok() && caller.owns_room("user-u2~x").is_err());
    }
    let list = signers[2].sign(&with(
        &json!({"aud": ["a", "trunkline"], "scope": null, "scp": ["rooms:read"]}),
    ));
    assert!(access.caller(&bearer(&list)).await.unwrap().may(Scope::RoomsRead));
    assert_eq!(provider.fetched(), 1, "the keys are kept");
}

#[tokio::test]
async fn no_subject_owns_the_rooms_of_another_however_alike_they_are() {
    let signer = Signer::ed("d");
    let provider = Provider::start(std::slice::from_ref(&signer.jwk)).await;
    let access = access(Some(&provider), 600);
    let subjects = ["a", "a-b", "a-b-1", "ab", "a|b", "user-a", "-", "auth0|a", "A"];
    for subject in subjects {
        let token = signer.sign(&with(&json!({"sub": subject})));
        let caller = access.caller(&bearer(&token)).await.unwrap();
        assert_eq!(caller.rooms.name("1"), Some(format!("user-{subject}~1")));
        for owner in subjects {
            for room in [format!("user-{owner}~1"), format!("user-{owner}~b~1")] {
                assert_eq!(
                    caller.owns_room(&room).is_ok(),
                    owner == subject,
                    "{subject} {room}"
                );
            }
        }
    }
    let holds_it = signer.sign(&with(&json!({"sub": "a~b"})));
    assert_eq!(
        access.caller(&bearer(&holds_it)).await.unwrap_err(),
        Refusal::Subject
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn tokens_that_are_not_for_us_are_refused_each_for_its_reason() {
    let (good, other) = (Signer::ed("d"), Signer::ed("d"));
    let rsa = Signer::rsa("r");
    let provider = Provider::start(&[good.jwk.clone(), rsa.jwk.clone()]).await;
    let access = access(Some(&provider), 600);
    let signed = |change: Value| good.sign(&with(&change));
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid, "typ": "JWT"});
    let (valid_head, valid_rest) = signed(json!({}))
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let tampered = format!("{}.{}", valid_head, valid_rest.replacen('J', "K", 1));
    let public = good.jwk["x"].as_str().unwrap().as_bytes().to_vec();
    let hmac = jsonwebtoken::encode(
        &{
            let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
            header.kid = Some("d".into());
            header
        },
        &claims(),
        &jsonwebtoken::EncodingKey::from_secret(&public),
    )
    .unwrap();
    for (what, token, refusal) in [
        ("expired", signed(json!({"exp": NOW - 61})), Refusal::Expired),
        ("early", signed(json!({"nbf": NOW + 61})), Refusal::NotYetValid),
        (
            "issuer",
            signed(json!({"iss": "https://id.example.com/"})),
            Refusal::Issuer,
        ),
        ("audience", signed(json!({"aud": "other"})), Refusal::Audience),
        ("audiences", signed(json!({"aud": ["other"]})), Refusal::Audience),
        ("no audience", signed(json!({"aud": null})), Refusal::Claims),
        ("no expiry", signed(json!({"exp": null})), Refusal::Claims),
        ("no time", signed(json!({"exp": "soon"})), Refusal::Claims),
        (
            "a time out of range",
            signed(json!({"nbf": -1e300})),
            Refusal::Claims,
        ),
        ("no subject", signed(json!({"sub": ""})), Refusal::Subject),
        ("wildcard subject", signed(json!({"sub": "*"})), Refusal::Subject),
        (
            "subject with a space",
            signed(json!({"sub": "a b"})),
            Refusal::Subject,
        ),
        ("another key", other.sign(&claims()), Refusal::Signature),
        ("tampered", tampered, Refusal::Signature),
        (
            "alg none",
            forged(&header("none", "d"), &claims(), b""),
            Refusal::Algorithm,
        ),
        (
            "alg None",
            forged(&header("None", "d"), &claims(), b""),
            Refusal::Algorithm,
        ),
        ("hmac", hmac, Refusal::Algorithm),
        (
            "alg of another key",
            forged(&header("RS256", "d"), &claims(), b"x"),
            Refusal::Algorithm,
        ),
        (
            "RS384",
            forged(&header("RS384", "r"), &claims(), b"x"),
            Refusal::Algorithm,
        ),
        (
            "no signature",
            forged(&header("EdDSA", "d"), &claims(), b""),
            Refusal::Signature,
        ),
        (
            "no kid",
            forged(&json!({"alg": "EdDSA"}), &claims(), b"x"),
            Refusal::UnknownKid,
        ),
        (
            "unknown kid",
            forged(&header("EdDSA", "z"), &claims(), b"x"),
            Refusal::UnknownKid,
        ),
        (
            "critical",
            forged(
                &json!({"alg": "EdDSA", "kid": "d", "crit": ["b64"]}),
                &claims(),
                b"x",
            ),
            Refusal::MalformedToken,
        ),
        (
            "no json",
            "eyJhIjox.eyJhIjox.x".to_owned(),
            Refusal::MalformedToken,
        ),
    ] {
        assert_eq!(
            access.caller(&bearer(&token)).await.unwrap_err(),
            refusal,
            "{what}"
        );
    }
    for change in [
        json!({"exp": NOW - 59}),
        json!({"nbf": NOW + 59}),
        json!({"exp": 1_767_225_900.5, "nbf": 1_767_225_599.25}),
    ] {
        assert!(
            access.caller(&bearer(&signed(change))).await.is_ok(),
            "clocks may differ a little, and times may have fractions (RFC 7519 §2)"
        );
    }
}

#[tokio::test]
async fn unknown_keys_are_looked_for_and_not_more_often_than_every_30_s() {
    let (first, second) = (Signer::ed("one"), Signer::ed("two"));
    let provider = Provider::start(std::slice::from_ref(&first.jwk)).await;
    let access = access(Some(&provider), 600);
    assert!(access.caller(&bearer(&first.sign(&claims()))).await.is_ok());
    *provider.answer.lock() = json!({"keys": [second.jwk, {"kty": "new", "kid": "x"}]}).to_string();
    let token = bearer(&second.sign(&claims()));
    for _ in 0..50 {
        assert_eq!(access.caller(&token).await.unwrap_err(), Refusal::UnknownKid);
    }
    assert_eq!(provider.fetched(), 1, "anybody can send an unknown kid");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert!(access.caller(&token).await.is_ok());
    assert_eq!(provider.fetched(), 2);
}

#[tokio::test]
async fn the_keys_of_a_provider_that_is_away_go_on_for_an_hour() {
    let signer = Signer::ed("one");
    let provider = Provider::start(std::slice::from_ref(&signer.jwk)).await;
    let access = access(Some(&provider), 600);
    let token = bearer(&signer.sign(&claims()));
    assert!(access.caller(&token).await.is_ok());
    *provider.answer.lock() = String::new();
    let later = async |minutes| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(minutes)).await;
        tokio::time::resume();
        (
            access.caller(&token).await.err(),
            access.caller(&token).await.err(),
        )
    };
    assert_eq!(later(11).await, (None, None));
    assert_eq!(provider.fetched(), 2, "it is asked again, and then left alone");
    let unknown = bearer(&Signer::ed("two").sign(&claims()));
    assert_eq!(access.caller(&unknown).await.unwrap_err(), Refusal::NoKeys);
    assert_eq!(later(48).await, (None, None));
    assert_eq!(later(2).await, (Some(Refusal::NoKeys), Some(Refusal::NoKeys)));
}

#[tokio::test]
async fn a_provider_that_sends_too_much_or_nonsense_lets_nobody_in() {
    let signer = Signer::ed("d");
    let token = bearer(&signer.sign(&claims()));
    let padded = json!({"keys": [signer.jwk], "pad": "x".repeat(MAX_JWKS_BYTES)}).to_string();
    let many = json!({"keys": vec![&signer.jwk; 65]}).to_string();
    for answer in [padded, many, "<html>".to_owned(), "{}".to_owned()] {
        let provider = Provider::start(&[]).await;
        *provider.answer.lock() = answer;
        let access = access(Some(&provider), 600);
        assert_eq!(access.caller(&token).await.unwrap_err(), Refusal::NoKeys);
        assert_eq!(access.caller(&token).await.unwrap_err(), Refusal::NoKeys);
        assert_eq!(provider.fetched(), 1, "a provider in trouble is left alone");
    }
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_so() {
    let access = access(None, 3);
    for _ in 0..3 {
        assert!(access.caller(&bearer(KEY)).await.is_ok());
    }
    let refusal = access.caller(&bearer(KEY)).await.unwrap_err();
    assert_eq!(refusal, Refusal::TooOften { caller: "crm".into() });
}
