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
        [SipCodec::G722, SipCodec::Pcmu, SipCodec::Pcma]
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
    let keys = "url api_key api_secret webhook_keys listen tcp tls certificate key authorities max_connections max_connections_per_source registrations name provider server transport user auth_user password domain expires number advertised_address rtp_ports default_region no_agent_timeout \
        agent_gone_grace max_ringing max_ringing_per_source codecs info_dtmf records ladder agents profile numbers rooms attributes profiles queue store slots lease heartbeat \
        drain_limit openai base_url level format access keys key_sha256 scopes limits concurrent calls_per_day minutes_per_day \
        identities attributes room_config agents jwt issuer audience jwks_url requests_per_minute token origins server_url \
        calls targets sip_hosts special trunks per_trunk per_number max_duration ringing_timeout recordings s3 bucket \
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
        ("TRUNKLINE__SIP__CODECS".into(), "[PCMA, pcmu]".into()),
        ("OPENAI_API_KEY".into(), "sk-environment".into()),
    ]);
    let text = "livekit: {url: 'wss://${HOST:-file.example.com}/'}\nworker: {slots: 5, lease: 10s}\n";
    let config = parse_in(folder.path(), text, &env).unwrap();
    assert_eq!(config.livekit.url, "wss://file.example.com");
    assert_eq!(
        (config.worker.slots, config.worker.lease),
        (3, Duration::from_secs(10))
    );
    assert_eq!(config.sip.codecs, [SipCodec::Pcma, SipCodec::Pcmu]);
    let openai = config.providers.openai.unwrap();
    assert_eq!(
        (openai.api_key.expose(), openai.base_url.as_str()),
        ("sk-environment", "https://api.openai.com/v1")
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
    let text = format!("livekit: {{webhook_keys: [{{api_key: k, api_secret: {OTHER_SECRET}}}]}}");
    let config = parse_in(folder.path(), &text, &env).unwrap();
    assert!(!format!("{config:?}{config:#?}").contains("canary"));
    let masked: Vec<&str> = config.log.secrets.iter().map(crate::Secret::expose).collect();
    assert_eq!(
        masked,
        [OTHER_SECRET, SECRET, "sk-canary", "pass-canary"],
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
    assert!(said.contains("livekit, redis, http, sip, agents"), "{said}");
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
fn a_profile_without_its_file_and_a_missing_folder_are_faults() {
    let (key, _, said) =
        fault_of("agents:\n  - profile: support\n  - profile: sales\n    rooms: [sales-*]\n");
    assert_eq!(key, "profiles", "{said}");

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("profiles")).unwrap();
    fs::write(folder.path().join("profiles/support.yaml"), "").unwrap();
    let text = "agents:\n  - profile: support\n    numbers: [+15550100]\n  - profile: sales\n    numbers: ['+1555012*']\n";
    let faults = parse_in(folder.path(), text, &least()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!((faults.count(), fault.key.as_str()), (1, "agents[1].profile"));
    assert!(fault.remedy.contains("(support)"), "{}", fault.remedy);
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
fn tls_has_its_files_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sip: {tcp: '0.0.0.0:5060', tls: {listen: '0.0.0.0:5061', certificate: tls/cert.pem, key: /etc/key.pem, \
        authorities: ca.pem}, max_connections: 40}";
    let sip = parse_in(folder.path(), text, &least()).unwrap().sip;
    assert_eq!(sip.tcp.unwrap().to_string(), "0.0.0.0:5060");
    let server = sip.tls.server.unwrap();
    assert_eq!(server.listen.to_string(), "0.0.0.0:5061");
    assert_eq!(server.certificate, folder.path().join("tls/cert.pem"));
    assert_eq!(server.key, std::path::Path::new("/etc/key.pem"));
    assert_eq!(sip.tls.authorities.unwrap(), folder.path().join("ca.pem"));
    assert_eq!(sip.max_connections_per_source, 10);
}

#[test]
fn an_account_is_read_with_what_is_known_of_its_provider() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sip:\n  registrations:\n  - {name: main, provider: novofon, user: '12345', password: 's3cret pass', number: '+74950000000'}\n  \
        - {name: other, server: 'pbx.example.com:5070', transport: tls, user: u, auth_user: a, password: p, domain: example.com, expires: 10m}\n";
    let config = parse_in(folder.path(), text, &least()).unwrap();
    let [main, other] = config.sip.registrations.as_slice() else {
        panic!("{:?}", config.sip.registrations);
    };
    assert_eq!(
        (main.host.as_str(), main.port, main.domain.as_str()),
        ("sip.novofon.ru", None, "sip.novofon.ru")
    );
    assert_eq!(
        (main.transport, main.expires),
        (SipTransport::Udp, Duration::from_mins(2))
    );
    assert_eq!((main.user.as_str(), main.auth_user.as_str()), ("12345", "12345"));
    assert_eq!(main.number.as_deref(), Some("+74950000000"));
    assert_eq!(
        (other.host.as_str(), other.port, other.domain.as_str()),
        ("pbx.example.com", Some(5070), "example.com")
    );
    assert_eq!(
        (other.transport, other.expires),
        (SipTransport::Tls, Duration::from_mins(10))
    );
    assert_eq!((other.auth_user.as_str(), other.password.expose()), ("a", "p"));
    assert!(
        config
            .log
            .secrets
            .iter()
            .any(|secret| secret.expose() == "s3cret pass")
    );
    assert!(!format!("{config:?}").contains("s3cret pass"));
}

#[test]
fn what_no_account_can_be_is_refused_with_its_key() {
    let good = "name: a, server: h, user: u, password: p";
    for (entry, key) in [
        ("server: h, user: u, password: p".to_owned(), "name"),
        ("name: a, user: u, password: p".to_owned(), "server"),
        ("name: a, server: h, password: p".to_owned(), "user"),
        ("name: a, server: h, user: u".to_owned(), "password"),
        (good.replace("server: h", "server: 'h:x'"), "server"),
        (good.replace("server: h", "server: 'a@h'"), "server"),
        (good.replace("user: u", "user: 'a b'"), "user"),
        (good.replace("user: u", "user: 'a@h'"), "user"),
        (format!("{good}, provider: nobody"), "provider"),
        (format!("{good}, transport: sctp"), "transport"),
        (format!("{good}, expires: 5s"), "expires"),
        (format!("{good}, number: 'a b'"), "number"),
        (format!("{good}, passwd: p"), "passwd"),
    ] {
        let text = format!("sip: {{registrations: [{{{entry}}}]}}");
        let folder = tempfile::tempdir().unwrap();
        let faults = parse_in(folder.path(), &text, &least()).unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [format!("sip.registrations[0].{key}")], "{entry}");
    }
    let text = format!("sip: {{registrations: [{{{good}}}, {{{good}}}]}}");
    let folder = tempfile::tempdir().unwrap();
    let faults = parse_in(folder.path(), &text, &least()).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().key, "sip.registrations[1].name");
}

