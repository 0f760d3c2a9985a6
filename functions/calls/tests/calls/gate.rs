//! A store that can be made to wait before it keeps a leg, and at which whoever uses it can be made to die.

use async_trait::async_trait;
use parking_lot::Mutex;
use platform::store::{Age, Append, ETag, FolderStore, Listing, Object, Page, Store, StoreError};
use tokio::sync::{Notify, RwLock};

pub(crate) struct GatedStore {
    inner: FolderStore,
    /// No new leg is kept while this is held for writing.
    pub(crate) gate: RwLock<()>,
    /// So many more times somebody comes to an operation or back from one; the next time never ends.
    steps_left: Mutex<Option<usize>>,
    died: Notify,
}

impl GatedStore {
    pub(crate) fn new(inner: FolderStore) -> Self {
        Self {
            inner,
            gate: RwLock::new(()),
            steps_left: Mutex::default(),
            died: Notify::new(),
        }
    }

    /// Does `work` until it has taken so many steps, and drops it there, as when its process is killed; `None` when that has happened.
    pub(crate) async fn killed_after<T>(&self, steps: usize, work: impl Future<Output = T>) -> Option<T> {
        *self.steps_left.lock() = Some(steps);
        let done = tokio::select! {
            done = work => Some(done),
            () = self.died.notified() => None,
        };
        *self.steps_left.lock() = None;
        done
    }

    async fn step(&self) {
        let is_last = match &mut *self.steps_left.lock() {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        };
        if is_last {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }

    async fn between<T>(&self, operation: impl Future<Output = T>) -> T {
        self.step().await;
        let done = operation.await;
        self.step().await;
        done
    }
}

#[async_trait]
impl Store for GatedStore {
    async fn put(&self, key: &str, bytes: axum::body::Bytes) -> Result<ETag, StoreError> {
        if key.contains("/outbound/") {
            let _open = self.gate.read().await;
        }
        self.between(self.inner.put(key, bytes)).await
    }

    async fn put_if_absent(&self, key: &str, bytes: axum::body::Bytes) -> Result<Option<ETag>, StoreError> {
        self.between(self.inner.put_if_absent(key, bytes)).await
    }

    async fn put_if_match(
        &self,
        key: &str,
        etag: &ETag,
        bytes: axum::body::Bytes,
    ) -> Result<Option<ETag>, StoreError> {
        self.between(self.inner.put_if_match(key, etag, bytes)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.between(self.inner.get(key)).await
    }

    async fn get_aged(&self, key: &str) -> Result<Option<(Object, Age)>, StoreError> {
        self.between(self.inner.get_aged(key)).await
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        self.between(self.inner.list(prefix, page)).await
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.between(self.inner.delete(key)).await
    }

    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError> {
        self.between(self.inner.append(key)).await
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        self.inner.location(key)
    }
}
