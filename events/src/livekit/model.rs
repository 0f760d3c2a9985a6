//! What a webhook says, once it has been checked.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::names::{
    AgentJobStatus, DisconnectReason, EgressStatus, IngressStatus, ParticipantKind, RoomEndReason,
    TrackSource,
};
use crate::{
    CallId, EgressId, EventId, IngressId, ParticipantIdentity, ParticipantSid, RoomName, Timestamp, TrackSid,
    mask_digits,
};

/// The topic of data packets by which the HTTP API sends DTMF: one digit each, from the server itself, to the phone's participant.
/// LiveKit has no API of its own for that; Trunkline's own gateway reads them.
pub const DTMF_TOPIC: &str = "trunkline.dtmf";

/// Names of participant attributes.
pub mod attribute {
    /// The SIP call's id, `SCL_…`.
    pub const SIP_CALL: &str = "sip.callID";
    /// dialing, ringing, automation, active or hangup.
    pub const SIP_CALL_STATUS: &str = "sip.callStatus";
    /// The trunk's id, `ST_…`.
    pub const SIP_TRUNK: &str = "sip.trunkID";
    /// The dispatch rule's id, `SDR_…`; absent on outbound calls.
    pub const SIP_RULE: &str = "sip.ruleID";
    /// The remote party's number.
    pub const SIP_NUMBER: &str = "sip.phoneNumber";
    /// The trunk's number: the called one on inbound calls.
    pub const SIP_TRUNK_NUMBER: &str = "sip.trunkPhoneNumber";
    /// Why the gateway ended the call, see [`crate::EndCause`]. Trunkline's own gateway sets it before it leaves the room.
    pub const END: &str = "trunkline.end";
    /// Set by an agent that leaves because the call is no longer its own: another one will come, and the phone is to wait for it.
    pub const HANDOVER: &str = "trunkline.handover";
    /// How the call stands that the phone has asked for by REFER, in its place: `asked`, `done`, `failed`. The gateway sets it.
    pub const REFER: &str = "trunkline.refer";
    /// When the INVITE came in, as a [`crate::Timestamp`] is written. Set by Trunkline's own gateway.
    pub const INVITE_AT: &str = "trunkline.invite_at";
    /// When the phone was told to ring, likewise.
    pub const RINGING_AT: &str = "trunkline.ringing_at";
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEvent {
    /// Its id, the same in every retry.
    pub id: EventId,
    /// When the server made it, to the second.
    pub created_at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A room was created.
    RoomStarted {
        /// The room.
        room: Room,
    },
    /// A room was closed.
    RoomFinished {
        /// The room.
        room: Room,
        /// Why; `None` when the server does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RoomEndReason>,
    },
    /// A participant's media connection was established.
    ParticipantJoined {
        /// The room.
        room: Room,
        /// Who joined.
        participant: Participant,
    },
    /// A participant left, or was made to leave.
    ParticipantLeft {
        /// The room.
        room: Room,
        /// Who left.
        participant: Participant,
    },
    /// A participant went away before its media connection was established.
    ParticipantConnectionAborted {
        /// The room.
        room: Room,
        /// Who never quite joined.
        participant: Participant,
    },
    /// A track was published.
    TrackPublished {
        /// The room.
        room: Room,
        /// Whose track it is.
        participant: ParticipantRef,
        /// The track.
        track: Track,
    },
    /// A track was taken back.
    TrackUnpublished {
        /// The room.
        room: Room,
        /// Whose track it was.
        participant: ParticipantRef,
        /// The track.
        track: Track,
    },
    /// An egress was accepted.
    EgressStarted {
        /// The egress.
        egress: Egress,
    },
    /// An egress changed.
    EgressUpdated {
        /// The egress.
        egress: Egress,
    },
    /// An egress came to its end.
    EgressEnded {
        /// The egress.
        egress: Egress,
    },
    /// An ingress began to publish.
    IngressStarted {
        /// The ingress.
        ingress: Ingress,
    },
    /// An ingress stopped.
    IngressEnded {
        /// The ingress.
        ingress: Ingress,
    },
    /// LiveKit's own dispatcher gave a job to a worker of LiveKit Agents.
    AgentJobStarted {
        /// The job.
        job: AgentJob,
    },
    /// Such a job ended.
    AgentJobEnded {
        /// The job.
        job: AgentJob,
    },
    /// An event that this version does not know.
    Unknown {
        /// Its name, cut to 64 characters.
        name: String,
    },
}

impl Event {
    /// The event's name, as LiveKit writes it.
    pub fn name(&self) -> &str {
        match self {
            Self::RoomStarted { .. } => "room_started",
            Self::RoomFinished { .. } => "room_finished",
            Self::ParticipantJoined { .. } => "participant_joined",
            Self::ParticipantLeft { .. } => "participant_left",
            Self::ParticipantConnectionAborted { .. } => "participant_connection_aborted",
            Self::TrackPublished { .. } => "track_published",
            Self::TrackUnpublished { .. } => "track_unpublished",
            Self::EgressStarted { .. } => "egress_started",
            Self::EgressUpdated { .. } => "egress_updated",
            Self::EgressEnded { .. } => "egress_ended",
            Self::IngressStarted { .. } => "ingress_started",
            Self::IngressEnded { .. } => "ingress_ended",
            Self::AgentJobStarted { .. } => "agent_job_started",
            Self::AgentJobEnded { .. } => "agent_job_ended",
            Self::Unknown { name } => name,
        }
    }

