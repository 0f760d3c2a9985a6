//! Providers by their names.

use std::{path::PathBuf, sync::Arc};

use crate::{
    Chain, Dialogue, Fault, Faults, Llm, Scripted, Stt, Tts,
    chain::Voiced,
    deepgram::{self, DeepgramConfig, DeepgramStt, DeepgramTts},
    language,
    offline::{EspeakNg, Flite, PocketSphinx, Slots},
    openai::{Client, OpenAiConfig, OpenAiLlm, OpenAiStt, OpenAiTts},
    tools::END_CALL,
};

const STT: &[&str] = &["auto", "pocketsphinx", "openai", "deepgram"];
const LLM: &[&str] = &["auto", "dialogue", "openai"];
const TTS: &[&str] = &["auto", "flite", "espeak-ng", "openai", "deepgram"];

/// One provider of a profile: its name and, where it has several, its model and its voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice<'a> {
    /// `auto`, or nothing: `openai` where a key is configured, else an offline one.
    pub name: Option<&'a str>,
    /// The provider's own name of a model; nothing: the configuration's. The offline ones have none.
    pub model: Option<&'a str>,
    /// Of a synthesiser: its own name of a voice, whatever the profile's is. Nothing: the profile's for the first of the stage, which
    /// that is a voice of, and its default for the others.
    pub voice: Option<&'a str>,
}

/// What an agent wants: for each stage its providers, the best first. None: as one that is `auto`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted<'a> {
    /// Speech to text: `pocketsphinx` (English, the phrases of the dialogue), `openai` or `deepgram`.
    pub stt: Vec<Choice<'a>>,
    /// Language model: `dialogue` or `openai`.
    pub llm: Vec<Choice<'a>>,
    /// Text to speech: `flite` (English), `espeak-ng`, `openai` or `deepgram`. The offline default is flite for English, and
    /// espeak-ng for all other languages.
    pub tts: Vec<Choice<'a>>,
    /// BCP 47 tag.
    pub language: &'a str,
    /// The tools that the agent has, for the actions of the dialogue; `end_call` is always there.
    pub tools: Vec<&'a str>,
    /// The scripted dialogue's file, for `pocketsphinx` and `dialogue`.
    pub dialogue: Option<PathBuf>,
}

/// The three providers of an agent. Clones share them.
#[derive(Clone)]
pub struct Providers {
    /// Speech to text.
    pub stt: Chain<dyn Stt>,
    /// Language model.
    pub llm: Chain<dyn Llm>,
    /// Text to speech.
    pub tts: Chain<dyn Tts>,
}

/// Makes providers. One per process: all that it makes share one bound on offline programs and one pool of connections.
#[derive(Debug)]
pub struct Registry {
    openai: Option<(OpenAiConfig, Client)>,
    deepgram: Option<(DeepgramConfig, deepgram::Client)>,
    slots: Slots,
}

impl Registry {
    /// `openai` and `deepgram` are there when their keys are configured. The process's TLS provider must have been installed then.
    pub fn new(openai: Option<OpenAiConfig>, deepgram: Option<DeepgramConfig>) -> Result<Self, Faults> {
        let openai = openai.map(|config| Client::new(&config).map(|client| (config, client)));
        let deepgram = deepgram.map(|config| deepgram::Client::new(&config).map(|client| (config, client)));
        match (openai.transpose(), deepgram.transpose()) {
            (Ok(openai), Ok(deepgram)) => Ok(Self {
                openai,
                deepgram,
                slots: Slots::default(),
            }),
            (openai, deepgram) => {
                let faults = [openai.err(), deepgram.err()].into_iter().flatten();
                Err(Faults(faults.flat_map(|Faults(faults)| faults).collect()))
            }
        }
    }

