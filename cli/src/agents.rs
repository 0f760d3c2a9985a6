//! The agent profiles that the configuration names, read once and made ready.

use std::{collections::HashMap, sync::Arc};

use events::{ProfileHash, ProfileName};
use pipeline::{Phrases, Profile, ProfileError};
use platform::config::Config;
use platform::targets::Policy;
use providers::{
    Faults, Providers, Registry,
    tools::{HttpTool, Secrets, Tool, Toolbox},
};
use worker::{Agent, Agents};

use crate::brains;

/// What is wrong with the profiles, a line each.
pub(crate) struct ProfileFaults(pub(crate) Vec<String>);

/// Reads every profile that `agents:` names and builds its providers.
pub(crate) fn load(config: &Config) -> Result<Agents, ProfileFaults> {
    let registry = brains::registry(config).map_err(|faults| ProfileFaults(lines(&faults)))?;
    let mut agents: Agents = HashMap::new();
    let mut faults = Vec::new();
    for rule in &config.agents {
        if agents.contains_key(&rule.profile) {
            continue;
        }
        match agent(config, &registry, &rule.profile) {
            Ok(agent) => drop(agents.insert(rule.profile.clone(), Arc::new(agent))),
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() {
        Ok(agents)
    } else {
        Err(ProfileFaults(faults))
    }
}

fn agent(config: &Config, registry: &Registry, name: &ProfileName) -> Result<Agent, Vec<String>> {
    let path = config.profiles.join(format!("{}.yaml", name.as_str()));
    let at = |fault: String| format!("{}: {fault}", path.display());
    let profile = Profile::load(&path).map_err(|error| match error {
        ProfileError::Faults(faults) => faults.iter().map(|fault| at(fault.to_string())).collect(),
        // Its text names the file.
        read @ ProfileError::Read { .. } => vec![read.to_string()],
    })?;
    let hash = ProfileHash::try_from(profile.hash.clone()).map_err(|error| vec![at(error.to_string())])?;
    let brains = brains::build(registry, &profile);
    let brains = brains.map_err(|faults| lines(&faults).into_iter().map(at).collect::<Vec<_>>())?;
    let Providers { stt, llm, tts } = brains;
    let tools = tools(config, &profile).map_err(|faults| faults.into_iter().map(at).collect::<Vec<_>>())?;
    Ok(Agent {
        profile,
        hash,
        stt,
        llm,
        tts,
        tools,
        phrases: Phrases::new(),
    })
}

/// The services that the profile names, and all that stands against them and against its transfers.
fn tools(config: &Config, profile: &Profile) -> Result<Toolbox, Vec<String>> {
    let secrets: Secrets = config
        .tool_secrets
        .iter()
        .map(|(name, secret)| (name.clone(), secret.expose().to_owned().into()))
        .collect();
    let mut faults = Vec::new();
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    for (at, tool) in profile.tools.iter().enumerate() {
        match HttpTool::new(tool.clone(), &secrets) {
            Ok(tool) => tools.push(Arc::new(tool)),
            Err(found) => faults.extend(lines(&found).iter().map(|fault| format!("tools[{at}].{fault}"))),
        }
    }
    if let Some(transfers) = &profile.transfers {
        faults.extend(worker::check_transfers(
            transfers,
            &Policy::new(config.calls.targets.clone()),
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Toolbox::new(tools).map_err(|found| lines(&found))
}

fn lines(faults: &Faults) -> Vec<String> {
    faults.0.iter().map(ToString::to_string).collect()
}
