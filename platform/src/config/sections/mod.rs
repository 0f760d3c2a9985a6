//! One function per section of the file, in its order. Checks that concern several keys stand at the end.

mod access;
mod agents;
mod calls;
mod dispatch;
mod livekit;
mod media;
mod providers;
mod registrations;
mod sip;
mod trunks;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::{
    fault::Place,
    reader::{Context, Section, parsed, scalar},
    tree::Node,
    types::{
        Config, Deepgram, Http, LogConfig, LogFormat, OpenAi, Providers, QueueConfig, Redis, StoreConfig,
        Worker,
    },
    values::{
        Wrong, duration, human, log_format, log_level, parse_as, queue, redis_url, store, url, whole_number,
        wrong,
    },
};
use crate::Secret;
use access::{access, token};
use agents::{agents, agents_do_not_overlap, profiles_are_there};
use calls::calls;
use dispatch::dispatch_rules;
use livekit::livekit;
use media::{ingress, recordings};
use sip::{SipSection, sip};
use trunks::trunks;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
/// What the grace must exceed the lease by: a take-over needs time beyond the lost lease.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Reads everything; `None` when something required is missing or wrong. `base` is where relative paths begin.
pub(super) fn config(cx: &Context<'_>, root: Node, base: &Path) -> Option<Config> {
    let mut root = Section::of(cx, String::new(), root);
    let livekit = livekit(cx, root.section("livekit"));
    let redis = redis(root.section("redis"));
    let http = http(root.section("http"));
    let sip_section = root.section("sip");
    let telephony = trunks(cx, root.section("trunks"));
    let telephony = dispatch_rules(cx, root.list("dispatch_rules"), telephony);
    let agents = agents(cx, root.list("agents"));
    let profiles = base.join(root.or("profiles", "profiles".to_owned(), not_empty));
    let queue = root
        .or("queue", QueueConfig::Sqlite("data/queue.sqlite".into()), |text| {
            queue(text, cx.env)
        })
        .below(base);
    let store = root
        .or("store", StoreConfig::Folder("data/store".into()), |text| {
            store(text, cx.env)
        })
        .below(base);
    let worker = worker(cx, root.section("worker"));
    // How many calls may ring hangs on the slots by default.
    let sip = sip(cx, sip_section, worker.config.slots, base);
    let providers = providers(root.section("providers"));
    let tool_secrets = tool_secrets(root.section("tools"));
    let access = access(cx, root.has("access"), root.section("access"));
    let token = token(cx, root.section("token"));
    let calls = calls(cx, root.section("calls"));
    let recordings = recordings(cx, root.section("recordings"));
    let ingress = ingress(cx, root.section("ingress"));
    let log = log(root.section("log"));
    root.finish();

    profiles_are_there(cx, &agents, &profiles);
    agents_do_not_overlap(cx, &agents);
    sip_fits_worker(cx, &sip, &worker);
    worker_fits_store(cx, &worker, &store);
    let agents = agents.into_iter().map(|(_, rule)| rule).collect();
    let (livekit, sip) = (livekit?, sip.config?);
    let mut config = Config {
        livekit,
        redis,
        http,
        sip,
        telephony,
        agents,
        profiles,
        queue,
        store,
        worker: worker.config,
        providers,
        tool_secrets,
        access,
        token,
        calls,
        recordings,
        ingress,
        log,
    };
    config.log.secrets = secrets(&config);
    Some(config)
}

