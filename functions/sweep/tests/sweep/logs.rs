//! What the log says of a sweep, and what it never says.

use std::{cell::RefCell, io, sync::Once};

use serde_json::Value;

use crate::world::{CALLED, CALLER, World, claim, phone, room};

thread_local! {
    /// What this thread has logged: each test has its own, and runs on it alone.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ToThread;

impl io::Write for ToThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All that is logged at TRACE and above by one sweep.
async fn logged(world: &World) -> Vec<Value> {
    static COLLECT: Once = Once::new();
    // One for all threads: a subscriber of a single thread misses what another thread has found nobody to be interested in.
    COLLECT.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| ToThread)
            .init();
    });
    LINES.take();
    world.sweep().await;
    let text = String::from_utf8(LINES.take()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn at_least_info(lines: &[Value]) -> Vec<(&str, &Value)> {
    lines
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), &line["fields"]))
        .filter(|(level, _)| !matches!(*level, "DEBUG" | "TRACE"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_finding_is_a_warning_and_a_run_that_did_something_one_line_at_info() {
    let world = World::new().await;
    world.room_started().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    let lines = logged(&world).await;
    let [("WARN", finding), ("INFO", summary)] = at_least_info(&lines)[..] else {
        panic!("{lines:#?}");
    };
    assert_eq!(finding["call_id"], "RM_x");
    assert_eq!(finding["sweep"], "webhook_lost");
    assert_eq!(finding["outcome"], "job_enqueued");
    assert_eq!(summary["message"], "swept");
    assert_eq!((&summary["calls"], &summary["enqueued"]), (&1.into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_when_all_is_well() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.was_served(&claim(60_000, false), true).await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    let lines = logged(&world).await;
    assert!(at_least_info(&lines).is_empty(), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn no_number_and_no_word_of_a_call_is_logged_even_at_trace() {
    let mut all = String::new();
    let world = World::new().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    all.extend(logged(&world).await.iter().map(Value::to_string));
    world.was_served(&claim(9_000, false), true).await;
    world.livekit.has(vec![]);
    all.extend(logged(&world).await.iter().map(Value::to_string));
    *world.livekit.down.lock() = true;
    let outage = logged(&world).await;
    assert_eq!(outage[0]["level"], "ERROR");
    all.extend(outage.iter().map(Value::to_string));
    assert!(all.contains("job_enqueued") && all.contains("interrupted") && all.contains("no connection"));
    for canary in [CALLER, &CALLER[1..], CALLED, &CALLED[1..], "canary words"] {
        assert!(!all.contains(canary), "{canary} in {all}");
    }
}