#[test]
fn more_slots_let_more_calls_ring_and_one_source_never_takes_all() {
    for (text, expected) in [
        ("worker: {slots: 1}", (8, 6)),
        ("worker: {slots: 50}", (100, 75)),
        ("sip: {max_ringing: 1}", (1, 1)),
        ("sip: {max_ringing: 2}", (2, 1)),
        ("sip: {max_ringing: 20}", (20, 15)),
        ("sip: {max_ringing_per_source: 16}", (16, 16)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sip = parse_in(folder.path(), text, &least()).unwrap().sip;
        assert_eq!((sip.max_ringing, sip.max_ringing_per_source), expected, "{text}");
    }
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
        ("sip: {codecs: [opus]}", "sip.codecs[0]"),
        ("sip: {ladder: full}", "sip.ladder"),
        ("sip: {records: maybe}", "sip.records"),
        ("sip: {no_agent_timeout: 10}", "sip.no_agent_timeout"),
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
        ("profiles: ${UNSET}", "profiles"),
        ("worker: !tag {slots: 1}", "worker"),
        ("redis: {url: 'http://h'}", "redis.url"),
    ] {
        assert_eq!(fault_of(text).0, key, "{text}");
    }
}

const ACCESS: &str = "\
access:
  requests_per_minute: 60
  keys:
    - name: crm
      key: canary-0123456789-0123456789-0123456789
      scopes: [calls:read, calls:write]
      rooms: ['crm-*']
      numbers: ['+1415']
      limits: {concurrent: 2}
      token: {identities: ['web-*'], attributes: [tier], name: true}
  jwt:
    issuer: https://id.example.com
    audience: trunkline
    jwks_url: https://id.example.com/jwks
    scopes: [token:create]
    rooms: ['{sub}-*']
