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
//!    `LIVEKIT_API_SECRET`, `OPENAI_API_KEY`, `OPENAI_BASE_URL`; for the region of `queue` and `store`, `AWS_REGION` and
//!    `AWS_DEFAULT_REGION`.
//! 4. The default, which stands at each field below.
//!
//! Relative paths are taken from the file's folder. Durations are numbers with `ms`, `s`, `m` or `h`.
//!
//! # What is refused
//!
//! All faults are found in one run and reported together as [`Faults`], each with its key, its line, what is wrong and
//! what to do. A program that gets them prints them and exits with [`EXIT_CODE`].

mod aws;
mod environment;
mod fault;
mod lines;
mod reader;
mod sections;
mod suggest;
mod tree;
mod types;
mod values;

#[cfg(test)]
mod tests;

use std::{cell::RefCell, path::Path};

pub use environment::{Environment, ProcessEnvironment};
pub use fault::{Fault, Faults, Place};
pub use types::{
    ApiKey, Config, Http, LiveKitConfig, LogConfig, LogFormat, OpenAi, PortRange, Providers, QueueConfig,
    Redis, S3Config, S3Encryption, Sip, SipCodec, SqsConfig, StoreConfig, Worker,
};

use reader::Context;

/// What a program exits with when its configuration has faults: `EX_USAGE` of sysexits.
pub const EXIT_CODE: u8 = 64;
/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads the configuration: the file, if one is given, and the environment.
///
/// # Errors
/// All faults at once.
pub fn load(file: Option<&Path>, env: &dyn Environment) -> Result<Config, Faults> {
    let Some(file) = file else {
        return parse("", None, Path::new("."), env);
    };
    let name = file.display().to_string();
    let base = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match read(file) {
        Ok(text) => parse(&text, Some(&name), base, env),
        Err(problem) => {
            let remedy = "name another file, or make this one readable UTF-8".to_owned();
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
    if let tree::Node::Faulty = root {
        return Err(Faults::new(name.map(str::to_owned), faults));
    }
    let cx = Context {
        env,
        faults: RefCell::new(faults),
    };
    let config = sections::config(&cx, root, base);
    let faults = cx.faults.into_inner();
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(Faults::new(name.map(str::to_owned), faults)),
    }
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

fn read(file: &Path) -> Result<String, String> {
    let length = std::fs::metadata(file)
        .map_err(|e| format!("the file cannot be read: {e}"))?
        .len();
    if length > MAX_FILE_BYTES {
        return Err(format!(
            "the file has {length} bytes; a configuration has at most {MAX_FILE_BYTES}"
        ));
    }
    std::fs::read_to_string(file).map_err(|e| format!("the file cannot be read: {e}"))
}
