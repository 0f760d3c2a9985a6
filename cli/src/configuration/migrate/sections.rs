//! What is no trunk and no rule.

use super::{Section, Value, older::Older};

/// Keys that have no counterpart, and why.
const WITHOUT: &[(&str, &str)] = &[
    (
        "livekit.connection_timeout",
        "every call of LiveKit's API has 10 s here, repeats included",
    ),
    (
        "livekit.keep_alive",
        "LiveKit's own connections ping by themselves",
    ),
    (
        "livekit.auto_reconnect",
        "agents and gateway always reconnect; the lease of a call settles who serves it",
    ),
    (
        "livekit.max_reconnect_attempts",
        "reconnecting ends when the call's lease does (worker.lease)",
    ),
    (
        "livekit.reconnect_delay",
        "the pauses between attempts grow by themselves",
    ),
    (
        "redis.timeout",
        "the gateway waits at most 10 s for Redis at its start, and reconnects by itself",
    ),
    (
        "webhooks.enabled",
        "webhooks are always taken, at http.listen, POST /webhooks/livekit",
    ),
    (
        "webhooks.url",
        "it belongs into the LiveKit server's configuration, webhook.urls; http.listen is the address that is served here",
    ),
    (
        "webhooks.secret",
        "LiveKit signs webhooks with the secret of one of its keys: set webhook.api_key at the server to livekit.api_key, or list the other key in livekit.webhook_keys",
    ),
    (
        "webhooks.timeout",
        "it is livekit-server that waits, and its limits are fixed",
    ),
    (
        "webhooks.max_retries",
        "livekit-server repeats a webhook four times, fixed; the sweep makes up for lost ones",
    ),
    ("webhooks.retry_delay", "livekit-server's own pauses: 1 s to 30 s"),
    (
        "health_check.enabled",
        "the HTTP API has /health, /health/live and /health/ready, and is served with `access`; `trunkline doctor` needs none of it",
    ),
    ("health_check.interval", "whoever asks for /health says how often"),
    ("health_check.timeout", "each part of /health has 3 s"),
    (
        "logging.structured",
        "logs are always structured; log.format says how they look",
    ),
];

pub(super) fn livekit(older: &mut Older, new: &mut Section) {
    let mut section = Section::default();
    for key in ["url", "api_key", "api_secret"] {
        section.set_some(key, older.text(&format!("livekit.{key}")));
    }
    new.set("livekit", section);
}

pub(super) fn redis(older: &mut Older, new: &mut Section) {
    let Some(address) = older.text("redis.address") else {
        return;
    };
    let mut section = Section::default();
    let is_url = address.starts_with('$') || address.contains("://");
    section.set(
        "url",
        if is_url {
            address
        } else {
            format!("redis://{address}")
        },
    );
    older.note(
        "redis.address",
        "redis.url now; the LiveKit server's own redis.address is host:port without redis://, and must be the same server and database",
    );
    new.set("redis", section);
}

pub(super) fn sip(older: &mut Older, new: &mut Section) {
    let mut section = Section::default();
    section.set("advertised_address", "${SIP_ADVERTISED_ADDRESS}");
    let mut codecs: Vec<(u32, Value)> = Vec::new();
    for at in 0..older.count("audio_codecs") {
        let path = format!("audio_codecs[{at}]");
        let priority = older.text(&format!("{path}.priority"));
        let priority = priority.and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
        let Some(name) = older.text(&format!("{path}.name")) else {
            continue;
        };
        let known = name.to_ascii_uppercase().replace('.', "");
        if ["OPUS", "G722", "PCMU", "PCMA"].contains(&known.as_str()) {
            codecs.push((priority, known.into()));
        } else {
            let says = format!("{name} is not spoken with telephones");
            older.note(&format!("{path}.name"), says);
        }
    }
    codecs.sort_by_key(|(priority, _)| *priority);
    section.set_list("codecs", codecs.into_iter().map(|(_, codec)| codec).collect());
    new.set("sip", section);
}

pub(super) fn log(older: &mut Older, new: &mut Section) {
    let mut section = Section::default();
    if let Some(older_level) = older.text("logging.level") {
        let is_variable = older_level.contains("${");
        section.set("level", level(&older_level));
        if is_variable {
            let says =
                "levels are off, error, warn, info, debug, trace, in lower case: the variable's value too";
            older.note("logging.level", says);
        }
    }
    match older.text("logging.format").as_deref() {
        None => {}
        Some("json") => section.set("format", "json"),
        Some(_) => section.set("format", "text"),
    }
    if !section.0.is_empty() {
        new.set("log", section);
    }
}

/// `INFO` is `info` here, and `WARNING` is `warn`; so is the default of a variable.
fn level(text: &str) -> String {
    let lower = |name: &str| match name.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        other => other.to_owned(),
    };
    match text.strip_suffix('}').and_then(|inside| inside.split_once(":-")) {
        Some((name, default)) => format!("{name}:-{}}}", lower(default)),
        None if text.contains("${") => text.to_owned(),
        None => lower(text),
    }
}

/// Says of each key that is left why it has no counterpart.
pub(super) fn without_counterpart(older: &mut Older) {
    for (path, why) in WITHOUT {
        if older.text(path).is_some() {
            older.note(path, *why);
        }
    }
    older.warn(
        "sip.advertised_address",
        "new, and required: set SIP_ADVERTISED_ADDRESS to the IP address that providers reach this machine at",
    );
    older.warn(
        "agents",
        "new: name the profile that answers, such as agents: [{profile: reception, rooms: [\"*\"]}]; until then no call gets an agent",
    );
}
