//! LiveKit's webhooks: what livekit-server tells of rooms, participants, tracks, egresses and ingresses.
//!
//! A body is the JSON form of a protobuf message (camelCase names, 64-bit integers as text, default values left out). [`parse`] turns it
//! into a [`WebhookEvent`]; the shapes on the wire are private to this module.

mod model;
mod parse;
mod wire;

pub use model::{
    AgentJob, AgentJobStatus, Attributes, DisconnectReason, Egress, EgressFile, EgressStatus, Event, Ingress,
    IngressStatus, Metadata, Participant, ParticipantKind, ParticipantRef, Room, RoomEndReason, RoomRef,
    Track, TrackSource, WebhookEvent, attribute,
};
pub use parse::{ParseError, ParseFault, parse};
