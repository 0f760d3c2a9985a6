//! Jobs over a real queue and a folder, with a room server that lists what it is told to, or is not there.

use std::{collections::HashMap, sync::atomic::AtomicBool, sync::atomic::Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use events::{Outcome, Regions, keys};
use platform::{
    Secret,
    clock::ManualClock,
    config::{LiveKitConfig, Targets, Worker},
    livekit::{LiveKit, proto},
    queue::{Queue, SqliteQueue},
    store::{Append, ETag, FolderStore, Listing, Object, Page, Store},
    targets::Policy,
};
use prost::Message;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;
use crate::{Shared, testing};

const LEASE: Duration = Duration::from_secs(9);

/// A folder that can be out of reach.
struct Gate {
    inner: FolderStore,
    is_out: AtomicBool,
}

impl Gate {
    fn open(&self) -> Result<&FolderStore, StoreError> {
        if self.is_out.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable {
                action: "be reached",
                source: "no route to host".into(),
            });
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl Store for Gate {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<ETag, StoreError> {
        self.open()?.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.open()?.put_if_absent(key, bytes).await
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.open()?.put_if_match(key, etag, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.open()?.get(key).await
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        self.open()?.list(prefix, page).await
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.open()?.delete(key).await
    }

    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError> {
        self.open()?.append(key).await
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        self.inner.location(key)
    }
}

struct Bench {
    clock: ManualClock,
    store: Arc<Gate>,
    queue: Arc<SqliteQueue>,
    setup: Arc<Setup>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// With the job in the queue, and the room server at `url`.
    async fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(testing::job().created_at.to_offset());
        let queue = SqliteQueue::open(folder.path().join("queue.sqlite"), Arc::new(clock.clone()))
            .await
            .unwrap();
        let store = Arc::new(Gate {
            inner: FolderStore::open(folder.path().join("store")).await.unwrap(),
            is_out: AtomicBool::new(false),
        });
        let queue = Arc::new(queue);
        let shared = Shared {
            store: store.clone(),
            queue: queue.clone(),
            clock: Arc::new(clock.clone()),
            targets: Policy::new(Targets::default()),
        };
        let livekit = LiveKit::new(&LiveKitConfig {
            url: url.replace("http://", "ws://"),
            api_key: "devkey".into(),
            api_secret: Secret::new("0123456789abcdefghijklmnopqrstuvwxyz"),
            webhook_keys: Vec::new(),
        })
        .unwrap();
        let config = Worker {
            slots: 1,
            lease: LEASE,
            heartbeat: LEASE / 3,
            drain_limit: Duration::ZERO,
        };
        let setup = Setup::new(
            "worker-1",
            url,
            livekit,
            HashMap::new(),
            Regions::default(),
            shared,
            &config,
        );
        let job = testing::job();
        queue
            .send(job.group(), &job.dedup_id(), &job.encode())
            .await
            .unwrap();
        Self {
            clock,
            store,
            queue,
            setup: Arc::new(setup),
            _folder: folder,
        }
    }

    /// Serves the job if it can be received; how often it has been.
    async fn serve(&self) -> Option<u32> {
        let received = self
            .queue
            .receive(1, LEASE, Duration::ZERO)
            .await
            .unwrap()
            .pop()?;
        let job = CallJob::decode(received.body.as_bytes()).unwrap();
        super::job(&self.setup, job, &received, &Lifecycle::new()).await;
        Some(received.receive_count)
    }

    async fn has(&self, key: &str) -> bool {
        self.store.inner.get(key).await.unwrap().is_some()
    }

    async fn record(&self) -> Option<CallRecord> {
        let key = keys::record(testing::job().created_at, &testing::job().call);
        let object = self.store.inner.get(&key).await.unwrap()?;
        Some(CallRecord::decode(object.bytes).unwrap())
    }
}

fn lists(rooms: Vec<proto::Room>) -> ResponseTemplate {
    let rooms = proto::ListRoomsResponse { rooms };
    ResponseTemplate::new(200).set_body_bytes(rooms.encode_to_vec())
}

async fn livekit(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let (last, first) = answers.split_last().unwrap();
    let mount = async |answer: &ResponseTemplate, times: Option<u64>| {
        let mock = Mock::given(path("/twirp/livekit.RoomService/ListRooms")).respond_with(answer.clone());
        match times {
            Some(times) => mock.up_to_n_times(times).mount(&server).await,
            None => mock.mount(&server).await,
        }
    };
    for answer in first {
        mount(answer, Some(1)).await;
    }
    mount(last, None).await;
    server
}

/// The call's room.
fn room() -> proto::Room {
    let job = testing::job();
    proto::Room {
        sid: job.call.as_str().to_owned(),
        name: job.room.as_str().to_owned(),
        ..proto::Room::default()
    }
}

#[tokio::test]
async fn a_list_that_lacks_the_room_once_does_not_end_a_call_that_was_claimed() {
    let none = || lists(Vec::new());
    // The third attempt claims it, and looks once more.
    let server = livekit(vec![none(), none(), none(), lists(vec![room()])]).await;
    let bench = Bench::new(&server.uri()).await;
    for attempt in 1..=3 {
        assert_eq!(bench.serve().await, Some(attempt));
        bench.clock.advance(Duration::from_secs(2));
    }
    assert!(bench.record().await.is_none(), "it was closed");
}

#[tokio::test]
async fn a_list_that_lacks_the_room_once_does_not_end_the_call() {
    let job = testing::job();
    let server = livekit(vec![lists(Vec::new()), lists(vec![room()])]).await;
    let bench = Bench::new(&server.uri()).await;
    let claim = keys::claim(job.created_at, &job.call);
    assert_eq!(bench.serve().await, Some(1));
    assert!(!bench.has(&claim).await, "its webhooks may still close it");
    assert_eq!(bench.serve().await, None, "not at once");
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.serve().await, Some(2));
    assert!(bench.has(&claim).await, "it is there after all");
    assert_eq!(bench.record().await, None);
}

#[tokio::test]
async fn a_job_whose_room_is_never_listed_ends_with_a_record_and_is_not_put_aside() {
    let server = livekit(vec![lists(Vec::new())]).await;
    let bench = Bench::new(&server.uri()).await;
    for attempt in 1..=3 {
        assert_eq!(bench.record().await, None, "{attempt}");
        assert_eq!(bench.serve().await, Some(attempt));
        bench.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(bench.record().await.unwrap().outcome, Outcome::Cancelled);
    let depth = bench.queue.depth().await.unwrap();
    assert_eq!((depth.visible, depth.in_flight, depth.dead), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_long_costs_no_call() {
    // Nobody listens there: LiveKit does not say that the room is gone.
    let bench = Bench::new("http://127.0.0.1:9").await;
    bench.store.is_out.store(true, Ordering::SeqCst);
    let mut attempts = 0;
    while attempts <= 2 * MAX_RECEIVES {
        attempts += u32::from(bench.serve().await.is_some());
        bench.clock.advance(Duration::from_secs(1));
    }
    let depth = bench.queue.depth().await.unwrap();
    assert_eq!((depth.visible + depth.in_flight, depth.dead), (1, 0));
    bench.store.is_out.store(false, Ordering::SeqCst);
    bench.clock.advance(LEASE);
    assert!(bench.serve().await.is_some());
    let job = testing::job();
    assert!(bench.has(&keys::claim(job.created_at, &job.call)).await);
}

#[tokio::test]
async fn a_copy_of_the_job_does_not_take_the_call_from_the_very_process_that_serves_it() {
    let job = testing::job();
    let bench = Bench::new("http://127.0.0.1:9").await;
    let claim = keys::claim(job.created_at, &job.call);
    let served = bench.setup.serving.begin(&job.call).unwrap();
    for _ in 0..=MAX_RECEIVES {
        assert!(bench.serve().await.is_some());
        assert!(!bench.has(&claim).await, "it is taken");
        bench.clock.advance(LEASE);
    }
    drop(served);
    assert!(bench.serve().await.is_some(), "the copy is lost");
    assert!(bench.has(&claim).await);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_which_nobody_says_anything_for_a_day_is_put_aside() {
    let bench = Bench::new("http://127.0.0.1:9").await;
    bench.store.is_out.store(true, Ordering::SeqCst);
    bench.clock.advance(Duration::from_hours(25));
    for _ in 0..=MAX_RECEIVES {
        bench.serve().await;
        bench.clock.advance(LEASE);
    }
    assert_eq!(bench.queue.depth().await.unwrap().dead, 1);
}
