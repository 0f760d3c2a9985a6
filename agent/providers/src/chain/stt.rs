//! Recognisers, one after the other.

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::timeout;

use super::{Chain, rate::Rate};
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
                let mut rate = Rate::new(stt.name(), self.sample_rate_hz(), stt.sample_rate_hz())?;
                stt.transcribe(&rate.convert(speech.into()), language).await
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
        let made = Rate::new(stt.name(), self.sample_rate_hz(), stt.sample_rate_hz());
        let (Some(listener), Ok(mut rate)) = (stt.streaming(), made) else {
            let error = ProviderError::Protocol {
                provider: stt.name(),
                reason: "it does not listen to speech".to_owned(),
            };
            return stream::once(async { Err(error) }).boxed();
        };
        let speech = speech
            .map(move |samples| rate.convert(samples.into()).into_owned())
            .boxed();
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
