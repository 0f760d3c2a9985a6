//! What the room is told of the conversation, under the names and in the form that LiveKit's own components read.
//!
//! - The attribute `lk.agent.state` of the agent.
//! - Text streams of the topic `lk.transcription`. An utterance of the agent's is one stream that grows as it is heard; of a caller's turn,
//!   which may still change, each state is a stream of its own, and takes the place of the one before with the same `lk.segment_id`.
//! - Packets of the older transcription protocol. They say who spoke; a stream comes from whoever sends it, which is the agent here.
//!
//! And `lk.chat`, what the caller writes, is read. None of it may hold up the conversation: what does not go out in time is left out, and
//! nothing but the state is sent while nobody in the room can read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use livekit::{
    Room, SendTextOptions, StreamTextOptions, StreamWriter as _, TextStreamReader, TextStreamWriter,
    Transcription, TranscriptionSegment, id::TrackSid, participant::ParticipantKind,
    prelude::RemoteParticipant,
};
use pipeline::{AgentState, Caption, ConversationEvent, Speaker};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::observe::agent_state;

/// The topic of what the caller writes.
pub(super) const CHAT: &str = "lk.chat";
const TRANSCRIPTION: &str = "lk.transcription";
const STATE: &str = "lk.agent.state";
const TRACK: &str = "lk.transcribed_track_id";
const SEGMENT: &str = "lk.segment_id";
const FINAL: &str = "lk.transcription_final";
/// Captions that may wait; the next one of the same segment has all that one which did not fit had.
const WAITING: usize = 64;
/// Longer than this nothing is waited for.
const SEND_LIMIT: Duration = Duration::from_secs(2);
/// What a caller writes at once, in bytes; some pages of text.
const MAX_TYPED: usize = 16_384;
/// For how long a caller may write it.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Who said something, as the room knows them.
#[derive(Clone)]
pub(super) struct Voice {
    pub(super) identity: String,
    pub(super) track: TrackSid,
}

/// To the tasks that tell the room.
pub(super) struct Wire {
    states: watch::Sender<AgentState>,
    captions: mpsc::Sender<(Caption, Voice)>,
    agent: Voice,
}

impl Wire {
    /// Starts what tells the room, in `tasks`. `holding` is which holding of the call this is: an heir's segments are others.
    pub(super) fn start(room: &Arc<Room>, agent: Voice, holding: u64, tasks: &mut JoinSet<()>) -> Self {
        let (states, mut told) = watch::channel(AgentState::Initializing);
        told.mark_changed();
        let (captions, waiting) = mpsc::channel(WAITING);
        tasks.spawn(tell_states(room.clone(), told));
        let script = Script {
            room: room.clone(),
            holding,
            open: None,
        };
        tasks.spawn(script.tell(waiting));
        Self {
            states,
            captions,
            agent,
        }
    }

    /// Passes on what concerns the room. `caller`: as far as there is one who can be heard.
    pub(super) fn on(&self, news: &ConversationEvent, caller: Option<Voice>) {
        match news {
            ConversationEvent::Agent { state, .. } => {
                self.states.send_replace(*state);
            }
            ConversationEvent::Caption(caption) => {
                let voice = match caption.speaker {
                    Speaker::Agent => Some(self.agent.clone()),
                    Speaker::User => caller,
                };
                if let Some(voice) = voice
                    && self.captions.try_send((caption.clone(), voice)).is_err()
                {
                    tracing::debug!("a caption was left out");
                }
            }
            _ => {}
        }
    }
}

async fn tell_states(room: Arc<Room>, mut states: watch::Receiver<AgentState>) {
    while states.changed().await.is_ok() {
        let state = agent_state(*states.borrow_and_update());
        let told = HashMap::from([(STATE.to_owned(), state.to_owned())]);
        let us = room.local_participant();
        if !matches!(timeout(SEND_LIMIT, us.set_attributes(told)).await, Ok(Ok(()))) {
            tracing::debug!(state, "the room was not told of the agent's state");
        }
    }
}

/// What the room has been told.
struct Script {
    room: Arc<Room>,
    holding: u64,
    /// The agent's utterance that goes on.
    open: Option<Open>,
}

