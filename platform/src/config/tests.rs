mod access;
mod aws;
mod files;
mod sip;
mod telephony;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::*;

const SECRET: &str = "canary-0123456789abcdefghijklmnopqrstuv";
const OTHER_SECRET: &str = "other-canary-0123456789abcdefghijklmnop";

fn env(vars: &[(&str, &str)]) -> BTreeMap<String, String> {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The least that a configuration must say.
fn least() -> BTreeMap<String, String> {
    env(&[
        ("LIVEKIT_API_KEY", "devkey"),
        ("LIVEKIT_API_SECRET", SECRET),
        ("TRUNKLINE__SIP__ADVERTISED_ADDRESS", "203.0.113.7"),
    ])
}

fn parse_in(folder: &Path, text: &str, env: &dyn Environment) -> Result<Config, Faults> {
    parse(text, Some("trunkline.yaml"), folder, env)
}

fn faults_of(text: &str, env: &dyn Environment) -> Vec<Fault> {
    let folder = tempfile::tempdir().unwrap();
    match parse_in(folder.path(), text, env) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().cloned().collect(),
    }
}

/// The one fault that is expected, as (key, line or variable, problem and remedy).
fn fault_of(text: &str) -> (String, Place, String) {
    let mut faults = faults_of(text, &least());
    assert_eq!(faults.len(), 1, "{text}: {faults:#?}");
    let fault = faults.remove(0);
    (
        fault.key,
        fault.place,
        format!("{} / {}", fault.problem, fault.remedy),
    )
}

#[test]
fn five_faults_are_five_reports_each_with_key_place_and_remedy() {
    let text = "\
livekit:
  url: ws://livekit.example.com
  api_key: devkey
  api_secret: short
sip:
  listen: 127.0.0.1:5060
  rtp_ports: 20999-20000
  agent_gone_grace: 10s
worker:
  slotz: 4
";
    let faults = faults_of(text, &env(&[]));
    let seen: Vec<(&str, &Place)> = faults
        .iter()
        .map(|fault| (fault.key.as_str(), &fault.place))
        .collect();
    assert_eq!(
        seen,
        [
            ("livekit.url", &Place::File(Some(2))),
            ("livekit.api_secret", &Place::File(Some(4))),
            ("sip.rtp_ports", &Place::File(Some(7))),
            ("sip.agent_gone_grace", &Place::File(Some(8))),
            ("worker.slotz", &Place::File(Some(10))),
        ]
    );
    assert!(
        faults
            .iter()
            .all(|fault| !fault.problem.is_empty() && !fault.remedy.is_empty())
    );
    assert_eq!(EXIT_CODE, 64);
}

#[test]
fn the_defaults_are_those_that_the_documentation_names() {
    let folder = tempfile::tempdir().unwrap();
    let config = parse_in(folder.path(), "", &least()).unwrap();
    assert_eq!(config.livekit.url, "ws://127.0.0.1:7880");
    assert_eq!(config.redis.url.expose(), "redis://127.0.0.1:6379");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9100");
    assert_eq!(config.sip.listen.to_string(), "0.0.0.0:5060");
    assert_eq!(config.sip.tcp, None);
    assert!(config.sip.tls.server.is_none() && config.sip.tls.authorities.is_none());
    assert_eq!(
        (config.sip.max_connections, config.sip.max_connections_per_source),
        (256, 64)
    );
    assert_eq!(
        config.sip.rtp_ports,
        PortRange {
            first: 20_000,
            last: 20_999
        }
    );
    assert_eq!(config.sip.default_region.to_string(), "US");
    assert_eq!(config.sip.no_agent_timeout, Duration::from_secs(10));
    assert_eq!(config.sip.agent_gone_grace, Duration::from_secs(15));
    assert_eq!(
        (config.sip.max_ringing, config.sip.max_ringing_per_source),
        (16, 12)
    );
    assert_eq!(
        config.sip.codecs,
        [SipCodec::Opus, SipCodec::G722, SipCodec::Pcmu, SipCodec::Pcma]
    );
    assert_eq!(config.agents.len(), 0);
    assert_eq!(config.profiles, folder.path().join("profiles"));
    assert_eq!(
        config.queue,
        QueueConfig::Sqlite(folder.path().join("data/queue.sqlite"))
    );
    assert_eq!(
        config.store,
        StoreConfig::Folder(folder.path().join("data/store"))
    );
    assert_eq!(
        (config.worker.slots, config.worker.drain_limit),
        (8, Duration::from_mins(10))
    );
    assert_eq!(
        (config.worker.lease, config.worker.heartbeat),
        (Duration::from_secs(9), Duration::from_secs(3))
    );
    assert!(config.providers.openai.is_none());
    assert_eq!(
        (config.log.level.as_str(), config.log.format),
        ("info", LogFormat::Json)
    );
    assert_eq!(
        config.livekit.webhook_keys.len(),
        1,
        "the API key signs webhooks too"
    );
}

