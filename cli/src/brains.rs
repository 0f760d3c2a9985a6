//! What an agent hears, thinks and speaks with: by its profile, else by what the configuration has a key for.

use pipeline::{Profile, ProviderChoice};
use platform::config::Config;
use providers::{
    Choice, Faults, Providers, Registry, Wanted, deepgram::DeepgramConfig, openai::OpenAiConfig,
};

/// The registry of this process.
pub(crate) fn registry(config: &Config) -> Result<Registry, Faults> {
    let openai = config
        .providers
        .openai
        .as_ref()
        .map(|openai| OpenAiConfig::new(openai.api_key.expose().to_owned(), openai.base_url.clone()));
    let deepgram =
        config.providers.deepgram.as_ref().map(|deepgram| {
            DeepgramConfig::new(deepgram.api_key.expose().to_owned(), deepgram.base_url.clone())
        });
    Registry::new(openai, deepgram)
}

/// Makes the providers of an agent, or finds all that stands against it.
pub(crate) fn build(registry: &Registry, profile: &Profile) -> Result<Providers, Faults> {
    let choices = &profile.providers;
    registry.build(&Wanted {
        stt: wanted(&choices.stt),
        llm: wanted(&choices.llm),
        tts: wanted(&choices.tts),
        language: &profile.language,
        tools: tools(profile),
        dialogue: profile.dialogue.clone(),
    })
}

/// All that the agent's model may call, in this call or in every one.
fn tools(profile: &Profile) -> Vec<&str> {
    let mut tools: Vec<_> = profile.tools.iter().map(|tool| tool.spec.name.as_str()).collect();
    if profile.transfers.is_some() {
        tools.push("transfer_call");
    }
    if profile.dtmf {
        tools.extend(["send_dtmf", "collect_dtmf"]);
    }
    tools
}

fn wanted(choices: &[ProviderChoice]) -> Vec<Choice<'_>> {
    let choices = choices.iter().map(|choice| Choice {
        name: Some(choice.name.as_str()),
        model: choice.model.as_deref(),
        voice: choice.voice.as_deref(),
    });
    choices.collect()
}