struct Open {
    segment: String,
    written: String,
    writer: TextStreamWriter,
}

impl Script {
    async fn tell(mut self, mut captions: mpsc::Receiver<(Caption, Voice)>) {
        while let Some((caption, voice)) = captions.recv().await {
            if !self.is_read() {
                self.open = None;
                continue;
            }
            let told = timeout(SEND_LIMIT, self.caption(&caption, &voice)).await;
            if !matches!(told, Ok(Ok(()))) {
                self.open = None;
                tracing::debug!("the room was not told what was said");
            }
        }
    }

    /// Phones cannot read.
    fn is_read(&self) -> bool {
        let others = self.room.remote_participants();
        let mut kinds = others.values().map(RemoteParticipant::kind);
        kinds.any(|kind| kind == ParticipantKind::Standard)
    }

    async fn caption(&mut self, caption: &Caption, voice: &Voice) -> Result<(), Unsaid> {
        let side = match caption.speaker {
            Speaker::User => "u",
            Speaker::Agent => "a",
        };
        let segment = format!("SG_{}{side}{}", self.holding, caption.segment);
        let us = self.room.local_participant();
        let packet = Transcription {
            participant_identity: voice.identity.clone(),
            track_id: voice.track.to_string(),
            segments: vec![TranscriptionSegment {
                id: segment.clone(),
                text: caption.text.clone(),
                r#final: caption.is_final,
                ..TranscriptionSegment::default()
            }],
        };
        us.publish_transcription(packet).await.map_err(|_| Unsaid)?;
        let attributes = HashMap::from([
            (SEGMENT.to_owned(), segment.clone()),
            (TRACK.to_owned(), voice.track.to_string()),
            (FINAL.to_owned(), caption.is_final.to_string()),
        ]);
        if caption.speaker == Speaker::Agent && self.grow(caption, &segment, &attributes).await? {
            return Ok(());
        }
        let mut options = SendTextOptions::new_with_topic(TRANSCRIPTION);
        options.attributes = attributes;
        us.send_text(&caption.text, options).await.map_err(|_| Unsaid)?;
        Ok(())
    }

    /// Lets the agent's utterance grow; false when what was told of it has to be taken back, since less was heard.
    async fn grow(
        &mut self,
        caption: &Caption,
        segment: &str,
        attributes: &HashMap<String, String>,
    ) -> Result<bool, Unsaid> {
        if self.open.as_ref().is_none_or(|open| open.segment != segment) {
            let mut options = StreamTextOptions::new_with_topic(TRANSCRIPTION);
            options.attributes.clone_from(attributes);
            let writer = self.room.local_participant().stream_text(options).await;
            self.open = Some(Open {
                segment: segment.to_owned(),
                written: String::new(),
                writer: writer.map_err(|_| Unsaid)?,
            });
        }
        let Some(open) = &mut self.open else {
            return Ok(true);
        };
        let more = caption.text.strip_prefix(&open.written);
        if let Some(more) = more.filter(|more| !more.is_empty()) {
            open.writer.write(more).await.map_err(|_| Unsaid)?;
            open.written.clone_from(&caption.text);
        }
        if !caption.is_final {
            // Shorter than what was told before: the end, if it comes to that, sets it right.
            return Ok(true);
        }
        let is_told = more.is_some();
        if let Some(open) = self.open.take() {
            let closing = open.writer.close_with_options(None, Some(attributes.clone()));
            closing.await.map_err(|_| Unsaid)?;
        }
        Ok(is_told)
    }
}

/// The room could not be told. The reason may hold what was said, so it goes no further.
struct Unsaid;

/// What the caller writes, if it is some text of bounded length.
pub(super) async fn read(mut stream: TextStreamReader) -> Option<String> {
    let whole = async {
        let mut text = String::new();
        while let Some(part) = stream.next().await {
            text.push_str(&part.ok()?);
            if text.len() > MAX_TYPED {
                tracing::warn!(
                    limit = MAX_TYPED,
                    "the caller's message is too long and was not read"
                );
                return None;
            }
        }
        Some(text.trim().to_owned())
    };
    let text = timeout(READ_LIMIT, whole).await.ok().flatten()?;
    (!text.is_empty()).then_some(text)
}
