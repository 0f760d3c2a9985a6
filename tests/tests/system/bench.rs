//! `trunkline bench`: the shape of what it tells, and that it is plausible. How fast anything is on this machine is not tested.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;
use tokio::process::Command;

use crate::{
    harness::{Options, System, shared_turn},
    program::built,
};

async fn bench(out: &Path, arguments: &[&str]) -> Output {
    Command::new(built("trunkline"))
        .args(["bench", "--json", "--out"])
        .arg(out)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

fn results(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let results = serde_json::from_slice(&output.stdout).unwrap();
    measured!("{results:#}");
    results
}

/// So many figures, of which the median lies between these.
fn assert_spread(spread: &Value, count: u64, least: f64, most: f64) {
    assert_eq!(spread["count"], count, "{spread}");
    let figure = |name: &str| spread[name].as_f64().unwrap();
    let (p50, p95, max) = (figure("p50"), figure("p95"), figure("max"));
    assert!(
        (least..most).contains(&p50) && p50 <= p95 && p95 <= max,
        "{spread} is not between {least} and {most}"
    );
}

/// The processes whose command line names `folder`.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    commands.filter(|command| command.contains(folder)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_tells_latencies_the_agents_share_and_what_a_call_costs_and_leaves_nothing_running() {
    let _turn = shared_turn().await;
    let out = tempfile::tempdir().unwrap();
    let output = bench(out.path(), &["--callers", "2", "--turns", "2"]).await;
    let results = results(&output);
    assert_eq!(
        (&results["version"], &results["agent"]),
        (&1.into(), &"trunkline".into())
    );
    assert_eq!(results["answers_per_call"], 3);
    assert_eq!(results["limit"], Value::Null);
    assert_eq!(results["rows"].as_array().unwrap().len(), 1);
    let row = &results["rows"][0];
    assert_eq!((&row["callers"], &row["failed"]), (&2.into(), &0.into()), "{row}");
    // No answer comes before endpointing and the voice's delay are over.
    assert_spread(&row["e2e_ms"], 6, 600.0, 10_000.0);
    assert_spread(&row["greeting_ms"], 2, 20.0, 10_000.0);
    assert_spread(&row["barge_in_ms"], 2, 20.0, 2_500.0);
    let own = &row["own_ms"];
    assert_spread(&own["total"], 6, 0.0, 5_000.0);
    assert!(
        own["total"]["max"].as_f64() < row["e2e_ms"]["max"].as_f64(),
        "{row}"
    );
    for part in ["transcription", "llm", "end_of_turn", "tts", "playout"] {
        assert_spread(&own[part], 6, 0.0, 5_000.0);
    }
    let cpu = row["cpu_percent_per_call"].as_f64().unwrap();
    assert!((0.1..200.0).contains(&cpu), "{cpu} % of a core");
    let memory = |figure: &Value| figure.as_i64().unwrap();
    assert!(
        (5_000..500_000).contains(&memory(&results["idle_pss_kb"])),
        "{results}"
    );
    assert!(
        (-10_000..100_000).contains(&memory(&row["memory_kb_per_call"])),
        "{row}"
    );
    assert_eq!(processes_of(out.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_runs_elsewhere_is_measured_by_what_is_heard_of_it() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        agents: "[{profile: reception, rooms: [\"elsewhere-*\"]}]",
        ..Options::default()
    })
    .await;
    let out = tempfile::tempdir().unwrap();
    let (url, keys) = (system.stack.ws_url(), system.stack.keys());
    let output = bench(
        out.path(),
        &[
            "--callers",
            "1",
            "--turns",
            "1",
            "--url",
            &url,
            "--api-key",
            keys.api_key(),
            "--api-secret",
            keys.api_secret(),
            "--agent-room-prefix",
            "elsewhere-",
        ],
    )
    .await;
    let results = results(&output);
    assert_eq!(results["agent"], "other");
    assert_eq!(results["idle_pss_kb"], Value::Null);
    let row = &results["rows"][0];
    assert_eq!(row["failed"], 0, "{row}");
    assert_spread(&row["e2e_ms"], 2, 500.0, 15_000.0);
    assert_spread(&row["greeting_ms"], 1, 20.0, 15_000.0);
    for unknown in ["own_ms", "cpu_percent_per_call", "memory_kb_per_call"] {
        assert_eq!(row[unknown], Value::Null, "{unknown}");
    }
    // Its calls are the other system's.
    assert_eq!(system.calls().len(), 2);
    system.stop().await;
}
