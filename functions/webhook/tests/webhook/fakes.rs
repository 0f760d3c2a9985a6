//! Queue and store in memory, which fail when told to.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use events::{RoomName, livekit::Metadata};
use parking_lot::Mutex;
use platform::{
    queue::{Depth, Queue, QueueError, Receipt, Received, Sent},
    store::{Append, ETag, Entry, Listing, Object, Page, Store, StoreError},
};
use time::OffsetDateTime;
use webhook::Rooms;

/// Counts the operations of all fakes that share it; from the `blows_at`-th on every one fails.
#[derive(Default)]
pub(crate) struct Fuse {
    operations: AtomicUsize,
    blows_at: Option<usize>,
    /// Whether the operation that blows it is done before it fails: the process died after it and before the next.
    after: bool,
}

impl Fuse {
    pub(crate) fn at(operation: usize, after: bool) -> Self {
        Self {
            blows_at: Some(operation),
            after,
            ..Self::default()
        }
    }

    pub(crate) fn operations(&self) -> usize {
        self.operations.load(Ordering::SeqCst)
    }

    fn burn<T>(&self, operate: impl FnOnce() -> T) -> Result<T, Box<dyn Error + Send + Sync>> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        match self.blows_at {
            Some(at) if number > at => Err("the process is dead".into()),
            Some(at) if number == at && !self.after => Err("killed before it was done".into()),
            Some(at) if number == at => {
                operate();
                Err("killed after it was done".into())
            }
            _ => Ok(operate()),
        }
    }
}

/// What outlives a process.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
    /// Group, dedup id and body of each message.
    pub(crate) messages: Mutex<Vec<(String, String, String)>>,
    pub(crate) metadata: Mutex<Vec<(String, String)>>,
    /// What another process writes in the moment before a call's record is.
    pub(crate) meanwhile: Mutex<BTreeMap<String, Bytes>>,
    /// The keys that were read.
    pub(crate) reads: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn object(&self, ending: &str) -> Option<Bytes> {
        let objects = self.objects.lock();
        objects
            .iter()
            .find(|(key, _)| key.ends_with(ending))
            .map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.lock().keys().cloned().collect()
    }
}

/// One process's access to the world.
pub(crate) struct Access {
    pub(crate) world: Arc<World>,
    pub(crate) fuse: Arc<Fuse>,
}

impl Access {
    fn store<T>(&self, operate: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Result<T, StoreError> {
        self.fuse
            .burn(|| operate(&mut self.world.objects.lock()))
            .map_err(|source| StoreError::Unavailable {
                action: "be reached",
                source,
            })
    }
}

#[async_trait]
impl Store for Access {
    async fn put(&self, _: &str, _: Bytes) -> Result<ETag, StoreError> {
        unimplemented!("every write of this function is conditional")
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.store(|objects| {
            if key.ends_with("/record.json") {
                objects.append(&mut self.world.meanwhile.lock());
            }
            if objects.contains_key(key) {
                return None;
            }
            let etag = etag_of(&bytes);
            objects.insert(key.to_owned(), bytes);
            Some(etag)
        })
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.store(|objects| {
            let found = objects.get(key)?;
            (etag_of(found) == *etag).then(|| {
                let new = etag_of(&bytes);
                objects.insert(key.to_owned(), bytes);
                new
            })
        })
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.world.reads.lock().push(key.to_owned());
        self.store(|objects| {
            objects.get(key).map(|bytes| Object {
                bytes: bytes.clone(),
                etag: etag_of(bytes),
            })
        })
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        let entry = |key: &String| Entry {
            key: key.clone(),
            size: 0,
            modified: OffsetDateTime::UNIX_EPOCH,
        };
        self.store(|objects| {
            let entries = objects
                .keys()
                .filter(|key| key.starts_with(prefix))
                .take(page.limit)
                .map(entry);
            Listing {
                entries: entries.collect(),
                next: None,
            }
        })
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.store(|objects| objects.remove(key).is_some())
    }

    async fn append(&self, _: &str) -> Result<Box<dyn Append>, StoreError> {
        unimplemented!("this function records nothing")
    }

    fn location(&self, _: &str) -> Result<String, StoreError> {
        unimplemented!("this function shows nothing")
    }
}

/// Equal etags mean equal bytes.
fn etag_of(bytes: &Bytes) -> ETag {
    ETag::new(String::from_utf8_lossy(bytes))
}

#[async_trait]
impl Queue for Access {
    async fn send(&self, group: &str, dedup_id: &str, body: &str) -> Result<Sent, QueueError> {
        let send = || {
            let mut messages = self.world.messages.lock();
            if messages.iter().any(|(_, id, _)| id == dedup_id) {
                return Sent::Duplicate;
            }
            messages.push((group.to_owned(), dedup_id.to_owned(), body.to_owned()));
            Sent::Enqueued
        };
        self.fuse.burn(send).map_err(|source| QueueError::Unavailable {
            reason: "killed",
            source,
        })
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Received>, QueueError> {
        unimplemented!("this function only sends")
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<(), QueueError> {
        unimplemented!("this function only sends")
    }

    async fn delete(&self, _: &Receipt) -> Result<(), QueueError> {
        unimplemented!("this function only sends")
    }

    async fn release(&self, _: &Receipt) -> Result<(), QueueError> {
        unimplemented!("this function only sends")
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        unimplemented!("this function only sends")
    }
}

#[async_trait]
impl Rooms for Access {
    async fn set_metadata(
        &self,
        room: &RoomName,
        metadata: &Metadata,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.fuse.burn(|| {
            let set = (room.as_str().to_owned(), metadata.as_str().to_owned());
            self.world.metadata.lock().push(set);
        })
    }
}
