use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, timeout_at},
};

use super::{
    DEDUP_WINDOW, Depth, Queue, QueueError, Receipt, Received, Sent, check_receive, check_send,
    check_visibility, schema,
};
use crate::{
    clock::SharedClock,
    private::{close_file, make_file, make_folder},
};

/// How often a waiting receive looks whether another process has written to the file. Writers in the same process wake
/// it at once; this only matters when `serve` is split by `--only`. One look costs a few microseconds and reads no table.
const CROSS_PROCESS_LOOK: Duration = Duration::from_millis(250);

/// The embedded queue: one SQLite file, for one machine.
///
/// # Durability
///
/// WAL with `synchronous=NORMAL`. A killed process loses and tears nothing that a call here has returned `Ok` for,
/// because committed pages are in the kernel's cache. A power cut can lose the commits of the last moments, never tear
/// the file: on one machine the calls those jobs stood for died with it, so an fsync on each commit (`FULL`) would
/// cost milliseconds and save nothing.
///
/// # Time
///
/// Leases and the dedup window are kept in wall-clock time, since they outlive the process. A clock that jumps forward
/// ends leases early; the claim in the store keeps that from doing harm.
///
/// # Concurrency
///
/// One connection, used by one blocking task at a time, in the order of the calls. Several processes may open the same
/// file on a local file system.
#[derive(Clone)]
pub struct SqliteQueue {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    clock: SharedClock,
    conn: Arc<Mutex<Connection>>,
    /// Woken by whatever can make a body receivable.
    wake: Notify,
    /// Leases whose receiver went away before it got them; the next receive ends them first.
    undelivered: parking_lot::Mutex<Vec<Receipt>>,
}

impl std::fmt::Debug for SqliteQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteQueue")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

impl SqliteQueue {
    /// Opens the file, making it and its folder when they are not there, for this user only (modes 0600 and 0700). A folder that is
    /// there keeps its mode; from a file that is there, and from those that SQLite keeps beside it, what others may do is taken.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`] when the folder or file cannot be made, read or closed to others, or is of a newer version.
    pub async fn open(path: impl AsRef<Path>, clock: SharedClock) -> Result<Self, QueueError> {
        let path = path.as_ref().to_owned();
        let file = path.clone();
        let opened = tokio::task::spawn_blocking(move || {
            if let Some(folder) = file.parent() {
                make_folder(folder).map_err(|e| unavailable("make its folder", e))?;
            }
            is_new_or_database(&file).map_err(|e| unavailable("use its file", e))?;
            // SQLite gives the files beside it the mode of this one.
            make_file(&file).map_err(|e| unavailable("make its file, for its owner alone", e))?;
            for beside in ["-wal", "-shm"].map(|suffix| with_suffix(&file, suffix)) {
                close_file(&beside).map_err(|e| unavailable("close the files beside it to others", e))?;
            }
            let conn = Connection::open(&file).map_err(|e| unavailable("open its file", e))?;
            schema::open(&conn).map_err(|e| unavailable("prepare its file", e))?;
            Ok(conn)
        });
        let conn = opened.await.map_err(|e| unavailable("open its file", e))??;
        let conn = Arc::new(Mutex::new(conn));
        let (wake, undelivered) = (Notify::new(), parking_lot::Mutex::default());
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                clock,
                conn,
                wake,
                undelivered,
            }),
        })
    }

    /// Runs `work` on a blocking thread. Calls queue up at the lock, so at most one such thread is busy; a caller that
    /// goes away meanwhile leaves a transaction that is finished or was never begun.
    async fn run<T: Send + 'static>(
        &self,
        reason: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let mut conn = Arc::clone(&self.inner.conn).lock_owned().await;
        tokio::task::spawn_blocking(move || work(&mut conn))
            .await
            .map_err(|e| unavailable(reason, e))?
            .map_err(|e| unavailable(reason, e))
    }

    async fn lease(&self, max: usize, visibility: Duration) -> Result<Poll, QueueError> {
        let queue = self.clone();
        self.run("receive", move |conn| {
            let now_ms = queue.inner.clock.now_ms();
            let version = schema::data_version(conn)?;
            let returned = std::mem::take(&mut *queue.inner.undelivered.lock());
            let (buried, leased) = in_transaction(conn, |tx| {
                schema::forget(tx, now_ms)?;
                for receipt in &returned {
                    schema::return_undelivered(tx, now_ms, receipt.as_str())?;
                }
                let buried = schema::bury(tx, now_ms)?;
                let leased = schema::lease(tx, now_ms, plus(now_ms, visibility), max, new_receipt)?;
                Ok((buried, leased))
            })?;
            if buried > 0 {
                tracing::error!(
                    count = buried,
                    "jobs moved to the dead letters after too many receives"
                );
            }
            if leased.is_empty() {
                return Ok(Poll::Empty {
                    version,
                    next_lease_end: schema::next_lease_end(conn, now_ms)?,
                });
            }
            Ok(Poll::Leased(Undelivered {
                queue,
                received: leased,
            }))
        })
        .await
    }

    /// Returns when a receive may find something, and at the latest when `until` has come.
    async fn something_may_have_come(
        &self,
        version: i64,
        next_lease_end: Option<i64>,
        until: Instant,
    ) -> Result<(), QueueError> {
        loop {
            let lease_end = next_lease_end.map_or(CROSS_PROCESS_LOOK, |end| {
                Duration::from_millis(u64::try_from(end - self.inner.clock.now_ms()).unwrap_or(0))
            });
            let look = (Instant::now() + lease_end.min(CROSS_PROCESS_LOOK)).min(until);
            // Cancel-safe: a notification that is not taken stays for the next receive.
            if timeout_at(look, self.inner.wake.notified()).await.is_ok() {
                return Ok(());
            }
            let lease_ended = next_lease_end.is_some_and(|end| end <= self.inner.clock.now_ms());
            if lease_ended || Instant::now() >= until {
                return Ok(());
            }
            if self
                .run("look for news", |conn| schema::data_version(conn))
                .await?
                != version
            {
                return Ok(());
            }
        }
    }
}

