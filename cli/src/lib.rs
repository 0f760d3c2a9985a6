//! The `trunkline` command: what an operator runs.
//!
//! | command | what it does |
//! |---|---|
//! | `trunkline serve` | the whole system in one process: functions, worker, gateway |
//! | `trunkline token` | a token for LiveKit's API, for an operator |
//! | `trunkline apply` | the trunks and dispatch rules of the configuration, set up at the LiveKit server |
//! | `trunkline doctor` | what is wrong with a running system, and what to do |
//! | `trunkline config` | faults of the configuration, and older ones translated |
//! | `trunkline demo` | a SIP call before your eyes, on a local stack of its own |
//! | `trunkline bench` | how soon an agent answers, and what a call costs |
//!
//! Exit codes: 0 all is well; 1 something failed, and standard error says what; 2 what was only looked at is not as it should be
//! (`apply --dry-run`: there are changes; `doctor`: there are warnings); 64 the configuration or the command line has faults, all of them listed on standard error
//! with their remedies.

mod agents;
mod apply;
mod bench;
mod brains;
mod configuration;
mod demo;
mod doctor;
mod http_api;
mod local;
mod paint;
mod policy;
mod registrations;
mod serve;
mod token;
mod vitals;
mod voice;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Phone calls answered by voice agents, on LiveKit.
#[derive(Parser)]
#[command(name = "trunkline", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run functions, worker and gateway in this process.
    Serve(serve::Arguments),
    /// Print a token for LiveKit's API.
    Token(token::Arguments),
    /// Set up the configuration's trunks and dispatch rules at the LiveKit server.
    Apply(apply::Arguments),
    /// Look what is wrong with a running system, and say what to do.
    Doctor(doctor::Arguments),
    /// Check the configuration, or translate an older one.
    Config(configuration::Arguments),
    /// Place a SIP call to an agent on a local stack, and show what happens.
    Demo(demo::Arguments),
    /// Measure how soon an agent answers and what a call costs, with synthetic callers and stub providers.
    Bench(bench::Arguments),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    platform::install_providers();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() {
                platform::config::EXIT_CODE
            } else {
                0
            };
            // Nothing can be done about a terminal that does not take the message.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("starting the async runtime")),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve(arguments) => Box::pin(serve::run(arguments)).await,
            Command::Token(arguments) => token::run(&arguments).await,
            Command::Apply(arguments) => Box::pin(apply::run(&arguments)).await,
            Command::Doctor(arguments) => Box::pin(doctor::run(&arguments)).await,
            Command::Config(arguments) => configuration::run(arguments).await,
            Command::Demo(arguments) => Box::pin(demo::run(arguments)).await,
            Command::Bench(arguments) => Box::pin(bench::run(arguments)).await,
        }
    });
    // What still blocks a thread, such as a look-up of a name, must not keep a finished process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    done.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("trunkline: {error:#}");
    ExitCode::FAILURE
}
