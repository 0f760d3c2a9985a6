//! The call's place in its room.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use events::Timestamp;
use events::livekit::{DTMF_TOPIC, attribute};
use livekit::RoomDataStreamOptions;
use livekit::options::TrackPublishOptions;
use livekit::participant::ParticipantKind;
use livekit::prelude::{
    DisconnectReason, LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteParticipant, RemoteTrack,
    RemoteTrackPublication, Room, RoomEvent, RoomOptions, SipDTMF, TrackKind, TrackSource,
};
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use media::Digit;
use parking_lot::Mutex;
use platform::livekit::LiveKit;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::departure::Departure;
use crate::methods::{self, EndCall, RemoteHeaders};

/// What the SDK takes in one data stream, in bytes, inflated.
const MAX_STREAM: usize = 64 * 1024;
/// Sound of the caller that the engine may hold, in milliseconds.
const SOURCE_QUEUE_MS: u32 = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const ATTRIBUTE_TIMEOUT: Duration = Duration::from_secs(1);
const DTMF_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the room was not joined. The text of the SDK's error is kept out: it may hold the token.
#[derive(Debug, Error)]
pub(crate) enum JoinError {
    #[error("no connection to the room")]
    Connect,
    #[error("no connection to the room in time")]
    Timeout,
    #[error("the caller's track was not published")]
    Publish,
}

/// A joined room, the caller's track in it.
pub(crate) struct RoomLeg {
    room: Room,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    pub(crate) source: NativeAudioSource,
    /// Of `source`.
    pub(crate) sample_rate_hz: u32,
    /// Whether the room's tracks are subscribed to.
    listens: bool,
    /// The attributes that were set. A session that is made anew knows only those of the token.
    labels: Mutex<HashMap<String, String>>,
    /// For whoever asks in the room.
    pub(crate) remote_headers: RemoteHeaders,
    /// Kept too, so that the other half never ends.
    ends: (mpsc::Sender<EndCall>, mpsc::Receiver<EndCall>),
}

/// What matters to a call of what happens in its room.
pub(crate) enum RoomChange {
    /// An agent's track is subscribed to.
    Published {
        identity: String,
    },
    /// A track is heard from now on.
    Track {
        identity: String,
        is_phone: bool,
        sid: String,
        track: RemoteAudioTrack,
    },
    TrackGone {
        sid: String,
    },
    Left {
        identity: String,
        deliberate: bool,
    },
    Lost(livekit::DisconnectReason),
    /// The session was lost and made anew.
    Back,
    Digit(Digit),
    EndCall(EndCall),
}

