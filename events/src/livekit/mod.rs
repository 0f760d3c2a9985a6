//! LiveKit's webhooks: what livekit-server tells of rooms, participants, tracks, egresses and ingresses.
//!
//! A body is the JSON form of a protobuf message (camelCase names, 64-bit integers as text, default values left out). [`parse`] turns it
//! into a [`WebhookEvent`]; the shapes on the wire are private to this module.

mod model;
mod names;
mod parse;
mod wire;

pub use model::{
    AgentJob, Attributes, DTMF_TOPIC, Egress, EgressFile, Event, Ingress, Metadata, Participant,
    ParticipantRef, Room, RoomRef, Track, WebhookEvent, attribute,
};
pub use names::{
    AgentJobStatus, DisconnectReason, EgressStatus, IngressStatus, ParticipantKind, RoomEndReason,
    TrackSource,
};
pub use parse::{ParseError, ParseFault, parse};
