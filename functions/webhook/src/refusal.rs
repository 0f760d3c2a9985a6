//! What is not accepted, and what to do about it.

use events::livekit::{ParseError, ParseFault};
use http::StatusCode;
use platform::problem::Problem;

use crate::DeliverError;

/// Why a webhook was not accepted. None of them quotes token or body.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no `Authorization` header.
    #[error("there is no token")]
    NoToken,
    /// Not three parts of base64url JSON with `alg`, `iss` and `exp`.
    #[error("the token cannot be read")]
    MalformedToken,
    /// Signed otherwise than by HS256, or not at all.
    #[error("the token is not signed by HS256")]
    Algorithm,
    /// Signed with a key that is not among ours.
    #[error("the token is signed with a key that is not known here")]
    UnknownKey,
    /// The signature does not fit the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Too early.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The body is not the one that was signed.
    #[error("the body is not the one that was signed")]
    BodyHash,
    /// The body is too large.
    #[error("the body is larger than {} bytes", crate::MAX_BODY_BYTES)]
    TooLarge,
    /// The body did not come in time, or the connection broke.
    #[error("the body did not arrive")]
    NoBody,
    /// The body is signed, but no webhook.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It was accepted, but could not be dealt with now.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// It was accepted, but took too long.
    #[error("dealing with the webhook took too long")]
    Timeout,
}

impl Refusal {
    /// What the sender gets.
    pub fn problem(&self) -> Problem {
        let of =
            |status, kind, title: &'static str| Problem::new(status, kind, title).detail(self.to_string());
        let unauthorized = |title| of(StatusCode::UNAUTHORIZED, "/problems/webhook-token", title);
        match self {
            Self::NoToken => unauthorized("No token").field("Authorization").remedy(
                "send LiveKit's token as the whole header, without Bearer; a proxy may have dropped it",
            ),
            Self::MalformedToken => unauthorized("Malformed token")
                .field("Authorization")
                .remedy("send LiveKit's token as the whole header, without Bearer"),
            Self::Algorithm => unauthorized("Wrong algorithm")
                .field("alg")
                .remedy("sign by HS256"),
            Self::UnknownKey => unauthorized("Unknown key")
                .field("iss")
                .remedy("give livekit.webhook_keys the key that livekit-server names in webhook.api_key"),
            Self::Signature => unauthorized("Wrong signature")
                .field("Authorization")
                .remedy("give livekit.webhook_keys and livekit-server the same secret for this key"),
            Self::Expired => unauthorized("Expired token")
                .field("exp")
                .remedy("set the clocks of both machines by NTP; a token is valid for five minutes"),
            Self::NotYetValid => unauthorized("Token not valid yet")
                .field("nbf")
                .remedy("set the clocks of both machines by NTP"),
            Self::BodyHash => unauthorized("Tampered body")
                .field("sha256")
                .remedy("pass the raw body on unchanged; a proxy may have decoded or re-encoded it"),
            Self::TooLarge => of(
                StatusCode::PAYLOAD_TOO_LARGE,
                "/problems/webhook-body",
                "Body too large",
            )
            .field("body")
            .remedy("keep room metadata and attributes short: LiveKit puts them into every webhook"),
            Self::NoBody => of(
                StatusCode::REQUEST_TIMEOUT,
                "/problems/webhook-body",
                "Body missing",
            )
            .field("body")
            .remedy("send the whole body within ten seconds"),
            Self::Parse(error) => of(StatusCode::BAD_REQUEST, "/problems/webhook-body", "Not a webhook")
                .field(error.field)
                .remedy(match error.fault {
                    ParseFault::Utf8 | ParseFault::Json { .. } => "send LiveKit's JSON as it is",
                    _ => "compare the versions of livekit-server and of this program",
                }),
            Self::Deliver(error) if !error.is_retryable() => of(
                StatusCode::INTERNAL_SERVER_ERROR,
                "/problems/internal",
                "Not dealt with",
            )
            .remedy("look the webhook's id up in the log"),
            Self::Deliver(_) | Self::Timeout => of(
                StatusCode::SERVICE_UNAVAILABLE,
                "/problems/unavailable",
                "Not now",
            )
            .remedy("send it again"),
        }
    }
}
