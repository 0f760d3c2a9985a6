//! `POST /audio/speech`, streamed.

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Client, NAME, wire::SpeechBody};
use crate::{ProviderError, SpeechRequest, Tts, http::Answer};

/// What the services mean by `pcm`: signed 16-bit little-endian samples at 24 kHz, mono, without a header.
const SAMPLE_RATE_HZ: u32 = 24_000;
/// The services' own limit.
const MAX_TEXT_CHARS: usize = 4_096;
/// Ten minutes of speech.
const MAX_ANSWER_BYTES: usize = 28_800_000;
/// A WAV header of more than the usual 44 bytes holds a name and a date at most.
const MAX_HEADER_BYTES: usize = 4_096;

/// A synthesiser whose sound is passed on as it comes.
///
/// Understood beside the reference: a WAV file, if its samples are the same; samples cut in half between two pieces.
#[derive(Debug, Clone)]
pub struct OpenAiTts {
    client: Client,
    model: String,
    voice: String,
}

impl OpenAiTts {
    /// Asks `model`; `voice` is for requests that name none.
    pub fn new(client: Client, model: impl Into<String>, voice: impl Into<String>) -> Self {
        Self {
            client,
            model: model.into(),
            voice: voice.into(),
        }
    }

    async fn ask(self, request: SpeechRequest) -> Result<Option<Sound>, ProviderError> {
        if !request.text.chars().any(char::is_alphanumeric) {
            return Ok(None);
        }
        if request.text.chars().count() > MAX_TEXT_CHARS {
            let reason = format!("a text of more than {MAX_TEXT_CHARS} characters");
            return Err(ProviderError::Refused {
                provider: NAME,
                reason,
            });
        }
        let body = SpeechBody {
            model: &self.model,
            input: &request.text,
            voice: if request.voice.is_empty() {
                &self.voice
            } else {
                &request.voice
            },
            response_format: "pcm",
        };
        let answer = self
            .client
            .send(self.client.post("/audio/speech").json(&body), MAX_ANSWER_BYTES)
            .await?;
        if matches!(
            answer.media_type().as_str(),
            "application/json" | "text/html" | "text/plain"
        ) {
            return Err(unreadable("an answer that is no sound"));
        }
        let is_mpeg = answer.media_type() == "audio/mpeg";
        Ok(Some(Sound {
            answer,
            is_mpeg,
            bytes: Vec::new(),
            header: Header::Unknown,
        }))
    }
}

impl Tts for OpenAiTts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>> {
        let asked = self.clone().ask(request);
        stream::once(asked)
            .flat_map(|asked| match asked {
                Ok(Some(sound)) => stream::try_unfold(sound, Sound::next).boxed(),
                Ok(None) => stream::empty().boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }
}

enum Header {
    /// Not enough bytes have come to tell.
    Unknown,
    None,
}

struct Sound {
    answer: Answer,
    is_mpeg: bool,
    /// What has come and was not passed on.
    bytes: Vec<u8>,
    header: Header,
}

impl Sound {
    async fn next(mut self) -> Result<Option<(Vec<i16>, Self)>, ProviderError> {
        while let Some(piece) = self.answer.piece().await? {
            self.bytes.extend_from_slice(&piece);
            if let Header::Unknown = self.header {
                if self.bytes.len() < 4 {
                    continue;
                }
                match sound_in(&self.bytes, self.is_mpeg)? {
                    Some(start) => drop(self.bytes.drain(..start)),
                    None => continue,
                }
                self.header = Header::None;
            }
            let whole = self.bytes.len() / 2 * 2;
            if whole > 0 {
                let odd = self.bytes.split_off(whole);
                let bytes = std::mem::replace(&mut self.bytes, odd);
                let samples = bytes
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|&sample| i16::from_le_bytes(sample));
                return Ok(Some((samples.collect(), self)));
            }
        }
        match self.header {
            Header::Unknown => Err(unreadable("no sound")),
            Header::None => Ok(None),
        }
    }
}

/// Where the samples begin in an answer that begins with `bytes`; `None` while a header goes on.
fn sound_in(bytes: &[u8], is_mpeg: bool) -> Result<Option<usize>, ProviderError> {
    match bytes {
        [b'I', b'D', b'3', ..] => Err(unreadable("MP3 instead of PCM")),
        // Without the label these may be samples.
        [0xFF, 0xFB | 0xF3 | 0xF2, ..] if is_mpeg => Err(unreadable("MP3 instead of PCM")),
        [b'O', b'g', b'g', b'S', ..] => Err(unreadable("OGG instead of PCM")),
        [b'f', b'L', b'a', b'C', ..] => Err(unreadable("FLAC instead of PCM")),
        [b'R', b'I', b'F', b'F', ..] => {
            let found = bytes
                .windows(4)
                .take(MAX_HEADER_BYTES)
                .position(|window| window == b"data");
            let start = found.map(|at| at + 8).filter(|start| bytes.len() >= *start);
            let Some(start) = start else {
                let is_endless = bytes.len() > MAX_HEADER_BYTES;
                return if is_endless {
                    Err(unreadable("a WAV file without samples"))
                } else {
                    Ok(None)
                };
            };
            let header = bytes.get(..start).unwrap_or_default();
            let wav = audio::wav::read(header).map_err(|error| unreadable(&error.to_string()))?;
            if wav.sample_rate_hz == SAMPLE_RATE_HZ {
                Ok(Some(start))
            } else {
                Err(unreadable(&format!("speech at {} Hz", wav.sample_rate_hz)))
            }
        }
        _ => Ok(Some(0)),
    }
}

fn unreadable(reason: &str) -> ProviderError {
    ProviderError::Protocol {
        provider: NAME,
        reason: reason.to_owned(),
    }
}
