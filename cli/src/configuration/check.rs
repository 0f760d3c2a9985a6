//! `trunkline config check`: what `trunkline serve` would refuse, without starting anything.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use platform::config::{self, Config, Environment, Fault, Faults, Place, ProcessEnvironment, WithoutGateway};
use serde_json::{Value, json};

use super::{read, report};
use crate::{
    agents,
    paint::{Line, Paper, Tone},
};

/// The arguments of `trunkline config check`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
    /// No gateway runs with it: what `sip` says of addresses is not looked at.
    #[arg(long)]
    without_gateway: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let elsewhere = WithoutGateway(ProcessEnvironment);
    let env: &dyn Environment = if arguments.without_gateway {
        &elsewhere
    } else {
        &ProcessEnvironment
    };
    let checked = read(&arguments.config, env)
        .await
        .and_then(|config| profiles(&config, arguments).map(|()| config));
    if arguments.json {
        let faults: Vec<Value> = checked
            .as_ref()
            .err()
            .into_iter()
            .flat_map(Faults::iter)
            .map(told)
            .collect();
        writeln!(std::io::stdout(), "{:#}", json!({ "faults": faults })).context("printing the result")?;
    }
    match checked {
        Ok(config) if !arguments.json => {
            Paper::new().print(good(&config, arguments));
            Ok(ExitCode::SUCCESS)
        }
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(faults) => {
            if !arguments.json {
                eprint!("{}", report(&faults));
            }
            Ok(ExitCode::from(config::EXIT_CODE))
        }
    }
}

/// The profiles that `agents` names, read as `serve` reads them.
fn profiles(config: &Config, arguments: &Arguments) -> Result<(), Faults> {
    let faults = match agents::load(config) {
        Ok(_) => return Ok(()),
        Err(faults) => faults.0,
    };
    let faults = faults.into_iter().map(|problem| Fault {
        key: "profiles".to_owned(),
        place: Place::Nowhere,
        problem,
        remedy: "docs/configuration.md has every key of a profile".to_owned(),
    });
    let file = arguments.config.display().to_string();
    Err(Faults::new(Some(file), faults.collect()))
}

fn told(fault: &Fault) -> Value {
    let (line, variable) = match &fault.place {
        Place::File(line) => (*line, None),
        Place::Environment(name) => (None, Some(name)),
        Place::Nowhere => (None, None),
    };
    json!({
        "key": fault.key,
        "line": line,
        "variable": variable,
        "problem": fault.problem,
        "remedy": fault.remedy,
    })
}

/// What is there, and what is most often forgotten.
fn good(config: &Config, arguments: &Arguments) -> Vec<Line> {
    let said = format!(
        "{} agents, {} inbound and {} outbound trunks, {} dispatch rules",
        config.agents.len(),
        config.telephony.inbound.len(),
        config.telephony.outbound.len(),
        config.telephony.rules.len(),
    );
    let mut lines = vec![
        Line::step(&format!("{} has no faults", arguments.config.display())),
        Line::of(format!("    {said}"), Tone::Dim),
    ];
    if config.agents.is_empty() {
        lines.push(Line::of("  ! agents is empty: no call gets an agent", Tone::Warn));
    }
    lines
}
