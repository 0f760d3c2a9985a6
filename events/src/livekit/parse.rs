//! From the bytes of a webhook to what they say.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    model::{
        AgentJob, Attributes, Egress, EgressFile, Event, Ingress, Participant, ParticipantRef, Room, Track,
        WebhookEvent,
    },
    names::{AgentJobStatus, EgressStatus, IngressStatus, ParticipantKind, TrackSource},
    wire,
};
use crate::IdError;

/// Why a body is not a webhook that can be used. Its text quotes nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {fault}")]
pub struct ParseError {
    /// The JSON path at fault, such as `room.sid`; `body` for the whole.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: ParseFault,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// The body is not UTF-8.
    #[error("is not UTF-8")]
    Utf8,
    /// The body is not JSON.
    #[error("is not JSON (line {line}, column {column})")]
    Json {
        /// Where reading stopped, counted from 1.
        line: usize,
        /// Where reading stopped, counted from 1.
        column: usize,
    },
    /// JSON, but not of the shape that this field has.
    #[error("has the wrong shape")]
    Shape,
    /// The field is not there, or empty.
    #[error("is missing")]
    Missing,
    /// A moment before 1970, after 9999, or none at all.
    #[error("is no time between 1970 and 9999")]
    Time,
    /// No id or name of its kind.
    #[error("{0}")]
    Id(IdError),
}

const SECONDS: i128 = 1_000_000_000;
const MILLISECONDS: i128 = 1_000_000;
const NANOSECONDS: i128 = 1;

/// Reads the body of a webhook.
///
/// Unknown events come out as [`Event::Unknown`]; unknown enum values are kept by name; unknown fields are dropped.
///
/// # Errors
/// When the body is not UTF-8 or not JSON, when it has no event name, id or time, or when a known event lacks what makes it that
/// event. No retry cures it.
pub fn parse(body: &[u8]) -> Result<WebhookEvent, ParseError> {
    let text = std::str::from_utf8(body).map_err(|_| fault("body", ParseFault::Utf8))?;
    let webhook: wire::Webhook = serde_json::from_str(text).map_err(|error| {
        let shape = error.classify() == serde_json::error::Category::Data;
        let json = ParseFault::Json {
            line: error.line(),
            column: error.column(),
        };
        fault("body", if shape { ParseFault::Shape } else { json })
    })?;
    if webhook.event.is_empty() {
        return Err(fault("event", ParseFault::Missing));
    }
    let id = checked(&webhook.id, "id")?;
    let created_at = webhook
        .created_at
        .time(SECONDS)
        .ok_or(fault("createdAt", ParseFault::Time))?;
    Ok(WebhookEvent {
        id,
        created_at,
        event: event(webhook)?,
    })
}

fn event(webhook: wire::Webhook) -> Result<Event, ParseError> {
    let wire::Webhook {
        event,
        room: of_room,
        participant: of_participant,
        track: of_track,
        ..
    } = webhook;
    let room = || room(of_room, ["room", "room.sid", "room.name"]);
    Ok(match event.as_str() {
        "room_started" => Event::RoomStarted { room: room()? },
        "room_finished" => Event::RoomFinished {
            room: room()?,
            reason: webhook.room_end_reason.given(),
        },
        "participant_joined" => Event::ParticipantJoined {
            room: room()?,
            participant: participant(of_participant)?,
        },
        "participant_left" => Event::ParticipantLeft {
            room: room()?,
            participant: participant(of_participant)?,
        },
        "participant_connection_aborted" => Event::ParticipantConnectionAborted {
            room: room()?,
            participant: participant(of_participant)?,
        },
        "track_published" => Event::TrackPublished {
            room: room()?,
            participant: participant_ref(of_participant)?,
            track: track(of_track)?,
        },
        "track_unpublished" => Event::TrackUnpublished {
            room: room()?,
            participant: participant_ref(of_participant)?,
            track: track(of_track)?,
        },
        "egress_started" => Event::EgressStarted {
            egress: egress(webhook.egress_info)?,
        },
        "egress_updated" => Event::EgressUpdated {
            egress: egress(webhook.egress_info)?,
        },
        "egress_ended" => Event::EgressEnded {
            egress: egress(webhook.egress_info)?,
        },
        "ingress_started" => Event::IngressStarted {
            ingress: ingress(webhook.ingress_info)?,
        },
        "ingress_ended" => Event::IngressEnded {
            ingress: ingress(webhook.ingress_info)?,
        },
        "agent_job_started" => Event::AgentJobStarted {
            job: agent_job(webhook.job)?,
        },
        "agent_job_ended" => Event::AgentJobEnded {
            job: agent_job(webhook.job)?,
        },
        other => Event::Unknown { name: cut(other, 64) },
    })
}

