//! The heartbeat in virtual time, over a store and a queue that do as they are told.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use platform::{
    clock::ManualClock,
    queue::{Depth, Received, Sent},
    store::{Append, ETag, Listing, Object, Page, StoreError},
};
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    claim::{Attempt, Seeking},
    testing::job,
};

const LEASE: Duration = Duration::from_secs(9);
const HEARTBEAT: Duration = Duration::from_secs(3);

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Fails,
    Hangs,
    /// Somebody else has written, or holds the job.
    Taken,
}

struct Fake {
    mood: Mutex<Mood>,
    renewals: Mutex<u32>,
    slack: Duration,
}

impl Fake {
    async fn answer(&self) -> Result<Mood, StoreError> {
        let mood = *self.mood.lock();
        match mood {
            Mood::Well | Mood::Taken => Ok(mood),
            Mood::Fails => Err(StoreError::Unavailable {
                action: "write an object",
                source: "no space left".into(),
            }),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Store for Fake {
    async fn put(&self, _: &str, _: Bytes) -> Result<ETag, StoreError> {
        unreachable!("a lease writes by conditional writes only")
    }

    async fn put_if_absent(&self, _: &str, _: Bytes) -> Result<Option<ETag>, StoreError> {
        Ok(Some(ETag::new("first")))
    }

    async fn put_if_match(&self, _: &str, _: &ETag, _: Bytes) -> Result<Option<ETag>, StoreError> {
        let mood = self.answer().await?;
        *self.renewals.lock() += 1;
        Ok((mood == Mood::Well).then(|| ETag::new("next")))
    }

    async fn get(&self, _: &str) -> Result<Option<Object>, StoreError> {
        Ok(None)
    }

    fn age_slack(&self) -> Duration {
        self.slack
    }

    async fn list(&self, _: &str, _: Page) -> Result<Listing, StoreError> {
        unreachable!("a lease lists nothing")
    }

    async fn delete(&self, _: &str) -> Result<bool, StoreError> {
        unreachable!("a lease deletes nothing")
    }

    async fn append(&self, _: &str) -> Result<Box<dyn Append>, StoreError> {
        unreachable!("a lease records nothing")
    }

    fn location(&self, _: &str) -> Result<String, StoreError> {
        unreachable!("a lease shows nothing")
    }
}

#[async_trait]
impl Queue for Fake {
    async fn send(&self, _: &str, _: &str, _: &str) -> Result<Sent, QueueError> {
        unreachable!("a lease sends nothing")
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Received>, QueueError> {
        unreachable!("a lease receives nothing")
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<(), QueueError> {
        match self.answer().await {
            Ok(Mood::Taken) => Err(QueueError::StaleReceipt),
            Ok(_) => Ok(()),
            Err(error) => Err(QueueError::Unavailable {
                reason: "extend",
                source: Box::new(error),
            }),
        }
    }

    async fn delete(&self, _: &Receipt) -> Result<(), QueueError> {
        unreachable!("a lease acknowledges nothing")
    }

    async fn release(&self, _: &Receipt) -> Result<(), QueueError> {
        unreachable!("a lease releases nothing")
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        unreachable!("a lease counts nothing")
    }
}

struct Bench {
    store: Arc<Fake>,
    queue: Arc<Fake>,
    lease: Lease,
    started: Instant,
    tasks: TaskTracker,
}

impl Bench {
    async fn start(store: Mood, queue: Mood) -> Self {
        Self::over(store, queue, Duration::ZERO).await
    }

    /// Over a store that tells ages so roughly.
    async fn over(store: Mood, queue: Mood, slack: Duration) -> Self {
        let fake = |mood| {
            Arc::new(Fake {
                mood: Mutex::new(mood),
                renewals: Mutex::new(0),
                slack,
            })
        };
        let (store, queue) = (fake(store), fake(queue));
        let manual = ManualClock::at(time::OffsetDateTime::UNIX_EPOCH);
        let clock: SharedClock = Arc::new(manual.clone());
        let terms = LeaseTerms {
            store: store.clone(),
            queue: queue.clone(),
            clock,
            worker: "a".into(),
            lease: LEASE,
            heartbeat: HEARTBEAT,
        };
        let Ok(Attempt::Won(held)) = terms
            .claims()
            .take(&job(), &mut Seeking::new(), &CancellationToken::new())
            .await
        else {
            panic!("nobody else wants the call")
        };
        // The wall clock is set; the claim lasts as long as it would have.
        manual.advance(Duration::from_secs(90));
        let tasks = TaskTracker::new();
        let started = Instant::now();
        let lease = Lease::start(terms, *held, Receipt::new("r"), &tasks);
        Self {
            store,
            queue,
            lease,
            started,
            tasks,
        }
    }

    /// When the fence went up; it must, within a minute.
    async fn fenced_after(&self) -> Duration {
        let fenced = self.lease.fenced.cancelled();
        timeout(Duration::from_mins(1), fenced).await.expect("fenced");
        self.started.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_task_has_panicked_is_not_held_any_more() {
    let bench = Bench::start(Mood::Well, Mood::Well).await;
    let call = bench.tasks.spawn(async move {
        let _lease = bench.lease;
        sleep(HEARTBEAT * 2).await;
        panic!("the call's task");
    });
    assert!(call.await.is_err_and(|error| error.is_panic()));
    // Of the heartbeat nothing is left, so that the claim runs out.
    bench.tasks.close();
    timeout(HEARTBEAT, bench.tasks.wait()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_renewed_lasts() {
    let bench = Bench::start(Mood::Well, Mood::Well).await;
    sleep(Duration::from_mins(1)).await;
    assert!(!bench.lease.fenced.is_cancelled());
    assert_eq!(*bench.store.renewals.lock(), 19);
    assert!(bench.lease.stop().await.is_ok());
    bench.tasks.close();
    bench.tasks.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_worker_has_taken_is_lost_at_the_next_heartbeat() {
    let bench = Bench::start(Mood::Taken, Mood::Well).await;
    assert_eq!(bench.fenced_after().await, HEARTBEAT);
    assert_eq!(bench.lease.stop().await.err(), Some(Lost::ToAnother));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_loses_the_call_when_the_claim_expires_and_not_later() {
    for store in [Mood::Fails, Mood::Hangs] {
        for queue in [Mood::Well, Mood::Fails, Mood::Hangs] {
            let bench = Bench::start(store, queue).await;
            assert_eq!(bench.fenced_after().await, LEASE);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_in_time_keeps_the_call() {
    let bench = Bench::start(Mood::Hangs, Mood::Well).await;
    sleep(Duration::from_millis(8_500)).await;
    *bench.store.mood.lock() = Mood::Well;
    // The renewal that hangs is given up at the expiry, and no other fits in before it.
    assert_eq!(bench.fenced_after().await, LEASE);

    let bench = Bench::start(Mood::Fails, Mood::Well).await;
    sleep(Duration::from_millis(8_500)).await;
    *bench.store.mood.lock() = Mood::Well;
    sleep(Duration::from_mins(1)).await;
    assert!(!bench.lease.fenced.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn the_queue_alone_loses_no_call() {
    for queue in [Mood::Taken, Mood::Fails, Mood::Hangs] {
        let bench = Bench::start(Mood::Well, queue).await;
        sleep(Duration::from_mins(1)).await;
        assert!(!bench.lease.fenced.is_cancelled());
        assert_eq!(*bench.queue.renewals.lock(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_ages_are_told_in_whole_seconds_the_holder_is_silent_before_another_may_take_the_call() {
    let slack = Duration::from_secs(2);
    for store in [Mood::Fails, Mood::Hangs] {
        let bench = Bench::over(store, Mood::Well, slack).await;
        assert_eq!(bench.fenced_after().await, LEASE.saturating_sub(slack));
    }
    // Two renewals fail, and the one at the end hangs.
    let bench = Bench::over(Mood::Fails, Mood::Well, slack).await;
    sleep(HEARTBEAT * 2 + Duration::from_millis(500)).await;
    *bench.store.mood.lock() = Mood::Hangs;
    let longest = LEASE.saturating_sub(slack) + LAST_WORD;
    assert_eq!(bench.fenced_after().await, longest);
    // Two lost heartbeats cost no call.
    let bench = Bench::over(Mood::Fails, Mood::Well, slack).await;
    sleep(HEARTBEAT * 2 + Duration::from_millis(500)).await;
    *bench.store.mood.lock() = Mood::Well;
    sleep(Duration::from_mins(1)).await;
    assert!(!bench.lease.fenced.is_cancelled());
}
