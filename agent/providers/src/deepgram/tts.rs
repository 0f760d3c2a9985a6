//! `POST /v1/speak`, streamed.

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Client, NAME, wire::SpeakBody};
use crate::{ProviderError, SpeechRequest, Tts, http::Answer};

const SAMPLE_RATE_HZ: u32 = 24_000;
/// The service's own limit.
const MAX_TEXT_CHARS: usize = 2_000;
/// Ten minutes of speech.
const MAX_ANSWER_BYTES: usize = 28_800_000;

/// A synthesiser whose sound is passed on as it comes.
#[derive(Debug, Clone)]
pub struct DeepgramTts {
    client: Client,
    voice: String,
}

impl DeepgramTts {
    /// `voice` is for requests that name none.
    pub fn new(client: Client, voice: impl Into<String>) -> Self {
        Self {
            client,
            voice: voice.into(),
        }
    }

    async fn ask(self, request: SpeechRequest) -> Result<Option<Sound>, ProviderError> {
        if !request.text.chars().any(char::is_alphanumeric) {
            return Ok(None);
        }
        if request.text.chars().count() > MAX_TEXT_CHARS {
            return Err(ProviderError::Refused {
                provider: NAME,
                reason: format!("a text of more than {MAX_TEXT_CHARS} characters"),
            });
        }
        let voice = if request.voice.is_empty() {
            &self.voice
        } else {
            &request.voice
        };
        let query = [
            ("model", voice.as_str()),
            ("encoding", "linear16"),
            ("container", "none"),
            ("sample_rate", "24000"),
        ];
        let body = SpeakBody { text: &request.text };
        let request = self.client.post("/v1/speak", &query)?.json(&body);
        let answer = self.client.send(request, MAX_ANSWER_BYTES).await?;
        if !answer.media_type().starts_with("audio/") {
            return Err(unreadable("an answer that is no sound"));
        }
        Ok(Some(Sound {
            answer,
            odd: None,
            is_empty: true,
        }))
    }
}

impl Tts for DeepgramTts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>> {
        stream::once(self.clone().ask(request))
            .flat_map(|asked| match asked {
                Ok(Some(sound)) => stream::try_unfold(sound, Sound::next).boxed(),
                Ok(None) => stream::empty().boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }
}

struct Sound {
    answer: Answer,
    /// The half of a sample that was cut between two pieces.
    odd: Option<u8>,
    is_empty: bool,
}

impl Sound {
    async fn next(mut self) -> Result<Option<(Vec<i16>, Self)>, ProviderError> {
        while let Some(piece) = self.answer.piece().await? {
            let mut bytes: Vec<u8> = self.odd.take().into_iter().chain(piece).collect();
            if bytes.len() % 2 == 1 {
                self.odd = bytes.pop();
            }
            let (samples, _) = bytes.as_chunks::<2>();
            if !samples.is_empty() {
                self.is_empty = false;
                let samples = samples.iter().map(|&sample| i16::from_le_bytes(sample));
                return Ok(Some((samples.collect(), self)));
            }
        }
        if self.is_empty {
            Err(unreadable("no sound"))
        } else {
            Ok(None)
        }
    }
}

fn unreadable(reason: &str) -> ProviderError {
    ProviderError::Protocol {
        provider: NAME,
        reason: reason.to_owned(),
    }
}