/// `paths` are those of the room, of its sid and of its name.
fn room(value: Value, [at, sid, name]: [&'static str; 3]) -> Result<Room, ParseError> {
    let wire: wire::Room = part(value, at)?;
    Ok(Room {
        call: checked(&wire.sid, sid)?,
        name: checked(&wire.name, name)?,
        created_at: wire
            .creation_time_ms
            .time(MILLISECONDS)
            .or_else(|| wire.creation_time.time(SECONDS)),
        metadata: wire.metadata.into(),
    })
}

fn participant(value: Value) -> Result<Participant, ParseError> {
    let wire: wire::Participant = part(value, "participant")?;
    Ok(Participant {
        sid: checked(&wire.sid, "participant.sid")?,
        identity: checked(&wire.identity, "participant.identity")?,
        kind: wire.kind.or(ParticipantKind::Standard),
        attributes: Attributes::from(wire.attributes),
        joined_at: wire
            .joined_at_ms
            .time(MILLISECONDS)
            .or_else(|| wire.joined_at.time(SECONDS)),
        disconnect_reason: wire.disconnect_reason.given(),
    })
}

fn participant_ref(value: Value) -> Result<ParticipantRef, ParseError> {
    let Participant { sid, identity, .. } = participant(value)?;
    Ok(ParticipantRef { sid, identity })
}

fn track(value: Value) -> Result<Track, ParseError> {
    let wire: wire::Track = part(value, "track")?;
    Ok(Track {
        sid: checked(&wire.sid, "track.sid")?,
        source: wire.source.or(TrackSource::Unspecified),
        mime_type: cut(&wire.mime_type, 64),
    })
}

fn egress(value: Value) -> Result<Egress, ParseError> {
    let wire: wire::Egress = part(value, "egressInfo")?;
    let files = if wire.file_results.is_empty() {
        wire.file.into_iter().collect()
    } else {
        wire.file_results
    };
    Ok(Egress {
        id: checked(&wire.id, "egressInfo.egressId")?,
        call: optional(&wire.room_id, "egressInfo.roomId")?,
        room: optional(&wire.room_name, "egressInfo.roomName")?,
        status: wire.status.or(EgressStatus::Starting),
        error_code: wire.error_code,
        updated_at: wire.updated_at.time(NANOSECONDS),
        files: files
            .iter()
            .map(egress_file)
            .chain(wire.segment_results.iter().map(egress_segments))
            .collect(),
    })
}

fn egress_segments(wire: &wire::EgressSegments) -> EgressFile {
    EgressFile {
        filename: cut(&wire.playlist_name, 1024),
        size_bytes: wire.size.count(),
        duration_ms: wire.duration.count() / 1_000_000,
    }
}

fn egress_file(wire: &wire::EgressFile) -> EgressFile {
    EgressFile {
        filename: cut(&wire.filename, 1024),
        size_bytes: wire.size.count(),
        duration_ms: wire.duration.count() / 1_000_000,
    }
}

fn ingress(value: Value) -> Result<Ingress, ParseError> {
    let wire: wire::Ingress = part(value, "ingressInfo")?;
    Ok(Ingress {
        id: checked(&wire.id, "ingressInfo.ingressId")?,
        call: optional(&wire.state.room_id, "ingressInfo.state.roomId")?,
        room: optional(&wire.room_name, "ingressInfo.roomName")?,
        identity: optional(&wire.participant_identity, "ingressInfo.participantIdentity")?,
        status: wire.state.status.or(IngressStatus::Inactive),
    })
}

fn agent_job(value: Value) -> Result<AgentJob, ParseError> {
    let wire: wire::AgentJob = part(value, "job")?;
    Ok(AgentJob {
        id: cut(&wire.id, 64),
        agent_name: cut(&wire.agent_name, 64),
        status: wire.state.status.or(AgentJobStatus::Pending),
        // No traffic of this kind has been recorded yet, so that a room of another shape counts as none.
        room: room(wire.room, ["job.room", "job.room.sid", "job.room.name"]).ok(),
    })
}

fn part<T: DeserializeOwned>(value: Value, field: &'static str) -> Result<T, ParseError> {
    if value.is_null() {
        return Err(fault(field, ParseFault::Missing));
    }
    T::deserialize(value).map_err(|_| fault(field, ParseFault::Shape))
}

fn checked<T: std::str::FromStr<Err = IdError>>(text: &str, field: &'static str) -> Result<T, ParseError> {
    if text.is_empty() {
        return Err(fault(field, ParseFault::Missing));
    }
    text.parse().map_err(|error| fault(field, ParseFault::Id(error)))
}

fn optional<T: std::str::FromStr<Err = IdError>>(
    text: &str,
    field: &'static str,
) -> Result<Option<T>, ParseError> {
    if text.is_empty() {
        Ok(None)
    } else {
        checked(text, field).map(Some)
    }
}

fn cut(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

fn fault(field: &'static str, fault: ParseFault) -> ParseError {
    ParseError { field, fault }
}
