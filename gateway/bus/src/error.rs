//! What can go wrong with a call.

use std::fmt;

use thiserror::Error;

use crate::wire::Any;

/// Failure of [`crate::Client`].
#[derive(Debug, Clone, Error)]
pub enum BusError {
    /// No server claimed the request: the service is not running, or uses another Redis. Fail, or retry later.
    #[error("no response from servers")]
    NoServer,
    /// A server claimed the request and then did not answer in time. Whether it acted is unknown.
    #[error("no answer within the request's timeout")]
    Timeout,
    /// The server answered with an error.
    #[error("{code}: {message}")]
    Remote {
        code: Code,
        message: String,
        /// Typed details, such as `livekit.SIPStatus`.
        details: Vec<Any>,
    },
    /// Too many calls are under way here. Retry later.
    #[error("too many calls under way")]
    Busy,
    /// The answer's bytes are not the expected message.
    #[error("malformed response")]
    Malformed(#[source] prost::DecodeError),
    /// The client was shut down.
    #[error("the bus client is closed")]
    Closed,
    /// The first connection to Redis failed. The address is left out, since it may hold a password.
    #[error("cannot connect to Redis: {0}")]
    Connect(String),
}

/// psrpc's error codes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    Canceled,
    MalformedRequest,
    MalformedResult,
    DeadlineExceeded,
    Unavailable,
    Unknown,
    InvalidArgument,
    NotFound,
    NotAcceptable,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    DataLoss,
    Unauthenticated,
    UnprocessableEntity,
    UpstreamServerError,
    UpstreamClientError,
    /// A code that this version does not know.
    Other(String),
}

const CODES: [(&str, Code); 22] = [
    ("canceled", Code::Canceled),
    ("malformed_request", Code::MalformedRequest),
    ("malformed_result", Code::MalformedResult),
    ("deadline_exceeded", Code::DeadlineExceeded),
    ("unavailable", Code::Unavailable),
    ("unknown", Code::Unknown),
    ("invalid_argument", Code::InvalidArgument),
    ("not_found", Code::NotFound),
    ("not_acceptable", Code::NotAcceptable),
    ("already_exists", Code::AlreadyExists),
    ("permission_denied", Code::PermissionDenied),
    ("resource_exhausted", Code::ResourceExhausted),
    ("failed_precondition", Code::FailedPrecondition),
    ("aborted", Code::Aborted),
    ("out_of_range", Code::OutOfRange),
    ("unimplemented", Code::Unimplemented),
    ("internal", Code::Internal),
    ("data_loss", Code::DataLoss),
    ("unauthenticated", Code::Unauthenticated),
    ("unprocessable_entity", Code::UnprocessableEntity),
    ("upstream_server_error", Code::UpstreamServerError),
    ("upstream_client_error", Code::UpstreamClientError),
];

impl Code {
    /// The code of a response; `None` is success.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let known = CODES.iter().find(|(name, _)| *name == text);
        Some(known.map_or_else(|| Code::Other(text.to_owned()), |(_, code)| code.clone()))
    }

    /// The code as it stands on the wire.
    pub fn as_str(&self) -> &str {
        if let Code::Other(text) = self {
            return text;
        }
        CODES
            .iter()
            .find(|(_, code)| code == self)
            .map_or("unknown", |(name, _)| name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_round_trip() {
        for (name, code) in CODES {
            assert_eq!(Code::parse(name), Some(code.clone()));
            assert_eq!(code.as_str(), name);
        }
        assert_eq!(Code::parse(""), None);
        assert_eq!(Code::parse("teapot").expect("a code").to_string(), "teapot");
    }
}
