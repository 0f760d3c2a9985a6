//! The webhooks that were lost, as LiveKit would have sent them. Their ids do not depend on who makes them up, or when.

use events::{
    CallEvent, EventId, IndexEntry, Timestamp,
    livekit::{Event, Participant, Room, WebhookEvent},
};
use webhook::{Effect, Policy};

/// The longest sid that fits behind the prefix: an id has 64 bytes at most.
const MAX_SID_BYTES: usize = 55;

pub(crate) fn room_started(room: &Room) -> Option<WebhookEvent> {
    Some(WebhookEvent {
        id: id("room_started")?,
        created_at: room.created_at?,
        event: Event::RoomStarted { room: room.clone() },
    })
}

pub(crate) fn participant_joined(room: &Room, participant: &Participant) -> Option<WebhookEvent> {
    Some(WebhookEvent {
        id: id(participant.sid.as_str())?,
        created_at: participant.joined_at.or(room.created_at)?,
        event: Event::ParticipantJoined {
            room: room.clone(),
            participant: participant.clone(),
        },
    })
}

/// When it was, nobody knows: at the latest now.
pub(crate) fn room_finished(
    call: &events::CallId,
    entry: &IndexEntry,
    now: Timestamp,
) -> Option<WebhookEvent> {
    let room = Room {
        call: call.clone(),
        name: entry.room.clone(),
        created_at: Some(entry.created_at),
        metadata: String::new().into(),
    };
    Some(WebhookEvent {
        id: id("room_finished")?,
        created_at: now,
        event: Event::RoomFinished { room, reason: None },
    })
}

/// Whether the webhook would get the call its job.
pub(crate) fn gets_a_job(webhook: &WebhookEvent, policy: &Policy) -> bool {
    let event = CallEvent::new(webhook.clone(), webhook.created_at, None);
    let effects = event
        .map(|event| webhook::plan(&event, policy))
        .unwrap_or_default();
    effects.iter().any(|effect| matches!(effect, Effect::Enqueue(_)))
}

pub(crate) fn id(of: &str) -> Option<EventId> {
    EventId::new(format!("EV_sweep_{}", of.get(..MAX_SID_BYTES).unwrap_or(of))).ok()
}
