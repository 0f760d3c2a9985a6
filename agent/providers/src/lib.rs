//! STT, LLM and TTS: the ports that a conversation speaks to, and an adapter per provider.

mod ports;

pub use ports::{
    Action, ChatRequest, Llm, LlmEvent, Message, ProviderError, Role, SpeechRequest, Stt, Transcript, Tts,
};
