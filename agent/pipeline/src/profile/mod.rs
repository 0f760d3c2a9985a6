//! An agent's profile: one YAML file, read once, with all of its faults at once.

mod fields;
mod rescue;
mod sentences;
mod tools;
mod turns;

use std::path::{Path, PathBuf};
use std::time::Duration;

use audio::NoiseSuppression;
use providers::{
    Terms,
    file::{self, FileError},
    tools::HttpToolConfig,
};
use sha2::{Digest, Sha256};

use fields::Fields;
pub use rescue::{KeypadMenu, OnFailure};
use sentences::{Sentences, sentences};
pub use tools::Transfers;
use turns::TurnSection;

use crate::AudioIn;

/// When the recording of a call may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingPolicy {
    /// Never.
    Off,
    /// When the whole greeting, which holds the notice, was played out. If the caller cuts it off, or its synthesis
    /// fails, never.
    #[default]
    AfterNotice,
    /// When the caller's first turn was a plain yes.
    AfterConsent,
    /// From the first frame.
    Always,
}

/// A provider and, where it has several, its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderChoice {
    /// The adapter's name, such as `openai` or `flite`.
    pub name: String,
    /// The provider's own name of a model.
    pub model: Option<String>,
    /// A synthesiser's own name of a voice, where it is not the profile's.
    pub voice: Option<String>,
}

/// The choices per stage, the best first; none, or `auto` in the file: whatever the deployment's default is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderChoices {
    /// Speech to text.
    pub stt: Vec<ProviderChoice>,
    /// Language model.
    pub llm: Vec<ProviderChoice>,
    /// Text to speech.
    pub tts: Vec<ProviderChoice>,
}

/// How long a provider may let the caller wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the transcript of an utterance. Default 10 s.
    pub stt: Duration,
    /// For the first piece of a reply, and between two. Default 10 s.
    pub llm: Duration,
    /// For the first sound of a sentence, and between two. Default 10 s.
    pub tts: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let limit = Duration::from_secs(10);
        Self {
            stt: limit,
            llm: limit,
            tts: limit,
        }
    }
}

/// What an agent says, hears and is. `Debug` shows no prompt and no sentence.
#[derive(Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Profile {
    /// The language model's instructions.
    pub prompt: String,
    /// Spoken first; none: the agent waits for the caller.
    pub greeting: Option<String>,
    /// Whether the caller can cut the greeting off. Default true.
    pub greeting_interruptible: bool,
    /// BCP 47. Default `en`.
    pub language: String,
    /// The TTS provider's name of a voice; empty: its default for the language.
    pub voice: String,
    /// Which providers.
    pub providers: ProviderChoices,
    /// The scripted dialogue, for the offline language model and recogniser.
    pub dialogue: Option<PathBuf>,
    /// When the recording may begin.
    pub recording: RecordingPolicy,
    /// Said instead of silence when a provider fails.
    pub fallback: String,
    /// Said when providers have failed too often, before hanging up.
    pub goodbye: String,
    /// Whom the caller is then transferred to instead; none: the agent says goodbye and hangs up.
    pub on_failure: Option<OnFailure>,
    /// What callers may type when no recogniser can be had; none: nothing.
    pub keypad: Option<KeypadMenu>,
    /// Said instead of the greeting when a conversation goes on in another worker, the first one having died.
    pub bridge: String,
    /// Said when a tool takes long and nothing was said before.
    pub hold: String,
    /// Services that the model may ask.
    pub tools: Vec<HttpToolConfig>,
    /// Where the model may transfer the call to; `None`: nowhere.
    pub transfers: Option<Transfers>,
    /// Whether the model may send and ask for touch tones. Default false.
    pub dtmf: bool,
    /// Said to a caller who is silent for long, [`turns::Limits::reprompts`](::turns::Limits::reprompts) times; none: nothing is.
    pub reprompt: Option<String>,
    /// Said before hanging up on a caller who answers no reprompt.
    pub away_goodbye: String,
    /// Said before hanging up when the conversation has become too long.
    pub time_up: String,
    /// How long a provider may take.
    pub timeouts: Timeouts,
    /// Whether the model is asked before the turn is over, as soon as its words seem to be known. Default true.
    pub preemptive_generation: bool,
    /// How often a provider that cannot be reached is asked again, where there is no other. 0 to 10; default 3.
    pub max_retry: u32,
    /// How long before that; the first time it is 0.1 s. 0 to 10 s; default 2 s.
    pub retry_interval: Duration,
    /// Failed replies in a row after which the agent says goodbye. 1 to 20; default 3.
    pub max_unrecoverable_errors: u32,
    /// What is done to the caller's sound before anybody listens to it.
    pub audio_in: AudioIn,
    /// The turn machine's options.
    pub turns: ::turns::Options,
    /// Whether the words of a turn may move its end, by rules for English and Russian. Default true.
    pub turn_hint: bool,
    /// Audio kept from before the caller's voice began. Default 0.5 s.
    pub prefix_padding: Duration,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub hash: String,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file could not be read.
    #[error("{}: {source}; {}", path.display(), source.remedy())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The file was read, and this is wrong in it.
    #[error("{}", list(.0))]
    Faults(Vec<ProfileFault>),
}

