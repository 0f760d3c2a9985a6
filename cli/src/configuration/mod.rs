//! How every command reads the configuration; and `trunkline config`, which looks at it and translates older ones.

mod check;
mod migrate;
mod show;

use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use crossterm::terminal;
use platform::{
    aws::{Access, AwsSecrets},
    clock::SystemClock,
    config::{self, Config, Environment, Faults},
};

use crate::paint::takes_colours;

/// What editors check the file against while it is written. Held against what is really read by a test.
const SCHEMA: &str = include_str!("../../../platform/trunkline.schema.json");

/// The arguments of `trunkline config`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List every fault of the configuration and of the profiles that it names, with line and remedy. Exits with 64 when there are any.
    Check(check::Arguments),
    /// Print every value that counts, and where it comes from. Secrets are hidden.
    Show(show::Arguments),
    /// Print the JSON Schema of trunkline.yaml, for editors.
    Schema,
    /// Translate an older configuration, and say what became of each line.
    Migrate(MigrateArguments),
}

/// The arguments of `trunkline config migrate`.
#[derive(clap::Args)]
struct MigrateArguments {
    /// The older file.
    older: PathBuf,
    /// Where the new one goes, which must not exist; default: standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Looks at the configuration.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Check(arguments) => check::run(&arguments).await,
        Command::Show(arguments) => show::run(&arguments),
        Command::Schema => {
            writeln!(std::io::stdout(), "{}", SCHEMA.trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate(arguments) => migrate::run(&arguments.older, arguments.output.as_deref()),
    }
}

/// The configuration; or, when it has faults, the exit code, and standard error lists them.
pub(crate) async fn load(file: &Path, env: &dyn Environment) -> Result<Config, ExitCode> {
    read(file, env).await.map_err(|faults| {
        eprint!("{}", report(&faults));
        ExitCode::from(config::EXIT_CODE)
    })
}

/// The configuration, or all that is wrong with it.
pub(crate) async fn read(file: &Path, env: &dyn Environment) -> Result<Config, Faults> {
    let secrets = AwsSecrets::new(Access::DefaultChain, env, Arc::new(SystemClock));
    config::load_resolved(Some(file), env, &secrets).await
}

/// The faults as they stand on standard error.
pub(crate) fn report(faults: &Faults) -> String {
    let columns = terminal::size().map_or(100, |(columns, _)| usize::from(columns).min(120));
    faults.report(columns, takes_colours(&stderr()))
}
