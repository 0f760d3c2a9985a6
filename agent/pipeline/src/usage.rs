//! What a conversation takes of its providers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::SAMPLE_RATE_HZ;

/// What a conversation took. A reply that was interrupted counts as a request, and its tokens only if the model had told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Requests to the language model.
    pub llm_requests: u64,
    /// Tokens that it read, as far as it says so.
    pub llm_prompt_tokens: u64,
    /// Of those, the ones that it had read before and kept.
    pub llm_prompt_cached_tokens: u64,
    /// Tokens that it wrote, as far as it says so.
    pub llm_completion_tokens: u64,
    /// Characters that were synthesised; phrases that were kept from before cost none.
    pub tts_characters: u64,
    /// Sound that was synthesised, whether it was heard or not.
    pub tts_audio: Duration,
    /// Speech that was sent to be recognised.
    pub stt_audio: Duration,
}

/// Counts it. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    characters: AtomicU64,
    synthesised_us: AtomicU64,
    heard_samples: AtomicU64,
}

impl Meter {
    pub(crate) fn asked(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tokens(&self, prompt: u64, cached: u64, completion: u64) {
        self.0.prompt_tokens.fetch_add(prompt, Ordering::Relaxed);
        self.0.cached_tokens.fetch_add(cached, Ordering::Relaxed);
        self.0.completion_tokens.fetch_add(completion, Ordering::Relaxed);
    }

    pub(crate) fn spoken(&self, text: &str) {
        let characters = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        self.0.characters.fetch_add(characters, Ordering::Relaxed);
    }

    /// So many samples of sound at this rate.
    pub(crate) fn synthesised(&self, samples: usize, sample_rate_hz: u32) {
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        let us = samples.saturating_mul(1_000_000) / u64::from(sample_rate_hz.max(1));
        self.0.synthesised_us.fetch_add(us, Ordering::Relaxed);
    }

    /// `samples` at [`SAMPLE_RATE_HZ`].
    pub(crate) fn heard(&self, samples: usize) {
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        self.0.heard_samples.fetch_add(samples, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Usage {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let samples_a_ms = u64::from(SAMPLE_RATE_HZ / 1000);
        Usage {
            llm_requests: count(&self.0.requests),
            llm_prompt_tokens: count(&self.0.prompt_tokens),
            llm_prompt_cached_tokens: count(&self.0.cached_tokens),
            llm_completion_tokens: count(&self.0.completion_tokens),
            tts_characters: count(&self.0.characters),
            tts_audio: Duration::from_micros(count(&self.0.synthesised_us)),
            stt_audio: Duration::from_millis(count(&self.0.heard_samples) / samples_a_ms),
        }
    }
}
