//! What is kept of a call once it has ended.

use serde::{Deserialize, Serialize};

use crate::{CallId, DecodeError, Party, ProfileRef, RoomName, Timestamp, open_enum::open_enum, versioned};

/// The record of one call, written once by whoever closes it: the agent that held it, the webhook function when no agent ever
/// did, or the sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The version of this format; [`CallRecord::VERSION`] when made by this code.
    pub version: u32,
    /// The call.
    pub call: CallId,
    /// The room that it took place in.
    pub room: RoomName,
    /// How it ended.
    pub outcome: Outcome,
    /// The remote party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Party>,
    /// The number or name that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Party>,
    /// LiveKit's id of the trunk (`ST_…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// LiveKit's id of the dispatch rule (`SDR_…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// LiveKit's id of the SIP call (`SCL_…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_call: Option<String>,
    /// The agent's profile; `None` when no entry of `agents:` matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileRef>,
    /// When the room was created.
    pub started_at: Timestamp,
    /// When the call was answered; `None` when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When the call ended.
    pub ended_at: Timestamp,
    /// What happened, in the order of time.
    #[serde(default)]
    pub timeline: Vec<TimelineEntry>,
    /// What was said, in the order of its start.
    #[serde(default)]
    pub turns: Vec<TurnRecord>,
    /// The tools that the agent's model called, in the order of the calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolRecord>,
    /// The recording; `None` when nothing was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// The storage key of the transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}

impl CallRecord {
    /// The version that this code writes. It reads every version from 1 up to this one.
    pub const VERSION: u32 = 1;

    /// A record with nothing but what every call has.
    pub fn new(
        call: CallId,
        room: RoomName,
        outcome: Outcome,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> Self {
        Self {
            version: Self::VERSION,
            call,
            room,
            outcome,
            caller: None,
            called: None,
            trunk: None,
            rule: None,
            sip_call: None,
            profile: None,
            started_at,
            answered_at: None,
            ended_at,
            timeline: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            recording: None,
            transcript: None,
        }
    }

    /// The stored object: JSON, indented, since people read it too.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads a stored object.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        versioned::decode(body.as_ref(), "call record", Self::VERSION)
    }
}

/// A tool that the agent's model called. What it was given and gave back is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// Its name; `unknown` for one that the model made up.
    pub name: String,
    /// When it was called.
    pub called_at: Timestamp,
    /// How long it took; `None` when it was interrupted, or had not come back at the end of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
    /// Whether it failed.
    pub is_error: bool,
}

