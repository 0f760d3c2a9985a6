//! What a participant of a room sees of the phone in it, in a form that can be compared.

use std::sync::{Arc, Mutex};

use livekit::participant::ParticipantKind;
use livekit::prelude::*;
use serde_json::{Map, Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::fixture::SOON;

/// By kind of event: sound and attributes take different ways, so that the order between them is chance.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Map<String, Value>>>);

impl Diary {
    /// Who is there when one comes.
    pub(crate) fn found(&self, room: &Room) {
        for participant in room.remote_participants().values() {
            self.joined(participant);
        }
    }

    pub(crate) fn note(&self, event: &RoomEvent) {
        match event {
            RoomEvent::ParticipantConnected(phone) => self.joined(phone),
            RoomEvent::ParticipantAttributesChanged {
                participant: Participant::Remote(phone),
                changed_attributes,
            } if is_phone(phone) => {
                for (name, value) in changed_attributes {
                    self.change(name, value);
                }
            }
            RoomEvent::TrackPublished {
                publication,
                participant,
            } if is_phone(participant) => {
                let track = json!({
                    "name": publication.name(), "source": screaming(publication.source()), "kind": screaming(publication.kind()),
                    "mime": publication.mime_type(), "muted": publication.is_muted(),
                });
                self.put("published", track);
            }
            RoomEvent::TrackSubscribed { participant, .. } if is_phone(participant) => {
                self.put("subscribed", json!(true));
            }
            RoomEvent::TrackUnpublished { participant, .. } if is_phone(participant) => {
                self.put("unpublished", json!(true));
            }
            RoomEvent::ParticipantDisconnected(phone) if is_phone(phone) => {
                self.put("left", json!(screaming(phone.disconnect_reason())));
            }
            RoomEvent::SipDTMFReceived { code, digit, .. } => {
                let digit = digit.as_deref().unwrap_or_default();
                self.add("digits", &format!("{digit} ({code})"));
            }
            _ => {}
        }
    }

    /// Without the phone's leave: where the room is deleted, whoever is in it may be told of that first.
    pub(crate) fn read_of_deleted(&self) -> Map<String, Value> {
        let mut entries = self.read();
        entries.retain(|kind, _| !matches!(kind.as_str(), "left" | "unpublished"));
        entries
    }

    pub(crate) fn read(&self) -> Map<String, Value> {
        self.0.lock().expect("lock").clone()
    }

    /// Waits until there is an entry of this kind.
    pub(crate) async fn wait_for(&self, kind: &str) {
        self.wait_until(kind, |entries| entries.contains_key(kind)).await;
    }

    /// Waits until the phone's `sip.callStatus` is, or was, this.
    pub(crate) async fn wait_for_status(&self, status: &str) {
        let has_status = |entries: &Map<String, Value>| {
            let joined = entries
                .get("joined")
                .map(|joined| &joined["attributes"]["sip.callStatus"]);
            let changes = entries
                .get("changes")
                .and_then(|changes| changes["sip.callStatus"].as_array());
            joined.is_some_and(|is| is == status)
                || changes.is_some_and(|changes| changes.iter().any(|is| is == status))
        };
        self.wait_until(status, has_status).await;
    }

    async fn wait_until(&self, what: &str, is_it: impl Fn(&Map<String, Value>) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_it(&self.read()) {
            assert!(Instant::now() < deadline, "{what} is not seen: {:?}", self.read());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn joined(&self, phone: &RemoteParticipant) {
        if is_phone(phone) {
            let phone = json!({
                "identity": phone.identity().to_string(), "name": phone.name(), "kind": "SIP", "metadata": phone.metadata(),
                "attributes": phone.attributes(),
            });
            self.put("joined", phone);
        }
    }

    /// The first of its kind stays.
    fn put(&self, kind: &str, entry: Value) {
        self.0.lock().expect("lock").entry(kind).or_insert(entry);
    }

    fn add(&self, kind: &str, entry: &str) {
        let mut entries = self.0.lock().expect("lock");
        let list = entries.entry(kind).or_insert_with(|| json!([]));
        list.as_array_mut().expect("a list").push(json!(entry));
    }

    fn change(&self, name: &str, value: &str) {
        let mut entries = self.0.lock().expect("lock");
        let changes = entries.entry("changes").or_insert_with(|| json!({}));
        let changes = changes.as_object_mut().expect("an object");
        let values = changes.entry(name).or_insert_with(|| json!([]));
        values.as_array_mut().expect("a list").push(json!(value));
    }
}

fn is_phone(participant: &RemoteParticipant) -> bool {
    participant.kind() == ParticipantKind::Sip
}

/// As LiveKit's protocol writes it: `ClientInitiated` is `CLIENT_INITIATED`.
fn screaming(value: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
