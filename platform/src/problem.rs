//! Errors over HTTP: problem details by RFC 9457, with the two members that let a caller act on them.

use http::{Response, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

/// The media type of RFC 9457 §3.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal as the caller sees it. Nothing in it may echo a token, a number or a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of problem it is, as a stable URI reference (`/problems/bad-signature`); RFC 9457 §3.1.1.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind in a few words, the same for every occurrence.
    pub title: &'static str,
    /// The HTTP status, repeated here for readers that have lost it.
    pub status: u16,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The header, claim or JSON path at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the caller can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Problem {
    /// A problem with neither detail, field nor remedy yet.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: None,
            field: None,
            remedy: None,
        }
    }

    /// Says what is wrong with this request.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the header, claim or JSON path at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says what the caller can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The status as a type; 500 if `status` was set to something that is none.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The HTTP response, with status, media type and body.
    pub fn into_response(self) -> Response<String> {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = Response::new(body);
        *response.status_mut() = self.status_code();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, http::HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_status_media_type_and_only_the_members_it_has() {
        let response = Problem::new(
            StatusCode::UNAUTHORIZED,
            "/problems/bad-signature",
            "Bad signature",
        )
        .field("Authorization")
        .remedy("sign with the key named in webhook.api_key")
        .into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let json: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "/problems/bad-signature", "title": "Bad signature", "status": 401,
                "field": "Authorization", "remedy": "sign with the key named in webhook.api_key",
            })
        );
    }
}
