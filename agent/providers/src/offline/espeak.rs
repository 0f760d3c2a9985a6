//! espeak-ng: formant synthesis in more than a hundred languages.

use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{
    Slots,
    speakable::{MAX_CHARS, pieces, speakable},
    tool::Tool,
};
use crate::{ProviderError, SpeechRequest, Tts};

const NAME: &str = "espeak-ng";
const SAMPLE_RATE_HZ: u32 = 22_050;
const MAX_VOICE_CHARS: usize = 40;

/// Text to speech with `espeak-ng` of the Debian package of that name: 22,050 Hz, some 20 ms a sentence. A voice is
/// espeak's name of one (`ru`, `en-us+f3`); without it the language's own speaks.
#[derive(Debug, Clone)]
pub struct EspeakNg {
    tool: Tool,
}

impl EspeakNg {
    /// Looks for nothing yet: a missing program is reported by the first sentence.
    pub fn new(slots: Slots) -> Self {
        Self {
            tool: Tool {
                provider: NAME,
                program: PathBuf::from("espeak-ng"),
                package: "espeak-ng",
                slots,
            },
        }
    }

    /// The same with another program than the `espeak-ng` of the system's path.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.tool.program = program.into();
        self
    }

    async fn speak(self, request: SpeechRequest) -> Result<Vec<Vec<i16>>, ProviderError> {
        let voice = if request.voice.is_empty() {
            &request.language
        } else {
            &request.voice
        };
        if !is_voice_name(voice) {
            return Err(self
                .tool
                .refused("no such voice; `espeak-ng --voices` lists them"));
        }
        if request.text.chars().count() > MAX_CHARS {
            return Err(self
                .tool
                .refused(format!("a text of more than {MAX_CHARS} characters")));
        }
        let Some(text) = speakable(&request.text) else {
            return Ok(Vec::new());
        };
        // `-b 1`: the text is UTF-8 whatever the locale is; `-z`: no pause at the end.
        let arguments = ["-v", voice, "-b", "1", "-z", "--stdin", "--stdout"];
        let (status, bytes) = self.tool.run_to_any_end(&arguments, text.as_bytes()).await?;
        if bytes.is_empty() && status.code().is_some() {
            // Some of its versions end with 0 all the same.
            let voice = crate::language::for_display(voice);
            return Err(self.tool.refused(format!(
                "it has no voice `{voice}`; `espeak-ng --voices` lists them"
            )));
        }
        let wav = audio::wav::read(&bytes).map_err(|error| self.tool.unreadable(error))?;
        if wav.sample_rate_hz == SAMPLE_RATE_HZ {
            return Ok(pieces(&wav.samples, SAMPLE_RATE_HZ));
        }
        // The MBROLA voices speak at 16 kHz.
        let mut resampler = audio::Resampler::new(wav.sample_rate_hz, SAMPLE_RATE_HZ)
            .map_err(|error| self.tool.unreadable(error))?;
        let mut samples = Vec::new();
        resampler.process(&wav.samples, &mut samples);
        Ok(pieces(&samples, SAMPLE_RATE_HZ))
    }
}

/// A name cannot be an option or a path.
fn is_voice_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '_');
    (1..=MAX_VOICE_CHARS).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('-')
}

impl Tts for EspeakNg {
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
