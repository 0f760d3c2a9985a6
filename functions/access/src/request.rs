//! What comes in: ids, bodies, queries. All of it bounded.

use std::time::Duration;

use axum::{
    extract::{self, FromRequest, FromRequestParts, Query, Request},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use platform::problem::Problem;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::Fail;

/// The header that ties a request to its log lines, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The largest body, in bytes: metadata of 64 kB is LiveKit's bound, and everything else is small.
pub const MAX_BODY_BYTES: usize = 128 * 1024;
/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The id of a request: the sender's, when it is one to 64 of `A-Z a-z 0-9 _ - .`, else drawn.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    const MAX: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(request: &Request) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        let sent = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        sent.filter(|id| (1..=Self::MAX).contains(&id.len()) && id.bytes().all(plain))
            .map_or_else(Self::default, |id| Self(id.to_owned()))
    }
}

impl Default for RequestId {
    /// A new one, of 32 hexadecimal digits.
    fn default() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }
}

/// Middleware: gives the request its id, and the response too.
pub async fn with_request_id(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let header = HeaderValue::from_str(id.as_str());
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// A JSON body. An empty one counts as `{}`, and so does `null`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Fail;

    async fn from_request(request: Request, _: &S) -> Result<Self, Fail> {
        let bytes = read(request).await?;
        let is_none = bytes.is_empty() || bytes.trim_ascii() == b"null";
        let bytes: &[u8] = if is_none { b"{}" } else { &bytes };
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| unreadable(&error))
    }
}

async fn read(request: Request) -> Result<Bytes, Fail> {
    check_headers(request.headers())?;
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES);
    // Cancel-safe: the body is dropped with the request.
    match timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(too_large()),
        Ok(Err(_)) | Err(_) => {
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "/problems/body", "Body missing")
                .detail("the body did not arrive")
                .field("body")
                .remedy("send the whole body within ten seconds");
            Err(Fail::new(problem, "slow_body"))
        }
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), Fail> {
    let header = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let kind = header(CONTENT_TYPE).unwrap_or("application/json");
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let problem = Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "/problems/media-type",
            "Not JSON",
        )
        .detail("the body is not said to be JSON")
        .field("Content-Type")
        .remedy("send Content-Type: application/json");
        return Err(Fail::new(problem, "media_type"));
    }
    let announced = header(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    Ok(())
}

fn is_length(error: &axum::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn too_large() -> Fail {
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/body", "Body too large")
        .detail(format!("the body is larger than {MAX_BODY_BYTES} bytes"))
        .field("body")
        .remedy("keep metadata and attributes short");
    Fail::new(problem, "large_body")
}

/// Says what is wrong without quoting values: serde's own words hold them.
fn unreadable(error: &serde_json::Error) -> Fail {
    let text = error.to_string();
    let named = |begin: &str| {
        let rest = text.strip_prefix(begin)?;
        let name: String = rest.split('`').next()?.chars().take(64).collect();
        Some(events::mask_digits(&name))
    };
    if let Some(name) = named("unknown field `") {
        return Fail::invalid(
            name,
            "there is no such field",
            "compare the fields with /openapi.json",
        );
    }
    if let Some(name) = named("missing field `") {
        return Fail::invalid(name, "the field is missing", "set it");
    }
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        Fail::invalid(
            "body",
            format!("a value is of the wrong kind ({place})"),
            "compare it with /openapi.json",
        )
    } else {
        Fail::invalid(
            "body",
            format!("the body is no JSON ({place})"),
            "send valid JSON",
        )
    }
}

/// The query of a URL.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Fail;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fail> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(params)| Self(params))
            .map_err(|_| {
                Fail::invalid(
                    "query",
                    "a parameter is unknown, missing or of the wrong kind",
                    "compare the parameters with /openapi.json",
                )
            })
    }
}

/// The names in a path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Fail;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fail> {
        extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|extract::Path(names)| Self(names))
            // No UTF-8: nothing has such a name.
            .map_err(|_| Fail::not_found("not_a_name"))
    }
}