/// Every secret of the configuration, for the logs to mask.
fn secrets(config: &Config) -> Vec<Secret> {
    let keys = config.livekit.webhook_keys.iter().map(|key| &key.api_secret);
    let openai = config.providers.openai.iter().map(|openai| &openai.api_key);
    let deepgram = config.providers.deepgram.iter().map(|deepgram| &deepgram.api_key);
    let access = config.access.iter().flat_map(|access| &access.keys);
    keys.chain([&config.livekit.api_secret])
        .chain(access.filter_map(|key| key.key.as_ref()))
        .chain(config.recordings.s3.iter().map(|s3| &s3.secret))
        .chain(openai)
        .chain(deepgram)
        .chain(
            config
                .sip
                .registrations
                .iter()
                .map(|registration| &registration.password),
        )
        .chain(config.telephony.passwords())
        .chain(config.tool_secrets.values())
        .cloned()
        .chain(redis_password(&config.redis.url))
        .collect()
}

/// As the client sends it: in a whole URL the logs mask it anyway.
fn redis_password(url: &Secret) -> Option<Secret> {
    let url = Url::parse(url.expose()).ok()?;
    let password = percent_decode_str(url.password()?).decode_utf8_lossy();
    Some(Secret::new(password.into_owned()))
}

fn redis(mut section: Section<'_>) -> Redis {
    let url = section.or("url", Secret::new("redis://127.0.0.1:6379"), redis_url);
    section.finish();
    Redis { url }
}

fn tool_secrets(mut section: Section<'_>) -> BTreeMap<String, Secret> {
    let secrets = section.texts("secrets");
    section.finish();
    secrets
        .into_iter()
        .map(|(name, secret)| (name, Secret::new(secret)))
        .collect()
}

fn http(mut section: Section<'_>) -> Http {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 9100));
    let listen = section.or(
        "listen",
        listen,
        parse_as("address with a port", "127.0.0.1:9100"),
    );
    section.finish();
    Http { listen }
}

struct WorkerSection {
    config: Worker,
    lease_place: Place,
    slots_place: Place,
}

fn worker(cx: &Context<'_>, mut section: Section<'_>) -> WorkerSection {
    let (slots, slots_place) = placed(cx, &mut section, "slots", 8, whole_number(1..=1_000));
    let (lease, lease_place) = placed(
        cx,
        &mut section,
        "lease",
        SECOND * 9,
        duration(SECOND * 3..=SECOND * 60),
    );
    let (heartbeat, place) = placed(
        cx,
        &mut section,
        "heartbeat",
        SECOND * 3,
        duration(Duration::from_millis(500)..=SECOND * 20),
    );
    if heartbeat * 3 > lease {
        cx.fault(
            section.path("heartbeat"),
            place,
            format!(
                "{} is more than a third of worker.lease ({})",
                human(heartbeat),
                human(lease)
            ),
            format!(
                "set it to {} or less, so that two lost heartbeats do no harm",
                human(lease / 3)
            ),
        );
    }
    let drain_limit = section.or(
        "drain_limit",
        Duration::from_mins(10),
        duration(Duration::ZERO..=HOUR * 12),
    );
    section.finish();
    WorkerSection {
        config: Worker {
            slots,
            lease,
            heartbeat,
            drain_limit,
        },
        lease_place,
        slots_place,
    }
}

fn providers(mut section: Section<'_>) -> Providers {
    let openai = openai(section.section("openai"));
    let deepgram = deepgram(section.section("deepgram"));
    section.finish();
    Providers { openai, deepgram }
}

fn openai(mut section: Section<'_>) -> Option<OpenAi> {
    // A service that the file names wants a key; one that only the environment names may be another program's.
    let wants_key = section.has("base_url");
    let base_url = match section.raw("base_url", &["OPENAI_BASE_URL"]) {
        Some(found) => section.parse(&found, url("https", "http")),
        None => Some("https://api.openai.com/v1".to_owned()),
    };
    let api_key = if wants_key {
        let remedy = "set it, or OPENAI_API_KEY; a service that wants none takes any text";
        section.required("api_key", &["OPENAI_API_KEY"], remedy, not_empty)
    } else {
        section
            .raw("api_key", &["OPENAI_API_KEY"])
            .map(|found| found.text)
            .filter(|key| !key.trim().is_empty())
    };
    section.finish();
    Some(OpenAi {
        api_key: Secret::new(api_key?),
        base_url: base_url?,
    })
}

