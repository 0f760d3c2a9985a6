//! The document that is checked in is the one that is served.

use std::{fs, path::Path};

use axum::body::Body;
use http::Request;
use serde_json::Value;
use tower::ServiceExt;

use crate::host::{Host, OWNER};

/// `UPDATE_OPENAPI=1 cargo test -p api` writes it anew.
#[tokio::test]
async fn the_document_that_is_checked_in_is_that_of_the_code() {
    let host = Host::start().await;
    let made = api::pretty(&host.document);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi.json is not that of the code: UPDATE_OPENAPI=1 cargo test -p api"
    );
    let (status, served) = host.ask("GET", api::DOCUMENT_PATH, Some(OWNER), None).await;
    assert_eq!(
        (status, served),
        (200, serde_json::from_str::<Value>(&made).unwrap())
    );
}

/// LiveKit and the store may be away whatever is asked.
#[tokio::test]
async fn every_route_names_what_is_answered_when_a_service_behind_it_is_away() {
    let host = Host::start().await;
    let document = serde_json::to_value(&host.document).unwrap();
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if !operation["security"][0]["bearer"].is_array() {
                continue;
            }
            let asks_livekit = path.starts_with("/v1/") && path != "/v1/token";
            let answers = operation["responses"].as_object().unwrap();
            for status in ["429", "502", "503", "504"] {
                let is_named = answers.contains_key(status);
                let is_given = asks_livekit || ["429", "503"].contains(&status);
                assert_eq!(is_named, is_given, "{method} {path} {status}");
            }
            routes += 1;
        }
    }
    assert!(routes > 25, "{routes}");
}

#[tokio::test]
async fn a_method_that_a_route_has_not_is_a_problem_as_any_other() {
    let host = Host::start().await;
    for path in ["/v1/rooms", "/v1/token", "/v1/calls/RM_x", api::DOCUMENT_PATH] {
        let (status, problem) = host.ask("PUT", path, Some(OWNER), None).await;
        assert_eq!(
            (status, &problem["status"], problem["title"].is_string()),
            (405, &Value::from(405), true),
            "{path} {problem}"
        );
    }
}

/// What answers methods that are not there stands outside of the token route's own answers.
#[tokio::test]
async fn a_preflight_is_answered_by_the_token_route() {
    let host = Host::start().await;
    let request = Request::builder()
        .method("OPTIONS")
        .uri("/v1/token")
        .body(Body::empty())
        .unwrap();
    let answer = host.app.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(answer.headers().contains_key("access-control-allow-methods"));
}
