//! `kill -9` at any moment: what was acknowledged is there, and nothing is torn.
//!
//! The test program starts itself once more to be killed; `victim_*` are what that other process runs.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use dev::MiniStack;
use platform::{
    aws::Access,
    clock::SystemClock,
    config::{self, Environment, ProcessEnvironment},
    queue::{self, MAX_BATCH, Queue},
    store::{self, Page, Store},
};

use crate::{ministack, queue_rows, store_rows};

/// What the victim opens, and where its relative paths begin.
const URL: &str = "TRUNKLINE_TEST_VICTIM_URL";
const FOLDER: &str = "TRUNKLINE_TEST_VICTIM_FOLDER";
/// Bodies of this size take several pages and several writes.
const BYTES: usize = 20_000;
/// How often the victim's stream is synced.
const SYNC: usize = 10;

/// Runs a victim until it has acknowledged `count` writes, kills it, and returns the last number that it acknowledged.
fn kill_after(count: usize, victim: &str, url: &str, folder: &Path) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("killed::{victim}"),
            "--ignored",
            "--nocapture",
        ])
        .env(URL, url)
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

/// The URL and the folder that this process was given to die with.
fn victims() -> Option<(String, String)> {
    Some((ProcessEnvironment.var(URL)?, ProcessEnvironment.var(FOLDER)?))
}

fn access(url: &str) -> Access {
    if url.starts_with('s') && !url.starts_with("sqlite:") {
        ministack::access()
    } else {
        Access::DefaultChain
    }
}

async fn open_queue(url: &str, folder: &Path) -> Arc<dyn Queue> {
    let config = config::queue(url, folder, &BTreeMap::new()).unwrap();
    queue::open(&config, &access(url), Arc::new(SystemClock))
        .await
        .unwrap()
}

async fn open_store(url: &str, folder: &Path) -> Arc<dyn Store> {
    let config = config::store(url, folder, &BTreeMap::new()).unwrap();
    store::open(&config, &access(url), Arc::new(SystemClock))
        .await
        .unwrap()
}

fn body(n: usize) -> String {
    format!("{n:06} ").repeat(BYTES / 7)
}

#[tokio::test]
#[ignore = "the process that is killed; started by a test below"]
async fn victim_sends() {
    let Some((url, folder)) = victims() else { return };
    let queue = open_queue(&url, Path::new(&folder)).await;
    for n in 0.. {
        queue
            .send(&format!("g{}", n % 3), &n.to_string(), &body(n))
            .await
            .unwrap();
        println!("done {n}");
    }
}

async fn a_killed_sender_loses_nothing(url: &str, folder: &Path, round: usize) {
    let last = kill_after(20 * round, "victim_sends", url, folder);
    let queue = open_queue(url, folder).await;
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

#[tokio::test]
async fn a_queue_whose_process_is_killed_keeps_all_that_it_acknowledged_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        a_killed_sender_loses_nothing(&format!("sqlite:{round}.sqlite"), folder.path(), round).await;
    }
    let server = ministack::lend().await;
    for round in 1..=3 {
        let url = format!(
            "sqs:{}/000000000000/killed.fifo?region={}",
            server.url(),
            MiniStack::REGION
        );
        let url = queue_rows::fresh_queue(&url).await;
        a_killed_sender_loses_nothing(&url, folder.path(), round).await;
    }
}

#[tokio::test]
#[ignore = "the process that is killed; started by a test below"]
async fn victim_stores() {
    let Some((url, folder)) = victims() else { return };
    let store = open_store(&url, Path::new(&folder)).await;
    let mut stream = store.append("recording").await.unwrap();
    for n in 0.. {
        store.put(&format!("new/{n:06}"), body(n).into()).await.unwrap();
        store.put("same", body(n).into()).await.unwrap();
        stream.write(format!("{n:06} ").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if n % SYNC == 0 {
            stream.sync().await.unwrap();
        }
        println!("done {n}");
    }
}

/// The numbers that the victim has recorded.
async fn recorded(store: &dyn Store) -> usize {
    let length = store.recover("recording").await.unwrap().unwrap();
    let recording = store.get("recording").await.unwrap().unwrap().bytes;
    assert_eq!(recording.len() as u64, length);
    let recording = String::from_utf8(recording.to_vec()).unwrap();
    let whole: Vec<&str> = recording.split_terminator(' ').collect();
    assert!(
        whole
            .iter()
            .enumerate()
            .all(|(n, text)| *text == format!("{n:06}"))
    );
    whole.len()
}

async fn a_killed_writer_loses_nothing(url: &str, folder: &Path, round: usize) {
    let last = kill_after(20 * round, "victim_stores", url, folder);
    let store = open_store(url, folder).await;
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
    assert!(recorded(&*store).await > last);
}

fn bucket_url(server: &MiniStack, round: usize) -> String {
    format!(
        "s3://{}/killed-{:016x}-{round}?region={}&endpoint={}&path_style=true&spool=spool",
        store_rows::BUCKET,
        rand::random::<u64>(),
        MiniStack::REGION,
        server.url()
    )
}

#[tokio::test]
async fn a_store_whose_process_is_killed_keeps_all_that_it_acknowledged_and_nothing_torn() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        a_killed_writer_loses_nothing(&format!("file:{round}"), folder.path(), round).await;
        let left = std::fs::read_dir(folder.path().join(format!("{round}/.trunkline/unfinished")))
            .unwrap()
            .count();
        assert_eq!(left, 1, "only that of this process");
    }
    let server = ministack::lend().await;
    store_rows::make_bucket(&server).await;
    for round in 1..=3 {
        a_killed_writer_loses_nothing(&bucket_url(&server, round), folder.path(), round).await;
    }
    let spools = std::fs::read_dir(folder.path().join("spool")).unwrap();
    let left = spools
        .filter(|file| file.as_ref().unwrap().file_name() != "lock")
        .count();
    assert_eq!(left, 0, "what was recovered is not kept twice");
}

#[tokio::test]
async fn a_recording_whose_machine_is_gone_is_kept_up_to_its_last_sync() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ministack::lend().await;
    store_rows::make_bucket(&server).await;
    let url = bucket_url(&server, 0);
    let last = kill_after(35, "victim_stores", &url, folder.path());
    let store = open_store(&url, elsewhere.path()).await;
    let found = recorded(&*store).await;
    assert!(found > last / SYNC * SYNC, "{found} of {last}");

    // The first machine comes back: it has nothing that is missing, or just what is.
    let store = open_store(&url, folder.path()).await;
    assert!(recorded(&*store).await > last);
}
