//! The agent in the room: joining, and its own track.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use events::livekit::attribute;
use livekit::{
    RoomDataStreamOptions,
    id::TrackSid,
    options::TrackPublishOptions,
    prelude::*,
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
    },
};
use pipeline::{AudioOut, AudioOutError, SAMPLE_RATE_HZ};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How much speech may wait in the SDK's source, in milliseconds. What waits there is heard after a pause was decided,
/// unless it is cleared; it only has to bridge the time between two turns of the executor.
const SOURCE_QUEUE_MS: u32 = 60;

/// What the SDK takes in one data stream, in bytes, inflated: it is read before anybody looks at it.
const MAX_STREAM: usize = 256 * 1024;

/// How long it may take to tell the room that another agent will come.
const HANDOVER_LIMIT: Duration = Duration::from_secs(1);

/// Why the agent is not in the room.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The SDK could not connect. Another attempt may succeed while the caller waits.
    #[error("the room could not be joined: {0}")]
    Connect(#[source] Box<RoomError>),
    /// The agent's track could not be published, so the phone would ring on.
    #[error("the agent's track could not be published: {0}")]
    Publish(#[source] Box<RoomError>),
    /// Neither worked within the time limit.
    #[error("the room was not joined within {0:?}")]
    Timeout(Duration),
}

/// A joined room with the agent's own track in it.
pub(crate) struct AgentRoom {
    pub(crate) room: Arc<Room>,
    /// The SDK's queue of events has no bound of its own; the call's actor drains it without waiting for anything else.
    pub(crate) events: mpsc::UnboundedReceiver<RoomEvent>,
    pub(crate) speaker: Speaker,
    /// The agent's own track.
    pub(crate) track: TrackSid,
    has_left: AtomicBool,
    tasks: TaskTracker,
}

impl AgentRoom {
    /// Joins, then publishes the agent's track, which is what answers the phone.
    pub(crate) async fn join(
        url: &str,
        token: &str,
        limit: Duration,
        tasks: &TaskTracker,
    ) -> Result<Self, JoinError> {
        let deadline = Instant::now() + limit;
        let mut options = RoomOptions::default();
        options.data_stream = RoomDataStreamOptions::default().with_max_payload_byte_length(MAX_STREAM);
        let connect = Room::connect(url, token, options);
        let (room, events) = timeout_at(deadline, connect)
            .await
            .map_err(|_| JoinError::Timeout(limit))?
            .map_err(|e| JoinError::Connect(Box::new(e)))?;
        let source =
            NativeAudioSource::new(AudioSourceOptions::default(), SAMPLE_RATE_HZ, 1, SOURCE_QUEUE_MS);
        let track = LocalAudioTrack::create_audio_track("agent", RtcAudioSource::Native(source.clone()));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        let participant = room.local_participant();
        let publish = participant.publish_track(LocalTrack::Audio(track), options);
        let published = match timeout_at(deadline, publish).await {
            Ok(Ok(publication)) => Ok(publication.sid()),
            Ok(Err(e)) => Err(JoinError::Publish(Box::new(e))),
            Err(_) => Err(JoinError::Timeout(limit)),
        };
        let (room, speaker) = (Arc::new(room), Speaker { source });
        match published {
            Ok(track) => Ok(Self {
                room,
                events,
                speaker,
                track,
                has_left: AtomicBool::new(false),
                tasks: tasks.clone(),
            }),
            Err(e) => {
                leave(&room, &speaker).await;
                Err(e)
            }
        }
    }

    /// Leaves the room to another worker's agent: whoever keeps the phone up is told that one will come.
    pub(crate) async fn hand_over(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        hand_over(&self.room, &self.speaker).await;
    }

    /// Leaves the room; bounded, and never an error: whoever leaves has nothing left to do about it.
    pub(crate) async fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        leave(&self.room, &self.speaker).await;
    }
}

impl Drop for AgentRoom {
    /// Whatever became of the call's task, nobody waits for an agent that is there and does nothing; another one may come.
    fn drop(&mut self) {
        if !self.has_left.load(Ordering::Relaxed) {
            let (room, speaker) = (self.room.clone(), self.speaker.clone());
            let leaving = async move { hand_over(&room, &speaker).await };
            self.tasks.spawn(leaving.in_current_span());
        }
    }
}

async fn hand_over(room: &Room, speaker: &Speaker) {
    speaker.clear_queue();
    let told = HashMap::from([(attribute::HANDOVER.to_owned(), "fenced".to_owned())]);
    let us = room.local_participant();
    let telling = us.set_attributes(told);
    if !matches!(timeout(HANDOVER_LIMIT, telling).await, Ok(Ok(()))) {
        tracing::debug!("the room was not told that another agent will come");
    }
    leave(room, speaker).await;
}

async fn leave(room: &Room, speaker: &Speaker) {
    speaker.clear_queue();
    let deadline = Instant::now() + Duration::from_secs(3);
    match timeout_at(deadline, room.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the room was already closed"),
        Err(_) => tracing::warn!("leaving the room took more than 3 s and was given up"),
    }
}

/// The agent's mouth: the SDK's audio source.
#[derive(Clone)]
pub(crate) struct Speaker {
    source: NativeAudioSource,
}

impl Speaker {
    fn clear_queue(&self) {
        self.source.clear_buffer();
    }
}

#[async_trait]
impl AudioOut for Speaker {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    async fn write(&mut self, frame: &[i16]) -> Result<(), AudioOutError> {
        let samples = u32::try_from(frame.len()).unwrap_or(0);
        let frame = AudioFrame {
            data: frame.into(),
            sample_rate: SAMPLE_RATE_HZ,
            num_channels: 1,
            samples_per_channel: samples,
        };
        let written = self.source.capture_frame(&frame).await;
        written.map_err(|error| AudioOutError {
            reason: error.to_string(),
        })
    }

    fn clear(&mut self) {
        self.clear_queue();
    }
}