    /// Makes what `wanted` names, or finds all that stands against it.
    ///
    /// Reads the dialogue and, for pocketsphinx, a dictionary of 3 MB, and blocks meanwhile: call it when a process
    /// starts. Whether a program is installed and a service takes the key shows at the first use.
    pub fn build(&self, wanted: &Wanted<'_>) -> Result<Providers, Faults> {
        let mut faults = Vec::new();
        let dialogue = wanted.dialogue.as_deref().map(Dialogue::load).transpose();
        let dialogue = dialogue
            .map(|dialogue| dialogue.map(Arc::new))
            .map_err(|Faults(mut found)| {
                faults.append(&mut found);
            });
        if let Ok(Some(dialogue)) = &dialogue {
            let is_unknown = |tool: &str| tool != END_CALL && !wanted.tools.contains(&tool);
            let unknown = dialogue.tools().into_iter().filter(|(_, tool)| is_unknown(tool));
            faults.extend(unknown.map(|(key, tool)| {
                let problem = format!("calls `{tool}`, which the agent does not have");
                let remedy = "add it to the profile (`tools`, `transfers`, `dtmf`), or write end_call";
                Fault::new(format!("dialogue: {key}"), problem, remedy)
            }));
        }
        let mut keep = |found: Faults| faults.extend(found.0);
        let known = dialogue.as_ref().map(Option::as_ref);
        let stt = each("stt", &wanted.stt, &mut keep, |key, choice, _| {
            self.stt(key, choice, wanted, known)
        });
        let llm = each("llm", &wanted.llm, &mut keep, |key, choice, _| {
            self.llm(key, choice, known)
        });
        let tts = each("tts", &wanted.tts, &mut keep, |key, choice, is_first| {
            let tts = self.tts(key, choice, wanted)?;
            let voice = choice.voice.or((!is_first).then_some(""));
            Ok(Some(match voice {
                None => tts,
                Some(voice) => Arc::new(Voiced::new(tts, voice)) as Arc<dyn Tts>,
            }))
        });
        match (stt, llm, tts) {
            (Some(stt), Some(llm), Some(tts)) if faults.is_empty() => Ok(Providers { stt, llm, tts }),
            _ => Err(Faults(faults)),
        }
    }

    /// `None` when the dialogue has faults, which are told already.
    fn stt(
        &self,
        key: &str,
        choice: Choice<'_>,
        wanted: &Wanted<'_>,
        dialogue: Result<Option<&Arc<Dialogue>>, &()>,
    ) -> Result<Option<Arc<dyn Stt>>, Faults> {
        match self.resolve(key, choice, STT, || "pocketsphinx")? {
            "openai" => {
                let (config, client) = self.openai(key)?;
                let model = choice.model.unwrap_or(&config.stt_model);
                Ok(Some(Arc::new(OpenAiStt::new(client.clone(), model))))
            }
            "deepgram" => {
                let (config, client) = self.deepgram(key)?;
                let model = choice.model.unwrap_or(&config.stt_model);
                Ok(Some(Arc::new(DeepgramStt::new(client.clone(), model))))
            }
            _ if !language::is(wanted.language, "en") => {
                let asked = language::for_display(wanted.language);
                let problem =
                    format!("no recogniser works offline for `{asked}`: pocketsphinx hears English only");
                Err(fault(
                    key,
                    problem,
                    "use openai: set OPENAI_API_KEY (and OPENAI_BASE_URL); or deepgram: set DEEPGRAM_API_KEY",
                ))
            }
            name => {
                let Ok(dialogue) = dialogue else { return Ok(None) };
                let dialogue = dialogue.ok_or_else(|| no_dialogue(name))?;
                let stt = PocketSphinx::load(&dialogue.phrases(), self.slots.clone())?;
                Ok(Some(Arc::new(stt)))
            }
        }
    }

    /// `None` when the dialogue has faults, which are told already.
    fn llm(
        &self,
        key: &str,
        choice: Choice<'_>,
        dialogue: Result<Option<&Arc<Dialogue>>, &()>,
    ) -> Result<Option<Arc<dyn Llm>>, Faults> {
        if let "openai" = self.resolve(key, choice, LLM, || "dialogue")? {
            let (config, client) = self.openai(key)?;
            let model = choice.model.unwrap_or(&config.llm_model);
            return Ok(Some(Arc::new(OpenAiLlm::new(client.clone(), model))));
        }
        let Ok(dialogue) = dialogue else { return Ok(None) };
        let dialogue = dialogue.ok_or_else(|| no_dialogue("dialogue"))?;
        Ok(Some(Arc::new(Scripted::new(dialogue.clone()))))
    }

