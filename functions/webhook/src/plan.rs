//! What an event brings about. Pure: the same event and policy always give the same effects.

use events::{
    CallEvent, CallJob, EgressId, EgressRecord, IndexEntry, IngressId, OpenEgress, Parties, ProfileRef, Step,
    TimelineEntry,
    agents::{Candidate, NoMatch},
    livekit::{Egress, Event, IngressStatus, Metadata, Participant, ParticipantKind, Room},
};
use serde_json::{Map, Value, json};

use crate::Policy;

/// One thing to do. Each is idempotent by its key, so that a repeat of the whole plan changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Unless there is `index/<CallId>`: put the call's marker, `open/<CallId>`, and then that.
    Open(IndexEntry),
    /// Enqueue the job, by the dedup id `<CallId>:<generation>`, unless the call has its `job.json`, and put that.
    Enqueue(Box<CallJob>),
    /// Put `no-match.json` if there is none.
    KeepNoMatch(NoMatch),
    /// Set the room's metadata. It informs the room's participants only, so that its failure is logged and no more.
    SetMetadata(Metadata),
    /// Put `record.json` if there is none and nobody ever claimed the call, and remove its marker.
    CloseUnclaimed,
    /// Put `record.json` anew if there is one, nobody ever claimed the call, and this event makes it say something else.
    CompleteUnclaimed,
    /// Put the marker of the egress, `open/egress/<EgressId>`, unless it has its record.
    WatchEgress(EgressId, Box<OpenEgress>),
    /// Keep the record of the egress, remove its marker when the record lacks nothing, and tell of one that failed.
    CloseEgress(Box<EgressRecord>),
    /// Tell of an ingress that failed.
    TellOfIngress(IngressId),
    /// Put the event's own object: from here on a repeat is a replay. After it comes only what another may have undone.
    MarkDone,
}

/// What `event` brings about, in the order in which it has to be done.
///
/// - Whatever tells when the room was created: the call's marker and index, if it is not known yet.
/// - `room_started`: a job if an entry of `agents:` fits the room by itself.
/// - `participant_joined` of kind SIP or STANDARD: a job if an entry fits, else the reason why none does. Other kinds never.
/// - `room_finished`: the record of a call that nobody claimed. What comes later than that, of room and participants, completes it.
/// - `egress_started`, `egress_updated`: the egress' marker. `egress_ended`: its record.
/// - `ingress_ended` with an error: a line in the log.
pub fn plan(event: &CallEvent, policy: &Policy) -> Vec<Effect> {
    let mut effects = Vec::new();
    if event.event.room().is_some_and(|room| room.created_at.is_some()) {
        effects.push(Effect::Open(IndexEntry {
            created_at: event.room_created_at,
            room: event.room.clone(),
        }));
    }
    match &event.event {
        Event::RoomStarted { room } => {
            effects.extend(room_started(event, room, policy));
        }
        Event::ParticipantJoined { room, participant } => {
            effects.extend(participant_joined(event, room, participant, policy));
        }
        Event::RoomFinished { .. } => effects.push(Effect::CloseUnclaimed),
        Event::EgressStarted { egress } | Event::EgressUpdated { egress } => {
            effects.push(Effect::WatchEgress(
                egress.id.clone(),
                Box::new(open(event, egress)),
            ));
        }
        Event::EgressEnded { egress } => {
            let (call, room) = (event.call.clone(), event.room.clone());
            let record = EgressRecord::ended(egress, call, room, event.at);
            effects.push(Effect::CloseEgress(Box::new(record)));
        }
        Event::IngressEnded { ingress } if ingress.status == IngressStatus::Error => {
            effects.push(Effect::TellOfIngress(ingress.id.clone()));
        }
        _ => {}
    }
    effects.push(Effect::MarkDone);
    if completes(&event.event) {
        // Behind the mark: whoever closes the call from here on sees this event, and whoever has done so before is made up for.
        effects.push(Effect::CompleteUnclaimed);
    }
    effects
}

/// Whether the record of a call that nobody held may say something else once it has this event.
fn completes(event: &Event) -> bool {
    matches!(
        event,
        Event::RoomStarted { .. }
            | Event::ParticipantJoined { .. }
            | Event::ParticipantLeft { .. }
            | Event::ParticipantConnectionAborted { .. }
    )
}

fn room_started(event: &CallEvent, room: &Room, policy: &Policy) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Some(profile) = policy.agents.for_room(&room.name, room.metadata.as_str()) {
        effects.push(Effect::Enqueue(Box::new(job(event, profile))));
        effects.extend(announcement(event, room, profile));
    }
    effects
}

fn participant_joined(
    event: &CallEvent,
    room: &Room,
    participant: &Participant,
    policy: &Policy,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let parties = match participant.kind {
        ParticipantKind::Sip => Some(Parties::of(&participant.attributes, &policy.close.regions)),
        ParticipantKind::Standard => None,
        _ => return effects,
    };
    let candidate = Candidate {
        room: &room.name,
        metadata: room.metadata.as_str(),
        called: parties.as_ref().map(|parties| &parties.called),
        attributes: &participant.attributes,
    };
    match policy.agents.for_participant(&candidate) {
        Ok(profile) => {
            let mut job = job(event, profile);
            job.participant = Some(participant.identity.clone());
            let joined_at = participant.joined_at.unwrap_or(event.at);
            job.timeline
                .push(TimelineEntry::new(Step::CallerJoined, joined_at));
            job.timeline.sort_by_key(|entry| entry.at);
            if let Some(Parties { caller, called }) = parties {
                job.caller = Some(caller);
                job.called = Some(called);
            }
            effects.push(Effect::Enqueue(Box::new(job)));
            effects.extend(announcement(event, room, profile));
        }
        Err(reason) => effects.push(Effect::KeepNoMatch(reason)),
    }
    effects
}

fn open(event: &CallEvent, egress: &Egress) -> OpenEgress {
    OpenEgress {
        call: event.call.clone(),
        room: event.room.clone(),
        created_at: event.room_created_at,
        since: event.received_at,
        missed_at: None,
        files: egress.files.clone(),
    }
}

fn job(event: &CallEvent, profile: &ProfileRef) -> CallJob {
    CallJob {
        version: CallJob::VERSION,
        call: event.call.clone(),
        room: event.room.clone(),
        created_at: event.room_created_at,
        generation: 1,
        profile: profile.clone(),
        caller: None,
        called: None,
        participant: None,
        timeline: vec![
            TimelineEntry::new(Step::RoomStarted, event.room_created_at),
            TimelineEntry::new(Step::Webhook, event.received_at),
        ],
    }
}

/// Adds the member `trunkline` to the room's metadata; `None` when it says the same already, or is no JSON object and so somebody
/// else's.
fn announcement(event: &CallEvent, room: &Room, profile: &ProfileRef) -> Option<Effect> {
    let mut members = if room.metadata.is_empty() {
        Map::new()
    } else {
        serde_json::from_str(room.metadata.as_str()).ok()?
    };
    let ours = json!({"call": event.call, "profile": profile.name});
    let before = members.insert("trunkline".to_owned(), ours.clone());
    (before.as_ref() != Some(&ours)).then(|| Effect::SetMetadata(Value::Object(members).to_string().into()))
}
