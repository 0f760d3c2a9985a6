//! Store and queue of a process that dies at its n-th operation.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use platform::{
    queue::{Depth, Queue, QueueError, Receipt, Received, Sent},
    store::{Age, Append, ETag, Listing, Object, Page, Store, StoreError},
};

/// Counts the operations of all that shares it; from the `blows_at`-th on every one fails.
#[derive(Default)]
pub(crate) struct Fuse {
    operations: AtomicUsize,
    blows_at: Option<usize>,
    /// Whether the operation that blows it is done before it fails: the process died after it and before the next.
    after: bool,
    /// Whether the store completes no stream whose writer died.
    never_recovers: bool,
}

/// What becomes of an operation.
enum Fate {
    Lives,
    DiesAfter,
    Dead,
}

impl Fuse {
    pub(crate) fn at(operation: usize, after: bool) -> Self {
        Self {
            blows_at: Some(operation),
            after,
            ..Self::default()
        }
    }

    pub(crate) fn without_recovery() -> Self {
        Self {
            never_recovers: true,
            ..Self::default()
        }
    }

    pub(crate) fn operations(&self) -> usize {
        self.operations.load(Ordering::SeqCst)
    }

    fn fate(&self) -> Fate {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        match self.blows_at {
            Some(at) if number == at && self.after => Fate::DiesAfter,
            Some(at) if number >= at => Fate::Dead,
            _ => Fate::Lives,
        }
    }
}

pub(crate) struct Fused<T> {
    inner: Arc<T>,
    fuse: Arc<Fuse>,
    /// As on S3, a stream whose writer died is no object before this.
    recovered: Mutex<HashSet<String>>,
}

impl<T> Fused<T> {
    pub(crate) fn new(inner: Arc<T>, fuse: &Arc<Fuse>) -> Self {
        Self {
            inner,
            fuse: fuse.clone(),
            recovered: Mutex::default(),
        }
    }
}

fn store_is_dead() -> StoreError {
    StoreError::Unavailable {
        action: "be reached",
        source: "the process is dead".into(),
    }
}

fn queue_is_dead() -> QueueError {
    QueueError::Unavailable {
        reason: "killed",
        source: "the process is dead".into(),
    }
}

macro_rules! burn {
    ($self:ident, $dead:expr, $operation:expr) => {
        match $self.fuse.fate() {
            Fate::Lives => $operation.await,
            Fate::DiesAfter => {
                let _done = $operation.await?;
                Err($dead)
            }
            Fate::Dead => Err($dead),
        }
    };
}

#[async_trait]
impl<T: Store> Store for Fused<T> {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<ETag, StoreError> {
        burn!(self, store_is_dead(), self.inner.put(key, bytes))
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        burn!(self, store_is_dead(), self.inner.put_if_absent(key, bytes))
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        burn!(self, store_is_dead(), self.inner.put_if_match(key, etag, bytes))
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        if key.ends_with("/recording.ogg") && !self.recovered.lock().contains(key) {
            return Ok(None);
        }
        burn!(self, store_is_dead(), self.inner.get(key))
    }

    async fn recover(&self, key: &str) -> Result<Option<u64>, StoreError> {
        if self.fuse.never_recovers {
            return Err(store_is_dead());
        }
        self.recovered.lock().insert(key.to_owned());
        burn!(self, store_is_dead(), self.inner.recover(key))
    }

    async fn get_aged(&self, key: &str) -> Result<Option<(Object, Age)>, StoreError> {
        burn!(self, store_is_dead(), self.inner.get_aged(key))
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        burn!(self, store_is_dead(), self.inner.list(prefix, page))
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        burn!(self, store_is_dead(), self.inner.delete(key))
    }

    async fn append(&self, _: &str) -> Result<Box<dyn Append>, StoreError> {
        unimplemented!("the sweep records nothing")
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        self.inner.location(key)
    }
}

#[async_trait]
impl<T: Queue> Queue for Fused<T> {
    async fn send(&self, group: &str, dedup_id: &str, body: &str) -> Result<Sent, QueueError> {
        burn!(self, queue_is_dead(), self.inner.send(group, dedup_id, body))
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Received>, QueueError> {
        unimplemented!("the sweep only sends")
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<(), QueueError> {
        unimplemented!("the sweep only sends")
    }

    async fn delete(&self, _: &Receipt) -> Result<(), QueueError> {
        unimplemented!("the sweep only sends")
    }

    async fn release(&self, _: &Receipt) -> Result<(), QueueError> {
        unimplemented!("the sweep only sends")
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        unimplemented!("the sweep only sends")
    }
}
