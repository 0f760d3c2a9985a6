//! Pocketsphinx with a grammar: it understands the phrases that it was told to expect, and nothing else.
//!
//! Other speech is [`UNINTELLIGIBLE`], and noise is nothing. Its English model is of 16 kHz speech: on a G.722 leg it hears well, on an 8 kHz leg badly.

mod dictionary;
mod grammar;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use audio::Vad;

use super::{Slots, memory::MemoryFile, tool::Tool};
use crate::{Fault, Faults, ProviderError, Stt, Transcript, language};

const NAME: &str = "pocketsphinx";
const SAMPLE_RATE_HZ: u32 = 16_000;
/// Where the Debian package `pocketsphinx-en-us` puts its model.
const MODEL: &str = "/usr/share/pocketsphinx/model/en-us";
/// Shorter is a click: no word fits into 100 ms.
const MIN_SAMPLES: usize = 1_600;
/// Longer is no phrase of a dialogue: 30 s.
const MAX_SAMPLES: usize = 480_000;
/// What is heard of speech that is none of the phrases, as transcripts of trials have it. It is not nothing: whoever has said it
/// waits for an answer, and a dialogue has its fallback for it.
pub const UNINTELLIGIBLE: &str = "[unintelligible]";
/// So much voice is more than a cough, a breath or the onset of a noise, which pass for voice for 0.3 s: 0.6 s.
const MIN_VOICED_WINDOWS: usize = 38;
/// The price of a word against that of the sounds of unknown speech, which are words of one sound to the recogniser.
/// Tried from 1 to 0.000001 over G.722, on the 26 phrases of the repository's example, 18 other sentences in five voices,
/// and five noises. Here all phrases are understood in the four voices of flite (104 of 104; 22 of 26 in espeak's), and
/// 94 of the 95 others are not taken for a phrase. Less of it hears phrases in other speech, more of it loses phrases.
const WORD_INSERTION_PENALTY: &str = "0.01";

/// Something that a caller may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// Where it stands in the dialogue, for faults.
    pub key: String,
    /// Its words in lower case, as [`crate::dialogue::words`] makes them.
    pub words: Vec<String>,
}

/// Speech to text with `pocketsphinx_continuous` of the Debian package `pocketsphinx` and the English model of
/// `pocketsphinx-en-us`: one process per utterance, some 0.1 s. The speech goes in by a pipe, the grammar from memory; nothing is
/// written to a disk.
#[derive(Debug, Clone)]
pub struct PocketSphinx {
    tool: Tool,
    arguments: Arc<[OsString]>,
    /// Dictionary and grammar, which the arguments name.
    _files: Arc<[MemoryFile; 2]>,
}

impl PocketSphinx {
    /// Compiles `phrases` into a grammar, with the model of the Debian package.
    ///
    /// Reads the model's dictionary of 3 MB and blocks meanwhile: call it when a process starts. A word that is not in
    /// the dictionary could never be heard and is a fault that names the word.
    pub fn load(phrases: &[Phrase], slots: Slots) -> Result<Self, Faults> {
        Self::load_with(phrases, slots, "pocketsphinx_continuous", MODEL)
    }

    /// The same with another program, and a folder that holds a model (`en-us`) and its dictionary
    /// (`cmudict-en-us.dict`).
    pub fn load_with(
        phrases: &[Phrase],
        slots: Slots,
        program: impl Into<PathBuf>,
        model: impl AsRef<Path>,
    ) -> Result<Self, Faults> {
        let model = model.as_ref();
        let whole = dictionary_of(model)?;
        let small =
            dictionary::part_of(BufReader::new(whole), phrases).map_err(|error| no_model(model, &error))?;
        let mut faults = small.faults;
        if phrases.is_empty() {
            let remedy = "give at least one intent a phrase, or choose another stt";
            faults.push(Fault::new(
                "intents",
                "have no phrase that the recogniser could listen for",
                remedy,
            ));
        }
        let small = Faults::or(faults, small.text)?;
        let in_memory =
            |text: String| MemoryFile::holding(text.as_bytes()).map_err(|error| not_writable(&error));
        let (dictionary, grammar) = (in_memory(small)?, in_memory(grammar::compile(phrases))?);
        Ok(Self {
            tool: Tool {
                provider: NAME,
                program: program.into(),
                package: "pocketsphinx",
                slots,
            },
            arguments: arguments(model, dictionary.path(), grammar.path()).into(),
            _files: Arc::new([dictionary, grammar]),
        })
    }
}

fn dictionary_of(model: &Path) -> Result<File, Faults> {
    if !model.join("en-us").join("mdef").is_file() {
        return Err(no_model(model, &io::ErrorKind::NotFound.into()));
    }
    File::open(model.join("cmudict-en-us.dict")).map_err(|error| no_model(model, &error))
}

fn arguments(model: &Path, dictionary: PathBuf, grammar: PathBuf) -> Vec<OsString> {
    let model = model.join("en-us").into_os_string();
    let mut arguments: Vec<OsString> = Vec::new();
    for (option, value) in [
        ("-hmm", model),
        ("-dict", dictionary.into()),
        ("-jsgf", grammar.into()),
        ("-infile", "/dev/stdin".into()),
        ("-wip", WORD_INSERTION_PENALTY.into()),
        // The utterance was cut out already; cut again, it would fall apart at its pauses.
        ("-remove_silence", "no".into()),
        ("-logfn", "/dev/null".into()),
    ] {
        arguments.extend([option.into(), value]);
    }
    arguments
}

#[async_trait]
impl Stt for PocketSphinx {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    async fn transcribe(&self, speech: &[i16], language: &str) -> Result<Transcript, ProviderError> {
        if !language::is(language, "en") {
            let asked = language::for_display(language);
            return Err(self
                .tool
                .refused(format!("it hears English, not `{asked}`; use another stt")));
        }
        if !(MIN_SAMPLES..=MAX_SAMPLES).contains(&speech.len()) {
            return Ok(Transcript {
                text: String::new(),
                confidence: None,
            });
        }
        let pcm: Vec<u8> = speech.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let output = self.tool.run(&self.arguments, &pcm).await?;
        let mut text = grammar::phrases_in(&output);
        if text.is_empty() && is_speech(speech) {
            UNINTELLIGIBLE.clone_into(&mut text);
        }
        Ok(Transcript {
            text,
            confidence: None,
        })
    }
}

fn is_speech(sound: &[i16]) -> bool {
    let mut probabilities = Vec::with_capacity(sound.len() / Vad::WINDOW_SAMPLES + 1);
    Vad::new().push(sound, &mut probabilities);
    let voiced = probabilities.iter().filter(|probability| **probability > 0.5);
    voiced.count() >= MIN_VOICED_WINDOWS
}

fn no_model(model: &Path, error: &io::Error) -> Faults {
    let problem = format!(
        "pocketsphinx cannot read its English model in {}: {error}",
        model.display()
    );
    Faults(vec![Fault::new(
        "providers.stt",
        problem,
        "install the Debian package pocketsphinx-en-us",
    )])
}

fn not_writable(error: &io::Error) -> Faults {
    let problem = format!("pocketsphinx's grammar cannot be held in memory: {error}");
    Faults(vec![Fault::new(
        "providers.stt",
        problem,
        "give the process more memory and file handles",
    )])
}
