//! The store port: named objects, conditional writes, and streams that survive a crash up to their last flush.
//!
//! # The contract (what every adapter keeps, S3 being the yardstick)
//!
//! - **Whole objects.** A reader sees an object as one write made it, never a part of it, never a mixture.
//! - **Conditional writes decide.** Of any number of [`Store::put_if_absent`] for one key exactly one wins; of any number
//!   of [`Store::put_if_match`] with one etag exactly one wins. This is what claims and fencing tokens stand on.
//!   A conditional write that failed with [`StoreError::Unavailable`] may have happened all the same.
//! - **Read after write.** What a write has returned for is what the next read finds, from any process.
//! - **Lists** come in the byte order of the keys, in bounded pages.
//! - **Streams.** What [`Append::flush`] has returned for survives the death of the process, on this machine. What
//!   [`Append::sync`] has returned for survives the machine, where the store itself does: an adapter whose store is elsewhere
//!   syncs by itself at the first flush after [`SYNC_EVERY`], so that another machine loses no more than that. When the
//!   writer has died, [`Store::append`] goes on at the end of what has survived, and [`Store::recover`] makes it an object.
//!   Before that, and before [`Append::finish`], there need not be an object to read.
//!
//! | adapter | after `flush` | after `sync` | seen by readers |
//! |---|---|---|---|
//! | folder | in the kernel: survives the process, not a power cut | on the disk | after each flush |
//! | S3 | in a file on this machine: survives the process, not the machine | at S3 | after `finish` or `recover` |
//!
//! # Keys
//!
//! One to [`MAX_KEY_BYTES`] bytes of segments joined by `/`; a segment is 1 to [`MAX_SEGMENT_BYTES`] bytes of ASCII
//! letters, digits and `-_.=@+`, and does not begin with a dot. No key is the folder of another one (`a` beside `a/b`).

mod age;
mod append;
mod call_events;
mod folder;
mod key;
mod listing;
mod reports;
mod s3;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use time::OffsetDateTime;

pub use age::Age;
pub use call_events::{call_event_keys, call_events, events_at};
pub use folder::FolderStore;
pub use key::{MAX_KEY_BYTES, MAX_SEGMENT_BYTES, MAX_SEGMENTS};
pub use reports::put_reports;
pub use s3::{S3Store, link_to_file};

use crate::{Secret, aws::Access, clock::SharedClock, config::StoreConfig};

/// The largest object that [`Store::put`] and its conditional kin take and [`Store::get`] reads: 64 MiB. Longer things
/// are recordings: they are written by [`Store::append`] and read from where [`Store::location`] says.
pub const MAX_OBJECT_BYTES: usize = 64 * 1024 * 1024;
/// The most keys of one page, as in S3.
pub const MAX_PAGE: usize = 1_000;
/// The longest object that a stream makes: 5 GiB, a month of speech.
pub const MAX_STREAM_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// How long what was flushed may be on the writer's machine only. It costs a request to the store each time.
pub const SYNC_EVERY: Duration = Duration::from_secs(10);
/// The longest time that a link is good for: what S3 grants.
pub const MAX_LINK_TTL: Duration = Duration::from_hours(7 * 24);

/// Opens the store that the configuration names, and asks it whether it can be used.
///
/// # Errors
/// [`StoreError::Unavailable`], or [`StoreError::Denied`] with what a person must do.
pub async fn open(
    config: &StoreConfig,
    access: &Access,
    clock: SharedClock,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config {
        StoreConfig::Folder(folder) => Arc::new(FolderStore::open(folder).await?),
        StoreConfig::S3(config) => {
            let store = S3Store::new(config, access, clock).await;
            store.check().await?;
            Arc::new(store)
        }
    })
}

/// As [`open`], without asking: for a process that has no time for a question at its start.
///
/// # Errors
/// [`StoreError::Unavailable`] for a folder that cannot be used.
pub async fn connect(
    config: &StoreConfig,
    access: &Access,
    clock: SharedClock,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config {
        StoreConfig::Folder(folder) => Arc::new(FolderStore::open(folder).await?),
        StoreConfig::S3(config) => Arc::new(S3Store::new(config, access, clock).await),
    })
}

