//! Recognisers, one after the other.

use async_trait::async_trait;
use audio::Resampler;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::timeout;

use super::Chain;
use crate::{ProviderError, StreamingStt, Stt, SttEvent, Transcript};

#[async_trait]
impl Stt for Chain<dyn Stt> {
    fn name(&self) -> &'static str {
        self.head().name()
    }

    fn sample_rate_hz(&self) -> u32 {
        self.head().sample_rate_hz()
    }

    async fn transcribe(&self, speech: &[i16], language: &str) -> Result<Transcript, ProviderError> {
        let mut attempts = self.attempts();
        loop {
            let (stt, limit) = (attempts.provider().clone(), attempts.limit());
            let asked = async {
                match resampler(self.sample_rate_hz(), &*stt)? {
                    None => stt.transcribe(speech, language).await,
                    Some(mut resampler) => {
                        let mut converted = Vec::new();
                        resampler.process(speech, &mut converted);
                        stt.transcribe(&converted, language).await
                    }
                }
            };
            let provider = stt.name();
            let late = Err(ProviderError::Timeout {
                provider,
                after: limit,
            });
            match timeout(limit, asked).await.unwrap_or(late) {
                Ok(transcript) => {
                    attempts.succeeded();
                    return Ok(transcript);
                }
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    /// Whether the one listens that would be asked now.
    fn streaming(&self) -> Option<&dyn StreamingStt> {
        let streams = self.attempts().provider().streaming().is_some();
        streams.then_some(self)
    }
}

impl StreamingStt for Chain<dyn Stt> {
    /// Listens by one member; when that fails, [`Stt::transcribe`] asks the others.
    fn listen(
        &self,
        speech: BoxStream<'static, Vec<i16>>,
        language: &str,
    ) -> BoxStream<'static, Result<SttEvent, ProviderError>> {
        let attempts = self.attempts();
        let stt = attempts.provider().clone();
        let made = resampler(self.sample_rate_hz(), &*stt);
        let (Some(listener), Ok(made)) = (stt.streaming(), made) else {
            let error = ProviderError::Protocol {
                provider: stt.name(),
                reason: "it does not listen to speech".to_owned(),
            };
            return stream::once(async { Err(error) }).boxed();
        };
        let speech = match made {
            None => speech,
            Some(mut resampler) => speech
                .map(move |samples| {
                    let mut converted = Vec::new();
                    resampler.process(&samples, &mut converted);
                    converted
                })
                .boxed(),
        };
        listener
            .listen(speech, language)
            .inspect(move |event| match event {
                Ok(SttEvent::Final(_)) => attempts.succeeded(),
                Ok(_) => {}
                Err(_) => attempts.broke(),
            })
            .boxed()
    }
}

/// From the chain's rate to the member's; none where they are the same.
fn resampler(from_hz: u32, stt: &dyn Stt) -> Result<Option<Resampler>, ProviderError> {
    let to_hz = stt.sample_rate_hz();
    if from_hz == to_hz {
        return Ok(None);
    }
    let made = Resampler::new(from_hz, to_hz).map_err(|error| ProviderError::Refused {
        provider: stt.name(),
        reason: error.to_string(),
    });
    made.map(Some)
}