/// One thing that is wrong in a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}; {remedy}")]
pub struct ProfileFault {
    /// Where, as a dotted path.
    pub key: String,
    /// What.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

fn list(faults: &[ProfileFault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

const STT: [&str; 3] = ["pocketsphinx", "openai", "deepgram"];
const LLM: [&str; 2] = ["dialogue", "openai"];
const TTS: [&str; 4] = ["flite", "espeak-ng", "openai", "deepgram"];

impl Profile {
    /// Reads the profile at `path`, a regular file of at most [`MAX_BYTES`](file::MAX_BYTES). Relative paths in it are relative to
    /// its folder.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let read = |source| ProfileError::Read {
            path: path.to_owned(),
            source,
        };
        let bytes = file::read(path).map_err(read)?;
        let mut profile = Self::parse(&bytes)?;
        if let (Some(dialogue), Some(folder)) = (&mut profile.dialogue, path.parent()) {
            *dialogue = folder.join(&dialogue);
        }
        Ok(profile)
    }

    /// Parses the bytes of a profile's file; an unknown key is a fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProfileError> {
        let mut faults = Vec::new();
        let profile = match Fields::root(bytes, &mut faults) {
            Some(fields) => Self::read(fields, sha256(bytes), &mut faults),
            None => return Err(ProfileError::Faults(faults)),
        };
        if faults.is_empty() {
            Ok(profile)
        } else {
            Err(ProfileError::Faults(faults))
        }
    }

    fn read(mut fields: Fields, hash: String, faults: &mut Vec<ProfileFault>) -> Self {
        let prompt = fields.needed("prompt", "say who the agent is and what it does", faults);
        let language = fields.language("language", faults).unwrap_or_else(|| "en".into());
        let Sentences {
            fallback,
            goodbye,
            bridge,
            hold,
            away_goodbye,
            time_up,
            transfer,
        } = sentences(&language);
        let reprompt = fields.text("reprompt", faults);
        let section = turns::read(fields.map("turns", faults), reprompt.is_some(), faults);
        let TurnSection {
            options: turns,
            prefix_padding,
            hint: turn_hint,
        } = section;
        let transfers = tools::transfers(fields.map("transfers", faults), faults);
        let rescue = fields.map("on_failure", faults);
        let profile = Self {
            prompt: prompt.unwrap_or_default(),
            greeting: fields.text("greeting", faults),
            greeting_interruptible: fields.flag("greeting_interruptible", faults).unwrap_or(true),
            language,
            voice: fields.text("voice", faults).unwrap_or_default(),
            providers: providers(fields.map("providers", faults), faults),
            dialogue: fields.text("dialogue", faults).map(PathBuf::from),
            recording: recording(&mut fields, faults),
            fallback: fields.text("fallback", faults).unwrap_or_else(|| fallback.into()),
            goodbye: fields.text("goodbye", faults).unwrap_or_else(|| goodbye.into()),
            bridge: fields.text("bridge", faults).unwrap_or_else(|| bridge.into()),
            hold: fields.text("hold", faults).unwrap_or_else(|| hold.into()),
            tools: tools::read(&mut fields, faults),
            on_failure: rescue::on_failure(rescue, transfers.as_ref(), transfer, faults),
            keypad: rescue::keypad(fields.map("keypad", faults), faults),
            transfers,
            dtmf: fields.flag("dtmf", faults).unwrap_or(false),
            reprompt,
            away_goodbye: fields
                .text("away_goodbye", faults)
                .unwrap_or_else(|| away_goodbye.into()),
            time_up: fields.text("time_up", faults).unwrap_or_else(|| time_up.into()),
            timeouts: timeouts(fields.map("timeouts", faults), faults),
            preemptive_generation: fields.flag("preemptive_generation", faults).unwrap_or(true),
            max_retry: fields
                .whole("max_retry", 0..=10, faults)
                .and_then(|retries| u32::try_from(retries).ok())
                .unwrap_or(Terms::default().max_retry),
            retry_interval: retry_interval(&mut fields, faults),
            max_unrecoverable_errors: fields
                .whole("max_unrecoverable_errors", 1..=20, faults)
                .and_then(|errors| u32::try_from(errors).ok())
                .unwrap_or(3),
            audio_in: audio_in(fields.map("audio_in", faults), faults),
            turns,
            turn_hint,
            prefix_padding,
            hash,
        };
        profile.agrees_with_itself(&fields, faults);
        fields.finish(faults);
        profile
    }

