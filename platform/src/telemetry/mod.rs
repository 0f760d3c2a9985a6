//! Logs: one line per event on standard output, with the fields of all enclosing spans in it, and nothing in it that must
//! not be read.
//!
//! # What keeps secrets, numbers and words out of the logs
//!
//! 1. The types that hold them redact themselves ([`Secret`](crate::Secret), `events::Party`, transcripts).
//! 2. Dependencies that log such things at DEBUG or TRACE are capped in code ([`CAPS`]), whatever the configured level says.
//! 3. Every text of every line goes through [`redact::mask`](crate::redact::mask), and the configuration's own secrets are
//!    masked verbatim.
//!
//! Fields that end in `secret`, `password`, `token`, `authorization` or `api_key` are masked by their name.

mod caps;
mod layer;
mod line;

#[cfg(test)]
mod tests;

use std::io;

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, Targets, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::Registry,
};

pub use caps::CAPS;

use crate::config::LogConfig;
use layer::LineLayer;

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is no list of levels.
    #[error("log.level: {0}")]
    Level(String),
    /// The process has a subscriber or a logger already.
    #[error("logging was set up before")]
    AlreadySet(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Begins logging to standard output, for the whole process, once. Records of the `log` crate are included, under the same
/// filter.
///
/// # Errors
/// When the level is none, or when logging was set up before.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let subscriber = subscriber(config, io::stdout)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|e| TelemetryError::AlreadySet(Box::new(e)))?;
    // What is not captured at all costs nothing in the crates that use `log`.
    tracing_log::LogTracer::builder()
        .with_max_level(max_log_level())
        .init()
        .map_err(|e| TelemetryError::AlreadySet(Box::new(e)))
}

/// What [`init`] installs, with another writer: for tests, by `tracing::subscriber::set_default`.
///
/// # Errors
/// [`TelemetryError::Level`].
pub fn subscriber<W>(
    config: &LogConfig,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let levels = parse_level(&config.level).map_err(TelemetryError::Level)?;
    let capped = filter_fn(|meta| caps::allows(meta.target(), *meta.level()));
    // The hint, so that the most detailed level of all is known: what is below it then costs nothing.
    let filter = levels.and(capped.with_max_level_hint(LevelFilter::TRACE));
    let lines = LineLayer::new(config.format, &config.secrets, writer);
    Ok(Registry::default().with(lines.with_filter(filter)))
}

fn max_log_level() -> log::LevelFilter {
    match LevelFilter::current() {
        LevelFilter::OFF => log::LevelFilter::Off,
        LevelFilter::ERROR => log::LevelFilter::Error,
        LevelFilter::WARN => log::LevelFilter::Warn,
        LevelFilter::INFO => log::LevelFilter::Info,
        LevelFilter::DEBUG => log::LevelFilter::Debug,
        LevelFilter::TRACE => log::LevelFilter::Trace,
    }
}

/// Reads `level` or `level,target=level,…`.
pub(crate) fn parse_level(text: &str) -> Result<Targets, String> {
    let level = |text: &str| match text.trim() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        other => Err(format!(
            "`{other}` is none of off, error, warn, info, debug, trace"
        )),
    };
    let mut targets = Targets::new();
    for (at, part) in text.split(',').enumerate() {
        targets = match part.split_once('=') {
            Some((target, text)) if !target.trim().is_empty() => {
                targets.with_target(target.trim(), level(text)?)
            }
            None if at == 0 => targets.with_default(level(part)?),
            _ => return Err(format!("`{part}` is no target=level")),
        };
    }
    Ok(targets)
}
