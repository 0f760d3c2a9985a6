//! The function over the queue and the store of `trunkline serve`.

use std::sync::Arc;

use events::{CallJob, CallRecord};
use platform::{
    queue::{Queue, SqliteQueue},
    store::{FolderStore, Page, Store},
};
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt;
use webhook::{Policy, WebhookState, router};

use crate::{
    fakes::Access,
    sender::{agents, answer, cancelled_call, clock, keys},
};

pub(crate) fn state_in_memory() -> WebhookState {
    let access = Arc::new(Access {
        world: Arc::default(),
        fuse: Arc::default(),
    });
    WebhookState {
        keys: keys(),
        policy: Policy::default(),
        queue: access.clone(),
        store: access,
        clock: clock(1_795_196_401_000),
        rooms: None,
    }
}

#[tokio::test]
async fn a_recorded_call_goes_through_sqlite_and_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let webhooks = cancelled_call();
    let clock = clock(webhooks[0].at_ms);
    let queue = Arc::new(
        SqliteQueue::open(folder.path().join("queue.sqlite"), clock.clone())
            .await
            .unwrap(),
    );
    let store = Arc::new(FolderStore::open(folder.path().join("store")).await.unwrap());
    let rules = agents(&[json!({"profile": "support", "numbers": ["+1*"]})]);
    let app = router(WebhookState {
        keys: keys(),
        policy: Policy {
            agents: rules,
            ..Policy::default()
        },
        queue: queue.clone(),
        store: store.clone(),
        clock,
        rooms: None,
    });
    for webhook in webhooks {
        let (status, body) = answer(app.clone().oneshot(webhook.request()).await.unwrap()).await;
        assert_eq!(status, 200, "{body}");
    }
    let received = queue
        .receive(10, Duration::from_secs(9), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(received.len(), 1);
    let job = CallJob::decode(&received[0].body).unwrap();
    let record = store
        .get(&events::keys::record(job.created_at, &job.call))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        CallRecord::decode(&record.bytes).unwrap().outcome.kind(),
        "cancelled"
    );
    let kept = store
        .list(&events::keys::events(job.created_at, &job.call), Page::default())
        .await
        .unwrap();
    assert!(kept.entries.len() >= 4);
}