    /// The room, and so the call, that the event is about; `None` when it names none.
    pub fn room(&self) -> Option<RoomRef<'_>> {
        match self {
            Self::RoomStarted { room }
            | Self::RoomFinished { room, .. }
            | Self::ParticipantJoined { room, .. }
            | Self::ParticipantLeft { room, .. }
            | Self::ParticipantConnectionAborted { room, .. }
            | Self::TrackPublished { room, .. }
            | Self::TrackUnpublished { room, .. } => Some(RoomRef::from(room)),
            Self::EgressStarted { egress }
            | Self::EgressUpdated { egress }
            | Self::EgressEnded { egress } => RoomRef::of(egress.call.as_ref(), egress.room.as_ref()),
            Self::IngressStarted { ingress } | Self::IngressEnded { ingress } => {
                RoomRef::of(ingress.call.as_ref(), ingress.room.as_ref())
            }
            Self::AgentJobStarted { job } | Self::AgentJobEnded { job } => {
                job.room.as_ref().map(RoomRef::from)
            }
            Self::Unknown { .. } => None,
        }
    }
}

/// The room of an event, as far as the event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomRef<'a> {
    /// The call.
    pub call: &'a CallId,
    /// The room's name.
    pub name: &'a RoomName,
    /// When the room was created; events of tracks, egresses and ingresses do not tell.
    pub created_at: Option<Timestamp>,
}

impl<'a> RoomRef<'a> {
    fn of(call: Option<&'a CallId>, name: Option<&'a RoomName>) -> Option<Self> {
        Some(Self {
            call: call?,
            name: name?,
            created_at: None,
        })
    }
}

impl<'a> From<&'a Room> for RoomRef<'a> {
    fn from(room: &'a Room) -> Self {
        Self {
            call: &room.call,
            name: &room.name,
            created_at: room.created_at,
        }
    }
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Its sid: the call.
    pub call: CallId,
    /// Its name.
    pub name: RoomName,
    /// When it was created; track events do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Its metadata.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// The sid of this session.
    pub sid: ParticipantSid,
    /// Its identity.
    pub identity: ParticipantIdentity,
    /// What it is.
    pub kind: ParticipantKind,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// When it joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Timestamp>,
    /// Why it left; `None` while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_reason: Option<DisconnectReason>,
}

/// A participant as track events name it: without kind and attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRef {
    /// The sid of this session.
    pub sid: ParticipantSid,
    /// Its identity.
    pub identity: ParticipantIdentity,
}

/// A track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Its sid.
    pub sid: TrackSid,
    /// Where its media comes from.
    pub source: TrackSource,
    /// Its media type, such as `audio/opus`, cut to 64 characters.
    pub mime_type: String,
}

/// An egress.
///
/// Its error text and its URLs are dropped: the one quotes storage services at length, the others may hold keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Its id.
    pub id: EgressId,
    /// The call that it records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The room that it records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// How far it is.
    pub status: EgressStatus,
    /// 0, or the HTTP-like code of its failure.
    #[serde(default)]
    pub error_code: i32,
    /// When this state was reached. A re-notification has a new event id: tell them apart by egress, status and this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// The files that it has written, and the playlists of its segments; final in the event that it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<EgressFile>,
}

/// A file that an egress wrote. `Debug` masks the digits of its name, which may be that of a room and so hold a number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressFile {
    /// The path, or the key in the bucket, cut to 1,024 characters.
    pub filename: String,
    /// Its size in bytes, that of all segments for a playlist; 0 until it has been stored.
    #[serde(default)]
    pub size_bytes: u64,
    /// How long it plays, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

impl fmt::Debug for EgressFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressFile")
            .field("filename", &mask_digits(&self.filename))
            .field("size_bytes", &self.size_bytes)
            .field("duration_ms", &self.duration_ms)
            .finish()
    }
}

/// An ingress. Its stream key, its URL and its error text (which may quote the URL) are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// Its id.
    pub id: IngressId,
    /// The call that it publishes into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The room that it publishes into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// The participant that it publishes as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ParticipantIdentity>,
    /// What it is doing.
    pub status: IngressStatus,
}

/// A job of LiveKit Agents; not to be confused with our [`crate::CallJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentJob {
    /// Its id, cut to 64 characters.
    pub id: String,
    /// The agent's name, cut to 64 characters.
    pub agent_name: String,
    /// How far it is.
    pub status: AgentJobStatus,
    /// The room that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
}

/// The metadata of a room. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(String);

impl Metadata {
    /// The metadata itself. Never for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Metadata {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.0.len())
    }
}

/// The attributes of a participant. `Debug` shows their names only.
///
/// Headers that carry credentials or cookies (`sip.h.authorization` and the like) are dropped when they are read.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// The value of `name`. Never for logs.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<String, String>> for Attributes {
    fn from(mut attributes: BTreeMap<String, String>) -> Self {
        attributes.retain(|name, _| !is_secret_header(name));
        Self(attributes)
    }
}

fn is_secret_header(attribute: &str) -> bool {
    let name = attribute.to_ascii_lowercase();
    name.strip_prefix("sip.h.")
        .is_some_and(|header| header.contains("authorization") || header.contains("cookie"))
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
