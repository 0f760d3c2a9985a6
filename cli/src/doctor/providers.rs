//! What the agents hear, think and speak with: each provider of each profile, asked for something small.

use std::{collections::HashSet, time::Duration};

use futures_util::StreamExt as _;
use pipeline::{Profile, ProviderChoice};
use platform::config::Config;
use providers::{
    Chain, ChatRequest, Faults, Llm, LlmEvent, Message, ProviderError, Providers, Registry, SpeechRequest,
    Stt, Terms, Tts,
};
use tokio::time::{Instant, timeout};

use super::{Area, Finding};
use crate::brains;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);
/// A caller notices what takes longer.
const SLOW: Duration = Duration::from_secs(2);
/// What is recognised: silence, which has no words.
const SILENCE_S: usize = 1;
/// What is said.
const WORD: &str = "Hello.";

/// What a provider is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Stt,
    Llm,
    Tts,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

/// One provider that is asked.
struct Trial {
    stage: Stage,
    model: Option<String>,
    /// Nobody stands in for it.
    is_alone: bool,
    language: String,
    voice: String,
    providers: Providers,
}

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let registry = match brains::registry(config) {
        Ok(registry) => registry,
        Err(faults) => return of_faults("", &faults),
    };
    let mut findings = Vec::new();
    let mut trials = Vec::new();
    let mut seen = HashSet::new();
    let mut profiles = HashSet::new();
    for rule in &config.agents {
        if !profiles.insert(rule.profile.as_str()) {
            continue;
        }
        let path = config.profiles.join(format!("{}.yaml", rule.profile.as_str()));
        match Profile::load(&path) {
            Ok(profile) => gather(&registry, &profile, &mut seen, &mut trials, &mut findings),
            Err(error) => findings.push(Finding::error(
                Area::Providers,
                format!("the profile {} cannot be used: {error}", rule.profile.as_str()),
                "see `trunkline config check`",
            )),
        }
    }
    if config.agents.is_empty() {
        return vec![Finding::warning(
            Area::Providers,
            "`agents` is empty: no call gets an agent",
            "name a profile in `agents`",
        )];
    }
    let asked = futures_util::future::join_all(trials.iter().map(asked)).await;
    findings.extend(asked);
    findings
}

/// Every provider of the profile, once for each model, voice and language.
fn gather(
    registry: &Registry,
    profile: &Profile,
    seen: &mut HashSet<(Stage, Option<ProviderChoiceKey>, String, String)>,
    trials: &mut Vec<Trial>,
    findings: &mut Vec<Finding>,
) {
    let choices = &profile.providers;
    for (stage, choices) in [
        (Stage::Stt, &choices.stt),
        (Stage::Llm, &choices.llm),
        (Stage::Tts, &choices.tts),
    ] {
        let number = choices.len().max(1);
        for at in 0..number {
            let choice = choices.get(at);
            let mut alone = profile.clone();
            let one = choice.map(|choice| ProviderChoice {
                // Only the first of the stage speaks with the profile's voice.
                voice: choice.voice.clone().or((at > 0).then(String::new)),
                ..choice.clone()
            });
            let one: Vec<ProviderChoice> = one.into_iter().collect();
            match stage {
                Stage::Stt => alone.providers.stt = one,
                Stage::Llm => alone.providers.llm = one,
                Stage::Tts => alone.providers.tts = one,
            }
            let key = choice.map(|choice| (choice.name.clone(), choice.model.clone(), choice.voice.clone()));
            if !seen.insert((stage, key, profile.language.clone(), profile.voice.clone())) {
                continue;
            }
            match brains::build(registry, &alone) {
                Ok(providers) => trials.push(Trial {
                    stage,
                    model: choice.and_then(|choice| choice.model.clone()),
                    is_alone: number == 1,
                    language: profile.language.clone(),
                    voice: profile.voice.clone(),
                    providers,
                }),
                Err(faults) => findings.extend(of_faults(stage.name(), &faults)),
            }
        }
    }
}

/// Name, model and voice.
type ProviderChoiceKey = (String, Option<String>, Option<String>);

fn of_faults(stage: &str, faults: &Faults) -> Vec<Finding> {
    let faults = faults.0.iter();
    faults
        .map(|fault| {
            let says = format!("{stage} {}: {}", fault.key, fault.problem);
            Finding::error(Area::Providers, says.trim_start(), fault.remedy.as_str())
        })
        .collect()
}

async fn asked(trial: &Trial) -> Finding {
    // Asked once: what is only sometimes there is to show.
    let terms = Terms {
        limit: LIMIT,
        max_retry: 0,
        retry_interval: Duration::from_millis(100),
    };
    let Providers { stt, llm, tts } = trial.providers.clone();
    let started = Instant::now();
    let (name, answer) = match trial.stage {
        Stage::Stt => (stt.name(), bounded(stt.name(), hear(stt.on(terms), trial)).await),
        Stage::Llm => (llm.name(), bounded(llm.name(), think(llm.on(terms), trial)).await),
        Stage::Tts => (tts.name(), bounded(tts.name(), speak(tts.on(terms), trial)).await),
    };
    let model = trial.model.as_ref();
    let model = model.map_or(String::new(), |model| format!(" ({model})"));
    let who = format!("{} {name}{model}", trial.stage.name());
    judged(trial, &who, name, answer, started.elapsed())
}

