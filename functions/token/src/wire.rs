//! LiveKit's format of the token endpoint. Names in snake case; the camel case of protobuf's JSON is read too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client asks for. Everything is optional; what it may not set is refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The room to join. Default: a new one of the caller's.
    #[serde(alias = "roomName")]
    #[schema(max_length = 256)]
    pub room_name: Option<String>,
    /// The name that others see.
    #[serde(alias = "participantName")]
    #[schema(max_length = 256)]
    pub participant_name: Option<String>,
    /// Unique in the room: a second one of the same identity sends the first away. Default: drawn.
    #[serde(alias = "participantIdentity")]
    #[schema(max_length = 256)]
    pub participant_identity: Option<String>,
    /// At most 16 KiB.
    #[serde(alias = "participantMetadata")]
    #[schema(max_length = 16_384)]
    pub participant_metadata: Option<String>,
    /// At most 32.
    #[serde(alias = "participantAttributes")]
    pub participant_attributes: Option<BTreeMap<String, String>>,
    /// What the room is made with if this join makes it.
    #[serde(alias = "roomConfig")]
    pub room_config: Option<RoomConfig>,
}

/// LiveKit's `RoomConfiguration`. The fields that no client may set stand here so that they are refused by name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomConfig {
    /// Never taken: it names a preset.
    pub name: Option<String>,
    /// In seconds, at most 3,600.
    #[serde(alias = "emptyTimeout")]
    #[schema(maximum = 3_600)]
    pub empty_timeout: Option<u32>,
    /// In seconds, at most 600.
    #[serde(alias = "departureTimeout")]
    #[schema(maximum = 600)]
    pub departure_timeout: Option<u32>,
    /// 2 to 100.
    #[serde(alias = "maxParticipants")]
    #[schema(minimum = 2, maximum = 100)]
    pub max_participants: Option<u32>,
    /// At most 16 KiB.
    #[schema(max_length = 16_384)]
    pub metadata: Option<String>,
    /// The agents of LiveKit's agent framework that are sent to the room.
    pub agents: Option<Vec<AgentDispatch>>,
    /// Never taken: it would record.
    #[schema(value_type = Option<Object>)]
    pub egress: Option<serde_json::Value>,
    /// Never taken.
    #[serde(alias = "minPlayoutDelay")]
    pub min_playout_delay: Option<u32>,
    /// Never taken.
    #[serde(alias = "maxPlayoutDelay")]
    pub max_playout_delay: Option<u32>,
    /// Never taken.
    #[serde(alias = "syncStreams")]
    pub sync_streams: Option<bool>,
    /// Never taken.
    pub tags: Option<BTreeMap<String, String>>,
}

/// An agent to send to the room.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentDispatch {
    /// Its name.
    #[serde(default, alias = "agentName")]
    pub agent_name: String,
    /// What it is told.
    pub metadata: Option<String>,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Where to connect.
    pub server_url: String,
    /// Good for joining within ten minutes. A secret.
    pub participant_token: String,
}
