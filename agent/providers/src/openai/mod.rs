//! The OpenAI-compatible three: OpenAI itself, Groq, vLLM, llama.cpp, Ollama, and servers of Whisper and Kokoro.
//!
//! Such servers deviate from OpenAI and from each other. What is understood all the same is written at each adapter, and
//! shown by the tests against a server that replays it.

mod client;
mod config;
mod failure;
mod llm;
mod reply;
mod sse;
mod stt;
mod tts;
mod wire;

pub use client::Client;
pub use config::{OpenAiConfig, Timeouts};
pub use llm::OpenAiLlm;
pub use stt::OpenAiStt;
pub use tts::OpenAiTts;

const NAME: &str = "openai";
