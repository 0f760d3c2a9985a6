//! Every route of the document, asked by everybody who must not get in.

use serde_json::{Map, Value, json};

use crate::host::{Host, OWNER, THEIR_CALL, THEIR_EGRESS, THEIR_INGRESS, THEIR_ROOM, all_but};

/// The routes that are open: two that say nothing, and one that takes signed links only.
const OPEN: [&str; 3] = ["/health/live", "/health/ready", "/v1/recordings/{call}"];

struct Route {
    method: String,
    path: String,
    scope: String,
    body: Option<Value>,
}

/// Reads the routes out of the document, aimed at another caller's resources.
fn routes(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let scope = operation["security"][0]["bearer"][0].as_str();
            if OPEN.contains(&path.as_str()) {
                assert!(scope.is_none());
                continue;
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            routes.push(Route {
                method: method.to_uppercase(),
                path: aimed(path),
                scope: scope
                    .unwrap_or_else(|| panic!("{method} {path} names no scope"))
                    .to_owned(),
                body: (!schema.is_null()).then(|| body(document, schema)),
            });
        }
    }
    routes
}

fn aimed(path: &str) -> String {
    path.replace("{call}", THEIR_CALL)
        .replace("{room}", THEIR_ROOM)
        .replace("{egress}", THEIR_EGRESS)
        .replace("{ingress}", THEIR_INGRESS)
        .replace("{identity}", "ann")
        .replace("{track}", "TR_1")
}

/// The least that the schema takes, with every name of a room set to another caller's.
fn body(document: &Value, schema: &Value) -> Value {
    // A body that may be left out is one of null and itself.
    let schema = schema["oneOf"]
        .as_array()
        .and_then(|any| any.iter().find(|one| one["$ref"].is_string()))
        .unwrap_or(schema);
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut body = Map::new();
    for (name, property) in schema["properties"].as_object().unwrap() {
        if ["room", "room_name", "name"].contains(&name.as_str())
            && schema["properties"]["attributes"].is_null()
        {
            body.insert(name.clone(), json!(THEIR_ROOM));
        } else if required.contains(&name.as_str()) {
            let value = match (name.as_str(), property["type"].as_str()) {
                ("to", _) => json!("+14155552671"),
                ("digits", _) => json!("1"),
                (_, Some("boolean")) => json!(true),
                (_, Some("integer")) => json!(1),
                (_, None) => {
                    // Another schema: one of its words, or an object with nothing in it.
                    let pointer = property["$ref"].as_str().unwrap().trim_start_matches('#');
                    document.pointer(pointer).unwrap()["enum"]
                        .get(0)
                        .cloned()
                        .unwrap_or(json!({}))
                }
                _ => json!("x"),
            };
            body.insert(name.clone(), value);
        }
    }
    Value::Object(body)
}

#[tokio::test]
async fn nobody_gets_in_without_the_right_key_scope_and_ownership() {
    let host = Host::start().await;
    let document = serde_json::to_value(&host.document).unwrap();
    let routes = routes(&document);
    assert!(routes.len() >= 30, "{}", routes.len());
    let expired = host.token(&json!({"exp": 1}));
    let issuer = host.token(&json!({"iss": "https://evil.example.com"}));
    let audience = host.token(&json!({"aud": "other"}));
    let no_scope = host.token(&json!({"scope": "openid"}));
    let unsigned = host.unsigned();
    for route in &routes {
        let Route {
            method,
            path,
            scope,
            body,
        } = route;
        let wrong_scope = all_but(scope);
        let table = [
            ("no token", None, 401),
            ("an unknown key", Some("nobody-0123456789"), 401),
            ("another scope", Some(wrong_scope.as_str()), 403),
            ("a token without the scope", Some(no_scope.as_str()), 403),
            ("an expired token", Some(expired.as_str()), 401),
            ("another issuer", Some(issuer.as_str()), 401),
            ("another audience", Some(audience.as_str()), 401),
            ("alg none", Some(unsigned.as_str()), 401),
        ];
        for (what, key, status) in table {
            let (answered, problem) = host.ask(method, path, key, body.as_ref()).await;
            assert_eq!(answered, status, "{method} {path}: {what}: {problem}");
        }
    }
}

#[tokio::test]
async fn another_callers_resources_do_not_exist() {
    let host = Host::start().await;
    let document = serde_json::to_value(&host.document).unwrap();
    let token = host.token(&json!({}));
    let mut asked = 0;
    for Route {
        method, path, body, ..
    } in routes(&document)
    {
        let is_about_one = [THEIR_CALL, THEIR_ROOM, THEIR_EGRESS, THEIR_INGRESS]
            .iter()
            .any(|theirs| path.contains(theirs));
        if !is_about_one && body.is_none() {
            // Lists and health; the lists are below.
            continue;
        }
        asked += 1;
        for key in [OWNER, token.as_str()] {
            let (status, problem) = host.ask(&method, &path, Some(key), body.as_ref()).await;
            assert!(
                [403, 404].contains(&status),
                "{method} {path}: {status} {problem}"
            );
            assert!(
                !is_about_one || status == 404,
                "{method} {path}: {status} {problem}"
            );
        }
    }
    assert!(asked >= 24, "{asked}");
    let (status, page) = host
        .ask("GET", "/v1/calls?day=2026-01-01", Some(OWNER), None)
        .await;
    assert_eq!((status, page), (200, json!({"calls": []})));
    let (status, page) = host.ask("GET", "/v1/egress", Some(OWNER), None).await;
    assert_eq!((status, page), (200, json!({"egresses": []})));
    let (status, page) = host.ask("GET", "/v1/ingress", Some(OWNER), None).await;
    assert_eq!((status, page), (200, json!({"ingresses": []})));
}

#[tokio::test]
async fn the_owner_gets_as_far_as_livekit() {
    let host = Host::start().await;
    let (status, problem) = host.ask("GET", "/v1/rooms/mine-1", Some(OWNER), None).await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &json!("/problems/unavailable")),
        "{problem}"
    );
    let (status, _) = host
        .ask("GET", "/v1/rooms/mine-1", Some(&host.token(&json!({}))), None)
        .await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn paths_that_climb_and_unknown_routes_are_not_found() {
    let host = Host::start().await;
    for path in [
        "/v1/calls/..%2f..%2fetc%2fpasswd",
        "/v1/calls/RM_..%2f..",
        "/v1/calls/RM_%00",
        "/v1/rooms/..%2fmine-1",
        "/v1/rooms/%2e%2e",
        "/v1/nothing",
        "/v1/calls/RM_unknown",
        "/v1//calls",
    ] {
        let (status, problem) = host.ask("GET", path, Some(OWNER), None).await;
        assert_eq!((status, problem["status"].as_u64()), (404, Some(404)), "{path}");
    }
}

#[tokio::test]
async fn the_document_is_for_callers_only() {
    let host = Host::start().await;
    assert_eq!(host.ask("GET", api::DOCUMENT_PATH, None, None).await.0, 401);
    for path in OPEN {
        assert_ne!(host.ask("GET", path, None, None).await.0, 401);
    }
}