    fn tts(&self, key: &str, choice: Choice<'_>, wanted: &Wanted<'_>) -> Result<Arc<dyn Tts>, Faults> {
        let is_english = language::is(wanted.language, "en");
        let offline = || if is_english { "flite" } else { "espeak-ng" };
        match self.resolve(key, choice, TTS, offline)? {
            "openai" => {
                let (config, client) = self.openai(key)?;
                let model = choice.model.unwrap_or(&config.tts_model);
                Ok(Arc::new(OpenAiTts::new(client.clone(), model, &config.voice)))
            }
            "deepgram" => {
                let (config, client) = self.deepgram(key)?;
                // Its voices are its models.
                let voice = choice.model.unwrap_or(&config.voice);
                Ok(Arc::new(DeepgramTts::new(client.clone(), voice)))
            }
            "flite" if is_english => Ok(Arc::new(Flite::new(self.slots.clone()))),
            "flite" => {
                let problem = format!(
                    "flite speaks English, not `{}`",
                    language::for_display(wanted.language)
                );
                Err(fault(key, problem, "use espeak-ng"))
            }
            _ => Ok(Arc::new(EspeakNg::new(self.slots.clone()))),
        }
    }

    /// The name of one of `known`, which is never `auto`.
    fn resolve<'n>(
        &self,
        key: &str,
        choice: Choice<'_>,
        known: &[&'n str],
        offline: impl FnOnce() -> &'n str,
    ) -> Result<&'n str, Faults> {
        let asked = choice.name.unwrap_or("auto");
        let found = known.iter().copied().find(|name| *name == asked).ok_or_else(|| {
            let problem = format!("`{}` is not a known provider", language::for_display(asked));
            fault(key, problem, &format!("use one of: {}", known.join(", ")))
        })?;
        Ok(match (found, &self.openai) {
            ("auto", Some(_)) => "openai",
            ("auto", None) => offline(),
            (name, _) => name,
        })
    }

    fn openai(&self, key: &str) -> Result<&(OpenAiConfig, Client), Faults> {
        self.openai.as_ref().ok_or_else(|| {
            fault(
                key,
                "openai has no key",
                "set OPENAI_API_KEY (and OPENAI_BASE_URL), or use auto",
            )
        })
    }

    fn deepgram(&self, key: &str) -> Result<&(DeepgramConfig, deepgram::Client), Faults> {
        self.deepgram
            .as_ref()
            .ok_or_else(|| fault(key, "deepgram has no key", "set DEEPGRAM_API_KEY, or use auto"))
    }
}

/// The chain of a stage: what `make` makes of each choice, of none as if it were `auto`. `None` when any of them cannot be had.
fn each<P: ?Sized>(
    stage: &str,
    choices: &[Choice<'_>],
    keep: &mut impl FnMut(Faults),
    make: impl Fn(&str, Choice<'_>, bool) -> Result<Option<Arc<P>>, Faults>,
) -> Option<Chain<P>> {
    let auto = [Choice::default()];
    let choices = if choices.is_empty() { &auto } else { choices };
    let mut providers = Vec::new();
    for (at, choice) in choices.iter().enumerate() {
        let key = match choices {
            [_] => format!("providers.{stage}"),
            _ => format!("providers.{stage}[{at}]"),
        };
        match make(&key, *choice, at == 0) {
            Ok(provider) => providers.extend(provider),
            Err(faults) => keep(faults),
        }
    }
    if providers.len() < choices.len() {
        return None;
    }
    let mut providers = providers.into_iter();
    Some(Chain::new(providers.next()?, providers.collect()))
}

fn no_dialogue(name: &str) -> Faults {
    let problem = format!("is missing, and the provider `{name}` works by it");
    fault(
        "dialogue",
        problem,
        "name the scripted dialogue's file, or use openai: set OPENAI_API_KEY",
    )
}

fn fault(key: &str, problem: impl Into<String>, remedy: &str) -> Faults {
    Faults(vec![Fault::new(key, problem, remedy)])
}
