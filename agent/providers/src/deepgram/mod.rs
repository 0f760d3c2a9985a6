//! Deepgram: a recogniser that listens over a WebSocket, and a synthesiser.

mod client;
mod config;
mod listening;
mod replay;
mod socket;
mod stt;
mod tts;
mod wire;

pub use client::Client;
pub use config::{DeepgramConfig, Patience};
pub use stt::DeepgramStt;
pub use tts::DeepgramTts;

const NAME: &str = "deepgram";