impl RoomLeg {
    /// Joins and publishes a mono track of this rate, named as the participant, as livekit-sip does. Without `listens` the room is heard
    /// only after [`RoomLeg::listen`].
    pub(crate) async fn join(
        livekit: &LiveKit,
        token: &str,
        identity: &str,
        sample_rate_hz: u32,
        listens: bool,
        remote_headers: RemoteHeaders,
    ) -> Result<Self, JoinError> {
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        // None is read here, but the SDK takes and inflates them.
        options.data_stream = RoomDataStreamOptions::default().with_max_payload_byte_length(MAX_STREAM);
        let connecting = Box::pin(Room::connect(livekit.url(), token, options));
        let (room, events) = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(_)) => return Err(JoinError::Connect),
            Err(_) => return Err(JoinError::Timeout),
        };
        // At once: whoever sees the phone come in may ask.
        let ends = mpsc::channel(1);
        methods::serve(&room.local_participant(), remote_headers.clone(), ends.0.clone());
        let source =
            NativeAudioSource::new(AudioSourceOptions::default(), sample_rate_hz, 1, SOURCE_QUEUE_MS);
        let leg = Self {
            room,
            events,
            source,
            sample_rate_hz,
            listens,
            labels: Mutex::default(),
            remote_headers,
            ends,
        };
        let track = LocalAudioTrack::create_audio_track(identity, RtcAudioSource::Native(leg.source.clone()));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        let participant = leg.room.local_participant();
        let publishing = Box::pin(participant.publish_track(LocalTrack::Audio(track), options));
        if !matches!(timeout(CONNECT_TIMEOUT, publishing).await, Ok(Ok(_))) {
            leg.leave(livekit::DisconnectReason::ClientInitiated)
                .await
                .confirm(livekit)
                .await;
            return Err(JoinError::Publish);
        }
        Ok(leg)
    }

    /// The room's sid, which is the call's id.
    pub(crate) async fn sid(&self) -> String {
        // The join's answer holds it; the wait is for the SDK's own promise of it.
        timeout(ATTRIBUTE_TIMEOUT, self.room.sid())
            .await
            .map(|sid| sid.to_string())
            .unwrap_or_default()
    }

    /// The room's name.
    pub(crate) fn name(&self) -> String {
        self.room.name()
    }

    /// When the room was created; `None` when the server did not say.
    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        Timestamp::from_unix_ms(self.room.creation_time()).filter(|at| *at > Timestamp::EPOCH)
    }

    /// The next change. Subscribes to every audio track on the way. Cancel-safe.
    pub(crate) async fn next_change(&mut self) -> RoomChange {
        loop {
            // Both arms are cancel-safe.
            let event = tokio::select! {
                event = self.events.recv() => event,
                Some(end) = self.ends.1.recv() => return RoomChange::EndCall(end),
            };
            let Some(event) = event else {
                return RoomChange::Lost(livekit::DisconnectReason::UnknownReason);
            };
            if matches!(event, RoomEvent::Reconnected) && self.listens {
                // What was asked for before the new session stood is lost.
                self.listen();
            }
            if let Some(change) = change(event, self.listens) {
                return change;
            }
        }
    }

    /// Our participant's sid.
    pub(crate) fn participant_sid(&self) -> String {
        self.room.local_participant().sid().to_string()
    }

    /// The attributes of our participant.
    pub(crate) fn attributes(&self) -> HashMap<String, String> {
        self.room.local_participant().attributes()
    }

    /// Subscribes to every audio track from now on.
    pub(crate) fn listen(&mut self) {
        self.listens = true;
        for participant in self.room.remote_participants().values() {
            participant.track_publications().values().for_each(subscribe);
        }
    }

    /// Sets attributes of our participant; at most 1 s. A failure is logged and has no other effect: the call matters more than its
    /// labels.
    pub(crate) async fn label(&self, labels: HashMap<String, String>) {
        if labels.is_empty() {
            return;
        }
        self.labels.lock().extend(labels.clone());
        let participant = self.room.local_participant();
        if !matches!(
            timeout(ATTRIBUTE_TIMEOUT, participant.set_attributes(labels)).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("the call's status was not set");
        }
    }

    /// Sets again all that was set.
    pub(crate) async fn label_again(&self) {
        let labels = self.labels.lock().clone();
        self.label(labels).await;
    }

    /// A handle that sends digits into the room.
    pub(crate) fn keypad(&self) -> Keypad {
        Keypad(self.room.local_participant())
    }

    /// Leaves for this reason; at most 3 s. [`Departure::confirm`] tells whether the server has heard of it.
    pub(crate) async fn leave(self, reason: livekit::DisconnectReason) -> Departure {
        let us = self.room.local_participant();
        let departure = Departure {
            room: self.room.name(),
            identity: us.identity().to_string(),
            sid: us.sid().to_string(),
            labels: self.labels.lock().clone(),
        };
        let closing = Box::pin(self.room.close_with_reason(reason));
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("the room was not left in time");
        }
        departure
    }
}

/// Sends DTMF into the room.
pub(crate) struct Keypad(livekit::prelude::LocalParticipant);

