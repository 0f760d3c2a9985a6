//! What an AWS request failed with: whether to try again, and if not, what a person must do.

use std::{error::Error, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

/// The most that is kept of a text from elsewhere, in characters.
const MAX_TEXT_CHARS: usize = 300;
/// A longer word is a handle, a signature or a token.
const MAX_WORD_CHARS: usize = 80;

/// Errors by their codes, with the remedy: none of them goes away by itself.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &[
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "UnrecognizedClient",
        ],
        "the access key is not known there: check AWS_ACCESS_KEY_ID, the profile, and the endpoint",
    ),
    (
        &[
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
        ],
        "the secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY",
    ),
    (
        &[
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidToken",
            "TokenRefreshRequired",
        ],
        "the session token has expired or is wrong: renew the credentials",
    ),
    (
        &[
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "MissingSecurityHeader",
        ],
        "give this process AWS credentials: a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
            "AuthFailure",
            "Forbidden",
            "AllAccessDisabled",
            "AccountProblem",
            "NotSignedUp",
            "OptInRequired",
        ],
        "allow this role or user to do it: docs/operation.md lists the actions that are needed",
    ),
    (
        &["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"],
        "the clock of this machine is wrong: set it by NTP",
    ),
    (
        &[
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ],
        "name the region that the bucket is in: `?region=…` in the key `store`",
    ),
    (
        &["NoSuchBucket", "InvalidBucketName"],
        "create the bucket, or correct its name in the key `store`",
    ),
    (
        &[
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            "InvalidAddress",
            "QueueDeletedRecently",
        ],
        "create the queue, or correct the URL in the key `queue`",
    ),
    (
        &["NotImplemented"],
        "the service lacks what is needed: conditional writes (If-Match, If-None-Match) and multipart uploads of S3",
    ),
    (
        &[
            "KMS.DisabledException",
            "KMS.NotFoundException",
            "KmsDisabled",
            "KmsNotFound",
            "KmsAccessDenied",
            "KmsInvalidState",
            "KmsOptInRequired",
            "KMS.AccessDeniedException",
            "KMS.InvalidStateException",
        ],
        "the KMS key cannot be used: check that it exists, is enabled, and that this role may use it",
    ),
];

/// Client errors that are none, by their codes: the same request can succeed later.
const PASSING: &[&str] = &[
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "OverLimit",
    "KmsThrottled",
    "KMS.ThrottlingException",
    "PriorRequestNotComplete",
    "OperationAborted",
    "ConditionalRequestConflict",
];
/// Answers that the adapters deal with themselves, or that are passing by their nature.
const EXPECTED: &[u16] = &[404, 408, 409, 412, 429];
const NOT_UNDERSTOOD: &str = "the service does not take this request: check that it speaks S3 or SQS at this endpoint, and what its answer says";

/// Why a request failed, in words that may be logged: no credential, no receipt, no URL with a signature.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The service's own name of the error.
    pub(crate) code: Option<String>,
    /// The status of the answer, if one came.
    pub(crate) status: Option<u16>,
    /// What a person must do; `None`: the same request can succeed later.
    pub(crate) remedy: Option<&'static str>,
    /// The request may have been carried out all the same.
    pub(crate) may_be_done: bool,
    text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Fault {}

impl<E> From<SdkError<E, HttpResponse>> for Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match &error {
            SdkError::ServiceError(answer) => Self::answered(answer.err(), answer.raw()),
            SdkError::ConstructionFailure(_) => Self::unanswered(&error, false),
            _ => Self::unanswered(&error, true),
        }
    }
}

impl Fault {
    /// A failure on this side of the network.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            code: None,
            status: None,
            remedy: None,
            may_be_done: true,
            text: text.into(),
        }
    }

    /// Whether the same request can succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        self.remedy.is_none()
            && self.status.is_none_or(|status| {
                !(400..500).contains(&status) || EXPECTED.contains(&status) || self.is(PASSING)
            })
    }

    /// Whether the service called it by one of these names.
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    fn answered(error: &(impl ProvideErrorMetadata + Error), answer: &HttpResponse) -> Self {
        let status = answer.status().as_u16();
        let code = error.code().map(str::to_owned);
        let known = code.as_deref().and_then(remedy_of);
        let is_passing = code.as_deref().is_some_and(|code| PASSING.contains(&code));
        let remedy = known.or_else(|| if is_passing { None } else { by_status(status) });
        let name = code.as_deref().unwrap_or("no error code");
        let text = match error.message() {
            Some(message) => format!("{name}: {} (HTTP {status})", harmless(message)),
            None => format!("{name} (HTTP {status})"),
        };
        Self {
            code,
            status: Some(status),
            remedy,
            may_be_done: status >= 500,
            text,
        }
    }

    fn unanswered(error: &(dyn Error + 'static), may_be_done: bool) -> Self {
        let mut remedy = None;
        let mut text = String::new();
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(credentials) = cause.downcast_ref::<CredentialsError>() {
                remedy = remedy.or(of_credentials(credentials));
            }
            let said = harmless(&cause.to_string());
            if !text.contains(&said) {
                let gap = if text.is_empty() { "" } else { ": " };
                text = format!("{text}{gap}{said}");
            }
            next = cause.source();
        }
        Self {
            code: None,
            status: None,
            remedy,
            may_be_done,
            text: text.chars().take(MAX_TEXT_CHARS).collect(),
        }
    }
}

fn remedy_of(code: &str) -> Option<&'static str> {
    REMEDIES
        .iter()
        .find(|(codes, _)| codes.contains(&code))
        .map(|(_, remedy)| *remedy)
}

/// Answers to a HEAD have no body, and so no code.
fn by_status(status: u16) -> Option<&'static str> {
    match status {
        301 => remedy_of("PermanentRedirect"),
        401 | 403 => remedy_of("AccessDenied"),
        400..500 if !EXPECTED.contains(&status) => Some(NOT_UNDERSTOOD),
        _ => None,
    }
}

fn of_credentials(error: &CredentialsError) -> Option<&'static str> {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => remedy_of("MissingAuthenticationToken"),
        CredentialsError::InvalidConfiguration(_) => Some(
            "correct the profile in the shared AWS configuration; SSO and credential_process are not supported",
        ),
        // The endpoint that gives them may be back soon.
        _ => None,
    }
}

/// Long words out, and cut.
fn harmless(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        if word.chars().count() > MAX_WORD_CHARS {
            "[…]"
        } else {
            word
        }
    });
    let mut kept = String::new();
    for word in words {
        if kept.chars().count() + word.chars().count() >= MAX_TEXT_CHARS {
            kept.push_str(" …");
            break;
        }
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(word);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_and_signatures_in_a_message_are_not_kept() {
        let handle = "AQEB".repeat(60);
        let said = harmless(&format!("Value {handle} for parameter ReceiptHandle is invalid."));
        assert_eq!(said, "Value […] for parameter ReceiptHandle is invalid.");
        assert!(harmless(&"word ".repeat(1_000)).chars().count() <= MAX_TEXT_CHARS + 2);
    }

    #[test]
    fn no_code_stands_twice_in_the_table() {
        let all: Vec<&str> = REMEDIES
            .iter()
            .flat_map(|(codes, _)| codes.iter().copied())
            .collect();
        for code in &all {
            assert_eq!(all.iter().filter(|other| *other == code).count(), 1, "{code}");
        }
        assert!(by_status(403).is_some() && by_status(404).is_none());
    }
}
