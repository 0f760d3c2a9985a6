use std::path::{Path, PathBuf};

use events::{
    ProfileName,
    agents::{AgentRule, NumberPattern, Pattern, overlaps},
};

use super::listed;
use crate::config::{
    fault::Place,
    reader::{Context, Section, by},
    tree::Node,
};

/// An entry of `agents:` with the place of its section.
pub(super) type PlacedRule = (Place, AgentRule);

pub(super) fn agents(cx: &Context<'_>, items: Option<Vec<(String, Node)>>) -> Vec<PlacedRule> {
    items
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(path, item)| agent(cx, Section::of(cx, path, item)))
        .collect()
}

fn agent(cx: &Context<'_>, mut section: Section<'_>) -> Option<PlacedRule> {
    let place = section.place();
    let name = by(
        |text| ProfileName::new(text),
        "name it like its file in the profiles folder, without .yaml",
    );
    let profile = section.required(
        "profile",
        &[],
        "name a file of the profiles folder, without .yaml",
        name,
    );
    let remedy = "write numbers like \"+15550100\" or \"+1555*\"";
    let numbers = listed(cx, &mut section, "numbers", |text| {
        by(NumberPattern::new, remedy)(text)
    });
    let remedy = "write names like \"support\" or \"voice-ai-*\"";
    let rooms = listed(cx, &mut section, "rooms", |text| by(Pattern::new, remedy)(text));
    let attributes = section.texts("attributes");
    section.finish();
    Some((
        place,
        AgentRule {
            profile: profile?,
            numbers: numbers?,
            rooms: rooms?,
            attributes,
        },
    ))
}

pub(super) fn profiles_are_there(cx: &Context<'_>, agents: &[PlacedRule], folder: &Path) {
    let missing: Vec<(usize, &PlacedRule, PathBuf)> = agents
        .iter()
        .enumerate()
        .map(|(at, agent)| {
            (
                at,
                agent,
                folder.join(format!("{}.yaml", agent.1.profile.as_str())),
            )
        })
        .filter(|(_, _, file)| !file.is_file())
        .collect();
    if !missing.is_empty() && !folder.is_dir() {
        let problem = format!("there is no folder {}", folder.display());
        cx.fault(
            "profiles",
            Place::Nowhere,
            problem,
            "make it, or set profiles to the folder of the agent profiles",
        );
        return;
    }
    for (at, (place, _), file) in missing {
        let problem = if file.exists() {
            format!("{} is no regular file", file.display())
        } else {
            format!("there is no file {}", file.display())
        };
        let remedy = format!(
            "make it, or name a profile of that folder{}",
            some_profiles(folder)
        );
        cx.fault(format!("agents[{at}].profile"), place.clone(), problem, remedy);
    }
}

/// The first names in the folder, for a remedy.
fn some_profiles(folder: &Path) -> String {
    let names = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            Some(
                entry
                    .ok()?
                    .file_name()
                    .to_str()?
                    .strip_suffix(".yaml")?
                    .to_owned(),
            )
        });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.truncate(5);
    if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    }
}

pub(super) fn agents_do_not_overlap(cx: &Context<'_>, agents: &[PlacedRule]) {
    let rules: Vec<AgentRule> = agents.iter().map(|(_, rule)| rule.clone()).collect();
    for overlap in overlaps(&rules) {
        let place = agents
            .get(overlap.second)
            .map_or(Place::Nowhere, |(place, _)| place.clone());
        cx.fault(
            format!("agents[{}]", overlap.second),
            place,
            format!("it and agents[{}] could both take one call", overlap.first),
            "give them numbers, rooms or an attribute that exclude each other",
        );
    }
}