impl Keypad {
    pub(crate) async fn press(&self, digit: Digit) {
        let digit_text = digit.to_char().to_ascii_lowercase().to_string();
        let dtmf = SipDTMF {
            code: u32::from(digit.code()),
            digit: digit_text,
            destination_identities: Vec::new(),
        };
        if !matches!(timeout(DTMF_TIMEOUT, self.0.publish_dtmf(dtmf)).await, Ok(Ok(()))) {
            tracing::warn!("a digit did not reach the room");
        }
    }
}

fn change(event: RoomEvent, listens: bool) -> Option<RoomChange> {
    match event {
        RoomEvent::Connected { .. } | RoomEvent::TrackPublished { .. } if !listens => None,
        RoomEvent::Connected {
            participants_with_tracks,
        } => {
            let tracks = || {
                let of_all = participants_with_tracks.iter();
                of_all.flat_map(|(participant, publications)| {
                    publications.iter().map(move |it| (participant, it))
                })
            };
            tracks().for_each(|(_, publication)| subscribe(publication));
            tracks().find_map(|(participant, publication)| published(participant, publication))
        }
        RoomEvent::TrackPublished {
            publication,
            participant,
        } => {
            subscribe(&publication);
            published(&participant, &publication)
        }
        RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            publication,
            participant,
        } => Some(RoomChange::Track {
            identity: participant.identity().to_string(),
            is_phone: participant.kind() == ParticipantKind::Sip,
            sid: publication.sid().to_string(),
            track,
        }),
        RoomEvent::TrackUnsubscribed { publication, .. } => Some(RoomChange::TrackGone {
            sid: publication.sid().to_string(),
        }),
        RoomEvent::ParticipantDisconnected(participant) => Some(left(&participant)),
        RoomEvent::SipDTMFReceived { digit, .. } => {
            let character = digit.as_deref().and_then(|digit| digit.chars().next());
            character.and_then(Digit::from_char).map(RoomChange::Digit)
        }
        // From the server itself, never from a participant: the HTTP API asks for a digit.
        RoomEvent::DataReceived {
            payload,
            topic: Some(topic),
            participant: None,
            ..
        } if topic == DTMF_TOPIC => {
            let character = payload.first().copied().map(char::from);
            character.and_then(Digit::from_char).map(RoomChange::Digit)
        }
        RoomEvent::Disconnected { reason } => Some(RoomChange::Lost(reason)),
        RoomEvent::Reconnected => Some(RoomChange::Back),
        _ => None,
    }
}

fn published(participant: &RemoteParticipant, publication: &RemoteTrackPublication) -> Option<RoomChange> {
    let speaks = publication.kind() == TrackKind::Audio && participant.kind() != ParticipantKind::Sip;
    speaks.then(|| RoomChange::Published {
        identity: participant.identity().to_string(),
    })
}

fn subscribe(publication: &RemoteTrackPublication) {
    if publication.kind() == TrackKind::Audio {
        publication.set_subscribed(true);
    }
}

fn left(participant: &RemoteParticipant) -> RoomChange {
    let hands_over = participant.attributes().contains_key(attribute::HANDOVER);
    let leaves = matches!(
        participant.disconnect_reason(),
        DisconnectReason::ClientInitiated
            | DisconnectReason::ParticipantRemoved
            | DisconnectReason::RoomDeleted
    );
    RoomChange::Left {
        identity: participant.identity().to_string(),
        deliberate: leaves && !hands_over,
    }
}

/// A frame of the caller's sound as the engine takes it.
pub(crate) fn audio_frame(
    samples: &[i16],
    sample_rate_hz: u32,
) -> livekit::webrtc::audio_frame::AudioFrame<'_> {
    livekit::webrtc::audio_frame::AudioFrame {
        data: Cow::Borrowed(samples),
        sample_rate: sample_rate_hz,
        num_channels: 1,
        samples_per_channel: u32::try_from(samples.len()).unwrap_or_default(),
    }
}
