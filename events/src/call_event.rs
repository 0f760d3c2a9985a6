//! A webhook as an event of a call: what is stored, and what the function plans by.

use serde::{Deserialize, Serialize};

use crate::{CallId, DecodeError, EventId, RoomName, Timestamp, livekit, versioned};

/// One event of one call. It is stored below the call's `events/` and the state of the call is the fold of them
/// ([`crate::CallState`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEvent {
    /// The version of this format; [`CallEvent::VERSION`] when made by this code.
    pub version: u32,
    /// The webhook's id.
    pub id: EventId,
    /// The call.
    pub call: CallId,
    /// The room's name.
    pub room: RoomName,
    /// When the room was created; decides where the call's objects lie.
    pub room_created_at: Timestamp,
    /// When the server made the event, to the second.
    pub at: Timestamp,
    /// When we received it.
    pub received_at: Timestamp,
    /// What happened.
    pub event: livekit::Event,
}

impl CallEvent {
    /// The version that this code writes. It reads every version from 1 up to this one.
    pub const VERSION: u32 = 1;

    /// The event of the call that `webhook` is about; `None` when it is about none (it names no room, or is not known).
    ///
    /// `known_creation` is when the room was created, for events that do not tell (tracks, egresses, ingresses). Without it the
    /// moment of the event stands in: the event then lies under the wrong day if the call has crossed midnight.
    pub fn new(
        webhook: livekit::WebhookEvent,
        received_at: Timestamp,
        known_creation: Option<Timestamp>,
    ) -> Option<Self> {
        let room = webhook.event.room()?;
        Some(Self {
            version: Self::VERSION,
            call: room.call.clone(),
            room: room.name.clone(),
            room_created_at: room.created_at.or(known_creation).unwrap_or(webhook.created_at),
            id: webhook.id,
            at: webhook.created_at,
            received_at,
            event: webhook.event,
        })
    }

    /// The stored object.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored object.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        versioned::decode(body.as_ref(), "call event", Self::VERSION)
    }
}
