//! Pages: which may call, and what a browser is told before it does.

use axum::body::Body;
use http::{Method, Request, header::ACCESS_CONTROL_ALLOW_ORIGIN};
use token::PATH;

use crate::endpoint::{BARE, ORIGIN, offline, send};

fn from(method: Method, origin: &str, key: Option<&str>) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(PATH)
        .header("origin", origin);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_listed_page_may_ask_before_and_may_read_the_answer_even_when_it_is_a_refusal() {
    let (status, headers, _) = send(offline(), from(Method::OPTIONS, ORIGIN, None)).await;
    assert_eq!(status, 204);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], ORIGIN);
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    assert_eq!(headers["access-control-allow-methods"], "POST");
    for (key, expected) in [(Some(BARE), 201), (None, 401)] {
        let (status, headers, _) = send(offline(), from(Method::POST, ORIGIN, key)).await;
        assert_eq!(status, expected);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], ORIGIN);
        assert_eq!(headers["vary"], "Origin");
    }
}

#[tokio::test]
async fn any_other_page_is_refused_with_a_key_and_without() {
    for origin in [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com/",
        "https://APP.example.com",
        "null",
        "*",
        "",
    ] {
        for (method, key) in [
            (Method::OPTIONS, None),
            (Method::POST, Some(BARE)),
            (Method::POST, None),
        ] {
            let (status, headers, body) = send(offline(), from(method, origin, key)).await;
            assert_eq!(status, 403, "{origin}");
            assert!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
            assert_eq!(body["field"], "Origin");
        }
    }
    let mut twice = from(Method::POST, ORIGIN, Some(BARE));
    twice
        .headers_mut()
        .append("origin", "https://evil.example.com".parse().unwrap());
    assert_eq!(send(offline(), twice).await.0, 403);
}
