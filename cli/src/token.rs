//! `trunkline token`: tokens for operators.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use platform::{config::ProcessEnvironment, livekit::LiveKit};

use crate::configuration;

/// The arguments of `trunkline token`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
    /// May do everything with LiveKit's API, for one hour. Only here: the HTTP API never makes such a token.
    #[arg(long, required = true)]
    admin: bool,
    /// The room to administer; LiveKit wants one for what is done inside a room.
    #[arg(long, value_name = "NAME")]
    room: Option<String>,
}

/// Prints the token, and nothing else, to standard output.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = match configuration::load(&arguments.config, &ProcessEnvironment).await {
        Ok(config) => config,
        Err(refused) => return Ok(refused),
    };
    debug_assert!(arguments.admin, "the command line demands it");
    let livekit = LiveKit::new(&config.livekit).context("setting up LiveKit's API")?;
    let token = livekit
        .admin_token(arguments.room.as_deref())
        .context("making the token")?;
    writeln!(std::io::stdout(), "{}", token.expose()).context("printing the token")?;
    Ok(ExitCode::SUCCESS)
}