/// An object store. See the [module](self) for what is promised.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes the object, whatever was there.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<ETag, StoreError>;

    /// Writes the object if there is none yet. `Some` with its etag: this call won. `None`: there is one already.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError>;

    /// Replaces the object if it still has `etag`. `Some` with the new etag: this call won. `None`: the object has
    /// changed or is gone; whoever holds a claim by that etag has lost it.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError>;

    /// Reads the object; `None` when there is none.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError>;

    /// As [`Store::get`], with the object's age. An adapter that cannot tell it says [`Age::UNKNOWN`], as this does.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn get_aged(&self, key: &str) -> Result<Option<(Object, Age)>, StoreError> {
        Ok(self.get(key).await?.map(|object| (object, Age::UNKNOWN)))
    }

    /// How far [`Age::at_least`] and [`Age::at_most`] may lie apart: by so much a reader may take an object to be older than it is.
    /// Whoever holds a claim lets go of it by so much sooner.
    fn age_slack(&self) -> Duration {
        Duration::ZERO
    }

    /// Lists the keys that begin with `prefix` (any text that a key can begin with, or nothing), in byte order.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError>;

    /// Removes the object. True: there was one.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn delete(&self, key: &str) -> Result<bool, StoreError>;

    /// Opens a stream that ends up as the object; an object that is there, and a stream whose writer died, is continued
    /// at its end. One writer at a time: the caller must hold the claim of the call that the key belongs to. A writer that
    /// has lost it and still writes adds nothing once the next one has opened the stream, where the adapter can tell (S3).
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError>;

    /// Makes an object of a stream whose writer died without [`Append::finish`]: all that has survived. Returns the object's
    /// length in bytes, also when there was nothing to do; `None` when there is neither object nor stream. The caller
    /// must hold the claim, or know that nobody does.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn recover(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.get(key).await?.map(|object| object.bytes.len() as u64))
    }

    /// A URL that lets anybody who has it read the object until `ttl` (1 s to [`MAX_LINK_TTL`]) is over, or the
    /// credentials that signed it are. `None`: this store has no links (a folder). It says nothing about whether the object
    /// exists.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    async fn link(&self, key: &str, ttl: Duration) -> Result<Option<Secret>, StoreError> {
        let _ = (key, ttl);
        Ok(None)
    }

    /// Where a person finds the object: a path or a URL. It says nothing about whether the object exists.
    ///
    /// # Errors
    /// [`StoreError::Key`].
    fn location(&self, key: &str) -> Result<String, StoreError>;
}

/// A stream into one object. Dropped without [`Append::finish`], it leaves what was flushed.
#[async_trait]
pub trait Append: Send + Sync {
    /// Takes the bytes; they may stay in memory until the next flush.
    ///
    /// # Errors
    /// As [`StoreError`] says. The stream is then broken; close it.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Returns when everything written so far survives the death of this process, on this machine.
    ///
    /// # Errors
    /// As [`StoreError`] says. The stream is then broken; close it.
    async fn flush(&mut self) -> Result<(), StoreError>;

    /// Flushes, and returns when everything written so far survives the death of this machine as far as the store does.
    ///
    /// # Errors
    /// As [`StoreError`] says. The stream goes on after [`StoreError::Unavailable`]; what was flushed is still kept.
    async fn sync(&mut self) -> Result<(), StoreError> {
        self.flush().await
    }

    /// Flushes, makes it durable and ends the stream. Returns the object's length in bytes.
    ///
    /// # Errors
    /// As [`StoreError`] says. What was flushed is kept as if the writer had died.
    async fn finish(self: Box<Self>) -> Result<u64, StoreError>;
}

/// Stands for one state of one object: equal etags mean equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// Wraps an adapter's own tag.
    pub fn new(tag: impl Into<String>) -> Self {
        Self(tag.into())
    }

    /// The adapter's own tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object that was read. `Debug` leaves the bytes out: records carry numbers and transcripts.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// The whole object.
    pub bytes: Bytes,
    /// What a conditional write compares with.
    pub etag: ETag,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("bytes", &self.bytes.len())
            .field("etag", &self.etag)
            .finish()
    }
}

/// Which part of a listing is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only keys behind this one; [`Listing::next`] of the page before.
    pub after: Option<String>,
    /// At most so many keys: 1 to [`MAX_PAGE`].
    pub limit: usize,
}

impl Default for Page {
    /// The first [`MAX_PAGE`] keys.
    fn default() -> Self {
        Self {
            after: None,
            limit: MAX_PAGE,
        }
    }
}

/// A page of keys. It may be shorter than asked for, and even empty, and have a next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In byte order of the keys.
    pub entries: Vec<Entry>,
    /// What to pass as [`Page::after`] for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The object's key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: OffsetDateTime,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a key. A bug or a hostile input; do not retry.
    #[error("not a store key: {0}")]
    Key(&'static str),
    /// A size is out of bounds. Do not retry.
    #[error("{what} is out of bounds ({limit})")]
    Refused {
        /// The argument or object.
        what: &'static str,
        /// What is allowed.
        limit: &'static str,
    },
    /// The service does not let this program do it: keys, rights, region, or there is no such bucket. A retry fails too,
    /// until somebody has done what the remedy says.
    #[error("the store refuses to {action}: {remedy}")]
    Denied {
        /// What the adapter tried.
        action: &'static str,
        /// What to do about it.
        remedy: &'static str,
        /// What the service said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be used at the moment. Retry.
    #[error("the store cannot {action}")]
    Unavailable {
        /// What the adapter tried.
        action: &'static str,
        /// What came of it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
