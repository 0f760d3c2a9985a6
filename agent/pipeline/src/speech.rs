//! One sentence into sound, at the rate of the far end.

use std::sync::Arc;
use std::time::Duration;

use audio::Resampler;
use futures_util::StreamExt;
use providers::{Chain, ProviderError, SpeechRequest, Tts};
use tokio::sync::mpsc;
use tokio::time::Instant;
use turns::UtteranceId;

use crate::phrases::{PhraseKey, Phrases};
use crate::playout::Piece;
use crate::profile::Profile;
use crate::reply::Line;
use crate::stages::StageEvent;
use crate::text::speakable;
use crate::usage::Meter;

/// The agent's voice.
pub(crate) struct Speech {
    tts: Chain<dyn Tts>,
    pub(crate) voice: String,
    pub(crate) language: String,
    pub(crate) phrases: Phrases,
    /// Of the far end, in hertz.
    pub(crate) sample_rate_hz: u32,
    usage: Meter,
}

/// Why a sentence was not spoken to its end.
pub(crate) enum Broken {
    /// The utterance was interrupted.
    NobodyListens,
    /// The synthesis failed.
    Provider(ProviderError),
}

impl From<ProviderError> for Broken {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

type Spoken = Result<(), Broken>;

impl Speech {
    /// The voice of `profile`.
    pub(crate) fn new(profile: &Profile, tts: Chain<dyn Tts>, phrases: Phrases, sample_rate_hz: u32) -> Self {
        Self {
            tts,
            voice: profile.voice.clone(),
            language: profile.language.clone(),
            phrases,
            sample_rate_hz,
            usage: Meter::default(),
        }
    }

    /// The same, counted by `usage`.
    pub(crate) fn metered(self, usage: Meter) -> Self {
        Self { usage, ..self }
    }

    /// Speaks `line`.
    pub(crate) async fn say(&self, line: &Line, mouth: &mut Mouth) -> Spoken {
        if line.is_fixed && self.find(&line.text).is_some() {
            return self.say_kept(&line.text, mouth).await;
        }
        let Some(text) = (if line.is_fixed {
            Some(line.text.clone())
        } else {
            speakable(&line.text)
        }) else {
            return Ok(());
        };
        mouth.send(Piece::Sentence(text.clone())).await?;
        let asked = Instant::now();
        let mut sound = self.synthesise(&text)?;
        let mut whole = Vec::new();
        while let Some(samples) = sound.next().await? {
            if line.is_fixed {
                whole.extend_from_slice(samples);
            }
            mouth
                .samples(samples, self.sample_rate_hz, asked.elapsed())
                .await?;
        }
        if line.is_fixed {
            self.phrases.keep(self.key(&line.text), &whole);
        }
        mouth.send(Piece::SentenceEnd).await
    }

    /// Whether it is worth saying it again, when it broke off.
    pub(crate) fn can_go_on(&self) -> bool {
        self.tts.is_up()
    }

    /// Speaks the fixed phrase `text` if it was synthesised before.
    pub(crate) async fn say_kept(&self, text: &str, mouth: &mut Mouth) -> Spoken {
        let Some(samples) = self.find(text) else {
            return Ok(());
        };
        mouth.send(Piece::Sentence(text.to_owned())).await?;
        mouth
            .samples(&samples, self.sample_rate_hz, Duration::ZERO)
            .await?;
        mouth.send(Piece::SentenceEnd).await
    }

    /// Synthesises `text` for later, unless that was done before.
    pub(crate) async fn prepare(&self, text: &str) -> Result<(), ProviderError> {
        if self.find(text).is_some() {
            return Ok(());
        }
        let mut sound = self.synthesise(text)?;
        let mut whole = Vec::new();
        while let Some(samples) = sound.next().await? {
            whole.extend_from_slice(samples);
        }
        self.phrases.keep(self.key(text), &whole);
        Ok(())
    }

    fn find(&self, text: &str) -> Option<Arc<[i16]>> {
        self.phrases.find(&self.key(text))
    }

    fn key(&self, text: &str) -> PhraseKey {
        PhraseKey {
            text: text.to_owned(),
            voice: self.voice.clone(),
            language: self.language.clone(),
            provider: self.tts.name(),
            sample_rate_hz: self.sample_rate_hz,
        }
    }

    fn synthesise(&self, text: &str) -> Result<Sound, ProviderError> {
        let provider = self.tts.name();
        let resampler = Resampler::new(self.tts.sample_rate_hz(), self.sample_rate_hz).map_err(|error| {
            ProviderError::Refused {
                provider,
                reason: error.to_string(),
            }
        })?;
        self.usage.spoken(text);
        let request = SpeechRequest {
            text: text.to_owned(),
            voice: self.voice.clone(),
            language: self.language.clone(),
        };
        Ok(Sound {
            provider,
            stream: self.tts.synthesize(request),
            usage: self.usage.clone(),
            sample_rate_hz: self.sample_rate_hz,
            resampler,
            resampled: Vec::new(),
            is_empty: true,
        })
    }
}

/// The sound of one sentence as it comes.
struct Sound {
    provider: &'static str,
    stream: futures_util::stream::BoxStream<'static, Result<Vec<i16>, ProviderError>>,
    usage: Meter,
    /// The far end's.
    sample_rate_hz: u32,
    resampler: Resampler,
    resampled: Vec<i16>,
    is_empty: bool,
}

impl Sound {
    /// The next samples at the far end's rate; none at the end. A sentence without any sound is an error.
    async fn next(&mut self) -> Result<Option<&[i16]>, ProviderError> {
        let provider = self.provider;
        match self.stream.next().await {
            Some(samples) => {
                let samples = samples?;
                self.is_empty &= samples.is_empty();
                self.resampled.clear();
                self.resampler.process(&samples, &mut self.resampled);
                self.usage.synthesised(self.resampled.len(), self.sample_rate_hz);
                Ok(Some(&self.resampled))
            }
            None if self.is_empty => Err(ProviderError::Protocol {
                provider,
                reason: "a sentence without sound".into(),
            }),
            None => Ok(None),
        }
    }
}

/// Where the pieces of one utterance go.
pub(crate) struct Mouth {
    pub(crate) utterance: UtteranceId,
    pub(crate) pieces: mpsc::Sender<Piece>,
    pub(crate) events: mpsc::Sender<StageEvent>,
    /// Whether the utterance has any sound yet.
    pub(crate) has_audio: bool,
}

impl Mouth {
    /// Sends `samples`, which came `ttfb` after they were asked for, in pieces of 100 ms: so the channel's bound is one
    /// of time too.
    async fn samples(&mut self, samples: &[i16], sample_rate_hz: u32, ttfb: Duration) -> Spoken {
        if !samples.is_empty() && !std::mem::replace(&mut self.has_audio, true) {
            let _ = self
                .events
                .send(StageEvent::FirstAudio {
                    utterance: self.utterance,
                    ttfb,
                })
                .await;
        }
        for piece in samples.chunks(usize::try_from(sample_rate_hz / 10).unwrap_or(1).max(1)) {
            self.send(Piece::Samples(piece.to_vec())).await?;
        }
        Ok(())
    }

    async fn send(&self, piece: Piece) -> Spoken {
        self.pieces.send(piece).await.map_err(|_| Broken::NobodyListens)
    }
}
