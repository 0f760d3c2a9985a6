//! What a failure of the service means for who asked.
//!
//! The service's own sentences are left out: they may quote the key or the prompt. Its codes are kept.

use reqwest::StatusCode;

use super::{
    NAME,
    wire::{ErrorBody, ErrorEnvelope},
};
use crate::{
    ProviderError,
    http::{self, is_code, is_temporary},
};

/// An answer that is no success.
pub(super) fn status(status: StatusCode, body: &[u8]) -> ProviderError {
    let error = serde_json::from_slice::<ErrorEnvelope>(body)
        .unwrap_or_default()
        .into_error();
    let code = error.and_then(|error| code_of(&error));
    http::refusal(NAME, status, code.as_deref())
}

/// An error in the middle of a streamed answer, after a 200.
pub(super) fn in_stream(error: &ErrorBody) -> ProviderError {
    let code = code_of(error);
    let reason = match &code {
        Some(code) => format!("an error within the answer ({code})"),
        None => "an error within the answer".to_owned(),
    };
    let named = error.code.as_deref().into_iter().chain(error.kind.as_deref());
    let number = named.clone().find_map(|code| code.parse().ok());
    let is_refusal = named.clone().any(|code| {
        [
            "invalid",
            "badrequest",
            "auth",
            "permission",
            "not_found",
            "unsupported",
            "quota",
        ]
        .iter()
        .any(|word| code.to_ascii_lowercase().contains(word))
    });
    if number.map_or(!is_refusal, is_temporary) {
        ProviderError::Unavailable {
            provider: NAME,
            reason,
        }
    } else {
        ProviderError::Refused {
            provider: NAME,
            reason,
        }
    }
}

/// The error's code or type, if it looks like one: an identifier, and no sentence.
fn code_of(error: &ErrorBody) -> Option<String> {
    let named = error.code.as_deref().into_iter().chain(error.kind.as_deref());
    named.filter(|text| is_code(text)).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status_code: u16, body: &str) -> ProviderError {
        status(StatusCode::from_u16(status_code).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_status_says_whether_to_ask_again() {
        for (code, again) in [
            (301, false),
            (400, false),
            (401, false),
            (404, false),
            (413, false),
            (422, false),
        ]
        .into_iter()
        .chain([
            (408, true),
            (429, true),
            (500, true),
            (502, true),
            (503, true),
            (529, true),
        ]) {
            assert_eq!(of(code, "").is_retryable(), again, "{code}");
        }
    }

    #[test]
    fn codes_are_told_and_sentences_are_not() {
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-canary","type":"invalid_request_error","code":"invalid_api_key"}}"#;
        let error = of(401, body).to_string();
        assert!(
            error.contains("HTTP 401 (invalid_api_key): check the key"),
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
        let sentence = r#"{"error":{"code":"the prompt was: canary"}}"#;
        assert!(!of(400, sentence).to_string().contains("canary"));
        assert!(
            of(
                400,
                r#"{"object":"error","message":"x","type":"BadRequestError","code":400}"#
            )
            .to_string()
            .contains("(400)")
        );
        assert!(
            of(500, r#"{"error":"overloaded"}"#)
                .to_string()
                .contains("HTTP 500")
        );
    }

    #[test]
    fn an_error_in_the_stream_is_told_apart_by_code_and_type() {
        let refused = |code: Option<&str>, kind: Option<&str>| {
            let body = ErrorBody {
                code: code.map(Into::into),
                kind: kind.map(Into::into),
            };
            !in_stream(&body).is_retryable()
        };
        assert!(refused(Some("400"), None));
        assert!(refused(None, Some("invalid_request_error")));
        assert!(refused(Some("insufficient_quota"), None));
        assert!(!refused(Some("503"), Some("invalid_request_error")));
        assert!(!refused(Some("rate_limit_exceeded"), None));
        assert!(!refused(None, None));
    }
}
