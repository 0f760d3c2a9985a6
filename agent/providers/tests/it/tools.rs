//! A service on HTTP as a tool, against a real one on loopback.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::Request, http::StatusCode, response::IntoResponse, routing::any};
use providers::{
    Faults,
    tools::{HeaderValueSource, HttpMethod, HttpTool, HttpToolConfig, Secrets, ToolCall, ToolSpec, Toolbox},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::stub::install_tls;

const SECRET: &str = "canary-secret-5b1d";

/// What the service was asked: method, path with query, authorization, body.
type Seen = Arc<std::sync::Mutex<Vec<(String, String, String, Bytes)>>>;

struct Service {
    base: String,
    seen: Seen,
    _task: JoinSet<()>,
}

/// Answers 200 with what it was asked, and by its path: another status, too much, or nothing.
async fn service() -> Service {
    install_tls();
    let seen = Seen::default();
    let (notes, busy) = (seen.clone(), Arc::new(AtomicU32::new(0)));
    let handler = move |request: Request| {
        let (notes, busy) = (notes.clone(), busy.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let authorization = parts.headers.get("authorization");
            let authorization = authorization.map_or("", |value| value.to_str().unwrap());
            notes.lock().unwrap().push((
                parts.method.to_string(),
                parts.uri.to_string(),
                authorization.to_owned(),
                body,
            ));
            match parts.uri.path() {
                "/busy" if busy.fetch_add(1, Ordering::Relaxed) < 2 => {
                    (StatusCode::SERVICE_UNAVAILABLE, "later").into_response()
                }
                "/missing" => (StatusCode::NOT_FOUND, "no such order").into_response(),
                "/away" => (StatusCode::FOUND, [("location", "/orders/1")]).into_response(),
                "/long" => "x".repeat(17 << 10).into_response(),
                "/never" => std::future::pending().await,
                _ => "on its way".into_response(),
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(async move {
        axum::serve(listener, Router::new().fallback(any(handler)))
            .await
            .unwrap();
    });
    Service {
        base,
        seen,
        _task: task,
    }
}

fn config(method: HttpMethod, url: &str) -> HttpToolConfig {
    HttpToolConfig {
        spec: ToolSpec {
            name: "find".to_owned(),
            description: "Finds an order.".to_owned(),
            parameters: serde_json::json!({
                "type": "object",
                "properties": {"number": {}, "full": {"type": "boolean"}},
            }),
        },
        method,
        url: url.to_owned(),
        headers: vec![(
            "authorization".to_owned(),
            HeaderValueSource::Secret {
                prefix: "Bearer ".to_owned(),
                name: "crm".to_owned(),
            },
        )],
        timeout: Duration::from_secs(2),
        retries: 2,
    }
}

fn secrets() -> Secrets {
    BTreeMap::from([("crm".to_owned(), SECRET.to_owned().into())])
}

async fn call(config: HttpToolConfig, arguments: &str) -> (String, bool) {
    let tool = HttpTool::new(config, &secrets()).unwrap();
    let toolbox = Toolbox::new([Arc::new(tool) as Arc<dyn providers::tools::Tool>]).unwrap();
    let call = ToolCall {
        id: "1".to_owned(),
        name: "find".to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = toolbox.call(&call).await;
    (result.content, result.is_error)
}

#[tokio::test]
async fn arguments_go_where_the_method_and_the_url_want_them() {
    let service = service().await;
    let url = format!("{}/orders/{{number}}", service.base);
    // What the parameters do not name stays here.
    let arguments = r#"{"number": "A 1/2", "full": true, "admin": true}"#;
    for (method, uri, body) in [
        (HttpMethod::Get, "/orders/A%201%2F2?full=true", ""),
        (HttpMethod::Delete, "/orders/A%201%2F2?full=true", ""),
        (HttpMethod::Post, "/orders/A%201%2F2", r#"{"full":true}"#),
        (HttpMethod::Put, "/orders/A%201%2F2", r#"{"full":true}"#),
        (HttpMethod::Patch, "/orders/A%201%2F2", r#"{"full":true}"#),
    ] {
        assert_eq!(
            call(config(method, &url), arguments).await,
            ("on its way".to_owned(), false)
        );
        let (_, asked, authorization, sent) = service.seen.lock().unwrap().pop().unwrap();
        assert_eq!((asked.as_str(), sent.as_ref()), (uri, body.as_bytes()));
        assert_eq!(authorization, format!("Bearer {SECRET}"));
    }
}

#[tokio::test]
async fn an_argument_cannot_leave_its_place_in_the_path() {
    let service = service().await;
    for end in ["", "/", "/state"] {
        let url = format!("{}/orders/{{number}}{end}", service.base);
        for number in ["", ".", ".."] {
            let arguments = serde_json::json!({ "number": number }).to_string();
            let (words, is_error) = call(config(HttpMethod::Delete, &url), &arguments).await;
            let told = is_error && words.contains("do not fit into the URL");
            assert!(told, "{number:?} in {end:?}: {words}");
            assert!(service.seen.lock().unwrap().is_empty(), "{number:?} in {end:?}");
        }
        // Escaped twice it is a name like any other.
        let (_, is_error) = call(config(HttpMethod::Delete, &url), r#"{"number": "%2e%2e"}"#).await;
        let (_, uri, ..) = service.seen.lock().unwrap().pop().unwrap();
        assert_eq!((uri, is_error), (format!("/orders/%252e%252e{end}"), false));
    }
    let url = format!("{}/orders/{{number}}/state", service.base);
    let (words, is_error) = call(config(HttpMethod::Get, &url), r#"{"full": true}"#).await;
    assert!(is_error && words.contains("`number` is missing"), "{words}");
    assert!(service.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn failures_are_told_to_the_model_and_secrets_are_not() {
    let service = service().await;
    for (path, words) in [
        ("/missing", "answered 404: no such order"),
        ("/away", "answered 302"),
        ("/long", "longer than 16384 bytes"),
        ("/never", "no answer within 2s"),
    ] {
        let (content, is_error) =
            call(config(HttpMethod::Get, &format!("{}{path}", service.base)), "{}").await;
        assert!(is_error && content.contains(words), "{path}: {content}");
        assert!(
            !content.contains(SECRET) && !content.contains("127.0.0.1"),
            "{content}"
        );
    }
    let debug = format!("{:?}", config(HttpMethod::Get, &service.base));
    assert!(!debug.contains("Bearer"), "{debug}");
}

#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let service = service().await;
    let url = format!("{}/busy", service.base);
    assert!(call(config(HttpMethod::Post, &url), "{}").await.1);
    assert_eq!(service.seen.lock().unwrap().len(), 1);
    // The second and third time it is asked.
    assert!(!call(config(HttpMethod::Get, &url), "{}").await.1);
    assert_eq!(service.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_said_to_be_so() {
    let base = service().await.base;
    let (words, is_error) = call(config(HttpMethod::Post, &base), "{}").await;
    assert!(is_error && words.contains("cannot be reached"), "{words}");
}

#[test]
fn what_is_wrong_with_a_tool_is_said_at_once() {
    install_tls();
    let keys = |url: &str, header: &str| {
        let mut config = config(HttpMethod::Get, url);
        config.headers.push((
            header.to_owned(),
            HeaderValueSource::Secret {
                prefix: String::new(),
                name: "erp".to_owned(),
            },
        ));
        match HttpTool::new(config, &secrets()) {
            Ok(_) => panic!("that has faults"),
            Err(Faults(faults)) => faults.into_iter().map(|fault| fault.key).collect::<Vec<_>>(),
        }
    };
    for url in [
        "http://crm.example.com/",
        "ftp://crm.example.com/",
        "crm.example.com/{number}",
        "https://crm.example.com/{other}",
    ] {
        assert_eq!(keys(url, "x-key"), ["url", "headers.x-key"], "{url}");
    }
    for url in [
        "https://{number}.example.com/",
        "https://me:secret@crm.example.com/",
    ] {
        assert!(keys(url, "x-key").contains(&"url".to_owned()), "{url}");
    }
    assert_eq!(keys("https://crm.example.com/", "x-key"), ["headers.x-key"]);
}
