use std::{collections::HashMap, time::Duration};

use crate::redact::mask;

/// The longest server text that goes into an error, in characters.
const MAX_TEXT: usize = 300;

/// Why LiveKit did not do what it was asked. `Display` is masked and ends with the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum LiveKitError {
    /// The client cannot be made. Do not retry.
    #[error("the LiveKit client cannot be made: {reason}")]
    Setup {
        /// What is wrong.
        reason: String,
    },
    /// The server refused the token. Do not retry.
    #[error("LiveKit refused the token of {method}: {fault}; {}", fault.remedy())]
    Unauthenticated {
        /// The API call.
        method: &'static str,
        /// What the server found wrong.
        fault: AuthFault,
    },
    /// The token lacks a grant, or LiveKit forbids it. Do not retry.
    #[error("LiveKit forbids {method}: {message}")]
    PermissionDenied {
        /// The API call.
        method: &'static str,
        /// The server's text, masked.
        message: String,
    },
    /// There is no such room, participant, trunk or rule. Do not retry.
    #[error("{method}: LiveKit knows no such thing: {message}")]
    NotFound {
        /// The API call.
        method: &'static str,
        /// The server's text, masked.
        message: String,
    },
    /// The server understood and refused. Do not retry.
    #[error("LiveKit refused {method} ({code}): {message}{}", self.remedy().map(|r| format!("; {r}")).unwrap_or_default())]
    Refused {
        /// The API call.
        method: &'static str,
        /// The Twirp code.
        code: String,
        /// The server's text, masked.
        message: String,
        /// What the server adds, such as `sip_status_code`.
        meta: HashMap<String, String>,
    },
    /// The telephone network answered with a SIP failure (RFC 3261 §21). Do not retry by itself: the phone has rung, or was busy.
    #[error("{method} ended in SIP {status}: {message}")]
    Sip {
        /// The API call.
        method: &'static str,
        /// The SIP status, 300 to 699.
        status: u16,
        /// The server's text, masked.
        message: String,
    },
    /// The server, or a server behind it, cannot do it at the moment. Retry.
    #[error("LiveKit cannot do {method} at the moment ({code}): {message}{}", self.remedy().map(|r| format!("; {r}")).unwrap_or_default())]
    Unavailable {
        /// The API call.
        method: &'static str,
        /// The Twirp code, or the HTTP status when something in between answered.
        code: String,
        /// The server's text, masked.
        message: String,
    },
    /// The server failed while it did what may not be done twice, its Redis is away for one: it may have been done. Retry what may be done
    /// twice.
    #[error("LiveKit failed in {method} ({code}): {message}")]
    Failed {
        /// The API call.
        method: &'static str,
        /// The Twirp code.
        code: String,
        /// The server's text, masked.
        message: String,
    },
    /// No connection: nothing was sent. Retry.
    #[error(
        "LiveKit cannot be reached for {method} ({}); check livekit.url and that the server runs",
        root_cause(source)
    )]
    Unreachable {
        /// The API call.
        method: &'static str,
        /// What the network says.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke after the request was sent: it may have been done. Retry what may be done twice.
    #[error("the connection broke during {method}")]
    Interrupted {
        /// The API call.
        method: &'static str,
        /// What the network says.
        #[source]
        source: reqwest::Error,
    },
    /// No answer within the deadline: it may have been done. Retry what may be done twice.
    #[error("LiveKit did not answer {method} within {after:?}")]
    Deadline {
        /// The API call.
        method: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// An answer that is none of LiveKit's API. Do not retry.
    #[error("the answer to {method} cannot be read: {reason}; is livekit.url a LiveKit server's?")]
    Unreadable {
        /// The API call.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A token cannot be made. Do not retry.
    #[error("the token cannot be made: {reason}")]
    Token {
        /// What is wrong.
        reason: String,
    },
}

/// What LiveKit can find wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFault {
    /// The server does not know the key.
    UnknownKey,
    /// The key is known, the signature is another secret's.
    WrongSecret,
    /// The token is not valid yet, or no more.
    Clock {
        /// How far the server's clock is ahead of ours, in seconds, when its answer had a `Date`.
        server_ahead_s: Option<i64>,
    },
    /// Something else: most often a missing grant.
    Other,
}

impl AuthFault {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::UnknownKey => "livekit.api_key must be one of `keys:` in the server's configuration",
            Self::WrongSecret => "livekit.api_secret must be the one beside that key in the server's `keys:`",
            Self::Clock { .. } => {
                "the clocks of this machine and of the server differ by more than two minutes; set both by NTP"
            }
            Self::Other => "the key lacks a grant; use one from the server's `keys:`, which have all",
        }
    }
}