    /// How a provider is asked that may take `limit`.
    pub(crate) fn terms(&self, limit: Duration) -> Terms {
        Terms {
            limit,
            max_retry: self.max_retry,
            retry_interval: self.retry_interval,
        }
    }

    /// What is said when providers have failed: it must be there when the synthesis is not.
    pub(crate) fn rescue_phrases(&self) -> impl Iterator<Item = &String> {
        let transfer = self.on_failure.iter().map(|it| &it.say);
        let keypad = self.keypad.iter().map(|it| &it.say);
        [&self.fallback, &self.goodbye]
            .into_iter()
            .chain(transfer)
            .chain(keypad)
    }

    /// What is said to a caller who is away; nothing where nothing is to be said.
    pub(crate) fn away_phrases(&self) -> impl Iterator<Item = &String> {
        let reprompts = self.reprompt.iter();
        reprompts.flat_map(|reprompt| [reprompt, &self.away_goodbye])
    }

    fn agrees_with_itself(&self, fields: &Fields, faults: &mut Vec<ProfileFault>) {
        let has_no_notice = self.recording == RecordingPolicy::AfterNotice && self.greeting.is_none();
        if has_no_notice && !fields.was_faulty("recording", faults) && !fields.was_faulty("greeting", faults)
        {
            let remedy =
                "write a greeting that holds the notice, or set recording to off, after_consent or always";
            fields.fault(
                "recording",
                "after_notice needs a notice, and there is no greeting",
                remedy,
                faults,
            );
        }
        let scripted = self.providers.llm.iter().any(|llm| llm.name == "dialogue");
        if scripted && self.dialogue.is_none() {
            fields.fault(
                "dialogue",
                "is missing",
                "name the scripted dialogue's file, or another llm",
                faults,
            );
        }
        if let Err(error) = self.turns.check() {
            fields.fault(
                "turns",
                &error.to_string(),
                "change one of the two, or leave it out",
                faults,
            );
        }
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("language", &self.language)
            .field("voice", &self.voice)
            .field("providers", &self.providers)
            .field("recording", &self.recording)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

fn providers(fields: Option<Fields>, faults: &mut Vec<ProfileFault>) -> ProviderChoices {
    let Some(mut fields) = fields else {
        return ProviderChoices::default();
    };
    let choices = ProviderChoices {
        stt: fields.providers("stt", &STT, faults),
        llm: fields.providers("llm", &LLM, faults),
        tts: fields.providers("tts", &TTS, faults),
    };
    fields.finish(faults);
    choices
}

fn recording(fields: &mut Fields, faults: &mut Vec<ProfileFault>) -> RecordingPolicy {
    const POLICIES: [(&str, RecordingPolicy); 4] = [
        ("off", RecordingPolicy::Off),
        ("after_notice", RecordingPolicy::AfterNotice),
        ("after_consent", RecordingPolicy::AfterConsent),
        ("always", RecordingPolicy::Always),
    ];
    fields.one_of("recording", &POLICIES, faults).unwrap_or_default()
}

const NOISE: [(&str, Option<NoiseSuppression>); 5] = [
    ("off", None),
    ("low", Some(NoiseSuppression::Low)),
    ("moderate", Some(NoiseSuppression::Moderate)),
    ("high", Some(NoiseSuppression::High)),
    ("very_high", Some(NoiseSuppression::VeryHigh)),
];

fn audio_in(fields: Option<Fields>, faults: &mut Vec<ProfileFault>) -> AudioIn {
    let mut audio_in = AudioIn::default();
    let Some(mut fields) = fields else {
        return audio_in;
    };
    if let Some(wanted) = fields.flag("echo_cancellation", faults) {
        audio_in.echo_cancellation = wanted;
    }
    audio_in.noise_suppression = fields.one_of("noise_suppression", &NOISE, faults).flatten();
    audio_in.gain_control = fields.flag("gain_control", faults).unwrap_or(false);
    fields.finish(faults);
    audio_in
}

fn timeouts(fields: Option<Fields>, faults: &mut Vec<ProfileFault>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(mut fields) = fields else { return timeouts };
    let range = Duration::from_millis(100)..=Duration::from_secs(10);
    for (key, timeout) in [
        ("stt", &mut timeouts.stt),
        ("llm", &mut timeouts.llm),
        ("tts", &mut timeouts.tts),
    ] {
        fields.duration(key, range.clone(), timeout, faults);
    }
    fields.finish(faults);
    timeouts
}

fn retry_interval(fields: &mut Fields, faults: &mut Vec<ProfileFault>) -> Duration {
    let mut interval = Terms::default().retry_interval;
    let range = Duration::ZERO..=Duration::from_secs(10);
    fields.duration("retry_interval", range, &mut interval, faults);
    interval
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests;
