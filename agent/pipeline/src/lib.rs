//! One conversation: turns, STT, LLM, TTS, playout, history, transcript.
