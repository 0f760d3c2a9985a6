//! An HTTP server on loopback that answers as a test says, and notes what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, Response},
};
use tokio::task::JoinSet;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is answered: a status with headers and a body, or nothing at all.
pub(crate) enum Answer {
    Is(u16, Vec<(&'static str, String)>, Body),
    Silence,
}

impl Answer {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::Is(status, Vec::new(), Body::from(body.into()))
    }

    /// An error as S3 says it.
    pub(crate) fn s3_error(status: u16, code: &str) -> Self {
        Self::text(
            status,
            format!("<Error><Code>{code}</Code><Message>canary-message of {code}</Message></Error>"),
        )
    }

    /// An error as SQS says it.
    pub(crate) fn sqs_error(status: u16, code: &str, message: &str) -> Self {
        Self::text(
            status,
            format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"{message}"}}"#),
        )
    }
}

/// A server that runs as long as it is kept.
pub(crate) struct Script {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _server: JoinSet<()>,
}

impl Script {
    /// `answer` gets the number of the request, from 0 on.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Asked) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let notes = asked.clone();
        let app = axum::Router::new().fallback(move |request: Request| {
            let (notes, answer) = (notes.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let asked = Asked {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
                };
                let number = {
                    let mut notes = notes.lock().unwrap();
                    notes.push(asked.clone());
                    notes.len() - 1
                };
                let Answer::Is(status, headers, body) = answer(number, &asked) else {
                    return std::future::pending().await;
                };
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(body).unwrap()
            }
        });
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            asked,
            _server: server,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}