#[test]
fn the_example_names_every_key_with_its_default() {
    let folder = tempfile::tempdir().unwrap();
    let example = include_str!("../../trunkline.example.yaml");
    let named = parse_in(folder.path(), example, &least()).unwrap();
    let default = parse_in(folder.path(), "", &least()).unwrap();
    assert_eq!(format!("{named:#?}"), format!("{default:#?}"));
    let keys = "url api_key api_secret webhook_keys listen tcp tls certificate key authorities max_connections max_connections_per_source registrations keep_alive dns name provider server transport user auth_user password domain expires number advertised_address rtp_ports default_region no_agent_timeout \
        agent_gone_grace max_ringing max_ringing_per_source codecs info_dtmf no_agent no_agent_target refer_trunk sounds pin wrong_pin right_pin hold records ladder agents profile numbers rooms attributes profiles queue store slots lease heartbeat \
        drain_limit openai deepgram base_url level format access keys key_sha256 scopes limits concurrent calls_per_day minutes_per_day \
        identities attributes room_config agents jwt issuer audience jwks_url requests_per_minute token origins server_url \
        calls targets sip_hosts special trunks from per_trunk per_number max_duration ringing_timeout recordings s3 bucket \
        region endpoint path_style access_key secret private_hosts ingress tools secrets \
        trunks inbound outbound allowed_addresses allowed_numbers auth username open ringing_timeout max_call_duration headers \
        headers_to_attributes attributes_to_headers include_headers media only_listed_codecs encryption timeout address from_host \
        destination_country dispatch_rules any_trunk kind room random pin inbound_numbers hide_phone_number empty_timeout \
        departure_timeout max_participants tags agent_name room_preset krisp_enabled";
    for key in keys.split_whitespace() {
        assert!(example.contains(&format!("{key}:")), "{key}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_usual_variables() {
    let folder = tempfile::tempdir().unwrap();
    let mut env = least();
    env.extend([
        ("LIVEKIT_URL".into(), "wss://usual.example.com".into()),
        ("TRUNKLINE__WORKER__SLOTS".into(), "3".into()),
        ("TRUNKLINE__SIP__CODECS".into(), "[PCMA, opus]".into()),
        ("OPENAI_API_KEY".into(), "sk-environment".into()),
        ("DEEPGRAM_API_KEY".into(), "dg-environment".into()),
    ]);
    let text = "livekit: {url: 'wss://${HOST:-file.example.com}/'}\nworker: {slots: 5, lease: 10s}\n";
    let config = parse_in(folder.path(), text, &env).unwrap();
    assert_eq!(config.livekit.url, "wss://file.example.com");
    assert_eq!(
        (config.worker.slots, config.worker.lease),
        (3, Duration::from_secs(10))
    );
    assert_eq!(config.sip.codecs, [SipCodec::Pcma, SipCodec::Opus]);
    let openai = config.providers.openai.unwrap();
    assert_eq!(
        (openai.api_key.expose(), openai.base_url.as_str()),
        ("sk-environment", "https://api.openai.com/v1")
    );
    let deepgram = config.providers.deepgram.unwrap();
    assert_eq!(
        (deepgram.api_key.expose(), deepgram.base_url.as_str()),
        ("dg-environment", "https://api.deepgram.com")
    );
}

#[test]
fn nothing_secret_shows_in_debug_or_in_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut env = least();
    env.insert(
        "TRUNKLINE__REDIS__URL".into(),
        "redis://:pass%2Dcanary@127.0.0.1".into(),
    );
    env.insert("OPENAI_API_KEY".into(), "sk-canary".into());
    env.insert("DEEPGRAM_API_KEY".into(), "dg-canary".into());
    let text = format!("livekit: {{webhook_keys: [{{api_key: k, api_secret: {OTHER_SECRET}}}]}}");
    let config = parse_in(folder.path(), &text, &env).unwrap();
    assert!(!format!("{config:?}{config:#?}").contains("canary"));
    let masked: Vec<&str> = config.log.secrets.iter().map(crate::Secret::expose).collect();
    assert_eq!(
        masked,
        [OTHER_SECRET, SECRET, "sk-canary", "dg-canary", "pass-canary"],
        "the logs know what to mask"
    );

    env.insert("LIVEKIT_API_SECRET".into(), "short-canary".into());
    env.insert("TRUNKLINE__REDIS__URL".into(), "amqp://:pass-canary@h".into());
    env.insert(
        "TRUNKLINE__LIVEKIT__WEBHOOK_KEYS".into(),
        "[{api_key: k, api_secret: tiny-canary}]".into(),
    );
    let faults = parse_in(folder.path(), "livekit: {url: 'wss://u:canary@h'}", &env).unwrap_err();
    assert_eq!(faults.count(), 4, "{faults}");
    assert!(!format!("{faults}{faults:?}").contains("canary"));
}

#[test]
fn unknown_keys_are_faults_with_the_name_that_was_meant() {
    let (key, place, said) = fault_of("sip:\n  rtp_port: 1-2\n");
    assert_eq!((key.as_str(), place), ("sip.rtp_port", Place::File(Some(2))));
    assert!(said.contains("did you mean `rtp_ports`?"), "{said}");
    let (key, _, said) = fault_of("kafka: {}");
    assert_eq!(key, "kafka");
    assert!(
        said.contains("livekit, redis, http, sip, trunks, dispatch_rules, agents"),
        "{said}"
    );
    let mut env = least();
    env.insert("TRUNKLINE__WORKER__SLOT".into(), "1".into());
    let faults = faults_of("", &env);
    assert_eq!(
        faults.first().unwrap().place,
        Place::Environment("TRUNKLINE__WORKER__SLOT".into())
    );
}

#[test]
fn missing_keys_are_faults_and_empty_ones_count_as_missing() {
    let faults = faults_of("livekit:\n  api_key:\n", &env(&[]));
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        ["livekit.api_key", "livekit.api_secret", "sip.advertised_address"]
    );
}

