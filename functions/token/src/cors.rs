//! Which pages may call: Cross-Origin Resource Sharing (Fetch §3.2) with an exact list.

use std::sync::Arc;

use access::Fail;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
    },
};

use crate::TokenState;

/// Refuses pages that are not listed; lets through what is no page, for which the key alone decides.
pub(crate) async fn check(State(state): State<Arc<TokenState>>, request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS;
    let origin = match origin(request.headers(), &state.config.origins) {
        Ok(origin) => origin,
        Err(fail) => {
            tracing::warn!(route = crate::PATH, reason = fail.reason(), "access refused");
            return fail.into_response();
        }
    };
    let mut response = if is_preflight {
        preflight()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-request-id"),
        );
    }
    response
}

fn origin(headers: &HeaderMap, listed: &[String]) -> Result<Option<HeaderValue>, Fail> {
    let mut sent = headers.get_all(ORIGIN).iter();
    let Some(origin) = sent.next() else {
        return Ok(None);
    };
    let is_listed = listed.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
    if is_listed && sent.next().is_none() {
        Ok(Some(origin.clone()))
    } else {
        Err(Fail::refused(
            "origin",
            "Origin",
            "pages of this origin may not call this endpoint",
            "list the origin in token.origins, exactly as the browser sends it",
        ))
    }
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, x-request-id",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
