//! The configuration: one YAML file and the environment, read once, before any port opens.
//!
//! # Where a value comes from
//!
//! The first of these that has one:
//!
//! 1. `TRUNKLINE__<SECTION>__<KEY>` in the environment (`TRUNKLINE__SIP__RTP_PORTS=20000-20999`). A value that begins with
//!    `[` or `{` is read as YAML, so that lists can be given too.
//! 2. The file. In it `${NAME}` stands for a variable of the environment, `${NAME:-text}` for the same with a default for
//!    when it is missing or empty, `$$` for a dollar sign.
//! 3. For a few keys, the variable that other tools of the field use: `LIVEKIT_URL`, `LIVEKIT_API_KEY`,
//!    `LIVEKIT_API_SECRET`, `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `DEEPGRAM_API_KEY`; for the region of `queue` and `store`, `AWS_REGION` and
//!    `AWS_DEFAULT_REGION`.
//! 4. The default, which stands at each field below.
//!
//! A value that begins with `ssm:/` or `secretsmanager:arn:` is a [`Reference`]; [`load_resolved`] puts in what it names.
//!
//! Relative paths are taken from the file's folder. Durations are numbers with `ms`, `s`, `m` or `h`.
//!
//! # What is refused
//!
//! All faults are found in one run and reported together as [`Faults`], each with its key, its line, what is wrong and
//! what to do. A program that gets them prints them and exits with [`EXIT_CODE`].

mod access;
mod aws;
mod calls;
mod environment;
mod fault;
mod file;
mod lines;
mod media;
mod origins;
mod reader;
mod references;
mod registrations;
mod sections;
mod suggest;
mod telephony;
mod tree;
mod types;
mod values;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

pub use access::{
    AccessConfig, AccessKey, CallerLimits, Grant, IdentityProvider, KeyHash, NumberPrefix, NumberPrefixError,
    Scope, ScopeError, TokenConfig, TokenGrant,
};
pub use calls::{CallsConfig, Targets};
pub use environment::{Environment, ProcessEnvironment, WithoutGateway};
pub use fault::{Fault, Faults, Place};
pub use lines::Lines;
pub use media::{IngressConfig, RecordingsConfig, S3Target};
pub use origins::Origin;
pub use references::{Reference, SecretSource, Unread};
pub use registrations::{Registration, SipTransport};
pub use telephony::{DispatchRule, InboundTrunk, OutboundTrunk, Telephony};
pub use types::{
    ApiKey, Config, Deepgram, Http, LiveKitConfig, LogConfig, LogFormat, OpenAi, PortRange, Providers,
    QueueConfig, Redis, S3Config, S3Encryption, Sip, SipCodec, SipLadder, SipNoAgent, SipSounds, SipTls,
    SipTlsServer, SqsConfig, StoreConfig, Worker,
};

use reader::Context;
use values::Wrong;

/// What a program exits with when its configuration has faults: `EX_USAGE` of sysexits.
pub const EXIT_CODE: u8 = 64;

/// Reads the configuration: the file, if one is given, and the environment.
///
/// # Errors
/// All faults at once.
pub fn load(file: Option<&Path>, env: &dyn Environment) -> Result<Config, Faults> {
    let (text, name, base) = text_of(file)?;
    parse(&text, name.as_deref(), &base, env)
}

/// As [`load`], with `source` asked for what references name.
///
/// # Errors
/// All faults at once; a reference that cannot be read is one.
pub async fn load_resolved(
    file: Option<&Path>,
    env: &dyn Environment,
    source: &dyn SecretSource,
) -> Result<Config, Faults> {
    let (text, name, base) = text_of(file)?;
    parse_resolved(&text, name.as_deref(), &base, env, source).await
}

/// The text, its name, and where relative paths begin.
fn text_of(file: Option<&Path>) -> Result<(String, Option<String>, PathBuf), Faults> {
    let Some(file) = file else {
        return Ok((String::new(), None, PathBuf::from(".")));
    };
    let name = file.display().to_string();
    let base = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match file::read(file) {
        Ok(text) => Ok((text, Some(name), base.to_owned())),
        Err(Wrong { problem, remedy }) => {
            let fault = Fault {
                key: String::new(),
                place: Place::File(None),
                problem,
                remedy,
            };
            Err(Faults::new(Some(name), vec![fault]))
        }
    }
}

/// The same from a text. `name` is what the report calls it, `base` where relative paths begin.
///
/// # Errors
/// All faults at once.
pub fn parse(text: &str, name: Option<&str>, base: &Path, env: &dyn Environment) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let root = tree::build(text, env, &mut faults);
    judge(root, faults, base, env).map_err(|faults| Faults::new(name.map(str::to_owned), faults))
}

/// As [`parse`], with `source` asked for what references name.
///
/// # Errors
/// All faults at once; a reference that cannot be read is one.
pub async fn parse_resolved(
    text: &str,
    name: Option<&str>,
    base: &Path,
    env: &dyn Environment,
    source: &dyn SecretSource,
) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let mut root = tree::build(text, env, &mut faults);
    let resolved = references::resolve(&mut root, env, source, &mut faults).await;
    judge(root, faults, base, env).map_err(|mut faults| {
        resolved.mask(&mut faults);
        Faults::new(name.map(str::to_owned), faults)
    })
}

/// The typed configuration, or all that is wrong: `faults` and what is found here.
fn judge(
    root: tree::Node,
    faults: Vec<Fault>,
    base: &Path,
    env: &dyn Environment,
) -> Result<Config, Vec<Fault>> {
    if let tree::Node::Faulty = root {
        return Err(faults);
    }
    let cx = Context {
        env,
        faults: RefCell::new(faults),
    };
    let config = sections::config(&cx, root, base);
    let faults = cx.faults.into_inner();
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(faults),
    }
}

/// What the file and the environment set, each value with its place, before it is judged. Defaults are not among it, and references are
/// not read.
///
/// # Errors
/// The file cannot be read, is no YAML, or names variables that are not set.
pub fn origins(file: Option<&Path>, env: &dyn Environment) -> Result<Vec<Origin>, Faults> {
    let (text, name, _) = text_of(file)?;
    origins::of(&text, env).map_err(|faults| Faults::new(name, faults))
}

/// Reads a file as the configuration's is read: a regular one, of at most 1 MiB.
///
/// # Errors
/// What is wrong with it, and the remedy.
pub fn read_file(file: &Path) -> Result<String, String> {
    file::read(file).map_err(|wrong| wrong.to_string())
}

/// Reads one value of the key `queue` by itself, for tools and tests. `base` is where relative paths begin.
///
/// # Errors
/// What is wrong with it, and the remedy.
pub fn queue(text: &str, base: &Path, env: &dyn Environment) -> Result<QueueConfig, String> {
    values::queue(text, env)
        .map(|queue| queue.below(base))
        .map_err(|wrong| wrong.to_string())
}

/// Reads one value of the key `store` by itself, for tools and tests. `base` is where relative paths begin.
///
/// # Errors
/// What is wrong with it, and the remedy.
pub fn store(text: &str, base: &Path, env: &dyn Environment) -> Result<StoreConfig, String> {
    values::store(text, env)
        .map(|store| store.below(base))
        .map_err(|wrong| wrong.to_string())
}