#[test]
fn entries_that_could_take_the_same_call_are_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("profiles")).unwrap();
    fs::write(folder.path().join("profiles/a.yaml"), "").unwrap();
    let text =
        "agents:\n  - profile: a\n    numbers: ['+1555*']\n  - profile: a\n    numbers: ['+15550100']\n";
    let faults = parse_in(folder.path(), text, &least()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!(
        (faults.count(), fault.key.as_str(), &fault.place),
        (1, "agents[1]", &Place::File(Some(4)))
    );
    assert!(fault.problem.contains("agents[0]"));
    let apart = text.replace("'+1555*'", "'+1444*'");
    assert_eq!(parse_in(folder.path(), &apart, &least()).unwrap().agents.len(), 2);
}

#[test]
fn keys_are_checked_against_each_other() {
    for (text, key) in [
        ("sip: {max_ringing_per_source: 17}", "sip.max_ringing_per_source"),
        (
            "sip: {max_ringing: 4, max_ringing_per_source: 5}",
            "sip.max_ringing_per_source",
        ),
        ("worker: {lease: 20s}", "sip.agent_gone_grace"),
        ("worker: {heartbeat: 4s}", "worker.heartbeat"),
        (
            "worker: {lease: 3s, heartbeat: 1s}\nstore: 's3://bucket/prefix?region=eu-central-1'",
            "worker.lease",
        ),
        ("worker: {slots: 600}", "sip.rtp_ports"),
        ("sip: {rtp_ports: 20000-20010}", "sip.rtp_ports"),
        ("sip: {listen: '10.0.0.1:20500'}", "sip.rtp_ports"),
    ] {
        assert_eq!(fault_of(text).0, key, "{text}");
    }
}