/// Cancel-safe: a request that is dropped is cancelled.
async fn bounded(
    provider: &'static str,
    asking: impl Future<Output = Result<(), ProviderError>>,
) -> Result<(), ProviderError> {
    timeout(LIMIT, asking)
        .await
        .unwrap_or(Err(ProviderError::Timeout {
            provider,
            after: LIMIT,
        }))
}

async fn hear(stt: Chain<dyn Stt>, trial: &Trial) -> Result<(), ProviderError> {
    let samples = usize::try_from(stt.sample_rate_hz()).unwrap_or_default() * SILENCE_S;
    let heard = stt.transcribe(&vec![0; samples], &trial.language).await;
    heard.map(drop)
}

async fn think(llm: Chain<dyn Llm>, trial: &Trial) -> Result<(), ProviderError> {
    let mut reply = llm.chat(ChatRequest {
        system: "Answer with one word.".to_owned(),
        messages: vec![Message::User(WORD.to_owned())],
        tools: Vec::new(),
        language: trial.language.clone(),
    });
    // The first words are enough; the rest is not paid for.
    while let Some(event) = reply.next().await {
        if let LlmEvent::Text(_) | LlmEvent::Call(_) = event? {
            break;
        }
    }
    Ok(())
}

async fn speak(tts: Chain<dyn Tts>, trial: &Trial) -> Result<(), ProviderError> {
    let name = tts.name();
    let mut speech = tts.synthesize(SpeechRequest {
        text: WORD.to_owned(),
        voice: trial.voice.clone(),
        language: trial.language.clone(),
    });
    while let Some(piece) = speech.next().await {
        if !piece?.is_empty() {
            return Ok(());
        }
    }
    Err(ProviderError::Protocol {
        provider: name,
        reason: "it has spoken nothing".to_owned(),
    })
}

fn judged(
    trial: &Trial,
    who: &str,
    name: &str,
    answer: Result<(), ProviderError>,
    after: Duration,
) -> Finding {
    let took = format!("{who} answers in {} ms", after.as_millis());
    match answer {
        Ok(()) if after < SLOW => Finding::well(Area::Providers, took),
        Ok(()) => Finding::warning(
            Area::Providers,
            took,
            "a caller waits as long in every turn: take a faster model, or a region of the service that is nearer",
        ),
        Err(error) => {
            let says = format!("{who} fails: {}", reason(&error));
            let remedy = remedy(&error, trial.stage, name);
            if trial.is_alone {
                Finding::error(Area::Providers, says, remedy)
            } else {
                // The next one of the profile stands in.
                Finding::warning(Area::Providers, says, remedy)
            }
        }
    }
}

/// Without the advice, which stands below it.
fn reason(error: &ProviderError) -> String {
    match error {
        ProviderError::Unavailable { reason, .. }
        | ProviderError::Refused { reason, .. }
        | ProviderError::Protocol { reason, .. } => reason.clone(),
        ProviderError::Timeout { after, .. } => format!("no answer within {} s", after.as_secs()),
    }
}

fn remedy(error: &ProviderError, stage: Stage, name: &str) -> String {
    let stage = stage.name();
    if !matches!(name, "openai" | "deepgram") {
        return format!(
            "install what `{name}` needs: see docs/troubleshooting.md, or name another provider in the profile (providers.{stage})"
        );
    }
    let variable = format!("{}_API_KEY", name.to_ascii_uppercase());
    match error {
        ProviderError::Refused { reason, .. } if reason.contains("check the key") => {
            format!("set a key that the service takes: providers.{name}.api_key, or {variable}")
        }
        ProviderError::Refused { reason, .. } if reason.contains("model") => format!(
            "the service does not know the model: check providers.{stage} of the profile, and providers.{name} (base_url and models)"
        ),
        ProviderError::Refused { .. } => format!(
            "check what is asked of the service: model, voice and language of the profile (providers.{stage}), and providers.{name}.base_url"
        ),
        ProviderError::Unavailable { reason, .. } if reason.contains("connect") => {
            format!("check providers.{name}.base_url, DNS, and that the firewall lets this machine out to it")
        }
        ProviderError::Unavailable { reason, .. } if reason.contains("429") => {
            "the account is over its limits: look at its quota and billing".to_owned()
        }
        ProviderError::Protocol { .. } => {
            format!("is providers.{name}.base_url that of a service that speaks as {name} does?")
        }
        ProviderError::Unavailable { .. } | ProviderError::Timeout { .. } => format!(
            "look at the service's status page; a second provider in providers.{stage} of the profile stands in when the first fails"
        ),
    }
}
