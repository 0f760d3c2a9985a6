//! `trunkline config`.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

use platform::config;
use serde_json::Value;

use crate::{apply::Bench, trunkline};

const OLDER: &str = include_str!("older.yaml");

/// What the older file's variables stand for.
const VARIABLES: [(&str, &str); 5] = [
    ("SIP_NUMBER", "74950000000"),
    ("SIP_SERVER", "sip.example.com"),
    ("SIP_USERNAME", "12345"),
    ("SIP_PASSWORD", "canary-of-the-provider"),
    ("SIP_ADVERTISED_ADDRESS", "203.0.113.7"),
];

/// The command with the older file's variables, and with LiveKit's.
fn with_variables(folder: &Path, livekit: [&str; 3], arguments: &[&str]) -> Output {
    let [url, key, secret] = livekit;
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(VARIABLES)
        .envs([
            ("LIVEKIT_URL", url),
            ("LIVEKIT_API_KEY", key),
            ("LIVEKIT_API_SECRET", secret),
        ])
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("{told}");
    assert!(!told.contains("canary"), "a secret is printed:\n{told}");
    told
}

#[test]
fn every_line_of_the_older_file_is_either_translated_or_explained() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("older.yaml"), OLDER).unwrap();
    let told = text(&trunkline(
        folder.path(),
        &["config", "migrate", "older.yaml", "--output", "trunkline.yaml"],
    ));
    for key in [
        "livekit.connection_timeout",
        "livekit.keep_alive",
        "livekit.auto_reconnect",
        "livekit.max_reconnect_attempts",
        "livekit.reconnect_delay",
        "redis.address",
        "redis.timeout",
        "sip_trunks[0].numbers[1]",
        "sip_trunks[0].allowed_addresses",
        "sip_trunks[1].host",
        "routing.inbound_rules[0].match.to",
        "routing.inbound_rules[0].action.room_name_template",
        "routing.inbound_rules[0].action.participant_name",
        "routing.inbound_rules[0].action.participant_identity",
        "routing.inbound_rules[0].action.room_metadata.created_at",
        "webhooks.enabled",
        "webhooks.url",
        "webhooks.secret",
        "webhooks.timeout",
        "webhooks.max_retries",
        "webhooks.retry_delay",
        "audio_codecs[4].name",
        "logging.structured",
        "health_check.enabled",
        "health_check.interval",
        "health_check.timeout",
    ] {
        assert!(told.contains(key), "{key} is not explained:\n{told}");
    }
    assert!(!told.contains("left out\n"), "something is not known:\n{told}");
    let written = std::fs::read_to_string(folder.path().join("trunkline.yaml")).unwrap();
    println!("{written}");
    assert!(written.contains("${LIVEKIT_API_SECRET}") && written.contains("${LOG_LEVEL:-info}"));
    // Never over a file that is there.
    let again = trunkline(
        folder.path(),
        &["config", "migrate", "older.yaml", "--output", "trunkline.yaml"],
    );
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn a_key_that_the_older_format_never_had_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("older.yaml"),
        "livekit: {url: a}\nmystery:\n  deep: 1\n",
    )
    .unwrap();
    let told = text(&trunkline(folder.path(), &["config", "migrate", "older.yaml"]));
    assert!(
        told.contains("line 3, mystery.deep: LOOK AT THIS: no such key was known"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_file_becomes_a_clean_configuration_and_trunks_and_rules_on_a_server() {
    let bench = Bench::new("").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("older.yaml"), OLDER).unwrap();
    let (url, key, secret) = bench.access();
    let run = |arguments: &'static [&'static str]| {
        let (folder, url, key, secret) = (folder.path().to_owned(), url.clone(), key.clone(), secret.clone());
        tokio::task::spawn_blocking(move || with_variables(&folder, [&url, &key, &secret], arguments))
    };
    let migrated = run(&["config", "migrate", "older.yaml", "-o", "trunkline.yaml"])
        .await
        .unwrap();
    assert_eq!(migrated.status.code(), Some(0), "{}", text(&migrated));
    let checked = run(&["config", "check"]).await.unwrap();
    let told = text(&checked);
    assert_eq!(checked.status.code(), Some(0), "{told}");
    assert!(
        told.contains("1 inbound and 1 outbound trunks, 1 dispatch rules"),
        "{told}"
    );
    let applied = run(&["apply"]).await.unwrap();
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
    let again = run(&["apply", "--json"]).await.unwrap();
    let again: Value = serde_json::from_str(&text(&again)).unwrap();
    assert_eq!(again["changes"], 0, "{again:#}");

    let inbound = bench.livekit.list_sip_inbound_trunks().await.unwrap().remove(0);
    assert_eq!(inbound.name, "novofon-inbound");
    assert_eq!(inbound.numbers, ["74950000000"]);
    assert_eq!(inbound.allowed_addresses, ["0.0.0.0/0"]);
    let outbound = bench.livekit.list_sip_outbound_trunks().await.unwrap().remove(0);
    assert_eq!(
        (
            outbound.address.as_str(),
            outbound.auth_username.as_str(),
            outbound.auth_password.as_str()
        ),
        ("sip.example.com:5060", "12345", "canary-of-the-provider")
    );
    let rule = bench.livekit.list_sip_dispatch_rules().await.unwrap().remove(0);
    assert_eq!(rule.trunk_ids, [inbound.sip_trunk_id]);
    let metadata: Value = serde_json::from_str(&rule.room_config.unwrap().metadata).unwrap();
    assert_eq!(
        metadata,
        serde_json::json!({"call_type": "inbound", "sip_number": "74950000000"})
    );
}

