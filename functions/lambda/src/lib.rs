//! The functions on AWS Lambda: what the four binaries do at their start.
//!
//! | binary | trusts | serves |
//! |---|---|---|
//! | `webhook` | what LiveKit has signed | `POST /webhooks/livekit`, behind a function URL |
//! | `token` | callers of `access` | `POST /v1/token` |
//! | `api` | callers of `access` | the HTTP API |
//! | `sweep` | the schedule | one run of the sweep for each event, whatever is in it |
//!
//! # Calling contract
//!
//! - The routers and functions are those of `trunkline serve`. The configuration comes from the environment and from `trunkline.yaml` in
//!   the package, profiles from `profiles/` beside it; references to secrets are replaced.
//! - Everything is opened once, before the first event. Queue and store are first asked for something by an event.
//! - What is wrong with the configuration is logged, a line for each fault with key and remedy, and ends the process with 64.
//!
//! # What it does not do
//!
//! It decides nothing: that is the functions' work. It reads of a profile only the bytes, for the hash that goes into a job.

mod agents;
mod start;

use std::process::ExitCode;

use axum::Router;
use lambda_runtime::{LambdaEvent, service_fn};
use platform::config::{self, Fault};
use serde_json::{Value, json};

pub use start::{Ports, Start};

/// Why a function does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// The configuration has faults.
    #[error("the configuration has {} faults", .0.len())]
    Config(Vec<Fault>),
    /// Something that the configuration names cannot be opened.
    #[error("{what} cannot be set up")]
    Open {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The runtime's interface has failed.
    #[error("Lambda's runtime interface failed")]
    Runtime(#[source] lambda_runtime::Error),
}

/// Starts up and runs `function` until Lambda ends the process.
pub fn main(function: impl AsyncFnOnce(Start) -> Result<(), LambdaError>) -> ExitCode {
    platform::install_providers();
    // One event at a time: a thread is enough, and starts at once.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let what = "the async runtime";
            let source = error.into();
            return start::report(&LambdaError::Open { what, source });
        }
    };
    let ended = runtime.block_on(async { function(Start::read().await?).await });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::report(&error),
    }
}

/// Serves HTTP events.
///
/// # Errors
/// [`LambdaError::Runtime`].
pub async fn serve(router: Router) -> Result<(), LambdaError> {
    tracing::info!("ready");
    lambda_http::run(router).await.map_err(LambdaError::Runtime)
}

/// Runs the sweep once for each event, and answers with what it did. A failure of LiveKit or the store is in its log and in `failures`: the
/// next event tries again anyway.
///
/// # Errors
/// [`LambdaError::Runtime`].
pub async fn serve_sweep(state: sweep::State) -> Result<(), LambdaError> {
    tracing::info!("ready");
    let run = service_fn(move |_: LambdaEvent<Value>| {
        let state = state.clone();
        async move {
            let report = sweep::sweep(&state).await;
            Ok::<_, lambda_runtime::Error>(json!({
                "calls": report.calls,
                "findings": report.findings.len(),
                "failures": report.failures,
            }))
        }
    });
    lambda_runtime::run(run).await.map_err(LambdaError::Runtime)
}

/// The exit code that says whose turn it is.
fn exit_code(error: &LambdaError) -> ExitCode {
    match error {
        LambdaError::Config(_) => ExitCode::from(config::EXIT_CODE),
        LambdaError::Open { .. } | LambdaError::Runtime(_) => ExitCode::FAILURE,
    }
}