#[test]
fn wrong_values_are_faults_wherever_they_stand() {
    for (text, key) in [
        ("http: {listen: localhost}", "http.listen"),
        ("sip: {default_region: Utopia}", "sip.default_region"),
        ("sip: {codecs: [gsm]}", "sip.codecs[0]"),
        ("sip: {ladder: full}", "sip.ladder"),
        ("sip: {keep_alive: 1s}", "sip.keep_alive"),
        ("sip: {keep_alive: never}", "sip.keep_alive"),
        ("sip: {dns: [ns.example.com]}", "sip.dns[0]"),
        (
            "sip: {dns: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4]}",
            "sip.dns",
        ),
        ("sip: {records: maybe}", "sip.records"),
        ("sip: {no_agent_timeout: 10}", "sip.no_agent_timeout"),
        ("sip: {no_agent: ring}", "sip.no_agent"),
        ("sip: {no_agent: prompt}", "sip.no_agent"),
        ("sip: {no_agent: transfer}", "sip.no_agent"),
        ("sip: {no_agent_target: '+4930123456'}", "sip.no_agent_target"),
        ("sip: {refer_trunk: main}", "sip.refer_trunk"),
        ("sip: {sounds: {hold: ''}}", "sip.sounds.hold"),
        ("sip: {max_ringing: 0}", "sip.max_ringing"),
        ("sip: [1]", "sip"),
        ("sip: {tcp: 5060}", "sip.tcp"),
        ("sip: {tls: {listen: '0.0.0.0:5061'}}", "sip.tls.listen"),
        ("sip: {tls: {certificate: a, key: b}}", "sip.tls.listen"),
        (
            "sip: {max_connections: 4, max_connections_per_source: 5}",
            "sip.max_connections_per_source",
        ),
        ("queue: sqs", "queue"),
        (
            "queue: 'sqs:https://sqs.eu-central-1.amazonaws.com/1/jobs'",
            "queue",
        ),
        ("queue: 'sqs:http://10.0.0.1/1/jobs.fifo?region=r'", "queue"),
        ("queue: {a: b}", "queue"),
        ("store: 's3:bucket'", "store"),
        ("store: 's3://bucket'", "store"),
        (
            "store: 's3://bucket?region=r&endpoint=http://s3.example.com'",
            "store",
        ),
        ("log: {level: loud}", "log.level"),
        ("log: {format: xml}", "log.format"),
        ("agents: {profile: a}", "agents"),
        ("agents: [a]", "agents[0]"),
        ("agents: [{profile: ../a}]", "agents[0].profile"),
        (
            "providers: {openai: {base_url: 'http://ai.example.com', api_key: x}}",
            "providers.openai.base_url",
        ),
        (
            "providers: {openai: {base_url: 'https://ai.example.com'}}",
            "providers.openai.api_key",
        ),
        (
            "providers: {deepgram: {base_url: 'http://ai.example.com', api_key: x}}",
            "providers.deepgram.base_url",
        ),
        (
            "providers: {deepgram: {base_url: 'https://ai.example.com'}}",
            "providers.deepgram.api_key",
        ),
        ("profiles: ${UNSET}", "profiles"),
        ("worker: !tag {slots: 1}", "worker"),
        ("redis: {url: 'http://h'}", "redis.url"),
    ] {
        assert_eq!(fault_of(text).0, key, "{text}");
    }
}