#[test]
fn check_lists_every_fault_with_its_line_and_exits_64() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("trunkline.yaml"),
        "livekit:\n  url: ws://livekit.example.com\n  api_key: key\n  api_secret: canary\nsip:\n  listen: 127.0.0.1:0\n\
         trunks:\n  inbound:\n  - name: a\n    numbers: ['+15550100']\n    alowed_numbers: []\n",
    )
    .unwrap();
    let output = trunkline(folder.path(), &["config", "check", "--json"]);
    assert_eq!(output.status.code(), Some(64));
    let told: Value = serde_json::from_str(&text(&output)).unwrap();
    let faults = told["faults"].as_array().unwrap().iter();
    let found: Vec<(&str, Option<u64>)> = faults
        .map(|fault| {
            assert!(!fault["remedy"].as_str().unwrap().is_empty());
            (fault["key"].as_str().unwrap(), fault["line"].as_u64())
        })
        .collect();
    let expected = [
        ("livekit.url", Some(2)),
        ("livekit.api_secret", Some(4)),
        ("trunks.inbound[0].allowed_addresses", Some(9)),
        ("trunks.inbound[0].alowed_numbers", Some(11)),
    ];
    assert_eq!(found, expected);
    let report = text(&trunkline(folder.path(), &["config", "check"]));
    assert!(report.starts_with("4 faults"), "{report}");
}

/// A section of the schema: what leads to it, and its keys.
fn sections(schema: &Value, path: &[String], found: &mut Vec<(Vec<String>, Vec<String>)>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    found.push((path.to_vec(), properties.keys().cloned().collect()));
    for (key, value) in properties {
        let mut below = path.to_vec();
        below.push(key.clone());
        match value.get("items") {
            Some(items) if items.get("properties").is_some() => {
                below.push("[]".to_owned());
                sections(items, &below, found);
            }
            _ => sections(value, &below, found),
        }
    }
}

/// A file with nothing but a key that cannot be, where `path` leads to.
fn with_unknown_key(path: &[String]) -> Value {
    let unknown = serde_json::json!({"qqqqqqqqqqqqqqqq": 1});
    path.iter()
        .rev()
        .fold(unknown, |inside, part| match part.as_str() {
            "[]" => serde_json::json!([inside]),
            key => serde_json::json!({key: inside}),
        })
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let schema = text(&trunkline(folder.path(), &["config", "schema"]));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut found = Vec::new();
    sections(&schema, &[], &mut found);
    assert!(found.len() > 30, "{}", found.len());
    for (path, keys) in found {
        let file = with_unknown_key(&path).to_string();
        std::fs::write(folder.path().join("trunkline.yaml"), file).unwrap();
        let output = trunkline(folder.path(), &["config", "check", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let faults = told["faults"].as_array().unwrap();
        let unknown = faults
            .iter()
            .find(|fault| fault["key"].as_str().unwrap().ends_with("qqqqqqqqqqqqqqqq"));
        let remedy = unknown.unwrap_or_else(|| panic!("{path:?}: {told:#}"))["remedy"]
            .as_str()
            .unwrap();
        let mut read: Vec<&str> = remedy
            .strip_prefix("the keys here are: ")
            .unwrap()
            .split(", ")
            .collect();
        read.sort_unstable();
        read.dedup();
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, read, "{path:?}");
    }
}

#[test]
fn the_schema_takes_real_files_and_refuses_what_is_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("older.yaml"), OLDER).unwrap();
    let schema = text(&trunkline(folder.path(), &["config", "schema"]));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let migrated = text(&trunkline(folder.path(), &["config", "migrate", "older.yaml"]));
    let example = include_str!("../../../platform/trunkline.example.yaml");
    for file in [migrated.as_str(), example, crate::apply::TELEPHONY] {
        let file: Value = serde_norway::from_str(file).unwrap();
        let faults: Vec<String> = schema
            .iter_errors(&file)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
    for bad in [
        "sip: {lisen: a}",
        "worker: {lease: 9}",
        "trunks: {outbound: [{address: a}]}",
        "log: {format: xml}",
    ] {
        let file: Value = serde_norway::from_str(bad).unwrap();
        assert!(!schema.is_valid(&file), "{bad}");
    }
}

