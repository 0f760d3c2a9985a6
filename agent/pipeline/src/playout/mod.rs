//! The agent's voice on its way out: 20 ms frames, written shortly before they are heard, silent at once.

mod buffer;
mod flight;
mod task;

use async_trait::async_trait;
use tokio::time::Instant;
use turns::UtteranceId;

pub(crate) use task::{Playout, Wiring};

/// Where the agent's voice goes.
#[async_trait]
pub trait AudioOut: Send {
    /// The rate of the samples that it takes, in hertz; a multiple of 1,000 from 8,000 to 48,000.
    fn sample_rate_hz(&self) -> u32;

    /// Takes one frame of 20 ms; waits while its queue, which should hold 60 ms or more, is full. After an error the
    /// conversation ends.
    async fn write(&mut self, frame: &[i16]) -> Result<(), AudioOutError>;

    /// Drops what was taken and not yet sent.
    fn clear(&mut self);

    /// Samples that were taken and not yet sent, where that is known; else it is reckoned from the time of each write.
    fn queued_samples(&self) -> Option<usize> {
        None
    }
}

/// The agent's voice has nowhere to go any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the agent's audio can no longer be written: {reason}")]
pub struct AudioOutError {
    /// Why.
    pub reason: String,
}

/// One piece of an utterance, in order.
pub(crate) enum Piece {
    /// A sentence begins.
    Sentence(String),
    /// Some of its sound, at the rate of the [`AudioOut`].
    Samples(Vec<i16>),
    /// Its sound is complete. Without this, it broke off.
    SentenceEnd,
}

/// What the playout is told.
pub(crate) enum Command {
    Play {
        utterance: UtteranceId,
        pieces: tokio::sync::mpsc::Receiver<Piece>,
    },
    Pause {
        utterance: UtteranceId,
    },
    Resume {
        utterance: UtteranceId,
    },
    Interrupt {
        utterance: UtteranceId,
    },
}

/// What the playout tells.
pub(crate) enum News {
    /// The first frame was written; `at`: when the far end gets it.
    Started { utterance: UtteranceId, at: Instant },
    /// More was heard: these words so far.
    Mark { utterance: UtteranceId, words: String },
    /// All was heard.
    Finished(Played),
    /// It was interrupted and is silent.
    Stopped(Played),
    /// Samples that the far end got, the first of them at `at`; for the recording.
    Heard { at: Instant, samples: Vec<i16> },
    /// Nothing can be played any more.
    Failed(AudioOutError),
}

/// What became of an utterance.
pub(crate) struct Played {
    pub(crate) utterance: UtteranceId,
    /// The words that were heard.
    pub(crate) words: String,
    /// Whether each of its sentences was synthesised, and heard, to its end.
    pub(crate) is_whole: bool,
    /// When the last of it was heard.
    pub(crate) at: Instant,
}
