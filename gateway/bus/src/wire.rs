//! psrpc's messages, as they stand on the wire (`internal.*` of psrpc 0.7).

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

const TYPE_PREFIX: &str = "type.googleapis.com/internal.";

/// The payload of every Redis message.
#[derive(Clone, PartialEq, Message)]
pub struct Msg {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(string, tag = "3")]
    pub channel: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// Nanoseconds since the Unix epoch.
    #[prost(int64, tag = "3")]
    pub sent_at: i64,
    /// Nanoseconds since the Unix epoch; a server drops the request after it.
    #[prost(int64, tag = "4")]
    pub expiry: i64,
    #[prost(bool, tag = "5")]
    pub multi: bool,
    #[prost(map = "string, string", tag = "7")]
    pub metadata: HashMap<String, String>,
    #[prost(bytes = "vec", tag = "8")]
    pub raw_request: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub server_id: String,
    /// Nanoseconds since the Unix epoch.
    #[prost(int64, tag = "3")]
    pub sent_at: i64,
    #[prost(string, tag = "5")]
    pub error: String,
    #[prost(string, tag = "6")]
    pub code: String,
    #[prost(bytes = "vec", tag = "7")]
    pub raw_response: Vec<u8>,
    #[prost(message, repeated, tag = "8")]
    pub error_details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ClaimRequest {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub server_id: String,
    #[prost(float, tag = "3")]
    pub affinity: f32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ClaimResponse {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub server_id: String,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl ProtoDuration {
    /// `None` for zero, negative and out-of-range values: they mean "not set".
    pub fn to_std(self) -> Option<std::time::Duration> {
        let duration =
            std::time::Duration::new(u64::try_from(self.seconds).ok()?, u32::try_from(self.nanos).ok()?);
        (!duration.is_zero()).then_some(duration)
    }
}

/// Nanoseconds since the Unix epoch, as stamps are written.
pub(crate) fn nanos_of(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

/// A message that travels in a [`Msg`].
pub trait Framed: Message + Default {
    /// The message's name within `internal`.
    const NAME: &'static str;

    /// The bytes to publish.
    fn frame(&self) -> Vec<u8> {
        let msg = Msg {
            type_url: format!("{TYPE_PREFIX}{}", Self::NAME),
            value: self.encode_to_vec(),
            channel: String::new(),
        };
        msg.encode_to_vec()
    }
}

impl Framed for Request {
    const NAME: &'static str = "Request";
}
impl Framed for Response {
    const NAME: &'static str = "Response";
}
impl Framed for ClaimRequest {
    const NAME: &'static str = "ClaimRequest";
}
impl Framed for ClaimResponse {
    const NAME: &'static str = "ClaimResponse";
}

/// A message read from a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    Request(Request),
    Response(Response),
    ClaimRequest(ClaimRequest),
    ClaimResponse(ClaimResponse),
}

impl Frame {
    /// Reads a published payload. `Ok(None)` is a message of a type that this version does not know.
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, prost::DecodeError> {
        let msg = Msg::decode(payload)?;
        let value = msg.value.as_slice();
        Ok(match msg.type_url.strip_prefix(TYPE_PREFIX) {
            Some(Request::NAME) => Some(Frame::Request(Request::decode(value)?)),
            Some(Response::NAME) => Some(Frame::Response(Response::decode(value)?)),
            Some(ClaimRequest::NAME) => Some(Frame::ClaimRequest(ClaimRequest::decode(value)?)),
            Some(ClaimResponse::NAME) => Some(Frame::ClaimResponse(ClaimResponse::decode(value)?)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