fn deepgram(mut section: Section<'_>) -> Option<Deepgram> {
    let wants_key = section.has("base_url");
    let base_url = match section.raw("base_url", &[]) {
        Some(found) => section.parse(&found, url("https", "http")),
        None => Some("https://api.deepgram.com".to_owned()),
    };
    let api_key = if wants_key {
        let remedy = "set it, or DEEPGRAM_API_KEY; a server of your own that wants none takes any text";
        section.required("api_key", &["DEEPGRAM_API_KEY"], remedy, not_empty)
    } else {
        section
            .raw("api_key", &["DEEPGRAM_API_KEY"])
            .map(|found| found.text)
            .filter(|key| !key.trim().is_empty())
    };
    section.finish();
    Some(Deepgram {
        api_key: Secret::new(api_key?),
        base_url: base_url?,
    })
}

fn log(mut section: Section<'_>) -> LogConfig {
    let level = section.or("level", "info".to_owned(), log_level);
    let format = section.or("format", LogFormat::Json, log_format);
    section.finish();
    LogConfig {
        level,
        format,
        secrets: Vec::new(),
    }
}

/// S3 tells ages in whole seconds, and so does not tell for 2 s whether a claim is over: its holder gives it up so much sooner, and has to
/// have renewed it by then though one heartbeat was lost.
fn worker_fits_store(cx: &Context<'_>, worker: &WorkerSection, store: &StoreConfig) {
    let Worker { lease, heartbeat, .. } = worker.config;
    let least = heartbeat * 2 + SECOND * 2;
    if matches!(store, StoreConfig::S3(_)) && lease < least {
        cx.fault(
            "worker.lease",
            worker.lease_place.clone(),
            format!(
                "{} is too short on S3, which tells ages in whole seconds",
                human(lease)
            ),
            format!("set it to {} or more: two heartbeats and 2 s", human(least)),
        );
    }
}

fn sip_fits_worker(cx: &Context<'_>, sip: &SipSection, worker: &WorkerSection) {
    let Worker { slots, lease, .. } = worker.config;
    if sip.agent_gone_grace < lease + TAKEOVER {
        cx.fault(
            "sip.agent_gone_grace",
            sip.grace_place.clone(),
            format!(
                "{} is too short to take a call over: worker.lease is {}",
                human(sip.agent_gone_grace),
                human(lease)
            ),
            format!("set it to {} or more", human(lease + TAKEOVER)),
        );
    }
    let needed = u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(2);
    if sip.rtp_ports.count() < needed {
        let place = if sip.ports_place == Place::Nowhere {
            &worker.slots_place
        } else {
            &sip.ports_place
        };
        cx.fault(
            "sip.rtp_ports",
            place.clone(),
            format!(
                "{} ports are too few for {slots} calls (worker.slots)",
                sip.rtp_ports.count()
            ),
            format!("give it {needed} ports or more, two for each call"),
        );
    }
}

/// The value of a key with a default, and where it stands.
fn placed<T>(
    cx: &Context<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    default: T,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> (T, Place) {
    match section.raw(key, &[]) {
        Some(found) => (parsed(cx, &found, parse).unwrap_or(default), found.place),
        None => (default, Place::Nowhere),
    }
}

/// The single values of a list. `None` when one of them is wrong: an entry without it would stand for something else.
fn listed<T>(
    cx: &Context<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    let items = section.list(key).unwrap_or_default();
    let found: Vec<Option<T>> = items
        .into_iter()
        .map(|(path, item)| parsed(cx, &scalar(cx, path, item)?, &parse))
        .collect();
    found.into_iter().collect()
}

fn not_empty(text: &str) -> Result<String, Wrong> {
    match text.trim() {
        "" => wrong("it is empty", "set it, or leave it out"),
        text => Ok(text.to_owned()),
    }
}
