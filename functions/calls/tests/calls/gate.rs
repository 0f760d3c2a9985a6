//! A store that can be made to wait before it keeps a leg.

use async_trait::async_trait;
use platform::store::{Append, ETag, FolderStore, Listing, Object, Page, Store, StoreError};
use tokio::sync::RwLock;

pub(crate) struct GatedStore {
    inner: FolderStore,
    /// No new leg is kept while this is held for writing.
    pub(crate) gate: RwLock<()>,
}

impl GatedStore {
    pub(crate) fn new(inner: FolderStore) -> Self {
        Self {
            inner,
            gate: RwLock::new(()),
        }
    }
}

#[async_trait]
impl Store for GatedStore {
    async fn put(&self, key: &str, bytes: axum::body::Bytes) -> Result<ETag, StoreError> {
        if key.contains("/outbound/") {
            let _open = self.gate.read().await;
        }
        self.inner.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &str, bytes: axum::body::Bytes) -> Result<Option<ETag>, StoreError> {
        self.inner.put_if_absent(key, bytes).await
    }

    async fn put_if_match(
        &self,
        key: &str,
        etag: &ETag,
        bytes: axum::body::Bytes,
    ) -> Result<Option<ETag>, StoreError> {
        self.inner.put_if_match(key, etag, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        self.inner.list(prefix, page).await
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.inner.delete(key).await
    }

    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError> {
        self.inner.append(key).await
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        self.inner.location(key)
    }
}
