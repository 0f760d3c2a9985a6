//! Synthesisers, one after the other.

use std::sync::Arc;

use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::timeout;

use super::{Attempts, Chain, rate::Rate};
use crate::{ProviderError, SpeechRequest, Tts};

impl Tts for Chain<dyn Tts> {
    fn name(&self) -> &'static str {
        self.head().name()
    }

    fn sample_rate_hz(&self) -> u32 {
        self.head().sample_rate_hz()
    }

    /// A sentence that breaks off when a part of it was passed on ends in an error.
    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>> {
        let asking = Asking {
            attempts: self.attempts(),
            request,
            sample_rate_hz: self.sample_rate_hz(),
            sound: None,
            has_begun: false,
        };
        stream::try_unfold(asking, Asking::next).boxed()
    }
}

struct Asking {
    attempts: Attempts<dyn Tts>,
    request: SpeechRequest,
    /// The chain's.
    sample_rate_hz: u32,
    sound: Option<Sound>,
    has_begun: bool,
}

struct Sound {
    stream: BoxStream<'static, Result<Vec<i16>, ProviderError>>,
    /// To the chain's rate; none where it is the member's too.
    rate: Rate,
}

impl Asking {
    async fn next(mut self) -> Result<Option<(Vec<i16>, Self)>, ProviderError> {
        loop {
            let error = match self.samples().await {
                Ok(Some(samples)) if samples.is_empty() => continue,
                Ok(Some(samples)) => {
                    if !std::mem::replace(&mut self.has_begun, true) {
                        self.attempts.succeeded();
                    }
                    return Ok(Some((samples, self)));
                }
                Ok(None) if self.has_begun => return Ok(None),
                Ok(None) => ProviderError::Protocol {
                    provider: self.attempts.provider().name(),
                    reason: "a sentence without sound".to_owned(),
                },
                Err(error) => error,
            };
            // Drops the request.
            self.sound = None;
            if self.has_begun {
                self.attempts.broke();
                return Err(error);
            }
            self.attempts.failed(error).await?;
        }
    }

    /// The next samples at the chain's rate, from whoever is asked now.
    async fn samples(&mut self) -> Result<Option<Vec<i16>>, ProviderError> {
        let (tts, limit) = (self.attempts.provider().clone(), self.attempts.limit());
        let sound = match &mut self.sound {
            Some(sound) => sound,
            none => none.insert(Sound {
                rate: Rate::new(tts.name(), tts.sample_rate_hz(), self.sample_rate_hz)?,
                stream: tts.synthesize(self.request.clone()),
            }),
        };
        let next = timeout(limit, sound.stream.next()).await;
        let next = next.map_err(|_| ProviderError::Timeout {
            provider: tts.name(),
            after: limit,
        })?;
        let Some(samples) = next.transpose()? else {
            return Ok(None);
        };
        Ok(Some(sound.rate.convert(samples.into()).into_owned()))
    }
}

/// A synthesiser with a voice of its own, whatever is asked for.
pub(crate) struct Voiced {
    tts: Arc<dyn Tts>,
    voice: String,
}

impl Voiced {
    /// `voice` is the synthesiser's own name of one; empty: its default.
    pub(crate) fn new(tts: Arc<dyn Tts>, voice: &str) -> Self {
        Self {
            tts,
            voice: voice.to_owned(),
        }
    }
}

impl Tts for Voiced {
    fn name(&self) -> &'static str {
        self.tts.name()
    }

    fn sample_rate_hz(&self) -> u32 {
        self.tts.sample_rate_hz()
    }

    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>> {
        self.tts.synthesize(SpeechRequest {
            voice: self.voice.clone(),
            ..request
        })
    }
}
