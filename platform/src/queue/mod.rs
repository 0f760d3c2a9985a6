//! The queue port: FIFO per group, one lease per group, at-least-once.
//!
//! # The contract (what every adapter keeps, SQS FIFO being the yardstick)
//!
//! - **Order and lock.** Bodies of one group come out in the order they went in. While one of them is leased, the group
//!   hands out nothing to anyone else. Groups do not wait for each other.
//! - **Lease.** A received body is invisible for `visibility`. When that ends without [`Queue::delete`], it comes again,
//!   first of its group, with a higher [`Received::receive_count`] and a new [`Receipt`].
//! - **Stale receipts.** A receipt is good until its lease ends, by time, [`Queue::delete`] or [`Queue::release`]. Then
//!   every use of it fails with [`QueueError::StaleReceipt`]: that is how a worker learns that it lost the lease. What the
//!   service behind an adapter would let pass, the adapter refuses itself, for the receipts that it gave out.
//! - **Deduplication.** A second `send` with the same group and dedup id within [`DEDUP_WINDOW`] of the first is
//!   swallowed, even when the first was received and deleted in between. Not every service says so: [`Sent`].
//! - **Dead letters.** A body whose lease ended [`MAX_RECEIVES`] times without a delete is put aside at the next receive,
//!   which unlocks its group.
//! - **Bounds.** Bodies are dropped after [`RETENTION`], dead letters after [`DEAD_RETENTION`], so that a queue without
//!   workers cannot grow for ever.
//! - **No delays.** A body can be received as soon as it was sent. A job is for a phone that rings, and SQS has no delay of its own for the
//!   messages of a FIFO queue; what comes later (the lease's end, the sweep's rounds) goes by other clocks.
//!
//! A queue is never an authority: two workers can hold the same body when a process sleeps through its lease. Who may
//! act is decided by a conditional write to the [store](crate::store).

mod schema;
mod sqlite;
mod sqs;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use time::OffsetDateTime;

pub use sqlite::SqliteQueue;
pub use sqs::SqsQueue;

use crate::{aws::Access, clock::SharedClock, config::QueueConfig};

/// The largest body, in bytes: what SQS takes, 256 KiB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// The longest group or dedup id, in bytes: what SQS takes.
pub const MAX_ID_BYTES: usize = 128;
/// The most bodies that one receive can return: what SQS gives.
pub const MAX_BATCH: usize = 10;
/// The longest lease: what SQS grants, counted from the receive, all extensions included.
pub const MAX_VISIBILITY: Duration = Duration::from_hours(12);
/// The longest wait of one receive: what SQS grants.
pub const MAX_WAIT: Duration = Duration::from_secs(20);
/// How long a dedup id is remembered: the five minutes of SQS FIFO.
pub const DEDUP_WINDOW: Duration = Duration::from_mins(5);
/// A body that nobody has deleted for so long is dropped: the default of SQS. The call it stood for is long over.
pub const RETENTION: Duration = Duration::from_hours(4 * 24);
/// A dead letter is kept so long: the most that SQS keeps.
pub const DEAD_RETENTION: Duration = Duration::from_hours(14 * 24);
/// How often a body is handed out before it counts as poison.
pub const MAX_RECEIVES: u32 = 3;

/// Opens the queue that the configuration names, and asks it whether it can be used.
///
/// # Errors
/// [`QueueError::Unavailable`], or [`QueueError::Denied`] with what a person must do.
pub async fn open(
    config: &QueueConfig,
    access: &Access,
    clock: SharedClock,
) -> Result<Arc<dyn Queue>, QueueError> {
    Ok(match config {
        QueueConfig::Sqlite(path) => Arc::new(SqliteQueue::open(path, clock).await?),
        QueueConfig::Sqs(config) => {
            let queue = SqsQueue::new(config, access, clock).await;
            queue.check().await?;
            Arc::new(queue)
        }
    })
}

/// As [`open`], without asking: for a process that may only send, and has no time for a question at its start.
///
/// # Errors
/// [`QueueError::Unavailable`] for a file that cannot be opened.
pub async fn connect(
    config: &QueueConfig,
    access: &Access,
    clock: SharedClock,
) -> Result<Arc<dyn Queue>, QueueError> {
    Ok(match config {
        QueueConfig::Sqlite(path) => Arc::new(SqliteQueue::open(path, clock).await?),
        QueueConfig::Sqs(config) => Arc::new(SqsQueue::new(config, access, clock).await),
    })
}