token: {origins: ['https://app.example.com']}
calls:
  targets: {numbers: ['+1'], sip_hosts: [PBX.example.com], special: ['112']}
  trunks: [ST_1]
recordings: {s3: {bucket: b, access_key: a, secret: s3-canary}}
";

#[test]
fn access_is_read_whole_and_its_secrets_are_masked() {
    let folder = tempfile::tempdir().unwrap();
    let config = parse_in(folder.path(), ACCESS, &least()).unwrap();
    let access = config.access.as_ref().unwrap();
    let key = &access.keys[0];
    assert_eq!((key.name.as_str(), access.requests_per_minute), ("crm", 60));
    assert_eq!(key.grant.scopes, [Scope::CallsRead, Scope::CallsWrite]);
    assert_eq!(
        (key.grant.limits.concurrent, key.grant.limits.calls_per_day),
        (2, 200)
    );
    assert!(key.grant.token.name && !key.grant.token.metadata);
    assert_eq!(access.jwt.as_ref().unwrap().grant.rooms, ["{sub}-*"]);
    assert_eq!(config.calls.targets.sip_hosts, ["pbx.example.com"]);
    assert!(!format!("{config:?}").contains("canary"));
    let masked: Vec<&str> = config.log.secrets.iter().map(crate::Secret::expose).collect();
    assert!(masked.contains(&"canary-0123456789-0123456789-0123456789") && masked.contains(&"s3-canary"));
    assert!(parse_in(folder.path(), "", &least()).unwrap().access.is_none());
}

#[test]
fn a_hash_stands_for_its_key() {
    let folder = tempfile::tempdir().unwrap();
    // printf %s canary-0123456789-0123456789-0123456789 | sha256sum
    let hash = crate::config::KeyHash(
        sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            "canary-0123456789-0123456789-0123456789",
        ))
        .into(),
    );
    let hex = hash
        .0
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let text = ACCESS.replace(
        "key: canary-0123456789-0123456789-0123456789",
        &format!("key_sha256: '{hex}'"),
    );
    let config = parse_in(folder.path(), &text, &least()).unwrap();
    assert!(config.access.unwrap().keys[0].hash == hash);
}

#[test]
fn faults_of_access_name_their_keys() {
    let with = |from: &str, to: &str| ACCESS.replace(from, to);
    for (text, key) in [
        ("access: {}".to_owned(), "access.keys"),
        (
            with("key: canary-0123456789-0123456789-0123456789", "key: short"),
            "access.keys[0].key",
        ),
        (
            with("key: canary-0123456789-0123456789-0123456789", "key_sha256: abc"),
            "access.keys[0].key_sha256",
        ),
        (
            with("      key: canary-0123456789-0123456789-0123456789\n", ""),
            "access.keys[0].key_sha256",
        ),
        (
            with("calls:read, calls:write", "calls:all"),
            "access.keys[0].scopes[0]",
        ),
        (with("[calls:read, calls:write]", "[]"), "access.keys[0].scopes"),
        (with("      rooms: ['crm-*']\n", ""), "access.keys[0].rooms"),
        (with("'+1415'", "'1415'"), "access.keys[0].numbers[0]"),
        (
            with("[tier]", "[sip.phoneNumber]"),
            "access.keys[0].token.attributes[0]",
        ),
        (with("name: true", "name: perhaps"), "access.keys[0].token.name"),
        (with("    audience: trunkline\n", ""), "access.jwt.audience"),
        (
            with("https://id.example.com/jwks", "http://id.example.com/jwks"),
            "access.jwt.jwks_url",
        ),
        (
            with("https://app.example.com", "https://app.example.com/"),
            "token.origins[0]",
        ),
        (with("https://app.example.com", "*"), "token.origins[0]"),
        (
            with("special: ['112']", "special: [x]"),
            "calls.targets.special[0]",
        ),
        (
            with("numbers: ['+1']", "numbers: ['0049']"),
            "calls.targets.numbers[0]",
        ),
        (with("bucket: b, ", ""), "recordings.s3.bucket"),
    ] {
        let (fault, _, said) = fault_of(&text);
        assert_eq!(fault, key, "{said}");
        assert!(!said.contains("canary"));
    }
    let twice = ACCESS.replace("  jwt:", "    - name: crm\n      key: other-canary-0123456789-0123456789-0123\n      scopes: [health:read]\n  jwt:");
    assert_eq!(fault_of(&twice).0, "access.keys[1].name");
}

