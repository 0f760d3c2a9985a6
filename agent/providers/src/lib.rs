//! STT, LLM and TTS: the ports that a conversation speaks to, and an adapter per provider.
//!
//! # The calling contract
//!
//! - [`Registry::build`] makes the three providers of an agent by their names; a conversation knows only the ports
//!   [`Stt`], [`Llm`] and [`Tts`]. The providers hold nothing of a call and serve any number of calls at once.
//! - Dropping a future or a stream cancels its request, and kills its process.
//! - Every adapter has limits on time, input and output of its own. [`ProviderError`] says whether asking again can
//!   help; no adapter asks again by itself. A [`Chain`] does, of the same provider or of the next one. Only a recogniser that
//!   listens opens a connection anew that breaks while it is spoken to: what it has heard cannot be asked again.
//! - What a model may do besides speaking are [`tools`].
//! - A process that uses HTTP installs its TLS provider first.
//!
//! # What never happens
//!
//! No key, prompt or word of a call stands in a log, an error, a `Debug` output or a list of processes. No adapter reads
//! the environment.

#![warn(missing_docs)]

mod chain;
pub mod deepgram;
pub mod dialogue;
mod fault;
pub mod file;
mod http;
mod language;
pub mod offline;
pub mod openai;
mod ports;
mod registry;
mod template;
pub mod tools;

pub use chain::{Chain, TellTrouble, Terms, Trouble};
pub use dialogue::{Dialogue, Scripted};
pub use fault::{Fault, Faults};
pub use ports::{
    ChatRequest, Llm, LlmEvent, Message, ProviderError, SpeechRequest, StreamingStt, Stt, SttEvent,
    Transcript, Tts,
};
pub use registry::{Choice, Providers, Registry, Wanted};
