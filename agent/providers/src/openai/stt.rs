//! `POST /audio/transcriptions`.

use async_trait::async_trait;
use reqwest::multipart::{Form, Part};

use super::{Client, NAME, wire::TranscriptionBody};
use crate::{ProviderError, Stt, Transcript, language};

const SAMPLE_RATE_HZ: u32 = 16_000;
/// Shorter is a click, and services refuse less than 0.1 s.
const MIN_SAMPLES: usize = 1_600;
/// Five minutes; services refuse 25 MB.
const MAX_SAMPLES: usize = 4_800_000;
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A recogniser: one request of a 16 kHz WAV per utterance.
///
/// Understood beside the reference: an answer of plain text instead of JSON.
#[derive(Debug, Clone)]
pub struct OpenAiStt {
    client: Client,
    model: String,
}

impl OpenAiStt {
    /// Asks `model`.
    pub fn new(client: Client, model: impl Into<String>) -> Self {
        Self {
            client,
            model: model.into(),
        }
    }
}

#[async_trait]
impl Stt for OpenAiStt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    async fn transcribe(&self, speech: &[i16], language: &str) -> Result<Transcript, ProviderError> {
        if speech.len() < MIN_SAMPLES {
            return Ok(Transcript {
                text: String::new(),
                confidence: None,
            });
        }
        let refused = |reason: &str| ProviderError::Refused {
            provider: NAME,
            reason: reason.to_owned(),
        };
        if speech.len() > MAX_SAMPLES {
            return Err(refused("an utterance of more than 5 minutes"));
        }
        let mut wav = Vec::new();
        audio::wav::write(&mut wav, speech, SAMPLE_RATE_HZ).map_err(|error| refused(&error.to_string()))?;
        let file = Part::bytes(wav).file_name("utterance.wav").mime_str("audio/wav");
        let mut form = Form::new()
            .part("file", file.map_err(|error| refused(&error.to_string()))?)
            .text("model", self.model.clone())
            .text("response_format", "json");
        let language = language::primary(language);
        // The services want ISO 639-1; without a hint they find out.
        if language.len() == 2 {
            form = form.text("language", language);
        }
        let request = self.client.post("/audio/transcriptions").multipart(form);
        let answer = self.client.send(request, MAX_ANSWER_BYTES).await?;
        let is_text = answer.media_type() == "text/plain";
        let body = answer.whole().await?;
        let text = match serde_json::from_slice::<TranscriptionBody>(&body) {
            Ok(TranscriptionBody { text }) => text,
            Err(_) if is_text => String::from_utf8_lossy(&body).into_owned(),
            Err(_) => {
                let reason = "an answer without a transcript".to_owned();
                return Err(ProviderError::Protocol {
                    provider: NAME,
                    reason,
                });
            }
        };
        Ok(Transcript {
            text: text.trim().to_owned(),
            confidence: None,
        })
    }
}
