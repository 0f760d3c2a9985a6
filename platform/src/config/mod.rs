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
//!    `LIVEKIT_API_SECRET`, `OPENAI_API_KEY`, `OPENAI_BASE_URL`.
//! 4. The default, which stands at each field below.
//!
//! Relative paths are taken from the file's folder. Durations are numbers with `ms`, `s`, `m` or `h`.
//!
//! # What is refused
//!
//! All faults are found in one run and reported together as [`Faults`], each with its key, its line, what is wrong and
//! what to do. A program that gets them prints them and exits with [`EXIT_CODE`].

mod types;

pub use types::{
    ApiKey, Config, Http, LiveKitConfig, LogConfig, LogFormat, OpenAi, PortRange, Providers, QueueConfig,
    Redis, Sip, SipCodec, StoreConfig, Worker,
};

/// What a program exits with when its configuration has faults: `EX_USAGE` of sysexits.
pub const EXIT_CODE: u8 = 64;
