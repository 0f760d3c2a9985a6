//! The program under test: its configuration, its profile, its process and its log.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use dev::{LocalStack, RtpPorts};
use tokio::process::{Child, Command};

use crate::{
    canaries::OPENAI_KEY,
    harness::{Options, children},
};

/// The names of the parameters that hold what is secret, with [`Options::cloud`].
pub(crate) const LIVEKIT_SECRET: &str = "/trunkline/livekit/api_secret";
pub(crate) const REDIS_URL: &str = "/trunkline/redis/url";

pub(crate) fn config(
    stack: &LocalStack,
    url: &str,
    http: SocketAddr,
    rtp: &RtpPorts,
    options: &Options,
) -> String {
    let keys = stack.keys();
    let (secret, redis, rest) = match &options.cloud {
        None => (
            keys.api_secret().to_owned(),
            stack.redis_url(),
            "queue: sqlite:queue.sqlite\nstore: file:store\n".to_owned(),
        ),
        Some(cloud) => (
            format!("ssm:{LIVEKIT_SECRET}"),
            format!("ssm:{REDIS_URL}"),
            cloud.yaml(),
        ),
    };
    format!(
        "livekit:\n  url: {}\n  api_key: {}\n  api_secret: {secret}\nredis:\n  url: {redis}\nhttp:\n  listen: {http}\n\
         sip:\n  listen: 127.0.0.1:0\n  rtp_ports: {rtp}\n{}profiles: profiles\nagents: {}\n{rest}worker:\n  slots: {}\n\
         providers:\n  openai:\n    api_key: {OPENAI_KEY}\n    base_url: http://{}/v1\nlog:\n  level: trace\n{}",
        url,
        keys.api_key(),
        options.sip,
        options.agents,
        options.slots,
        options.openai,
        options.sections,
    )
}

/// The shipped profile, with another recording policy and providers of its own.
pub(crate) fn write_profile(dir: &Path, options: &Options) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
    let to = dir.join("profiles");
    std::fs::create_dir_all(&to).unwrap();
    for file in children(&shipped) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
    let profile = to.join("reception.yaml");
    let text = std::fs::read_to_string(&profile).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("recording:"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let Options {
        recording,
        providers,
        profile: more,
        dialogue,
        ..
    } = options;
    if let Some(dialogue) = dialogue {
        std::fs::write(to.join("reception.dialogue.yaml"), dialogue).unwrap();
    }
    std::fs::write(
        &profile,
        format!("{text}recording: {recording}\nproviders: {providers}\n{more}"),
    )
    .unwrap();
}

/// libfaketime moves the clock; Go programs do not look at theirs through the C library, so it must be ours.
pub(crate) fn faked_clock(ahead_s: i32) -> Vec<(&'static str, String)> {
    if ahead_s == 0 {
        return Vec::new();
    }
    let library = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    assert!(
        Path::new(&library).exists(),
        "{library} is missing (Debian package faketime)"
    );
    vec![
        ("LD_PRELOAD", library),
        ("FAKETIME", format!("{ahead_s:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

pub(crate) fn spawn_serve(dir: &Path, log: &Path, only: Option<&str>, env: &[(&str, String)]) -> Child {
    let out = File::options().create(true).append(true).open(log).unwrap();
    Command::new(trunkline())
        .args(["serve", "--config"])
        .arg(dir.join("trunkline.yaml"))
        .args(only.iter().flat_map(|part| ["--only", part]))
        .envs(env.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The command under test.
fn trunkline() -> PathBuf {
    built("trunkline")
}

/// A program that was built by the same `cargo test` as this binary.
pub(crate) fn built(name: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap();
    let path = path.parent().and_then(Path::parent).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build`, or the whole of `make test`",
        path.display()
    );
    path
}

/// Logs are kept, so that a failed run can be read afterwards.
pub(crate) fn log_path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let dir = trunkline().parent().unwrap().join("system-logs");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!(
        "{}-{}.log",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    File::create(&path).unwrap();
    path
}

/// The last lines of the log from INFO on, each bounded.
pub(crate) fn what_happened(log: &Path) -> Vec<String> {
    const LINES: usize = 80;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let counts = |line: &&str| !line.contains(r#""level":"DEBUG""#) && !line.contains(r#""level":"TRACE""#);
    let lines: Vec<&str> = text.lines().filter(counts).collect();
    let last = lines.len().saturating_sub(LINES);
    lines[last..]
        .iter()
        .map(|line| line.chars().take(600).collect())
        .collect()
}
