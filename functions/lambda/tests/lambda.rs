//! The four binaries as Lambda starts them, where their configuration is at fault. How they serve is a system test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::process::Command;

use serde_json::Value;

const BINARIES: [&str; 4] = [
    env!("CARGO_BIN_EXE_webhook"),
    env!("CARGO_BIN_EXE_token"),
    env!("CARGO_BIN_EXE_api"),
    env!("CARGO_BIN_EXE_sweep"),
];

/// Exit code and log of a start with these variables and an empty package.
fn started(binary: &str, vars: &[(&str, &str)]) -> (Option<i32>, Vec<Value>) {
    let package = tempfile::tempdir().unwrap();
    let ended = Command::new(binary)
        .env_clear()
        .env("LAMBDA_TASK_ROOT", package.path())
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    let log = String::from_utf8(ended.stdout).unwrap();
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    (ended.status.code(), log.lines().map(line).collect())
}

#[test]
fn a_function_that_is_not_configured_names_the_key_and_the_remedy_and_exits_64() {
    for binary in BINARIES {
        let vars = [
            ("TRUNKLINE__LIVEKIT__API_KEY", "key"),
            ("TRUNKLINE__LIVEKIT__API_SECRET", "ssm:/trunkline/none"),
        ];
        let (code, log) = started(binary, &vars);
        assert_eq!(code, Some(64), "{binary}: {log:?}");
        let fault = log.iter().find(|line| line["key"] == "livekit.api_secret");
        let fault = fault.unwrap_or_else(|| panic!("{binary}: {log:?}"));
        assert_eq!(fault["level"], "ERROR", "{binary}: {fault}");
        assert_eq!(fault["remedy"], "set AWS_REGION", "{binary}: {fault}");
        assert_eq!(
            fault["place"], "TRUNKLINE__LIVEKIT__API_SECRET",
            "{binary}: {fault}"
        );
    }
}

#[test]
fn the_token_function_needs_no_queue_and_no_store_and_says_who_may_use_it_is_missing() {
    let secret = "s".repeat(40);
    let vars = [
        ("TRUNKLINE__LIVEKIT__API_KEY", "key"),
        ("TRUNKLINE__LIVEKIT__API_SECRET", secret.as_str()),
    ];
    let (code, log) = started(env!("CARGO_BIN_EXE_token"), &vars);
    assert_eq!(code, Some(64), "{log:?}");
    assert!(log.iter().any(|line| line["key"] == "access"), "{log:?}");
}
