//! flite (CMU): small English voices.

use std::{ffi::OsStr, path::PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{
    Slots,
    memory::MemoryFile,
    speakable::{MAX_CHARS, pieces, speakable},
    tool::Tool,
};
use crate::{ProviderError, SpeechRequest, Tts, language};

/// The voices that speak freely at 16 kHz. flite has two more: `kal` speaks at 8 kHz, `awb_time` only the time of day.
pub const VOICES: [&str; 4] = ["slt", "rms", "awb", "kal16"];

const NAME: &str = "flite";
const SAMPLE_RATE_HZ: u32 = 16_000;
/// Four minutes of speech.
const MAX_FILE_BYTES: usize = 8 << 20;

/// Text to speech with `flite` of the Debian package of that name: English, 16 kHz, some 40 ms a sentence. Its default
/// voice is `slt`.
#[derive(Debug, Clone)]
pub struct Flite {
    tool: Tool,
}

impl Flite {
    /// Looks for nothing yet: a missing program is reported by the first sentence.
    pub fn new(slots: Slots) -> Self {
        Self {
            tool: Tool {
                provider: NAME,
                program: PathBuf::from("flite"),
                package: "flite",
                slots,
            },
        }
    }

    /// The same with another program than the `flite` of the system's path.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.tool.program = program.into();
        self
    }

    async fn speak(self, request: SpeechRequest) -> Result<Vec<Vec<i16>>, ProviderError> {
        let Some(text) = self.accept(&request)? else {
            return Ok(Vec::new());
        };
        let voice = if request.voice.is_empty() {
            VOICES[0]
        } else {
            &request.voice
        };
        // No pipe: flite opens its output again for each further sentence.
        let file = MemoryFile::empty()
            .map_err(|error| self.tool.unavailable(format!("no file in memory: {error}")))?;
        let path = file.path();
        let arguments = ["-voice", voice, "-f", "/dev/stdin", "-o"].map(OsStr::new);
        let arguments = [&arguments[..], &[path.as_os_str()]].concat();
        self.tool.run(&arguments, text.as_bytes()).await?;

        let bytes = file
            .into_bytes(MAX_FILE_BYTES as u64 + 1)
            .map_err(|error| self.tool.unreadable(error))?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(self.tool.unreadable("more sound than an utterance can have"));
        }
        let wav = audio::wav::read(&bytes).map_err(|error| self.tool.unreadable(error))?;
        if wav.sample_rate_hz != SAMPLE_RATE_HZ {
            return Err(self
                .tool
                .unreadable(format!("speech at {} Hz", wav.sample_rate_hz)));
        }
        Ok(pieces(&wav.samples, SAMPLE_RATE_HZ))
    }

    fn accept(&self, request: &SpeechRequest) -> Result<Option<String>, ProviderError> {
        if !language::is(&request.language, "en") {
            return Err(self.tool.refused(format!(
                "it speaks English, not `{}`; use espeak-ng",
                language::for_display(&request.language)
            )));
        }
        // flite itself takes an unknown voice for `kal`.
        if !request.voice.is_empty() && !VOICES.contains(&request.voice.as_str()) {
            return Err(self
                .tool
                .refused(format!("no such voice; it has {}", VOICES.join(", "))));
        }
        if request.text.chars().count() > MAX_CHARS {
            return Err(self
                .tool
                .refused(format!("a text of more than {MAX_CHARS} characters")));
        }
        Ok(speakable(&request.text))
    }
}

impl Tts for Flite {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>> {
        let spoken = self.clone().speak(request);
        stream::once(spoken)
            .map_ok(|pieces| stream::iter(pieces).map(Ok))
            .try_flatten()
            .boxed()
    }
}
