//! `kill -9` at any moment: what was acknowledged is there, and nothing is torn.
//!
//! The test program starts itself once more to be killed; `victim_*` are what that other process runs.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use platform::{
    clock::SystemClock,
    config::{Environment, ProcessEnvironment},
    queue::{MAX_BATCH, Queue, SqliteQueue},
    store::{FolderStore, Page, Store},
};

const FOLDER: &str = "TRUNKLINE_TEST_VICTIM_FOLDER";
/// Bodies of this size take several pages and several writes.
const BYTES: usize = 20_000;

/// Runs a victim until it has acknowledged `count` writes, kills it, and returns the last number that it acknowledged.
fn kill_after(count: usize, victim: &str, folder: &Path) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("killed::{victim}"),
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut done = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("done ")?.parse::<usize>().ok());
    let last = done.by_ref().nth(count).expect("the victim ended by itself");
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    done.last().unwrap_or(last)
}

fn victims_folder() -> Option<PathBuf> {
    ProcessEnvironment.var(FOLDER).map(PathBuf::from)
}

fn body(n: usize) -> String {
    format!("{n:06} ").repeat(BYTES / 7)
}

#[tokio::test]
#[ignore = "the process that is killed; started by a test below"]
async fn victim_sends() {
    let Some(folder) = victims_folder() else { return };
    let queue = SqliteQueue::open(folder.join("q.sqlite"), Arc::new(SystemClock))
        .await
        .unwrap();
    for n in 0.. {
        queue
            .send(&format!("g{}", n % 3), &n.to_string(), &body(n))
            .await
            .unwrap();
        println!("done {n}");
    }
}

#[tokio::test]
async fn a_queue_whose_process_is_killed_keeps_all_that_it_acknowledged_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let path = folder.path().join(round.to_string());
        let last = kill_after(20 * round, "victim_sends", &path);
        let queue = SqliteQueue::open(path.join("q.sqlite"), Arc::new(SystemClock))
            .await
            .unwrap();
        let mut found = Vec::new();
        loop {
            let batch = queue
                .receive(MAX_BATCH, Duration::from_mins(1), Duration::ZERO)
                .await
                .unwrap();
            if batch.is_empty() {
                break;
            }
            for received in batch {
                let n: usize = received.body.split(' ').next().unwrap().parse().unwrap();
                assert!(received.body == body(n), "torn: {n}");
                found.push(n);
                queue.delete(&received.receipt).await.unwrap();
            }
        }
        for group in 0..3 {
            assert!(found.iter().filter(|n| *n % 3 == group).is_sorted());
        }
        found.sort_unstable();
        assert!(found.len() > last, "{} of {}", found.len(), last + 1);
        assert!(found.iter().copied().eq(0..found.len()), "none is missing");
    }
}

#[tokio::test]
#[ignore = "the process that is killed; started by a test below"]
async fn victim_stores() {
    let Some(folder) = victims_folder() else { return };
    let store = FolderStore::open(folder).await.unwrap();
    let mut stream = store.append("recording").await.unwrap();
    for n in 0.. {
        store.put(&format!("new/{n:06}"), body(n).into()).await.unwrap();
        store.put("same", body(n).into()).await.unwrap();
        stream.write(format!("{n:06} ").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        println!("done {n}");
    }
}

#[tokio::test]
async fn a_store_whose_process_is_killed_keeps_all_that_it_acknowledged_and_nothing_torn() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let path = folder.path().join(round.to_string());
        let last = kill_after(20 * round, "victim_stores", &path);
        let store = FolderStore::open(&path).await.unwrap();
        let read = async |key: String| {
            let bytes: Bytes = store.get(&key).await.unwrap().unwrap().bytes;
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let listing = store.list("new/", Page::default()).await.unwrap();
        assert!(listing.entries.len() > last);
        for (n, entry) in listing.entries.iter().enumerate() {
            assert!(
                entry.key == format!("new/{n:06}") && read(entry.key.clone()).await == body(n),
                "torn: {n}"
            );
        }
        let same = read("same".into()).await;
        let n: usize = same.split(' ').next().unwrap().parse().unwrap();
        assert!(n >= last && same == body(n));
        let recording = read("recording".into()).await;
        let whole: Vec<&str> = recording.split_terminator(' ').collect();
        assert!(whole.len() > last);
        assert!(
            whole
                .iter()
                .enumerate()
                .all(|(n, text)| *text == format!("{n:06}"))
        );
        let left = std::fs::read_dir(path.join(".trunkline/unfinished"))
            .unwrap()
            .count();
        assert_eq!(left, 1, "only that of this process");
    }
}
