//! Why somebody was not let in.

use http::StatusCode;
use platform::{config::Scope, problem::Problem};

use crate::Fail;

/// Why a request was refused before its handler saw it. None of them quotes the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no `Authorization` header.
    #[error("there is no key or token")]
    NoToken,
    /// Not `Bearer` and one token, or a token that is no JSON web token.
    #[error("the Authorization header cannot be read")]
    MalformedToken,
    /// Claims that are missing or of the wrong kind.
    #[error("the token's claims cannot be read")]
    Claims,
    /// Not one of our keys.
    #[error("the key is not known here")]
    UnknownKey,
    /// Signed otherwise than by RS256, ES256 or `EdDSA`.
    #[error("the token's algorithm is not taken")]
    Algorithm,
    /// The provider has no such signing key.
    #[error("the token's key is not one of the provider's")]
    UnknownKid,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// `iss` is another.
    #[error("the token has another issuer")]
    Issuer,
    /// `aud` is another.
    #[error("the token is for another audience")]
    Audience,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Too early.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `sub` is missing, or cannot be part of a room's name.
    #[error("the token's subject cannot be used")]
    Subject,
    /// The provider's keys cannot be had.
    #[error("the keys of the identity provider cannot be had")]
    NoKeys,
    /// The caller lacks the scope.
    #[error("the scope {scope} is missing")]
    Scope {
        /// What is needed.
        scope: Scope,
        /// Who asked.
        caller: String,
    },
    /// The route says no scope: a fault of this program.
    #[error("nobody may use this route")]
    NoRule {
        /// Who asked.
        caller: String,
    },
    /// Too many requests.
    #[error("too many requests")]
    TooOften {
        /// Who asked.
        caller: String,
    },
}

impl Refusal {
    /// What the log calls it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::MalformedToken => "malformed_token",
            Self::Claims => "claims",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::UnknownKid => "unknown_kid",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Subject => "subject",
            Self::NoKeys => "no_provider_keys",
            Self::Scope { .. } => "scope",
            Self::NoRule { .. } => "no_rule",
            Self::TooOften { .. } => "rate",
        }
    }

    /// Who was refused, when that is known.
    pub fn caller(&self) -> Option<&str> {
        match self {
            Self::Scope { caller, .. } | Self::NoRule { caller } | Self::TooOften { caller } => Some(caller),
            _ => None,
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::NoToken => "send `Authorization: Bearer <key or token>`",
            Self::MalformedToken => "send one Authorization header: Bearer, a space, the key or token",
            Self::Claims => "let the provider put in iss, aud and sub as text, and exp as seconds since 1970",
            Self::UnknownKey => "use a key of access.keys",
            Self::Algorithm => "let the provider sign by RS256, ES256 or EdDSA",
            Self::UnknownKid => {
                "check access.jwt.jwks_url; keys that are new are looked for every 30 s at most"
            }
            Self::Signature => "use a token of the provider that access.jwt names",
            Self::Issuer => "access.jwt.issuer and the token's iss must be the same to the letter",
            Self::Audience => "ask the provider for a token with the audience of access.jwt.audience",
            Self::Expired => "get a new token; when it is new, set the clocks by NTP",
            Self::NotYetValid => "set the clocks of the provider and this machine by NTP",
            Self::Subject => "let the provider put 1 to 128 letters, digits or ._@|:- into sub",
            Self::NoKeys => "try again; the provider's keys are being fetched",
            Self::Scope { .. } => "give the key or token this scope",
            Self::NoRule { .. } => "report this as a fault of the program",
            Self::TooOften { .. } => "wait, or raise access.requests_per_minute",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Scope { .. } | Self::NoRule { .. } => StatusCode::FORBIDDEN,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoKeys => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl From<Refusal> for Fail {
    fn from(refusal: Refusal) -> Self {
        let (kind, title) = match refusal.status() {
            StatusCode::FORBIDDEN => ("/problems/forbidden", "Forbidden"),
            StatusCode::TOO_MANY_REQUESTS => ("/problems/too-many-requests", "Too many requests"),
            StatusCode::SERVICE_UNAVAILABLE => ("/problems/unavailable", "Not now"),
            _ => ("/problems/unauthorized", "Not authorized"),
        };
        let problem = Problem::new(refusal.status(), kind, title)
            .detail(refusal.to_string())
            .field("Authorization")
            .remedy(refusal.remedy());
        let fail = Self::new(problem, refusal.reason());
        match refusal {
            Refusal::TooOften { .. } | Refusal::NoKeys => fail.retry_after(1),
            _ => fail,
        }
    }
}