#[test]
fn a_file_that_is_no_yaml_or_not_there_is_one_fault() {
    let (key, place, said) = fault_of("livekit:\n\turl: x\n");
    assert_eq!((key.as_str(), place), ("", Place::File(Some(2))), "{said}");
    let faults = load(Some(Path::new("/nowhere/trunkline.yaml")), &least()).unwrap_err();
    assert_eq!(faults.count(), 1);
    assert!(faults.to_string().contains("/nowhere/trunkline.yaml"));
}

#[test]
fn what_is_no_file_or_too_large_is_one_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunkline.yaml");
    let fault_of = |path: &Path| {
        let faults = load(Some(path), &least()).unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!((faults.count(), fault.key.as_str()), (1, ""), "{faults}");
        format!("{} / {}", fault.problem, fault.remedy)
    };
    for other in [Path::new("/dev/null"), folder.path()] {
        let said = fault_of(other);
        assert!(said.contains("no regular file / name a file"), "{said}");
    }
    let largest = "#".repeat(1 << 20);
    fs::write(&file, &largest).unwrap();
    assert!(load(Some(&file), &least()).is_ok());
    fs::write(&file, format!("{largest}#")).unwrap();
    assert!(fault_of(&file).contains("more than 1048576 bytes"));
    fs::write(&file, b"livekit: \xff").unwrap();
    assert!(fault_of(&file).contains("UTF-8"));
}

#[test]
fn a_profile_that_is_no_file_is_a_fault_of_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/support.yaml")).unwrap();
    let text = "agents: [{profile: support}]";
    let faults = parse_in(folder.path(), text, &least()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!((faults.count(), fault.key.as_str()), (1, "agents[0].profile"));
    assert!(
        fault.problem.contains("support.yaml is no regular file"),
        "{}",
        fault.problem
    );
}

#[test]
fn paths_begin_at_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunkline.yaml");
    fs::write(&file, "queue: sqlite:q.db\nstore: file:/abs\n").unwrap();
    let config = load(Some(&file), &least()).unwrap();
    assert_eq!(config.queue, QueueConfig::Sqlite(folder.path().join("q.db")));
    assert_eq!(config.store, StoreConfig::Folder("/abs".into()));
    fs::write(&file, "store: s3://bucket?region=r\n").unwrap();
    let StoreConfig::S3(store) = load(Some(&file), &least()).unwrap().store else {
        panic!("no bucket")
    };
    assert_eq!(store.spool, folder.path().join("data/spool"));
}

#[test]
fn queue_and_store_on_aws_are_read_with_the_region_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let mut env = least();
    env.insert("AWS_DEFAULT_REGION".into(), "eu-west-1".into());
    let text = "queue: sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/call-jobs.fifo\nstore: s3://call-data/prod\n";
    let config = parse_in(folder.path(), text, &env).unwrap();
    let (QueueConfig::Sqs(queue), StoreConfig::S3(store)) = (&config.queue, &config.store) else {
        panic!("{config:?}")
    };
    assert_eq!(
        (queue.region.as_str(), store.region.as_str()),
        ("eu-central-1", "eu-west-1")
    );
    assert_eq!(
        (store.bucket.as_str(), store.prefix.as_str()),
        ("call-data", "prod")
    );
    assert!(!format!("{config:?}").contains("123456789012"));
    assert_eq!(config.store.to_string(), "s3://call-data/prod");
}

#[test]
fn a_queue_or_store_that_is_refused_is_not_echoed() {
    for text in [
        "queue: 'https://u:canary@h/q.fifo'",
        "queue: 'sqs:https://u:canary@h/q.fifo?region=r'",
        "store: 'https://u:canary@h'",
        "store: 's3://u:canary@bucket?region=r'",
        "store: 's3://bucket?region=r&endpoint=https://u:canary@h'",
    ] {
        let (_, _, said) = fault_of(text);
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn without_a_gateway_no_address_is_asked_for() {
    let text = format!(
        "livekit: {{api_key: key, api_secret: {}}}\nsip: {{listen: \"0.0.0.0:5060\"}}\n",
        "s".repeat(40)
    );
    let env = BTreeMap::new();
    let faults = parse(&text, None, Path::new("."), &env).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().key, "sip.advertised_address");
    let config = parse(&text, None, Path::new("."), &WithoutGateway(env)).unwrap();
    assert_eq!(config.sip.listen.port(), 0);
}
