//! The queue on SQLite: what is its own, beside the suite.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use platform::{
    clock::ManualClock,
    queue::{DEAD_RETENTION, Depth, MAX_RECEIVES, Queue, QueueError, RETENTION, SqliteQueue},
};

struct Sqlite {
    folder: tempfile::TempDir,
    clock: ManualClock,
    queue: SqliteQueue,
}

impl Sqlite {
    async fn open(&self) -> SqliteQueue {
        SqliteQueue::open(
            self.folder.path().join("sub/queue.sqlite"),
            Arc::new(self.clock.clone()),
        )
        .await
        .unwrap()
    }
}

async fn sqlite() -> Sqlite {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let path = folder.path().join("sub/queue.sqlite");
    let queue = SqliteQueue::open(path, Arc::new(clock.clone())).await.unwrap();
    Sqlite { folder, clock, queue }
}

#[tokio::test]
async fn what_was_sent_and_leased_outlives_the_process() {
    let fixture = sqlite().await;
    fixture.queue.send("g", "1", "body").await.unwrap();
    let lease = Duration::from_secs(9);
    let held = fixture
        .queue
        .receive(1, lease, Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    let restarted = fixture.open().await;
    assert!(
        restarted
            .receive(1, lease, Duration::ZERO)
            .await
            .unwrap()
            .is_empty(),
        "the lease still runs"
    );
    restarted.extend(&held.receipt, lease).await.unwrap();
    fixture.clock.advance(lease);
    assert_eq!(
        restarted.receive(1, lease, Duration::ZERO).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn what_nobody_wants_is_forgotten_in_the_end() {
    let fixture = sqlite().await;
    let (queue, lease) = (&fixture.queue, Duration::from_secs(9));
    queue.send("poison", "1", "body").await.unwrap();
    for _ in 0..MAX_RECEIVES {
        queue.receive(1, lease, Duration::ZERO).await.unwrap();
        fixture.clock.advance(lease);
    }
    queue.send("unwanted", "1", "body").await.unwrap();
    queue.receive(1, lease, Duration::ZERO).await.unwrap();
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth {
            visible: 0,
            in_flight: 1,
            dead: 1
        }
    );
    fixture.clock.advance(RETENTION);
    assert!(queue.receive(1, lease, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth {
            visible: 0,
            in_flight: 0,
            dead: 1
        }
    );
    fixture.clock.advance(DEAD_RETENTION);
    queue.receive(1, lease, Duration::ZERO).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

/// The permissions of the files in the queue's folder, by name.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        (entry.file_name().into_string().unwrap(), mode)
    });
    let mut modes: Vec<_> = entries.collect();
    modes.sort();
    modes
}

#[tokio::test]
async fn its_files_are_for_its_owner_alone_also_those_that_were_not() {
    let fixture = sqlite().await;
    fixture.queue.send("g", "1", "+15550100").await.unwrap();
    let folder = fixture.folder.path().join("sub");
    let private =
        ["queue.sqlite", "queue.sqlite-shm", "queue.sqlite-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(modes(&folder), private);
    for (name, _) in &private {
        std::fs::set_permissions(folder.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    let again = fixture.open().await;
    assert_eq!(modes(&folder), private);
    assert_eq!(again.depth().await.unwrap().visible, 1);
}

#[tokio::test]
async fn a_file_that_is_no_queue_is_an_error_and_stays_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.sqlite");
    std::fs::write(&path, "this is no database, it is somebody's letter").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    let link = folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let opened = SqliteQueue::open(path, Arc::new(ManualClock::default())).await;
        assert!(matches!(opened, Err(QueueError::Unavailable { .. })));
    }
    assert!(std::fs::read_to_string(&path).unwrap().contains("letter"));
    let left = [
        ("link.sqlite".to_owned(), 0o777),
        ("queue.sqlite".to_owned(), 0o664),
    ];
    assert_eq!(modes(folder.path()), left);
}

#[tokio::test]
async fn what_is_no_regular_file_is_an_error_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("queue.sqlite");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let before = modes(folder.path());
    let opened = SqliteQueue::open(&socket, Arc::new(ManualClock::default())).await;
    let error = opened.expect_err("refused");
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("regular")
    );
    assert_eq!(modes(folder.path()), before);
}
