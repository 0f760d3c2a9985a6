//! `IOInfo`: what a gateway asks LiveKit about a call (`rpc.io` and `livekit.sip` of LiveKit's protocol 1.50).
//!
//! Fields that the gateway has no use for are left out; protobuf skips them.

use std::collections::HashMap;
use std::time::Duration;

use prost::{Enumeration, Message};

use crate::wire::ProtoDuration;
use crate::{BusError, Client};

/// The service's name, for [`crate::Options::services`].
pub const SERVICE: &str = "IOInfo";

/// LiveKit's own timeout for these calls. They are not retried: the phone waits.
const TIMEOUT: Duration = Duration::from_secs(3);

/// `livekit.SIPUri`. Its user part is a phone number: `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SipUri {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(string, tag = "3")]
    pub ip: String,
    #[prost(uint32, tag = "4")]
    pub port: u32,
    /// 0 automatic, 1 UDP, 2 TCP, 3 TLS.
    #[prost(int32, tag = "5")]
    pub transport: i32,
}

impl std::fmt::Debug for SipUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SipUri(..)")
    }
}

/// `rpc.SIPCall`: a call as its INVITE describes it.
#[derive(Clone, PartialEq, Message)]
pub struct SipCall {
    /// `SCL_…`, made by the gateway.
    #[prost(string, tag = "1")]
    pub lk_call_id: String,
    /// The peer's address, without port.
    #[prost(string, tag = "2")]
    pub source_ip: String,
    /// The request's URI.
    #[prost(message, optional, tag = "3")]
    pub address: Option<SipUri>,
    #[prost(message, optional, tag = "4")]
    pub from: Option<SipUri>,
    #[prost(message, optional, tag = "5")]
    pub to: Option<SipUri>,
    #[prost(message, repeated, tag = "6")]
    pub via: Vec<SipUri>,
    /// The Call-ID header.
    #[prost(string, tag = "7")]
    pub sip_call_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrunkAuthenticationRequest {
    #[prost(message, optional, tag = "8")]
    pub call: Option<SipCall>,
}

/// An answer with nothing in it means that no trunk matches; the dispatch rule then decides.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct TrunkAuthentication {
    #[prost(string, tag = "1")]
    pub username: String,
    #[prost(string, tag = "2")]
    pub password: String,
    #[prost(bool, tag = "3")]
    pub drop: bool,
    #[prost(string, tag = "4")]
    pub sip_trunk_id: String,
    #[prost(string, tag = "5")]
    pub project_id: String,
    /// 1: over quota, 2: no trunk.
    #[prost(int32, tag = "7")]
    pub error_code: i32,
    #[prost(string, tag = "9")]
    pub realm: String,
}

impl std::fmt::Debug for TrunkAuthentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrunkAuthentication")
            .field("sip_trunk_id", &self.sip_trunk_id)
            .field("digest", &!self.username.is_empty())
            .field("drop", &self.drop)
            .field("error_code", &self.error_code)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct DispatchRequest {
    /// Digits that the caller typed, when a PIN was asked for.
    #[prost(string, tag = "5")]
    pub pin: String,
    #[prost(bool, tag = "6")]
    pub no_pin: bool,
    #[prost(map = "string, string", tag = "9")]
    pub extra_attributes: HashMap<String, String>,
    #[prost(string, tag = "10")]
    pub sip_trunk_id: String,
    #[prost(message, optional, tag = "12")]
    pub call: Option<SipCall>,
}

impl std::fmt::Debug for DispatchRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DispatchRequest")
            .field("sip_trunk_id", &self.sip_trunk_id)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// `rpc.SIPDispatchResult`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DispatchResult {
    /// Servers older than the field: `request_pin` tells the rest.
    Legacy = 0,
    Accept = 1,
    RequestPin = 2,
    Reject = 3,
    /// No rule matches.
    Drop = 4,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Dispatch {
    #[prost(string, tag = "1")]
    pub room_name: String,
    #[prost(string, tag = "2")]
    pub participant_identity: String,
    #[prost(bool, tag = "3")]
    pub request_pin: bool,
    #[prost(enumeration = "DispatchResult", tag = "6")]
    pub result: i32,
    #[prost(string, tag = "7")]
    pub participant_name: String,
    #[prost(string, tag = "8")]
    pub participant_metadata: String,
    #[prost(string, tag = "9")]
    pub sip_trunk_id: String,
    #[prost(string, tag = "10")]
    pub sip_dispatch_rule_id: String,
    #[prost(map = "string, string", tag = "11")]
    pub participant_attributes: HashMap<String, String>,
    /// Headers for the 200.
    #[prost(map = "string, string", tag = "13")]
    pub headers: HashMap<String, String>,
    /// Header name → attribute name.
    #[prost(map = "string, string", tag = "14")]
    pub headers_to_attributes: HashMap<String, String>,
    #[prost(message, optional, tag = "16")]
    pub ringing_timeout: Option<ProtoDuration>,
    #[prost(message, optional, tag = "17")]
    pub max_call_duration: Option<ProtoDuration>,
    /// Attribute → header, of a BYE or REFER.
    #[prost(map = "string, string", tag = "18")]
    pub attributes_to_headers: HashMap<String, String>,
    /// Which headers of the INVITE become `sip.h.*` attributes: 0 none, 1 those that begin with `X-`, 2 all.
    #[prost(int32, tag = "19")]
    pub include_headers: i32,
    #[prost(string, tag = "20")]
    pub room_preset: String,
    /// A `livekit.RoomConfiguration`, still encoded: it goes into the token unread.
    #[prost(bytes = "vec", optional, tag = "21")]
    pub room_config: Option<Vec<u8>>,
    #[prost(message, optional, tag = "24")]
    pub media: Option<MediaConfig>,
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch")
            .field("result", &self.result)
            .field("sip_trunk_id", &self.sip_trunk_id)
            .field("sip_dispatch_rule_id", &self.sip_dispatch_rule_id)
            .finish_non_exhaustive()
    }
}

/// `livekit.SIPMediaConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct MediaConfig {
    #[prost(bool, tag = "1")]
    pub only_listed_codecs: bool,
    #[prost(message, repeated, tag = "2")]
    pub codecs: Vec<MediaCodec>,
    /// 0 off, 1 allowed, 2 required.
    #[prost(int32, tag = "3")]
    pub encryption: i32,
    #[prost(message, optional, tag = "4")]
    pub media_timeout: Option<ProtoDuration>,
}

/// `livekit.SIPCodec`.
#[derive(Clone, PartialEq, Message)]
pub struct MediaCodec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub rate: u32,
}

impl Client {
    /// Which trunk a call comes by, and whether it must authenticate.
    ///
    /// # Errors
    /// As [`Client::call`]; answer the phone with 503.
    pub async fn trunk_authentication(&self, call: SipCall) -> Result<TrunkAuthentication, BusError> {
        let request = TrunkAuthenticationRequest { call: Some(call) };
        self.call(SERVICE, "GetSIPTrunkAuthentication", "", &request, TIMEOUT)
            .await
    }

    /// Which room a call goes to. Each call draws a new room name where the rule has random names.
    ///
    /// # Errors
    /// As [`Client::call`]; answer the phone with 503.
    pub async fn evaluate_dispatch_rules(&self, request: DispatchRequest) -> Result<Dispatch, BusError> {
        self.call(SERVICE, "EvaluateSIPDispatchRules", "", &request, TIMEOUT)
            .await
    }
}
