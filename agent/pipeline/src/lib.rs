//! One conversation between a caller and an agent: voice activity → turns → STT → LLM → sentences → TTS → playout.
//!
//! # The calling contract
//!
//! [`Conversation::new`] takes a [`Setup`]; [`Conversation::run`] holds the conversation to its end and returns a
//! [`ConversationReport`]. Data flows forward through bounded channels:
//!
//! ```text
//! heard ─ frames ─▶ SpeechDetector ─▶ turns ─┬─▶ Stt ─▶ Llm ─ sentences ─▶ Tts ─ pieces ─▶ playout ─▶ AudioOut
//!                                            └────────────── pause, resume, interrupt ───────▲
//! ```
//!
//! and two kinds of news run backwards: what was heard of an utterance, and that it is silent.
//!
//! - The conversation ends when the caller's frames end, the agent has said its last words, providers have failed too
//!   often, nobody speaks for long, or its token is cancelled. All its tasks have ended then.
//! - What the model may do besides speaking are the tools of [`Setup::tools`], and `end_call`. Those that run at once are waited for
//!   within the utterance, at most three times; then the model has to answer in words. Each call is in the history with one result, also
//!   when the caller interrupted it.
//! - Time is tokio's: a test that pauses it runs in virtual time, to the frame.
//!
//! # What never happens
//!
//! The history holds no word that was not heard. Nothing waits for a provider without a limit, and no failure is
//! silent: an apology is said instead, and after [`Profile::max_unrecoverable_errors`] in a row a goodbye. No frame
//! from before the recording gate leaves by the [`Tap`]. No listener, however slow, holds up the audio.

mod audio_in;
mod conversation;
mod detector;
mod hearing;
mod ledger;
mod listen;
mod phrases;
mod playout;
mod primed;
mod profile;
mod quality;
mod reply;
mod report;
mod speech;
mod stages;
mod tap;
mod text;
mod tools;
mod usage;

pub use audio_in::AudioIn;
pub use conversation::{Control, Conversation, Setup, SetupError};
pub use detector::{EarshotDetector, SpeechDetector};
pub use phrases::Phrases;
pub use playout::{AudioOut, AudioOutError};
pub use profile::{
    KeypadMenu, OnFailure, Profile, ProfileError, ProfileFault, ProviderChoice, ProviderChoices,
    RecordingPolicy, Timeouts, Transfers,
};
pub use quality::{AudioFault, CallerAudio};
pub use report::{
    Caption, ConversationEvent, ConversationReport, EndReason, Latency, Said, Speaker, SpokenTurn, ToolUse,
};
pub use stages::{Remedy, Stage};
pub use tap::{Delays, Slot, Tap};
pub use turns::{AgentState, UserState};
pub use usage::Usage;

/// The rate at which the caller is heard, in hertz.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
/// Samples of a frame of 20 ms at that rate.
pub const FRAME_SAMPLES: usize = 320;
