//! What the suite of the store port runs on: one row for each URL.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU32, atomic::Ordering},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use platform::{
    aws::Access,
    clock::SystemClock,
    config::{self, Environment, ProcessEnvironment, S3Config, StoreConfig},
    store::{self, Page, Store},
};

use crate::{Wrong, ministack};

/// The bucket of every MiniStack.
pub(crate) const BUCKET: &str = "calls";

/// An empty store.
pub(crate) struct StoreRow {
    config: StoreConfig,
    access: Access,
    store: Arc<dyn Store>,
    machines: AtomicU32,
    folder: tempfile::TempDir,
    server: Option<ministack::Lent>,
}

/// A store in a folder.
pub(crate) async fn folder() -> Option<StoreRow> {
    Some(row("file:store", Access::DefaultChain, &BTreeMap::new(), None).await)
}

/// A store at a MiniStack that the test has started.
pub(crate) async fn s3_ministack() -> Option<StoreRow> {
    let server = ministack::lend_on_time().await;
    let url = format!(
        "s3://{BUCKET}/conformance?region={}&endpoint={}&path_style=true",
        dev::MiniStack::REGION,
        server.url()
    );
    Some(row(&url, ministack::access(), &BTreeMap::new(), Some(server)).await)
}

/// The store that `TRUNKLINE_TEST_STORE` names. Tests write and delete below what it names.
pub(crate) async fn of_the_environment() -> Option<StoreRow> {
    let Some(url) = ProcessEnvironment.var("TRUNKLINE_TEST_STORE") else {
        println!("skipped: TRUNKLINE_TEST_STORE is not set");
        return None;
    };
    Some(row(&url, Access::DefaultChain, &ProcessEnvironment, None).await)
}

async fn row(url: &str, access: Access, env: &dyn Environment, server: Option<ministack::Lent>) -> StoreRow {
    platform::install_providers();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config::store(url, folder.path(), env).unwrap();
    // Below what the URL names, so that each test has its own.
    let own = format!("{:016x}", rand::random::<u64>());
    match &mut config {
        StoreConfig::Folder(path) => *path = path.join(own),
        StoreConfig::S3(config) => {
            if let Some(server) = &server {
                make_bucket(server).await;
            }
            let below = format!("{}/{own}", config.prefix);
            below.trim_start_matches('/').clone_into(&mut config.prefix);
        }
    }
    let store = store::open(&config, &access, Arc::new(SystemClock))
        .await
        .unwrap();
    StoreRow {
        config,
        access,
        store,
        machines: AtomicU32::new(1),
        folder,
        server,
    }
}

/// Makes the bucket of a MiniStack; it may be there already.
pub(crate) async fn make_bucket(server: &dev::MiniStack) {
    platform::install_providers();
    let keys = Credentials::new(dev::MiniStack::KEY, dev::MiniStack::KEY, None, None, "test");
    let client = Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(dev::MiniStack::REGION))
            .endpoint_url(server.url())
            .force_path_style(true)
            .credentials_provider(keys)
            .build(),
    );
    let _ = client.create_bucket().bucket(BUCKET).send().await;
}

impl StoreRow {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The same store through another connection, as another process on this machine has it.
    pub(crate) async fn elsewhere(&self) -> Arc<dyn Store> {
        self.open(&self.config).await
    }

    /// The same store as another machine has it; `None` when there is only one.
    pub(crate) async fn another_machine(&self) -> Option<Arc<dyn Store>> {
        let StoreConfig::S3(config) = &self.config else {
            return None;
        };
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let config = StoreConfig::S3(S3Config {
            spool: self.folder.path().join(format!("machine-{number}")),
            ..config.clone()
        });
        Some(self.open(&config).await)
    }

    async fn open(&self, config: &StoreConfig) -> Arc<dyn Store> {
        store::open(config, &self.access, Arc::new(SystemClock))
            .await
            .unwrap()
    }

    pub(crate) fn has_links(&self) -> bool {
        matches!(self.config, StoreConfig::S3(_))
    }

    /// Nothing is known to be wrong.
    #[expect(clippy::unused_self, reason = "every row has it")]
    pub(crate) fn wrong(&self) -> Wrong {
        &[]
    }

    /// Deletes what the test has made, at a service that stays.
    pub(crate) async fn close(self) {
        if self.server.is_some() {
            return;
        }
        loop {
            let listing = self.store.list("", Page::default()).await.unwrap();
            for entry in &listing.entries {
                self.store.delete(&entry.key).await.unwrap();
            }
            if listing.next.is_none() {
                return;
            }
        }
    }
}
