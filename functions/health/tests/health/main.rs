//! Health against real servers, up and down.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::{Arc, Mutex};

use access::Access;
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes},
    middleware::from_fn_with_state,
};
use dev::{LocalStack, LocalStackConfig, Program};
use health::{Beside, HealthState, Report, Tally, router};
use http::Request;
use platform::{
    Secret,
    clock::ManualClock,
    config::{AccessConfig, AccessKey, Grant, KeyHash, LiveKitConfig, Scope},
    livekit::LiveKit,
    queue::SqliteQueue,
    store::{Append, ETag, FolderStore, Listing, Object, Page, Store, StoreError},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

const KEY: &str = "ops-0123456789-0123456789-0123456789";
const OTHER: &str = "other-0123456789-0123456789-01234567";

struct Host {
    folder: tempfile::TempDir,
    app: Router,
}

async fn host(url: &str, api_key: &str, api_secret: &str) -> Host {
    host_beside(url, api_key, api_secret, Vec::new()).await
}

async fn host_beside(url: &str, api_key: &str, api_secret: &str, beside: Vec<Beside>) -> Host {
    host_over(url, (api_key, api_secret), beside, |store| Arc::new(store)).await
}

async fn host_over(
    url: &str,
    (api_key, api_secret): (&str, &str),
    beside: Vec<Beside>,
    over: impl FnOnce(FolderStore) -> Arc<dyn Store>,
) -> Host {
    let key = |name: &str, key: &str, scope| AccessKey {
        name: name.into(),
        hash: KeyHash(Sha256::digest(key).into()),
        key: None,
        grant: Grant {
            scopes: vec![scope],
            ..Grant::default()
        },
    };
    let config = AccessConfig {
        keys: vec![
            key("ops", KEY, Scope::HealthRead),
            key("other", OTHER, Scope::CallsRead),
        ],
        jwt: None,
        requests_per_minute: 600,
    };
    let clock = Arc::new(ManualClock::default());
    let folder = tempfile::tempdir().unwrap();
    let livekit = LiveKit::new(&LiveKitConfig {
        url: url.into(),
        api_key: api_key.into(),
        api_secret: Secret::new(api_secret),
        webhook_keys: Vec::new(),
    });
    let state = HealthState {
        livekit: livekit.unwrap(),
        queue: Arc::new(
            SqliteQueue::open(folder.path().join("queue.sqlite"), clock.clone())
                .await
                .unwrap(),
        ),
        store: over(FolderStore::open(folder.path().join("store")).await.unwrap()),
        tally: Tally::default(),
        beside,
    };
    let access = Access::new(&config, clock).unwrap();
    let counted = from_fn_with_state(state.tally.clone(), Tally::count);
    let (app, _) = router(&access, state).split_for_parts();
    Host {
        folder,
        app: app.layer(counted),
    }
}

impl Host {
    async fn get(&self, path: &str, key: Option<&str>) -> (u16, Value) {
        let mut request = Request::get(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let response = self
            .app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

fn statuses(health: &Value) -> Vec<(&str, &str)> {
    let parts = health["components"].as_array().unwrap();
    parts
        .iter()
        .map(|part| (part["name"].as_str().unwrap(), part["status"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn every_part_is_tried_and_what_fails_comes_with_its_remedy() {
    let mut stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let keys = stack.keys().clone();
    let host = host(&stack.ws_url(), keys.api_key(), keys.api_secret()).await;
    let (status, health) = host.get("/health", Some(KEY)).await;
    assert_eq!(status, 200, "{health}");
    let all = ["livekit", "sip", "egress", "ingress", "queue", "store"].map(|name| (name, "ok"));
    assert_eq!(statuses(&health), all);
    assert!(
        health["components"]
            .as_array()
            .unwrap()
            .iter()
            .all(|part| part["ms"].is_u64())
    );
    assert_eq!(host.get("/health/ready", None).await.0, 200);

    stack.kill(Program::LiveKit).await.unwrap();
    let (status, health) = host.get("/health", Some(KEY)).await;
    assert_eq!((status, health["status"].as_str().unwrap()), (503, "failed"));
    let failed = &statuses(&health)[..4];
    assert!(failed.iter().all(|(_, status)| *status == "failed"), "{health}");
    assert!(
        health["components"][0]["remedy"]
            .as_str()
            .unwrap()
            .contains("livekit.url")
    );
    assert_eq!(health["errors"], 0, "its own answer is not yet counted");
    assert_eq!(host.get("/health", Some(KEY)).await.1["errors"], 1);
    stack.stop().await.unwrap();
}

/// A part beside the functions that is well, silent or ill.
#[tokio::test]
async fn what_runs_beside_the_functions_is_asked_and_degrades_at_most() {
    let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let keys = stack.keys().clone();
    let state = Arc::new(Mutex::new(None));
    let asked = Arc::clone(&state);
    let beside = Beside::new("registrations", "look at the log", move || {
        asked.lock().unwrap().clone()
    });
    let host = host_beside(&stack.ws_url(), keys.api_key(), keys.api_secret(), vec![beside]).await;
    assert_eq!(statuses(&host.get("/health", Some(KEY)).await.1).len(), 6);
    let report = |is_well| Report {
        detail: "main: …".into(),
        is_well,
    };
    *state.lock().unwrap() = Some(report(true));
    let (status, health) = host.get("/health", Some(KEY)).await;
    assert_eq!((status, statuses(&health)[6]), (200, ("registrations", "ok")));
    assert!(health["components"][6]["remedy"].is_null());
    *state.lock().unwrap() = Some(report(false));
    let (status, health) = host.get("/health", Some(KEY)).await;
    assert_eq!((status, statuses(&health)[6]), (200, ("registrations", "failed")));
    assert_eq!(
        (&health["status"], &health["components"][6]["detail"]),
        (&"degraded".into(), &"main: …".into())
    );
    assert_eq!(health["components"][6]["remedy"], "look at the log");
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_keys_and_a_lost_folder_are_told_apart() {
    let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let host = host(&stack.ws_url(), "devkey", "0123456789abcdefghijklmnopqrstuvwxyz").await;
    std::fs::remove_dir_all(host.folder.path().join("store")).unwrap();
    let (status, health) = host.get("/health", Some(KEY)).await;
    assert_eq!(status, 503);
    let remedy = |at: usize| health["components"][at]["remedy"].as_str().unwrap().to_owned();
    assert!(remedy(0).contains("livekit.api_key"), "{health}");
    assert!(remedy(5).contains("store"), "{health}");
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn the_full_check_needs_its_scope_and_the_others_are_open() {
    let host = host(
        "ws://127.0.0.1:9",
        "devkey",
        "0123456789abcdefghijklmnopqrstuvwxyz",
    )
    .await;
    assert_eq!(host.get("/health", None).await.0, 401);
    assert_eq!(host.get("/health", Some(OTHER)).await.0, 403);
    assert_eq!(host.get("/health/live", None).await.0, 200);
    let (status, body) = host.get("/health/ready", None).await;
    assert_eq!(
        (status, body),
        (503, serde_json::json!({"status": "failed"})),
        "no more than yes or no"
    );
}

/// A folder that does not tell how old its objects are.
struct Ageless(FolderStore);

#[async_trait]
impl Store for Ageless {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<ETag, StoreError> {
        self.0.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.0.put_if_absent(key, bytes).await
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.0.put_if_match(key, etag, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        self.0.list(prefix, page).await
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.0.delete(key).await
    }

    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError> {
        self.0.append(key).await
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        self.0.location(key)
    }
}

#[tokio::test]
async fn a_store_that_does_not_tell_ages_works_and_the_check_says_what_to_do() {
    let keys = ("devkey", "0123456789abcdefghijklmnopqrstuvwxyz");
    let host = host_over("ws://127.0.0.1:9", keys, Vec::new(), |store| {
        Arc::new(Ageless(store))
    })
    .await;
    let (_, health) = host.get("/health", Some(KEY)).await;
    let store = &health["components"][5];
    assert_eq!(
        (&store["name"], &store["status"]),
        (&"store".into(), &"ok".into())
    );
    assert!(store["remedy"].as_str().unwrap().contains("`Date`"), "{health}");
}
