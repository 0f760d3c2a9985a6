//! `trunkline apply`: the trunks and dispatch rules of the configuration, set up at the LiveKit server.
//!
//! The file is the truth: what it names is made, or replaced as a whole where the server's differs, also where that was changed by
//! somebody else. What it does not name is shown, and removed only by `--prune`. Nothing is kept of earlier runs: trunks and rules are
//! known by their names.

mod fields;
mod plan;
mod report;
mod steps;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use platform::{
    config::{ProcessEnvironment, WithoutGateway},
    livekit::LiveKit,
};

use crate::{
    configuration,
    paint::{Line, Paper},
};
pub(crate) use plan::{Found, Plan};

/// What a dry run exits with when there is something to do.
const CHANGES: u8 = 2;

/// The arguments of `trunkline apply`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
    /// Only show what would change. Exits with 2 when there is something.
    #[arg(long)]
    dry_run: bool,
    /// Remove what is on the server and not in the configuration.
    #[arg(long)]
    prune: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Compares, shows, and carries out.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Of the gateway's addresses nothing is needed: it may run on another machine.
    let env = WithoutGateway(ProcessEnvironment);
    let config = match configuration::load(&arguments.config, &env).await {
        Ok(config) => config,
        Err(refused) => return Ok(refused),
    };
    if config.telephony.is_empty() {
        anyhow::bail!(
            "{} has neither `trunks` nor `dispatch_rules`: there is nothing to apply; docs/operation.md shows how to write them",
            arguments.config.display()
        );
    }
    let livekit = LiveKit::new(&config.livekit).context("setting up LiveKit's API")?;
    let found = Found::of(&livekit)
        .await
        .context("asking for the server's trunks and rules")?;
    let plan = Plan::new(&config.telephony, &found, arguments.prune)?;
    let columns = report::Columns::of(&plan);
    let mut paper = Paper::new();
    if !arguments.json {
        paper.print_wrapped(report::plan(&plan, livekit.url(), &columns), columns.values());
    }
    let is_carried_out = !arguments.dry_run && plan.has_changes();
    let mut failure = None;
    let mut done = Vec::new();
    if is_carried_out {
        let mut progress = |step: &plan::Step, id: String| {
            if !arguments.json {
                if done.is_empty() {
                    paper.print([Line::empty()]);
                }
                paper.print([report::done(step, &id)]);
            }
            done.push(id);
        };
        let carried_out = steps::carry_out(&plan, &config.telephony, &found, &livekit, &mut progress).await;
        failure = carried_out.err();
    }
    if arguments.json {
        let told = report::json(&plan, &done, failure.as_ref());
        writeln!(std::io::stdout(), "{told:#}").context("printing the result")?;
    } else if failure.is_none() {
        paper.print(report::end(&plan, is_carried_out));
        paper.print(report::idle(&plan, &done, &config.calls.trunks));
        paper.print([Line::empty()]);
    }
    match failure {
        Some(_) if arguments.json => Ok(ExitCode::FAILURE),
        Some(failure) => Err(failure),
        None if arguments.dry_run && plan.has_changes() => Ok(ExitCode::from(CHANGES)),
        None => Ok(ExitCode::SUCCESS),
    }
}
