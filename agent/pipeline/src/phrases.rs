//! Fixed phrases that were synthesised before: a greeting that begins at once, an apology when the synthesis is down.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use providers::{Chain, ProviderError, Tts};

use crate::profile::Profile;
use crate::speech::Speech;

/// Phrases kept at once; further ones are synthesised each time.
const MAX_PHRASES: usize = 64;
/// Longer ones are not kept.
const MAX_SECONDS: u32 = 30;

/// The synthesised phrases of a process, shared by its calls. Clones share one store. At most 64 phrases of at most
/// 30 s are kept.
#[derive(Clone, Default)]
pub struct Phrases(Arc<Mutex<HashMap<PhraseKey, Arc<[i16]>>>>);

/// What makes two syntheses the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PhraseKey {
    pub(crate) text: String,
    pub(crate) voice: String,
    pub(crate) language: String,
    pub(crate) provider: &'static str,
    pub(crate) sample_rate_hz: u32,
}

impl Phrases {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Synthesises the greeting, the apology, the goodbye, the bridge and what is said to a caller who is away, of `profile`, before the
    /// first call needs them, for far ends that play at `sample_rate_hz`. Those that are kept already cost nothing.
    ///
    /// # Errors
    ///
    /// The first that `tts` gives, on the terms of the profile. Calls then synthesise by themselves.
    pub async fn prepare(
        &self,
        profile: &Profile,
        tts: Chain<dyn Tts>,
        sample_rate_hz: u32,
    ) -> Result<(), ProviderError> {
        let tts = tts.on(profile.terms(profile.timeouts.tts));
        let speech = Speech::new(profile, tts, self.clone(), sample_rate_hz);
        let greeting = profile.greeting.iter().chain([&profile.bridge]);
        let fixed = greeting.chain(profile.rescue_phrases());
        for phrase in fixed.chain(profile.away_phrases()) {
            speech.prepare(phrase).await?;
        }
        Ok(())
    }

    pub(crate) fn find(&self, key: &PhraseKey) -> Option<Arc<[i16]>> {
        self.0.lock().get(key).cloned()
    }

    pub(crate) fn keep(&self, key: PhraseKey, samples: &[i16]) {
        let mut phrases = self.0.lock();
        let limit = usize::try_from(key.sample_rate_hz * MAX_SECONDS).unwrap_or(usize::MAX);
        if phrases.len() < MAX_PHRASES && !samples.is_empty() && samples.len() <= limit {
            phrases.insert(key, samples.into());
        }
    }
}