impl std::fmt::Display for AuthFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("unknown API key"),
            Self::WrongSecret => f.write_str("wrong API secret"),
            Self::Clock {
                server_ahead_s: Some(s),
            } => {
                write!(
                    f,
                    "token outside its time (the server's clock is {s:+} s from ours)"
                )
            }
            Self::Clock { server_ahead_s: None } => f.write_str("token outside its time"),
            Self::Other => f.write_str("not authenticated"),
        }
    }
}

impl LiveKitError {
    /// Whether nobody knows if it has been done: no answer in time, to us or to the server, one that cannot be read, or one of a proxy whose
    /// server broke off (any 5xx without a Twirp code but 503, which says that nothing was begun).
    pub fn leaves_outcome_open(&self) -> bool {
        match self {
            Self::Deadline { .. }
            | Self::Interrupted { .. }
            | Self::Unreadable { .. }
            | Self::Failed { .. } => true,
            Self::Unavailable { code, .. } | Self::Refused { code, .. } => {
                let is_proxys = code
                    .parse()
                    .is_ok_and(|status: u16| status >= 500 && status != 503);
                is_proxys || code == "deadline_exceeded"
            }
            _ => false,
        }
    }

    /// Whether the same call can succeed later. What may have been done already is included: see
    /// [`LiveKitError::Interrupted`], [`LiveKitError::Failed`] and [`LiveKitError::Deadline`].
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Unreachable { .. }
                | Self::Interrupted { .. }
                | Self::Failed { .. }
                | Self::Deadline { .. }
        )
    }

    /// What to do about it, where the server's answer tells.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated { fault, .. } => Some(fault.remedy()),
            Self::Unavailable { message, .. } if message.contains("no response from servers") => Some(
                "no gateway (or egress, ingress) takes part: start it with the same Redis address and database as the server",
            ),
            Self::Refused { message, .. } if message.contains("redis required") => {
                Some("give the LiveKit server a `redis:` section: SIP, egress and ingress need it")
            }
            Self::Refused { message, .. } if message.contains("remote unmute not enabled") => {
                Some("set `room.enable_remote_unmute: true` in the LiveKit server's configuration")
            }
            _ => None,
        }
    }

    /// An error of the middleware in front of the API, which answers 401 in plain text (livekit-server 1.13.5).
    pub(super) fn unauthenticated(
        method: &'static str,
        text: &str,
        server_ahead_s: Option<i64>,
    ) -> LiveKitError {
        let says = |what: &str| text.contains(what);
        let fault = if says("invalid API key") {
            AuthFault::UnknownKey
        } else if says("not valid yet") || says("expired") {
            AuthFault::Clock { server_ahead_s }
        } else if says("signature is invalid") {
            AuthFault::WrongSecret
        } else {
            AuthFault::Other
        };
        Self::Unauthenticated { method, fault }
    }

    /// A Twirp error, or what stands for one when something between us and LiveKit answered. `is_repeatable`: doing it twice does no harm.
    pub(super) fn answered(
        (method, is_repeatable): (&'static str, bool),
        code: &str,
        message: &str,
        meta: HashMap<String, String>,
    ) -> Self {
        // What came over the server's bus is wrapped once more.
        let message = message.strip_prefix("twirp error unknown: ").unwrap_or(message);
        let message: String = mask(message).chars().take(MAX_TEXT).collect();
        let code: String = code.chars().take(MAX_TEXT).collect();
        // Whatever Twirp makes of it, it is the phone's answer: 486 comes as resource_exhausted, 404 as not_found.
        let status = meta.get("sip_status_code").and_then(|status| status.parse().ok());
        if let Some(status @ 300..=699) = status {
            return Self::Sip {
                method,
                status,
                message,
            };
        }
        match code.as_str() {
            "unauthenticated" => Self::unauthenticated(method, &message, None),
            "permission_denied" => Self::PermissionDenied { method, message },
            "not_found" => Self::NotFound { method, message },
            "unavailable" | "resource_exhausted" | "deadline_exceeded" | "aborted" | "429" | "502"
            | "503" | "504" => Self::Unavailable {
                method,
                code,
                message,
            },
            // HTTP 500: a fault of the server's, not of the request. Without `redis:` in its configuration none will succeed.
            "internal" | "unknown" | "dataloss" if !message.contains("redis required") => {
                if is_repeatable {
                    Self::Unavailable {
                        method,
                        code,
                        message,
                    }
                } else {
                    Self::Failed {
                        method,
                        code,
                        message,
                    }
                }
            }
            _ => {
                let meta = meta
                    .into_iter()
                    .map(|(key, value)| (key, mask(&value).into_owned()))
                    .collect();
                Self::Refused {
                    method,
                    code,
                    message,
                    meta,
                }
            }
        }
    }
}

/// What is at the bottom of a chain of errors: `Connection refused`, not `error sending request`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    mask(&cause.to_string()).into_owned()
}