#[test]
fn every_value_is_shown_with_its_place_and_no_secret_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("trunkline.yaml"),
        "livekit:\n  api_key: key\n  api_secret: canary-of-livekit\nsip:\n  rtp_ports: 20000-20099\n  codecs: [PCMA]\n\
         redis:\n  url: redis://:canary@127.0.0.1\ntools: {secrets: {crm: canary-of-crm, erp: 'ssm:/trunkline/erp'}}\n\
         trunks:\n  inbound:\n  - name: a\n    headers: {X-Key: canary-header}\n    auth: {username: u, pasword: canary-misspelt}\n",
    )
    .unwrap();
    let show = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["config", "show"])
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .envs([
                ("TRUNKLINE__SIP__RTP_PORTS", "30000-30199"),
                ("LIVEKIT_URL", "wss://livekit.example.com"),
                ("LIVEKIT_API_KEY", "not-this-one"),
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        text(&output)
    };
    let told: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let of = |key: &str| {
        let mut values = told["values"].as_array().unwrap().iter();
        let found = values.find(|value| value["key"] == key);
        let found = found.unwrap_or_else(|| panic!("{key}: {told:#}"));
        let text = |part: &str| found[part].as_str().map(str::to_owned);
        (
            text("value"),
            text("origin").unwrap(),
            found["line"].as_u64(),
            text("variable"),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    let file = |line| ("file".to_owned(), Some(line), None);
    let with = |value, (origin, line, variable)| (value, origin, line, variable);
    let environment = |name: &str| ("environment".to_owned(), None, some(name));
    for (key, expected) in [
        ("livekit.api_key", with(some("key"), file(2))),
        ("livekit.api_secret", with(None, file(3))),
        (
            "livekit.url",
            with(some("wss://livekit.example.com"), environment("LIVEKIT_URL")),
        ),
        (
            "sip.rtp_ports",
            with(some("30000-30199"), environment("TRUNKLINE__SIP__RTP_PORTS")),
        ),
        ("sip.codecs[0]", with(some("PCMA"), file(6))),
        ("redis.url", with(None, file(8))),
        ("tools.secrets.crm", with(None, file(9))),
        ("tools.secrets.erp", with(some("ssm:/trunkline/erp"), file(9))),
        ("trunks.inbound[0].headers.X-Key", with(None, file(13))),
        ("trunks.inbound[0].auth.pasword", with(None, file(14))),
        (
            "worker.slots",
            with(some("8"), ("default".to_owned(), None, None)),
        ),
    ] {
        assert_eq!(of(key), expected, "{key}");
    }
    let printed = show(&["--origin"]);
    let row = |key: &str| {
        let line = printed.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        row("livekit.api_secret"),
        "livekit.api_secret (hidden) trunkline.yaml:3"
    );
    assert_eq!(row("store"), "store file:data/store default");
    assert!(!printed.contains("recordings.s3"), "there is none:\n{printed}");
}

/// Every default of the schema, outside of lists and of sections that mean something by being there.
fn defaults(schema: &Value, path: &str) -> Option<Value> {
    if [
        "access",
        "providers.openai",
        "providers.deepgram",
        "recordings.s3",
    ]
    .contains(&path)
    {
        return None;
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return schema.get("default").cloned();
    };
    let found: serde_json::Map<String, Value> = properties
        .iter()
        .filter_map(|(key, schema)| {
            let path = format!("{path}.{key}");
            Some((key.clone(), defaults(schema, path.trim_start_matches('.'))?))
        })
        .collect();
    (!found.is_empty()).then_some(Value::Object(found))
}

#[test]
fn the_defaults_of_the_schema_are_the_real_ones() {
    let folder = tempfile::tempdir().unwrap();
    let schema = text(&trunkline(folder.path(), &["config", "schema"]));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let written = defaults(&schema, "").unwrap();
    let count = written.as_object().unwrap().len();
    assert!(count > 6, "{written:#}");
    let env = [
        ("LIVEKIT_API_KEY", "key"),
        ("LIVEKIT_API_SECRET", "0123456789abcdef0123456789abcdef"),
        ("TRUNKLINE__SIP__ADVERTISED_ADDRESS", "203.0.113.7"),
    ];
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let parsed = |yaml: &str| {
        let config = config::parse(yaml, None, Path::new("."), &env);
        format!("{:#?}", config.unwrap_or_else(|faults| panic!("{faults}")))
    };
    assert_eq!(parsed(&written.to_string()), parsed(""));
}
