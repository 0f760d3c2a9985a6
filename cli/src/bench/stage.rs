//! The agent under test, with all that it needs: Redis, livekit-server and a `trunkline serve` of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use dev::{LocalStack, Server};
use events::CallRecord;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::share::Delays;
use super::stubs::Stubs;
use crate::local;

/// The delays of the profile: the defaults, said all the same, since the figures are to be understood by them.
pub(super) const DELAYS: Delays = Delays {
    endpointing: Duration::from_millis(500),
    min_silence: Duration::from_millis(250),
};
/// The agent. Nothing is recorded; words do not move the end of a turn, or there were no telling how long it is waited for.
const PROFILE: &str = "prompt: You are the receptionist of the Garden Clinic.
greeting: Hello, this is the Garden Clinic. How can I help you?
language: en
recording: 'off'
providers: {stt: openai, llm: openai, tts: openai}
turns:
  vad: {min_silence: 250ms}
  endpointing: {min_delay: 500ms, hint: 'off'}
";
/// As many calls as there may be callers.
const SLOTS: u32 = 500;
/// How long records may take after the end of their calls.
const RECORDS_LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked for them.
const LOOK: Duration = Duration::from_millis(100);
/// How long a call that is still up may go on, and how long its end may take.
const DRAIN: Duration = Duration::from_secs(2);
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Running. Dropping it ends all of it at once.
pub(super) struct Stage {
    // Declared before what it depends on, so that it ends first.
    serve: Server,
    stack: LocalStack,
    calls: PathBuf,
}

impl Stage {
    pub(super) async fn start(
        folder: &Path,
        livekit_server: Option<PathBuf>,
        room_prefix: &str,
        stubs: &Stubs,
    ) -> anyhow::Result<Self> {
        let (stack, http) = local::stack(folder, livekit_server).await?;
        let listen = http.local_addr()?;
        let profiles = folder.join("profiles");
        std::fs::create_dir_all(&profiles)?;
        std::fs::write(profiles.join("bench.yaml"), PROFILE)?;
        let config = json!({
            "livekit": {
                "url": stack.ws_url(),
                "api_key": stack.keys().api_key(),
                "api_secret": stack.keys().api_secret(),
            },
            "redis": { "url": stack.redis_url() },
            "http": { "listen": listen.to_string() },
            // Nobody calls by SIP.
            "sip": { "listen": "127.0.0.1:0", "advertised_address": "127.0.0.1" },
            "agents": [{ "profile": "bench", "rooms": [format!("{room_prefix}*")] }],
            "profiles": profiles,
            "queue": format!("sqlite:{}", folder.join("queue.sqlite").display()),
            "store": format!("file:{}", folder.join("store").display()),
            "worker": { "slots": SLOTS },
            "providers": { "openai": { "api_key": "none", "base_url": stubs.base_url() } },
            "log": { "level": "info", "format": "json" },
        });
        let path = folder.join("trunkline.yaml");
        local::write_private(&path, &config.to_string())
            .with_context(|| format!("writing {}", path.display()))?;
        let mut serve = local::serve(folder, &path, http)?;
        local::ready(&mut serve, is_ready).await?;
        Ok(Self {
            serve,
            stack,
            calls: folder.join("store/calls"),
        })
    }

    pub(super) fn url(&self) -> String {
        self.stack.ws_url()
    }

    /// Key and secret of LiveKit's API.
    pub(super) fn keys(&self) -> (&str, &str) {
        (self.stack.keys().api_key(), self.stack.keys().api_secret())
    }

    /// The agent's process.
    pub(super) fn pid(&self) -> u32 {
        self.serve.pid()
    }

    /// The records of the calls in these rooms, as far as they are written in time.
    pub(super) async fn records(&self, rooms: &BTreeSet<String>) -> anyhow::Result<Vec<CallRecord>> {
        let deadline = Instant::now() + RECORDS_LIMIT;
        loop {
            let mut records = written(&self.calls)?;
            records.retain(|record| rooms.contains(record.room.as_str()));
            if records.len() >= rooms.len() || Instant::now() >= deadline {
                return Ok(records);
            }
            sleep(LOOK).await;
        }
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let drained = self.serve.ask_to_end(DRAIN).await;
        tracing::debug!(drained, "trunkline serve was asked to end");
        let serve = self.serve.stop(STOP_GRACE).await;
        self.stack.stop().await?;
        Ok(serve?)
    }
}

fn is_ready(line: &str) -> Option<()> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line.get("message").and_then(Value::as_str) == Some("ready")).then_some(())
}

/// All records in the folder: `<day>/<call>/record.json`. One that is being written is whole, or not there.
fn written(calls: &Path) -> anyhow::Result<Vec<CallRecord>> {
    let mut records = Vec::new();
    for day in children(calls) {
        for call in children(&day) {
            let Ok(bytes) = std::fs::read(call.join("record.json")) else {
                continue;
            };
            records.push(CallRecord::decode(&bytes).context("reading a record")?);
        }
    }
    Ok(records)
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_told_from_others() {
        assert_eq!(
            is_ready(r#"{"level":"INFO","message":"ready","http":"127.0.0.1:1"}"#),
            Some(())
        );
        assert_eq!(is_ready(r#"{"message":"already"}"#), None);
        assert_eq!(is_ready("ready"), None);
    }
}
