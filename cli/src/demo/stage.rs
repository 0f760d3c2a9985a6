//! Everything that the call needs: Redis, livekit-server, `trunkline serve`, a trunk, a dispatch rule.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use dev::{LocalStack, RtpPorts, Server, StackError};
use platform::livekit::proto;
use platform::store::FolderStore;
use serde_json::{Value, json};

use super::screen::Screen;
use super::{Arguments, CALLED, brains};
use crate::local;
use crate::paint::Line;

/// The profile that answers.
const PROFILE: &str = "reception";
/// Rooms of this prefix are the agent's.
const ROOM_PREFIX: &str = "voice-ai-call";
/// How often a stage that is left running is looked at.
const WATCH: Duration = Duration::from_millis(500);
/// How long a call that is still up may go on: with `--keep` a softphone's.
const DRAIN: Duration = Duration::from_secs(2);
/// Between the second SIGTERM, which cuts what still runs, and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A running stage. Dropping it ends all of it at once.
pub(super) struct Stage {
    // Declared before what it depends on, so that it ends first.
    serve: Server,
    stack: LocalStack,
    store: FolderStore,
    sip: SocketAddr,
    /// Held, so that no other run gets the same.
    _rtp: RtpPorts,
}

impl Stage {
    pub(super) async fn start(
        folder: &Path,
        arguments: &Arguments,
        screen: &mut Screen,
    ) -> anyhow::Result<Self> {
        let (stack, http) = local::stack(folder, arguments.livekit_server.clone()).await?;
        let listen = http.local_addr()?;
        screen.print(&[Line::step("Redis and livekit-server are up")]);
        let store = FolderStore::open(folder.join("store")).await?;
        let rtp = RtpPorts::reserve()?;
        let config = write_config(folder, &stack, listen, &rtp, arguments.offline)?;
        let mut serve = local::serve(folder, &config, http)?;
        let sip = local::ready(&mut serve, ready_address).await?;
        screen.print(&[brains::told(arguments.offline)]);
        screen.print(&[Line::step("trunkline serve is up: webhook, worker, gateway")]);
        route(&stack).await?;
        screen.print(&[Line::step("trunk and dispatch rule are made")]);
        Ok(Self {
            serve,
            stack,
            store,
            sip,
            _rtp: rtp,
        })
    }

    /// Waits for a part that ends by itself, which none should; its end is the error.
    pub(super) async fn watch(&mut self) -> StackError {
        loop {
            if let Err(error) = self.serve.still_runs().and_then(|()| self.stack.still_runs()) {
                return error;
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Where SIP is listened to.
    pub(super) fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// The log of `trunkline serve`.
    pub(super) fn log(&self) -> &Path {
        self.serve.log()
    }

    pub(super) fn store(&self) -> &FolderStore {
        &self.store
    }

    pub(super) fn store_folder(&self) -> &Path {
        self.store.root()
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let drained = self.serve.ask_to_end(DRAIN).await;
        tracing::debug!(drained, "trunkline serve was asked to end");
        let serve = self.serve.stop(STOP_GRACE).await;
        self.stack.stop().await?;
        Ok(serve?)
    }
}

/// The configuration and the profiles, in `folder`. JSON is YAML too, so that nothing needs quoting by hand.
fn write_config(
    folder: &Path,
    stack: &LocalStack,
    listen: SocketAddr,
    rtp: &RtpPorts,
    offline: bool,
) -> anyhow::Result<PathBuf> {
    let profiles = folder.join("profiles");
    std::fs::create_dir_all(&profiles)?;
    let providers = if offline { brains::OFFLINE } else { "" };
    let profile = format!("{}{providers}", include_str!("../../../profiles/reception.yaml"));
    for (name, text) in [
        ("reception.yaml", profile.as_str()),
        (
            "reception.dialogue.yaml",
            include_str!("../../../profiles/reception.dialogue.yaml"),
        ),
    ] {
        std::fs::write(profiles.join(name), text)?;
    }
    let config = json!({
        "livekit": {
            "url": stack.ws_url(),
            "api_key": stack.keys().api_key(),
            "api_secret": stack.keys().api_secret(),
        },
        "redis": { "url": stack.redis_url() },
        "http": { "listen": listen.to_string() },
        "sip": { "listen": "127.0.0.1:0", "advertised_address": "127.0.0.1", "rtp_ports": rtp.to_string() },
        "agents": [{ "profile": PROFILE, "rooms": [format!("{ROOM_PREFIX}*")] }],
        "profiles": profiles,
        "queue": format!("sqlite:{}", folder.join("queue.sqlite").display()),
        "store": format!("file:{}", folder.join("store").display()),
        "log": { "level": "info", "format": "json" },
    });
    let path = folder.join("trunkline.yaml");
    local::write_private(&path, &config.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// The `sip` field of a log line whose message is `ready`, wherever the log's format puts its fields.
fn ready_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let is_ready = fields.get("message").and_then(Value::as_str) == Some("ready");
    fields.get("sip").filter(|_| is_ready)?.as_str()?.parse().ok()
}

/// A trunk for the called number, from loopback only, and a room of its own for each call.
async fn route(stack: &LocalStack) -> anyhow::Result<()> {
    let livekit = local::livekit(&stack.ws_url(), stack.keys().api_key(), stack.keys().api_secret())?;
    let trunk = livekit
        .create_sip_inbound_trunk(proto::SipInboundTrunkInfo {
            name: "demo".to_owned(),
            numbers: vec![CALLED.to_owned()],
            allowed_addresses: vec!["127.0.0.0/8".to_owned()],
            ..Default::default()
        })
        .await
        .context("making the trunk")?;
    let individual = proto::SipDispatchRuleIndividual {
        room_prefix: ROOM_PREFIX.to_owned(),
        ..Default::default()
    };
    let rule = proto::SipDispatchRule {
        rule: Some(proto::sip_dispatch_rule::Rule::DispatchRuleIndividual(individual)),
    };
    livekit
        .create_sip_dispatch_rule(proto::SipDispatchRuleInfo {
            name: "demo".to_owned(),
            rule: Some(rule),
            trunk_ids: vec![trunk.sip_trunk_id],
            ..Default::default()
        })
        .await
        .context("making the dispatch rule")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_found_in_either_shape() {
        let sip = Some("127.0.0.1:5060".parse().unwrap());
        let nested =
            r#"{"level":"INFO","fields":{"message":"ready","http":"127.0.0.1:1","sip":"127.0.0.1:5060"}}"#;
        let flat = r#"{"message":"ready","sip":"127.0.0.1:5060"}"#;
        assert_eq!((ready_address(nested), ready_address(flat)), (sip, sip));
        assert_eq!(
            ready_address(r#"{"message":"step","sip":"127.0.0.1:5060"}"#),
            None
        );
        assert_eq!(ready_address("thread panicked"), None);
    }
}
