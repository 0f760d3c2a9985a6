//! `/v1/listen`: a WebSocket while it is spoken, a request for what was said.

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use reqwest::header::CONTENT_TYPE;

use super::{Client, NAME, listening::Listening, wire::Recording};
use crate::{ProviderError, StreamingStt, Stt, SttEvent, Transcript};

const SAMPLE_RATE_HZ: u32 = 16_000;
/// Ten minutes.
const MAX_SAMPLES: usize = 9_600_000;
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Of silence, after which the service says that the utterance is over. Its default of 10 ms would end it between words.
const ENDPOINTING_MS: &str = "300";
/// The same where noise hides the silence: without a new word for so long, the least that the service takes.
const UTTERANCE_END_MS: &str = "1000";

/// A recogniser that listens.
///
/// Sound whose words are not final yet is kept (10 s at most) and said again, as fast as it goes, to a new connection when one
/// breaks or falls silent: no word is lost, and none comes twice.
#[derive(Debug, Clone)]
pub struct DeepgramStt {
    client: Client,
    model: String,
}

impl DeepgramStt {
    /// Asks `model`.
    pub fn new(client: Client, model: impl Into<String>) -> Self {
        Self {
            client,
            model: model.into(),
        }
    }

    fn query(&self, language: &str) -> Vec<(&'static str, String)> {
        vec![
            ("model", self.model.clone()),
            ("language", language.to_owned()),
            ("encoding", "linear16".to_owned()),
            ("sample_rate", SAMPLE_RATE_HZ.to_string()),
            ("channels", "1".to_owned()),
            ("smart_format", "true".to_owned()),
        ]
    }
}

#[async_trait]
impl Stt for DeepgramStt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    async fn transcribe(&self, speech: &[i16], language: &str) -> Result<Transcript, ProviderError> {
        if speech.len() > MAX_SAMPLES {
            return Err(ProviderError::Refused {
                provider: NAME,
                reason: "an utterance of more than 10 minutes".to_owned(),
            });
        }
        let query = self.query(language);
        let query: Vec<_> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let bytes: Vec<u8> = speech.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let request = self.client.post("/v1/listen", &query)?;
        let request = request.header(CONTENT_TYPE, "audio/raw").body(bytes);
        let body = self.client.send(request, MAX_ANSWER_BYTES).await?.whole().await?;
        let recording: Recording = serde_json::from_slice(&body).map_err(|_| ProviderError::Protocol {
            provider: NAME,
            reason: "an answer without a transcript".to_owned(),
        })?;
        let channel = recording.results.channels.into_iter().next();
        let best = channel.unwrap_or_default().best();
        Ok(Transcript {
            text: best.transcript.trim().to_owned(),
            confidence: best.confidence,
        })
    }

    fn streaming(&self) -> Option<&dyn StreamingStt> {
        Some(self)
    }
}

impl StreamingStt for DeepgramStt {
    fn listen(
        &self,
        speech: BoxStream<'static, Vec<i16>>,
        language: &str,
    ) -> BoxStream<'static, Result<SttEvent, ProviderError>> {
        let mut query = self.query(language);
        query.extend([
            ("interim_results", "true".to_owned()),
            ("endpointing", ENDPOINTING_MS.to_owned()),
            ("utterance_end_ms", UTTERANCE_END_MS.to_owned()),
        ]);
        let listening = Listening::new(self.client.clone(), query, speech, SAMPLE_RATE_HZ);
        stream::unfold(listening, Listening::next).boxed()
    }
}