/// What every database begins with (<https://sqlite.org/fileformat.html>, §1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Refuses a path behind which is something else than a database, before anything about it is changed.
fn is_new_or_database(file: &Path) -> io::Result<()> {
    let found = match std::fs::metadata(file) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut head = Vec::with_capacity(MAGIC.len());
    File::open(file)?
        .take(MAGIC.len() as u64)
        .read_to_end(&mut head)?;
    if head.is_empty() || head == MAGIC {
        Ok(())
    } else {
        Err(io::Error::other("it is a file of another kind, no queue"))
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, group: &str, dedup_id: &str, body: &str) -> Result<Sent, QueueError> {
        check_send(group, dedup_id, body)?;
        let (group, dedup_id, body) = (group.to_owned(), dedup_id.to_owned(), body.to_owned());
        let now_ms = self.inner.clock.now_ms();
        let sent = self
            .run("send", move |conn| {
                in_transaction(conn, |tx| {
                    schema::send(tx, now_ms, plus(now_ms, DEDUP_WINDOW), &group, &dedup_id, &body)
                })
            })
            .await?;
        self.inner.wake.notify_one();
        Ok(sent)
    }

    async fn receive(
        &self,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, QueueError> {
        check_receive(max, visibility, wait)?;
        let until = Instant::now() + wait;
        loop {
            // It wakes the next waiting receiver when there may be more, and also when this future is dropped here: then
            // somebody else must look at what woke this one.
            let pass_on = PassOn(&self.inner.wake);
            match self.lease(max, visibility).await? {
                Poll::Leased(leased) => return Ok(leased.deliver()),
                Poll::Empty {
                    version,
                    next_lease_end,
                } => {
                    pass_on.keep();
                    if Instant::now() >= until {
                        return Ok(Vec::new());
                    }
                    self.something_may_have_come(version, next_lease_end, until)
                        .await?;
                }
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        check_visibility(visibility)?;
        let (receipt, clock) = (receipt.clone(), Arc::clone(&self.inner.clock));
        let held = self
            .run("extend", move |conn| {
                let now_ms = clock.now_ms();
                schema::set_visible(conn, now_ms, receipt.as_str(), plus(now_ms, visibility))
            })
            .await?;
        if held {
            Ok(())
        } else {
            Err(QueueError::StaleReceipt)
        }
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (receipt, clock) = (receipt.clone(), Arc::clone(&self.inner.clock));
        let held = self
            .run("delete", move |conn| {
                schema::delete(conn, clock.now_ms(), receipt.as_str())
            })
            .await?;
        self.inner.wake.notify_one();
        if held {
            Ok(())
        } else {
            Err(QueueError::StaleReceipt)
        }
    }

    async fn release(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (receipt, clock) = (receipt.clone(), Arc::clone(&self.inner.clock));
        let held = self
            .run("release", move |conn| {
                let now_ms = clock.now_ms();
                schema::set_visible(conn, now_ms, receipt.as_str(), now_ms)
            })
            .await?;
        self.inner.wake.notify_one();
        if held {
            Ok(())
        } else {
            Err(QueueError::StaleReceipt)
        }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let clock = Arc::clone(&self.inner.clock);
        self.run("count", move |conn| schema::depth(conn, clock.now_ms()))
            .await
    }
}

enum Poll {
    Leased(Undelivered),
    Empty {
        version: i64,
        next_lease_end: Option<i64>,
    },
}

/// Passes a wake-up on when dropped.
struct PassOn<'a>(&'a Notify);

impl PassOn<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Leased bodies on their way to the receiver. When the receiver went away, they go back to the queue, so that a
/// cancelled receive delays nobody by a lease.
struct Undelivered {
    queue: SqliteQueue,
    received: Vec<Received>,
}

impl Undelivered {
    fn deliver(mut self) -> Vec<Received> {
        std::mem::take(&mut self.received)
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        if self.received.is_empty() {
            return;
        }
        self.queue
            .inner
            .undelivered
            .lock()
            .extend(self.received.drain(..).map(|r| r.receipt));
        self.queue.inner.wake.notify_one();
    }
}

fn in_transaction<T>(
    conn: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // IMMEDIATE: take the write lock first, so that two processes cannot both read and then fail to upgrade.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = work(&tx)?;
    tx.commit()?;
    Ok(result)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// 128 random bits: a receipt from before a file was deleted and made anew must not fit the new one.
fn new_receipt() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn plus(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

fn unavailable(
    reason: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> QueueError {
    QueueError::Unavailable {
        reason,
        source: source.into(),
    }
}
