//! The turn machine: who has the floor in a conversation, decided from voice activity, transcripts and playout.
//!
//! # The calling contract
//!
//! [`TurnMachine`] does no IO, knows no clock, allocates nothing on the frame path and draws no random numbers. Its owner
//!
//! 1. calls [`TurnMachine::handle`] with each [`Input`], and [`TurnMachine::handle_timeout`] when
//!    [`TurnMachine::poll_timeout`] says so, both with `now`: time since the conversation began, never running backwards;
//! 2. after each call does all that [`TurnMachine::poll_output`] yields, in that order, until there is none.
//!
//! [`VoiceGate`] makes the [`Voice`] inputs from one probability per 20 ms frame.
//!
//! # One turn
//!
//! | what happens | output | agent |
//! |---|---|---|
//! | the caller's voice begins | [`Output::Capture`] | listening |
//! | it has been silent for `min_silence` | [`Output::Transcribe`] | listening |
//! | `min_delay` after the last voice | [`Output::EndOfTurn`] | thinking |
//! | the reply's first audio is ready | [`Output::Speak`] | speaking |
//! | 120 ms of voice over it | [`Output::Pause`] | speaking |
//! | no more voice than that | [`Output::Resume`] | speaking |
//! | 0.5 s of voice over it | [`Output::Interrupt`] | listening |
//!
//! That is the mode `vad`. In the mode `stt` the delay begins when the recogniser says that the utterance is over, and only
//! words interrupt; in the mode `manual` the owner says when a turn is over ([`Input::Commit`]) and when the agent is to stop
//! ([`Input::Interrupt`]).
//!
//! Words, where they are known in time ([`Input::Interim`]), go before voice: those that only show that the caller listens
//! leave the agent its turn however long they are, any others take it as soon as there are enough of them.
//!
//! A caller who speaks on before anything of the reply was heard takes the turn back: the reply is interrupted after
//! 120 ms of voice, and the same turn ends again later, longer. A short answer over the agent's last words (the voice
//! ended at most `early_answer` before them) is a turn of its own.
//!
//! # What never happens
//!
//! There are never two utterances of the agent's at once: the next waits for the interrupted one's
//! [`Playout::Stopped`]. No pause is left without a resume or an interruption. No turn of the caller's is lost
//! otherwise than by [`Output::Discard`]. No state but the closed one is without an exit timer ([`Limits`]).

#![warn(missing_docs)]

mod barge_in;
mod endpointing;
mod floor;
mod hint;
mod listening;
mod machine;
mod options;
mod patience;
mod types;
mod utterance;
mod voice;
mod words;

pub use hint::{RuleHint, TurnHint};
pub use machine::TurnMachine;
pub use options::{
    Endpointing, EndpointingMode, Interruption, Limits, Options, OptionsError, TurnMode, VadOptions,
};
pub use types::{AgentState, Cause, End, Input, Output, Playout, Prompt, TurnId, UserState, UtteranceId};
pub use voice::{FRAME, Voice, VoiceGate};
pub use words::Words;
