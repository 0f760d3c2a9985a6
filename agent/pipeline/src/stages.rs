//! What the providers' tasks tell the conversation.

use std::time::Duration;

use providers::{
    ProviderError, Transcript, Trouble,
    tools::{ToolCall, ToolResult},
};
use turns::{TurnId, UtteranceId};

/// A stage of a turn that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Speech to text.
    Stt,
    /// The language model.
    Llm,
    /// Text to speech.
    Tts,
}

impl Stage {
    /// The stage's name in logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

/// A failure that is not the end of the matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Troubled {
    pub(crate) stage: Stage,
    pub(crate) provider: &'static str,
    pub(crate) reason: String,
    /// What happens now.
    pub(crate) remedy: Remedy,
}

/// What happens after a failure that is not the end of the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same provider is asked again.
    Retry,
    /// This one is asked instead.
    Fallback(&'static str),
    /// Whoever is the next one has to begin again: a part was passed on.
    Repeat,
}

impl Troubled {
    pub(crate) fn new(stage: Stage, trouble: &Trouble) -> Self {
        Self {
            stage,
            provider: trouble.error.provider(),
            reason: trouble.error.to_string(),
            remedy: trouble.instead.map_or(Remedy::Retry, Remedy::Fallback),
        }
    }

    pub(crate) fn broke_off(stage: Stage, error: &ProviderError) -> Self {
        Self {
            stage,
            provider: error.provider(),
            reason: error.to_string(),
            remedy: Remedy::Repeat,
        }
    }
}

/// What a recogniser that listens tells of one utterance.
pub(crate) enum EarNews {
    Interim(String),
    EndOfUtterance,
    Final(Transcript),
    Failed(ProviderError),
}

/// One thing that a provider's task tells.
pub(crate) enum StageEvent {
    /// `ear` counts the utterances that were listened to.
    Listened { ear: u32, news: EarNews },
    Transcribed {
        turn: TurnId,
        take: u32,
        result: Result<Transcript, ProviderError>,
    },
    /// The model's first piece of text came so long after the request.
    FirstToken { utterance: UtteranceId, ttft: Duration },
    /// The model wants the call to end after this utterance.
    EndCall { utterance: UtteranceId },
    /// The model has called tools; those that wait for the agent to be heard are `after`, and the others are running.
    Called {
        utterance: UtteranceId,
        calls: Vec<ToolCall>,
        after: Vec<ToolCall>,
    },
    /// One of the others has come back, so long after it was called.
    Returned {
        utterance: UtteranceId,
        result: ToolResult,
        took: Duration,
    },
    /// One that waited has come back, so long after it was called.
    Acted { result: ToolResult, took: Duration },
    /// There is something to play, so long after its sentence was asked for.
    FirstAudio { utterance: UtteranceId, ttfb: Duration },
    /// A stage has failed; the apology is under way in the same utterance, if it can be.
    Failed {
        utterance: UtteranceId,
        stage: Stage,
        error: ProviderError,
    },
    /// A provider has failed, and it goes on.
    Troubled(Troubled),
    /// All that there is of the utterance has been passed to the playout.
    Done { utterance: UtteranceId, has_audio: bool },
}