/// How a call ended. Written as `{"kind": "no_match", "reason": "number_not_listed"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OutcomeText", into = "OutcomeText")]
pub enum Outcome {
    /// The conversation came to its end as the dialogue meant it to.
    Completed,
    /// The caller hung up in the conversation.
    CallerHungUp,
    /// The agent hung up.
    AgentHungUp,
    /// Somebody else has ended the call, once it was answered: over the HTTP API, or with LiveKit's own tools.
    OperatorHungUp,
    /// The agent has transferred the caller to somebody else.
    Transferred,
    /// The caller gave up before the call was answered.
    Cancelled,
    /// No agent answered in time.
    NoAgent,
    /// No entry of `agents:` took the call.
    NoMatch {
        /// A name of [`crate::agents::NoMatch`].
        reason: String,
    },
    /// The process that served the call died and nobody could take it over.
    Interrupted,
    /// Something of ours, or of a provider, failed.
    Failed {
        /// What failed, without content of the call.
        reason: String,
    },
    /// A kind that this version does not know.
    Unknown {
        /// Its name.
        kind: String,
        /// Its reason, if it has one.
        reason: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct OutcomeText {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Outcome {
    /// The name of its kind, such as `caller_hung_up`.
    pub fn kind(&self) -> &str {
        match self {
            Self::Completed => "completed",
            Self::CallerHungUp => "caller_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::OperatorHungUp => "operator_hung_up",
            Self::Transferred => "transferred",
            Self::Cancelled => "cancelled",
            Self::NoAgent => "no_agent",
            Self::NoMatch { .. } => "no_match",
            Self::Interrupted => "interrupted",
            Self::Failed { .. } => "failed",
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// The reason behind the kind, where it has one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::NoMatch { reason } | Self::Failed { reason } => Some(reason),
            Self::Unknown { reason, .. } => reason.as_deref(),
            _ => None,
        }
    }
}

impl From<OutcomeText> for Outcome {
    fn from(OutcomeText { kind, reason }: OutcomeText) -> Self {
        match kind.as_str() {
            "completed" => Self::Completed,
            "caller_hung_up" => Self::CallerHungUp,
            "agent_hung_up" => Self::AgentHungUp,
            "operator_hung_up" => Self::OperatorHungUp,
            "transferred" => Self::Transferred,
            "cancelled" => Self::Cancelled,
            "no_agent" => Self::NoAgent,
            "no_match" => Self::NoMatch {
                reason: reason.unwrap_or_default(),
            },
            "interrupted" => Self::Interrupted,
            "failed" => Self::Failed {
                reason: reason.unwrap_or_default(),
            },
            _ => Self::Unknown { kind, reason },
        }
    }
}

impl From<Outcome> for OutcomeText {
    fn from(outcome: Outcome) -> Self {
        Self {
            kind: outcome.kind().to_owned(),
            reason: outcome.reason().map(str::to_owned),
        }
    }
}

/// One step of a call and its moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// What happened.
    pub step: Step,
    /// When.
    pub at: Timestamp,
}

impl TimelineEntry {
    /// `step` at the moment `at`.
    pub fn new(step: Step, at: Timestamp) -> Self {
        Self { step, at }
    }
}

open_enum! {
    /// A step in the life of a call.
    pub enum Step {
        /// An INVITE came in.
        Invite = "invite",
        /// The phone was told to ring.
        Ringing = "ringing",
        /// The room was created.
        RoomStarted = "room_started",
        /// The first webhook of the call was received, or the sweep made up for it.
        Webhook = "webhook",
        /// The caller's participant joined the room.
        CallerJoined = "caller_joined",
        /// The job was put into the queue.
        JobEnqueued = "job_enqueued",
        /// A worker claimed the call.
        Claimed = "claimed",
        /// The agent joined the room.
        AgentJoined = "agent_joined",
        /// The agent published its audio track.
        TrackPublished = "track_published",
        /// The call was answered.
        Answered = "answered",
        /// The first sample of the greeting was played.
        GreetingStarted = "greeting_started",
        /// The consent gate opened: from here on the call is recorded.
        RecordingStarted = "recording_started",
        /// A turn of the caller ended.
        UserTurn = "user_turn",
        /// The agent began to speak its answer.
        AgentTurn = "agent_turn",
        /// The caller interrupted the agent.
        Interruption = "interruption",
        /// One side hung up.
        Hangup = "hangup",
        /// The caller's participant left the room.
        CallerLeft = "caller_left",
        /// The room was closed.
        RoomFinished = "room_finished",
    }
}

/// One turn as it was heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was understood (caller), or what was played (agent: only what was heard).
    pub text: Transcribed,
    /// The first sample of the turn.
    pub started_at: Timestamp,
    /// The last sample of the turn.
    pub ended_at: Timestamp,
    /// Whether the other side interrupted it.
    #[serde(default)]
    pub interrupted: bool,
    /// What the answer cost in time. The caller's turns have what belongs to the hearing of them: the transcription's and
    /// the end of turn's delay.
    #[serde(default)]
    pub latency: TurnLatency,
}

/// Words of a call. `Debug` shows their length only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transcribed(pub String);

impl Transcribed {
    /// The words. Never for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Transcribed {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Transcribed {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Transcribed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transcribed({} bytes)", self.0.len())
    }
}

open_enum! {
    /// Who spoke a turn.
    pub enum Speaker {
        /// The remote party.
        Caller = "caller",
        /// The agent.
        Agent = "agent",
    }
}

/// The parts of an answer's latency, in milliseconds; `None` where the part did not occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnLatency {
    /// End of the caller's speech → its final transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcription_delay_ms: Option<u32>,
    /// End of the caller's speech → the decision that the turn has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_turn_delay_ms: Option<u32>,
    /// Request to the language model → its first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_ttft_ms: Option<u32>,
    /// Request for speech → its first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tts_ttfb_ms: Option<u32>,
    /// End of the caller's speech → first sample of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_latency_ms: Option<u32>,
}

/// The recording of a call: OGG/Opus, caller left, agent right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Its storage key.
    pub key: String,
    /// How long it plays, in milliseconds.
    pub duration_ms: u64,
    /// Under which policy it was made.
    pub policy: RecordingPolicy,
    /// When the consent gate opened: nothing from before is in the recording.
    pub gate_opened_at: Timestamp,
}

open_enum! {
    /// When a call may be recorded.
    pub enum RecordingPolicy {
        /// Never.
        Off = "off",
        /// Once the notice has been played to its end.
        AfterNotice = "after_notice",
        /// Once the caller has agreed.
        AfterConsent = "after_consent",
        /// From the first sample.
        Always = "always",
    }
}
