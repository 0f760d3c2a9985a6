//! `SIPInternal`: what livekit-server asks of a gateway (`rpc` and `livekit.sip` of LiveKit's protocol 1.50).
//!
//! Fields that the gateway has no use for are left out; protobuf skips them.

use std::collections::HashMap;

use prost::Message;

use crate::ioinfo::MediaConfig;
use crate::wire::{Any, ProtoDuration};

/// The service's name.
pub const SERVICE: &str = "SIPInternal";
/// Dials a phone into a room. Its topic is the cluster, empty by default.
pub const CREATE_PARTICIPANT: &str = "CreateSIPParticipant";
/// Transfers a phone. Its topic is the call's id, `SCL_…`.
pub const TRANSFER_PARTICIPANT: &str = "TransferSIPParticipant";

/// `rpc.InternalCreateSIPParticipantRequest`. Numbers and credentials: `Debug` shows ids only.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CreateParticipant {
    /// `host[:port]` of the trunk.
    #[prost(string, tag = "2")]
    pub address: String,
    /// The number to call from.
    #[prost(string, tag = "3")]
    pub number: String,
    #[prost(string, tag = "4")]
    pub call_to: String,
    #[prost(string, tag = "5")]
    pub username: String,
    #[prost(string, tag = "6")]
    pub password: String,
    #[prost(string, tag = "7")]
    pub room_name: String,
    #[prost(string, tag = "8")]
    pub participant_identity: String,
    /// Digits to send after the answer.
    #[prost(string, tag = "11")]
    pub dtmf: String,
    #[prost(bool, tag = "12")]
    pub play_dialtone: bool,
    /// `SCL_…`, made by the server.
    #[prost(string, tag = "13")]
    pub sip_call_id: String,
    #[prost(string, tag = "14")]
    pub participant_name: String,
    #[prost(string, tag = "15")]
    pub participant_metadata: String,
    /// 0 automatic, 1 UDP, 2 TCP, 3 TLS.
    #[prost(int32, tag = "16")]
    pub transport: i32,
    #[prost(map = "string, string", tag = "17")]
    pub participant_attributes: HashMap<String, String>,
    #[prost(string, tag = "19")]
    pub sip_trunk_id: String,
    /// The host in From; empty: our own.
    #[prost(string, tag = "20")]
    pub hostname: String,
    #[prost(map = "string, string", tag = "21")]
    pub headers: HashMap<String, String>,
    /// Header of the 200 → attribute.
    #[prost(map = "string, string", tag = "22")]
    pub headers_to_attributes: HashMap<String, String>,
    #[prost(message, optional, tag = "23")]
    pub ringing_timeout: Option<ProtoDuration>,
    #[prost(message, optional, tag = "24")]
    pub max_call_duration: Option<ProtoDuration>,
    /// Attribute → header, of a BYE.
    #[prost(map = "string, string", tag = "26")]
    pub attributes_to_headers: HashMap<String, String>,
    /// Which headers of the 200 become `sip.h.*` attributes: 0 none, 1 those that begin with `X-`, 2 all.
    #[prost(int32, tag = "27")]
    pub include_headers: i32,
    #[prost(bool, tag = "29")]
    pub wait_until_answered: bool,
    /// The name in From. Not set: the number; empty: none.
    #[prost(string, optional, tag = "31")]
    pub display_name: Option<String>,
    #[prost(message, optional, tag = "34")]
    pub media: Option<MediaConfig>,
}

impl std::fmt::Debug for CreateParticipant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateParticipant")
            .field("sip_call_id", &self.sip_call_id)
            .field("sip_trunk_id", &self.sip_trunk_id)
            .finish_non_exhaustive()
    }
}

/// `rpc.InternalCreateSIPParticipantResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Created {
    /// `PA_…`
    #[prost(string, tag = "1")]
    pub participant_id: String,
    #[prost(string, tag = "2")]
    pub participant_identity: String,
    #[prost(string, tag = "3")]
    pub sip_call_id: String,
}

/// `rpc.InternalTransferSIPParticipantRequest`. `Debug` shows the call's id only.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct TransferParticipant {
    #[prost(string, tag = "1")]
    pub sip_call_id: String,
    /// A `tel:` or `sip:` URI.
    #[prost(string, tag = "2")]
    pub transfer_to: String,
    #[prost(bool, tag = "3")]
    pub play_dialtone: bool,
    #[prost(map = "string, string", tag = "4")]
    pub headers: HashMap<String, String>,
    #[prost(message, optional, tag = "5")]
    pub ringing_timeout: Option<ProtoDuration>,
}

impl std::fmt::Debug for TransferParticipant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferParticipant")
            .field("sip_call_id", &self.sip_call_id)
            .finish_non_exhaustive()
    }
}

/// `livekit.SIPStatus`.
#[derive(Clone, PartialEq, Message)]
pub struct SipStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The phrase.
    #[prost(string, tag = "2")]
    pub status: String,
}

impl SipStatus {
    /// As a detail of an error; livekit-server makes the Twirp error's meta of it.
    pub fn detail(&self) -> Any {
        Any {
            type_url: "type.googleapis.com/livekit.SIPStatus".to_owned(),
            value: self.encode_to_vec(),
        }
    }
}
