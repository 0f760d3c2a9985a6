//! The function over the queue and the store of `trunkline serve`.

use std::{sync::Arc, time::Duration};

use axum::Router;
use events::{CallJob, CallRecord};
use platform::{
    queue::{Queue, SqliteQueue},
    store::{FolderStore, Page, Store},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use webhook::{Policy, WebhookState, router};

use crate::{
    fakes::Access,
    sender::{Webhook, agents, answer, cancelled_call, clock, keys, sample},
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

/// The function over a SQLite queue and a folder, as in `trunkline serve`.
struct Host {
    _folder: tempfile::TempDir,
    queue: Arc<SqliteQueue>,
    store: Arc<FolderStore>,
    app: Router,
}

impl Host {
    async fn start(at_ms: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock(at_ms);
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
        Self {
            _folder: folder,
            queue,
            store,
            app,
        }
    }

    async fn send(&self, webhook: Webhook) -> Value {
        let (status, body) = answer(self.app.clone().oneshot(webhook.request()).await.unwrap()).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn jobs(&self) -> Vec<CallJob> {
        let received = self
            .queue
            .receive(10, Duration::from_secs(9), Duration::ZERO)
            .await
            .unwrap();
        received
            .iter()
            .map(|message| CallJob::decode(&message.body).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn a_recorded_call_goes_through_sqlite_and_a_folder() {
    let webhooks = cancelled_call();
    let host = Host::start(webhooks[0].at_ms).await;
    for webhook in webhooks {
        host.send(webhook).await;
    }
    let jobs = host.jobs().await;
    let [job] = jobs.as_slice() else {
        panic!("one job, not {jobs:?}")
    };
    let record = host
        .store
        .get(&events::keys::record(job.created_at, &job.call))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        CallRecord::decode(&record.bytes).unwrap().outcome.kind(),
        "cancelled"
    );
    let kept = host
        .store
        .list(&events::keys::events(job.created_at, &job.call), Page::default())
        .await
        .unwrap();
    assert_eq!(kept.entries.len(), 6);
}

#[tokio::test]
async fn the_same_webhook_sixteen_times_at_once_makes_one_job() {
    let webhook = sample("participant_joined.sip.ringing.json");
    let host = Host::start(webhook.at_ms).await;
    let answers = futures_util::future::join_all((0..16).map(|_| host.send(webhook.clone()))).await;
    let enqueued = answers
        .iter()
        .filter(|answer| answer["outcome"] == "job_enqueued")
        .count();
    assert_eq!(enqueued, 1, "{answers:?}");
    assert_eq!(host.jobs().await.len(), 1);
}
