//! Why a request did not do what was asked, for the one who asked and for the log.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use platform::{livekit::LiveKitError, problem::Problem, store::StoreError, targets::TargetError};

/// A refusal or failure on its way out: problem details for the caller, a reason and a cause for the log.
#[derive(Debug, Clone)]
pub struct Fail {
    problem: Box<Problem>,
    outcome: Outcome,
    retry_after_s: Option<u32>,
}

/// What the log says of a failed request. The guard reads it from the response's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A word that can be counted.
    pub reason: &'static str,
    /// What lies behind it; without numbers.
    pub cause: Option<String>,
}

impl Fail {
    /// Any problem, with the word that the log has for it.
    pub fn new(problem: Problem, reason: &'static str) -> Self {
        Self {
            problem: Box::new(problem),
            outcome: Outcome { reason, cause: None },
            retry_after_s: None,
        }
    }

    /// 404: there is no such thing, or not for this caller; the answer is the same.
    pub fn not_found(reason: &'static str) -> Self {
        let problem = Problem::new(StatusCode::NOT_FOUND, "/problems/not-found", "Not found")
            .detail("there is no such thing, or it is another caller's");
        Self::new(problem, reason)
    }

    /// 405: the route has no such method.
    pub fn no_method() -> Self {
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "/problems/method",
            "Method not allowed",
        )
        .detail("the route has no such method")
        .remedy("use one that the header Allow names");
        Self::new(problem, "no_method")
    }

    /// 400: a field is wrong.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "/problems/invalid", "Invalid request")
            .detail(detail)
            .field(field)
            .remedy(remedy);
        Self::new(problem, "invalid")
    }

    /// 403: it is well-formed, and not allowed.
    pub fn refused(
        reason: &'static str,
        field: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "/problems/refused-by-policy",
            "Refused by policy",
        )
        .detail(detail)
        .field(field)
        .remedy(remedy);
        Self::new(problem, reason)
    }

    /// What may not be dialled stood in `field`.
    pub fn target(error: TargetError, field: &str) -> Self {
        match error {
            TargetError::Invalid => Self::invalid(field, error.to_string(), error.remedy()),
            _ => Self::refused(error.reason(), field, error.to_string(), error.remedy()),
        }
    }

    /// 409: it does not fit what is there.
    pub fn conflict(reason: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = Problem::new(StatusCode::CONFLICT, "/problems/conflict", "Conflict")
            .detail(detail)
            .remedy(remedy);
        Self::new(problem, reason)
    }

    /// 503: not now.
    pub fn unavailable(reason: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "/problems/unavailable",
            "Not now",
        )
        .detail(detail)
        .remedy(remedy);
        Self::new(problem, reason)
    }

    /// Says when a repeat makes sense, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Keeps what lies behind it, for the log alone.
    #[must_use]
    pub fn because(mut self, cause: &dyn std::error::Error) -> Self {
        let chain = std::iter::successors(Some(cause), |cause| cause.source());
        let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        self.outcome.cause = Some(events::mask_digits(&text));
        self
    }

    /// The problem as the caller gets it.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The word that the log has for it.
    pub fn reason(&self) -> &'static str {
        self.outcome.reason
    }
}

impl IntoResponse for Fail {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response().map(Body::from);
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self.outcome);
        response
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Key(_) => Self::not_found("not_a_key"),
            StoreError::Refused { .. } | StoreError::Denied { .. } | StoreError::Unavailable { .. } => {
                Self::unavailable("store", "the store cannot be used at the moment", "send it again")
                    .retry_after(1)
            }
        }
        .because(&error)
    }
}

/// What LiveKit refuses is the caller's matter; what it cannot do at the moment, or does not let us do, is not.
impl From<LiveKitError> for Fail {
    fn from(error: LiveKitError) -> Self {
        let fail = match &error {
            LiveKitError::NotFound { .. } => Self::not_found("unknown_to_livekit"),
            LiveKitError::Refused { .. } if error.remedy().is_none() => Self::invalid(
                "body",
                "LiveKit refused the request",
                "compare the request with docs/api.md; the log has LiveKit's words",
            ),
            error if error.leaves_outcome_open() => Self::new(
                Problem::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "/problems/unknown-outcome",
                    "Unknown outcome",
                )
                .detail(
                    "LiveKit did not answer in time, or failed in between: what was asked may have been done",
                )
                .remedy("look whether it has been done before asking for it again"),
                "livekit_timeout",
            ),
            LiveKitError::Unavailable { .. } | LiveKitError::Unreachable { .. } => Self::unavailable(
                "livekit_unavailable",
                "LiveKit, or the service behind it, cannot do it at the moment",
                error.remedy().unwrap_or("try again later"),
            )
            .retry_after(5),
            _ => Self::new(
                Problem::new(
                    StatusCode::BAD_GATEWAY,
                    "/problems/livekit",
                    "LiveKit does not do as asked",
                )
                .detail("this program and the LiveKit server do not agree")
                .remedy(error.remedy().unwrap_or("look the request's id up in the log")),
                "livekit_disagrees",
            ),
        };
        fail.because(&error)
    }
}