/// A queue of jobs. See the [module](self) for what is promised.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Puts `body` at the end of `group`.
    ///
    /// # Errors
    /// [`QueueError::Refused`] when an argument is out of bounds; otherwise [`QueueError::Unavailable`], after which the
    /// body may be in the queue all the same, or [`QueueError::Denied`].
    async fn send(&self, group: &str, dedup_id: &str, body: &str) -> Result<Sent, QueueError>;

    /// Leases up to `max` (1 to [`MAX_BATCH`]) bodies for `visibility`; waits up to `wait` (at most [`MAX_WAIT`]) for the
    /// first one and returns an empty list when none came. At most one body of each group comes at a time. Adapters may
    /// round `visibility` and `wait` up to whole seconds; the receipt goes stale by the time that was asked for.
    ///
    /// Cancel-safe: when the future is dropped, whatever it leased is released or comes back when its lease ends. Whether
    /// that receive counts is the adapter's.
    ///
    /// # Errors
    /// [`QueueError::Refused`] when a number is out of bounds; otherwise [`QueueError::Unavailable`] or
    /// [`QueueError::Denied`].
    async fn receive(
        &self,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, QueueError>;

    /// Renews the lease: it now ends `visibility` from now, and [`MAX_VISIBILITY`] after the receive at the latest. This
    /// is the heartbeat.
    ///
    /// # Errors
    /// [`QueueError::StaleReceipt`]: the lease is lost; stop acting for this job at once. Otherwise as for
    /// [`Queue::receive`]; after [`QueueError::Unavailable`] the lease ends when it would have, or later.
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError>;

    /// Removes the body for good and unlocks its group.
    ///
    /// # Errors
    /// [`QueueError::StaleReceipt`]: the lease was lost before; the body will come, or has come, again.
    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError>;

    /// Ends the lease now, so that the body can be received again at once. The receive stays counted.
    ///
    /// # Errors
    /// [`QueueError::StaleReceipt`]: the lease was lost before.
    async fn release(&self, receipt: &Receipt) -> Result<(), QueueError>;

    /// What is in the queue, for metrics and for the sweep.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`] or [`QueueError::Denied`].
    async fn depth(&self) -> Result<Depth, QueueError>;
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The body is in the queue.
    Enqueued,
    /// The same group and dedup id came before within [`DEDUP_WINDOW`]; nothing was added.
    Duplicate,
    /// Either of the two: the service does not tell them apart (SQS).
    Accepted,
}

/// The right to act on one received body while its lease lasts. `Debug` leaves the handle out: whoever has it can delete.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Receipt(String);

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(…)")
    }
}

impl Receipt {
    /// Wraps an adapter's own handle.
    pub fn new(handle: impl Into<String>) -> Self {
        Self(handle.into())
    }

    /// The adapter's own handle.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A leased body. `Debug` leaves the body out: jobs carry phone numbers.
#[derive(Clone)]
pub struct Received {
    /// What to extend, delete or release it with.
    pub receipt: Receipt,
    /// The group it was sent to.
    pub group: String,
    /// What was sent.
    pub body: String,
    /// 1 for the first time; above 1 an earlier lease ended without a delete.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: OffsetDateTime,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("group", &self.group)
            .field("bytes", &self.body.len())
            .field("receive_count", &self.receive_count)
            .finish_non_exhaustive()
    }
}

/// How many bodies are where. Approximate in adapters whose service says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting to be received (locked groups included).
    pub visible: u64,
    /// Leased.
    pub in_flight: u64,
    /// Put aside after [`MAX_RECEIVES`].
    pub dead: u64,
}

/// Why a queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The lease that the receipt stood for is over. Stop acting for the job; do not retry.
    #[error("the lease of this receipt is over; another worker may hold the job")]
    StaleReceipt,
    /// An argument is out of bounds. A bug or a hostile input; do not retry.
    #[error("{what} is out of bounds ({limit})")]
    Refused {
        /// The argument.
        what: &'static str,
        /// What is allowed.
        limit: &'static str,
    },
    /// The service does not let this program do it: keys, rights, or there is no such queue. A retry fails too, until
    /// somebody has done what the remedy says.
    #[error("the queue refuses to {action}: {remedy}")]
    Denied {
        /// What the adapter tried.
        action: &'static str,
        /// What to do about it.
        remedy: &'static str,
        /// What the service said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The queue itself cannot be used at the moment. Retry.
    #[error("the queue cannot be used: {reason}")]
    Unavailable {
        /// What the adapter tried.
        reason: &'static str,
        /// What came of it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl QueueError {
    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// The bounds of a send, the same for every adapter.
fn check_send(group: &str, dedup_id: &str, body: &str) -> Result<(), QueueError> {
    let id_is_bad =
        |id: &str| id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(|b| b.is_ascii_graphic());
    let refused = |what, limit| Err(QueueError::Refused { what, limit });
    // What XML 1.0 cannot carry, SQS does not take.
    let is_control =
        |c: char| (c.is_ascii_control() && !"\t\n\r".contains(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
    match () {
        () if id_is_bad(group) => refused("group", "1 to 128 visible ASCII characters"),
        () if id_is_bad(dedup_id) => refused("dedup id", "1 to 128 visible ASCII characters"),
        () if body.is_empty() || body.len() > MAX_BODY_BYTES => refused("body", "1 to 262,144 bytes"),
        () if body.contains(is_control) => refused("body", "no control characters but tab and line ends"),
        () => Ok(()),
    }
}

/// The bounds of a lease, the same for every adapter.
fn check_visibility(visibility: Duration) -> Result<(), QueueError> {
    if visibility.is_zero() || visibility > MAX_VISIBILITY {
        return Err(QueueError::Refused {
            what: "visibility",
            limit: "above 0 s, at most 12 h",
        });
    }
    Ok(())
}

/// The bounds of a receive, the same for every adapter.
fn check_receive(max: usize, visibility: Duration, wait: Duration) -> Result<(), QueueError> {
    if max == 0 || max > MAX_BATCH {
        return Err(QueueError::Refused {
            what: "max",
            limit: "1 to 10 bodies",
        });
    }
    if wait > MAX_WAIT {
        return Err(QueueError::Refused {
            what: "wait",
            limit: "at most 20 s",
        });
    }
    check_visibility(visibility)
}
