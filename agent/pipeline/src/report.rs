//! What a conversation tells while it goes on, and at its end.

use std::time::Duration;

use turns::{AgentState, UserState};

use crate::{
    CallerAudio,
    stages::{Remedy, Stage},
    usage::Usage,
};

/// How long things took, under the peers' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// From the caller's last voice to the transcript.
    pub transcription_delay: Option<Duration>,
    /// From the caller's last voice to the decision that the turn is over.
    pub end_of_turn_delay: Option<Duration>,
    /// From the request to the model's first text.
    pub llm_ttft: Option<Duration>,
    /// From the first sentence's request to its first sound.
    pub tts_ttfb: Option<Duration>,
    /// From the caller's last voice to the first sample that the far end gets.
    pub e2e_latency: Option<Duration>,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The caller.
    User,
    /// The agent.
    Agent,
}

/// What somebody said before the conversation was taken over. `Debug` shows no words.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub speaker: Speaker,
    /// The caller's words as recognised; the agent's words as heard by the caller.
    pub text: String,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said({:?}, {} chars)", self.speaker, self.text.chars().count())
    }
}

/// One turn of either side. `Debug` shows no words. Times count from the beginning of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct SpokenTurn {
    /// Who.
    pub speaker: Speaker,
    /// The caller's words as recognised; the agent's words as heard by the caller.
    pub text: String,
    /// When the voice began.
    pub started_at: Duration,
    /// When it ended.
    pub ended_at: Duration,
    /// Whether the agent was cut off.
    pub interrupted: bool,
    /// The caller's: transcription and end of turn. The agent's: all five, as far as they apply.
    pub latency: Latency,
}

impl std::fmt::Debug for SpokenTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpokenTurn")
            .field("speaker", &self.speaker)
            .field("chars", &self.text.chars().count())
            .field("started_at", &self.started_at)
            .field("ended_at", &self.ended_at)
            .field("interrupted", &self.interrupted)
            .field("latency", &self.latency)
            .finish()
    }
}

/// What somebody says, while it is said. `Debug` shows no words.
#[derive(Clone, PartialEq, Eq)]
pub struct Caption {
    /// Who.
    pub speaker: Speaker,
    /// Which turn of the caller's, or which utterance of the agent's: from 1. The next one of the same segment takes its place.
    pub segment: u32,
    /// All of it so far: the caller's words as recognised, which may still change; the agent's as heard by the caller.
    pub text: String,
    /// Whether nothing more comes.
    pub is_final: bool,
}

impl std::fmt::Debug for Caption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caption")
            .field("speaker", &self.speaker)
            .field("segment", &self.segment)
            .field("chars", &self.text.chars().count())
            .field("is_final", &self.is_final)
            .finish()
    }
}

/// A tool that the model called. What it was given and gave back is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// Its name; `unknown` where the agent has no such tool.
    pub name: String,
    /// When it was called.
    pub called_at: Duration,
    /// How long it took; `None` when it was interrupted, or had not come back at the end.
    pub took: Option<Duration>,
    /// Whether it failed.
    pub is_error: bool,
}

/// Why a conversation is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The caller's audio has ended.
    CallerGone,
    /// The agent said its last words.
    AgentEnded,
    /// Providers failed too often in a row; the agent has said goodbye, if it could.
    ProvidersFailed,
    /// Nobody said anything for `idle_timeout`.
    Idle,
    /// The caller answered none of the reprompts; the agent has said goodbye.
    CallerAway,
    /// The conversation has reached `max_duration`; the agent has said goodbye, if anybody let it.
    TimeUp,
    /// The call's token was cancelled.
    Cancelled,
    /// The agent's audio had nowhere to go.
    AudioOutFailed,
}

/// News of a conversation. `at` counts from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationEvent {
    /// The agent's state has changed.
    Agent {
        /// To this.
        state: AgentState,
        /// When.
        at: Duration,
    },
    /// The caller's state has changed.
    User {
        /// To this.
        state: UserState,
        /// When.
        at: Duration,
    },
    /// The far end gets the agent's first sample of an utterance.
    AgentStarted {
        /// Whether it is the greeting.
        is_greeting: bool,
        /// When.
        at: Duration,
    },
    /// The agent fell silent because the caller spoke; [`ConversationEvent::Resumed`] or the end of its turn follows.
    Paused {
        /// When.
        at: Duration,
    },
    /// The agent went on: a false interruption.
    Resumed {
        /// When.
        at: Duration,
    },
    /// Words while they are said. Where news pile up they are left out: the turn has them all.
    Caption(Caption),
    /// A turn is over. The caller's comes when its reply begins, since it may go on until then.
    Turn(SpokenTurn),
    /// A tool has come back, or was interrupted.
    Tool(ToolUse),
    /// From now on the call may be recorded.
    RecordingGateOpened {
        /// When.
        at: Duration,
    },
    /// A provider has failed, and the caller does not get what they should.
    Failed {
        /// In this stage.
        stage: Stage,
        /// Its name.
        provider: &'static str,
        /// What it said.
        reason: String,
        /// When.
        at: Duration,
    },
    /// A provider has failed, and it goes on: the caller notices a delay at most.
    Recovered {
        /// In this stage.
        stage: Stage,
        /// The one that has failed.
        provider: &'static str,
        /// What it said.
        reason: String,
        /// What happens now.
        remedy: Remedy,
        /// When.
        at: Duration,
    },
    /// The conversation is over. The last event.
    Ended {
        /// Why.
        reason: EndReason,
        /// When.
        at: Duration,
    },
}

/// What is left of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationReport {
    /// Why it is over.
    pub reason: EndReason,
    /// How long it was.
    pub duration: Duration,
    /// Every turn, in the order in which they ended.
    pub turns: Vec<SpokenTurn>,
    /// Every tool that was called, in the order of the calls.
    pub tools: Vec<ToolUse>,
    /// When the recording gate opened.
    pub recording_from: Option<Duration>,
    /// What it took of its providers.
    pub usage: Usage,
    /// How the caller's sound was.
    pub caller_audio: CallerAudio,
    /// Failures of the stages that the caller noticed.
    pub failures: Vec<Stage>,
    /// Failures that were made up for.
    pub recoveries: Vec<(Stage, Remedy)>,
    /// Events that found their channel full. All turns are in here nevertheless.
    pub lost_events: u64,
}
