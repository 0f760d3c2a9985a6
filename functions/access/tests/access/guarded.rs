//! Routes behind the guard, and what the log says of them.

use std::{io, sync::Arc};

use access::{BEARER, Caller, Fail, REQUEST_ID, guard, with_request_id};
use axum::{Router, body::Body, middleware::from_fn};
use http::{Request, StatusCode};
use parking_lot::Mutex;
use platform::{config::LogConfig, problem::PROBLEM_JSON};
use serde_json::Value;
use tower::ServiceExt;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::tokens::{KEY, access};

#[utoipa::path(get, path = "/calls/{room}", security(("bearer" = ["calls:read"])))]
async fn read(caller: Caller, path: axum::extract::Path<String>) -> Result<String, Fail> {
    caller.owns_room(&path)?;
    Ok(caller.name)
}

#[utoipa::path(delete, path = "/calls/{room}", security(("bearer" = ["calls:write"])))]
async fn delete() -> &'static str {
    "deleted"
}

#[utoipa::path(get, path = "/open")]
async fn forgotten() -> &'static str {
    "open"
}

#[utoipa::path(get, path = "/either", security(("bearer" = ["calls:read"]), ()))]
async fn either() -> &'static str {
    "open"
}

fn router() -> Router {
    assert_eq!(BEARER, "bearer");
    let access = access(None, 600);
    let (router, _) = OpenApiRouter::<()>::new()
        .routes(guard(&access, routes!(read, delete)))
        .routes(guard(&access, routes!(forgotten)))
        .routes(guard(&access, routes!(either)))
        .split_for_parts();
    router.layer(from_fn(with_request_id))
}

async fn ask(method: &str, path: &str, key: Option<&str>) -> (StatusCode, Value, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(REQUEST_ID, "req-1");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response = router()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (status, id) = (
        response.status(),
        response.headers()[REQUEST_ID].to_str().unwrap().to_owned(),
    );
    if status.is_client_error() && status != StatusCode::METHOD_NOT_ALLOWED {
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
    }
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default(), id)
}

#[tokio::test]
async fn a_route_is_for_those_who_have_its_scope_and_a_route_without_one_for_nobody() {
    for (method, path, key, status) in [
        ("GET", "/calls/crm-1", Some(KEY), 200),
        ("HEAD", "/calls/crm-1", Some(KEY), 200),
        ("GET", "/calls/sales-1", Some(KEY), 404),
        ("GET", "/calls/crm-1", None, 401),
        ("GET", "/calls/crm-1", Some("wrong"), 401),
        ("DELETE", "/calls/crm-1", Some(KEY), 403),
        ("POST", "/calls/crm-1", Some(KEY), 405),
        ("GET", "/open", Some(KEY), 403),
        ("GET", "/either", Some(KEY), 403),
        ("GET", "/either", None, 401),
    ] {
        let (answered, _, id) = ask(method, path, key).await;
        assert_eq!(answered, status, "{method} {path}");
        assert_eq!(id, "req-1");
    }
    let (_, problem, _) = ask("DELETE", "/calls/crm-1", Some(KEY)).await;
    assert_eq!(problem["detail"], "the scope calls:write is missing");
    assert!(problem["remedy"].is_string());
}

#[tokio::test]
async fn request_ids_that_are_no_ids_are_replaced() {
    let long = "x".repeat(65);
    for sent in ["a b", "ä", "a\"b", &long, ""] {
        let Ok(value) = http::HeaderValue::from_bytes(sent.as_bytes()) else {
            continue;
        };
        let request = Request::get("/open")
            .header(REQUEST_ID, value)
            .body(Body::empty())
            .unwrap();
        let response = router().oneshot(request).await.unwrap();
        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        assert_eq!(id.len(), 32, "{sent} {id}");
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_refusal_is_one_line_with_caller_route_and_reason_and_nothing_of_the_request() {
    // What another test's thread finds nobody to be interested in is switched off for all: somebody is interested in everything.
    let nowhere = platform::telemetry::subscriber(&LogConfig::default(), std::io::sink).unwrap();
    tracing::subscriber::set_global_default(nowhere).unwrap();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = platform::telemetry::subscriber(&LogConfig::default(), move || writer.clone()).unwrap();
    let logging = tracing::subscriber::set_default(subscriber);
    ask("GET", "/calls/sales-15550100999", Some(KEY)).await;
    ask("DELETE", "/calls/crm-1", Some(KEY)).await;
    ask("GET", "/calls/crm-1", Some("canary-key")).await;
    drop(logging);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: Vec<[&str; 4]> = lines
        .iter()
        .map(|line| ["caller", "route", "reason", "request_id"].map(|name| line[name].as_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ["crm", "/calls/{room}", "another_callers_room", "req-1"],
            ["crm", "/calls/{room}", "scope", "req-1"],
            ["", "/calls/{room}", "unknown_key", "req-1"],
        ]
    );
    assert!(
        !text.contains("canary") && !text.contains("15550100999"),
        "{text}"
    );
}
