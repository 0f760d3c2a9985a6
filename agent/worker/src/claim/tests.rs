//! Claims over a folder, whose files are made older.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use platform::{
    clock::ManualClock,
    store::{Append, FolderStore, Listing, Object, Page},
};

use super::*;
use crate::testing::job;

const LEASE: Duration = Duration::from_secs(9);
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Files grow older by themselves: between a write and a look at it no more than this may go by.
const STALL: Duration = Duration::from_millis(2_900);

struct Bench {
    store: FolderStore,
    manual: ManualClock,
    clock: SharedClock,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manual = ManualClock::at(time::OffsetDateTime::UNIX_EPOCH + Duration::from_hours(24));
        let store = FolderStore::open(folder.path()).await.unwrap();
        Self {
            store,
            clock: Arc::new(manual.clone()),
            manual,
            folder,
        }
    }

    /// Lets time go by, for the clock and for the store.
    fn advance(&self, by: Duration) {
        self.manual.advance(by);
        let path = self
            .folder
            .path()
            .join(keys::claim(job().created_at, &job().call));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - by).unwrap();
    }

    /// What another worker is told.
    async fn in_force(&self) -> Duration {
        match self.claims("another").tries(&mut Seeking::new()).await.unwrap() {
            Attempt::Held { for_another, .. } => for_another,
            _ => panic!("it is over"),
        }
    }

    /// A clock that runs beside the bench's, `seconds` off.
    fn clock_off_by(&self, seconds: i64) -> SharedClock {
        let now = self.clock.now() + time::Duration::seconds(seconds);
        Arc::new(ManualClock::at(now))
    }

    fn claims<'a>(&'a self, worker: &'a str) -> Claims<'a> {
        Claims {
            store: &self.store,
            clock: &self.clock,
            worker,
            lease: LEASE,
            heartbeat: HEARTBEAT,
        }
    }
}

impl Claims<'_> {
    /// Tries to claim the call of the tests' job.
    async fn tries(&self, seeking: &mut Seeking) -> Result<Attempt, StoreError> {
        self.take(&job(), seeking, &CancellationToken::new()).await
    }
}

async fn won(claims: &Claims<'_>) -> Held {
    match claims.tries(&mut Seeking::new()).await.unwrap() {
        Attempt::Won(held) => *held,
        Attempt::Held { .. } => panic!("held by another"),
        Attempt::Closed | Attempt::NeverHeld => panic!("closed"),
    }
}

/// By how many seconds another worker's clock is off.
const CLOCKS_S: [i64; 13] = [0, -1, 1, -5, 5, 9, 12, 17, -17, 90, -90, 3_600, -3_600];

#[tokio::test]
async fn a_live_claim_keeps_others_away_whatever_their_clocks_say() {
    for clock_of_b_s in CLOCKS_S {
        let bench = Bench::new().await;
        let mut held = won(&bench.claims("a")).await;
        assert_eq!(held.generation(), 1);
        let clock = bench.clock_off_by(clock_of_b_s);
        let b = Claims {
            clock: &clock,
            ..bench.claims("b")
        };
        // Just renewed, a heartbeat old, and all but over.
        for age_s in [0, 3, 6] {
            bench.claims("a").renew(&mut held).await.unwrap();
            bench.advance(Duration::from_secs(age_s));
            let Attempt::Held { for_another } = b.tries(&mut Seeking::new()).await.unwrap() else {
                panic!("b must not get it at {clock_of_b_s} s");
            };
            let left = Duration::from_secs(9 - age_s);
            assert!(for_another <= left, "{for_another:?} at {clock_of_b_s} s");
            assert!(for_another + STALL > left, "{for_another:?}");
        }
    }
}

#[tokio::test]
async fn a_claim_that_nobody_renews_is_taken_after_a_lease_whatever_the_clock_says() {
    for clock_of_b_s in CLOCKS_S {
        let bench = Bench::new().await;
        let _dead = won(&bench.claims("a")).await;
        bench.advance(LEASE);
        let clock = bench.clock_off_by(clock_of_b_s);
        let b = Claims {
            clock: &clock,
            ..bench.claims("b")
        };
        assert_eq!(won(&b).await.generation(), 2, "at {clock_of_b_s} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_the_store_that_is_set_forward_costs_no_call() {
    let bench = Bench::new().await;
    let mut held = won(&bench.claims("a")).await;
    bench.advance(Duration::from_secs(90));
    let (a, b) = (bench.claims("a"), bench.claims("b"));
    let mut sought = Seeking::new();
    let (renewed, attempt) = tokio::join!(
        async {
            tokio::time::sleep(HEARTBEAT).await;
            a.renew(&mut held).await
        },
        b.tries(&mut sought)
    );
    assert!(renewed.is_ok() && matches!(attempt.unwrap(), Attempt::Held { .. }));

    // And a dead one's is taken all the same, but by no process that ends meanwhile.
    bench.advance(Duration::from_secs(90));
    let hard = CancellationToken::new();
    hard.cancel();
    let attempt = b.take(&job(), &mut Seeking::new(), &hard).await.unwrap();
    assert!(matches!(attempt, Attempt::Held { .. }));
    assert_eq!(won(&b).await.generation(), 2);
}

#[tokio::test]
async fn the_claim_says_itself_how_long_it_lasts() {
    let bench = Bench::new().await;
    let patient = Claims {
        lease: LEASE * 3,
        ..bench.claims("a")
    };
    let _held = won(&patient).await;
    bench.advance(LEASE);
    assert!(bench.in_force().await > LEASE);
}

#[tokio::test]
async fn where_the_age_is_told_in_whole_seconds_the_clocks_say_which() {
    let bench = Bench::new().await;
    let (claims, second) = (bench.claims("b"), Duration::from_secs(1));
    let claim = Claim::succeed(None, 1, "a", claims.now(), LEASE);
    let in_force = |claims: &Claims<'_>, s: u64| {
        let age = Duration::from_secs(s);
        let age = Age {
            at_least: age.saturating_sub(second),
            at_most: age + second,
        };
        claims.in_force(&claim, age)
    };
    assert_eq!(in_force(&claims, 9), second, "by the clocks it was just written");
    bench.manual.advance(LEASE.checked_sub(second / 10).unwrap());
    assert_eq!(in_force(&claims, 9), second / 10, "no later than the clocks say");
    assert_eq!(in_force(&claims, 10), Duration::ZERO);
    let clock = bench.clock_off_by(90);
    let ahead = Claims {
        clock: &clock,
        ..claims
    };
    assert_eq!(
        in_force(&ahead, 7),
        second * 3,
        "the clocks decide within the rounding only"
    );
    assert_eq!(in_force(&ahead, 8), Duration::ZERO);
}

#[tokio::test]
async fn an_expired_claim_is_taken_with_a_higher_generation_and_its_old_holder_learns_it() {
    let bench = Bench::new().await;
    let mut zombie = won(&bench.claims("a")).await;
    bench.advance(LEASE);
    let heir = won(&bench.claims("b")).await;
    assert_eq!(heir.generation(), 2);
    assert!(matches!(
        bench.claims("a").renew(&mut zombie).await,
        Err(ClaimError::Lost)
    ));
    assert!(matches!(
        bench.claims("a").close(&mut zombie).await,
        Err(ClaimError::Lost)
    ));
}

#[tokio::test]
async fn a_renewed_claim_does_not_expire() {
    let bench = Bench::new().await;
    let claims = bench.claims("a");
    let mut held = won(&claims).await;
    for _ in 0..5 {
        bench.advance(Duration::from_secs(6));
        claims.renew(&mut held).await.unwrap();
    }
    assert!(bench.in_force().await + STALL > LEASE);
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_does_not_lose_the_call() {
    let bench = Bench::new().await;
    let claims = bench.claims("a");
    let mut held = won(&claims).await;
    let before = held.etag.clone();
    bench.advance(Duration::from_secs(3));
    claims.renew(&mut held).await.unwrap();
    // As if the worker had not heard of it.
    held.etag = before;
    bench.advance(Duration::from_secs(3));
    claims.renew(&mut held).await.unwrap();
    assert!(bench.in_force().await + STALL > LEASE);
}

#[tokio::test]
async fn a_closed_claim_is_never_taken_and_one_given_up_at_once() {
    let bench = Bench::new().await;
    let mut held = won(&bench.claims("a")).await;
    bench.claims("a").give_up(&mut held).await.unwrap();
    let mut heir = won(&bench.claims("b")).await;
    assert!(heir.last().is_some_and(|last| last.given_up) && !heir.claim.given_up);
    bench.claims("b").close(&mut heir).await.unwrap();
    bench.advance(Duration::from_hours(1));
    assert!(matches!(
        bench.claims("c").tries(&mut Seeking::new()).await.unwrap(),
        Attempt::Closed
    ));
}

#[tokio::test]
async fn of_many_workers_one_wins() {
    let bench = Bench::new().await;
    let names: Vec<String> = (0..16).map(|n| format!("w{n}")).collect();
    let claims: Vec<_> = names.iter().map(|name| bench.claims(name)).collect();
    let attempts = futures_util::future::join_all(
        claims
            .iter()
            .map(async |claims| claims.tries(&mut Seeking::new()).await),
    )
    .await;
    let won = |attempt: &Result<Attempt, StoreError>| matches!(attempt, Ok(Attempt::Won(_)));
    assert_eq!(attempts.iter().filter(|attempt| won(attempt)).count(), 1);
}

#[tokio::test]
async fn a_claim_of_a_version_that_did_not_say_how_long_it_lasts_lasts_nine_seconds() {
    let bench = Bench::new().await;
    let mut held = won(&bench.claims("a")).await;
    held.claim.lease_ms = None;
    bench.claims("a").renew(&mut held).await.unwrap();
    for lease_of_b in [Duration::from_secs(3), Duration::from_secs(30)] {
        let b = Claims {
            lease: lease_of_b,
            ..bench.claims("b")
        };
        let Attempt::Held { for_another, .. } = b.tries(&mut Seeking::new()).await.unwrap() else {
            panic!("it is in force");
        };
        assert!(
            for_another <= LEASE && for_another + STALL > LEASE,
            "{for_another:?}"
        );
    }
}

/// A folder that does what it is told, and does not say so once; or that does not tell how old things are.
struct Deaf {
    inner: FolderStore,
    loses_an_answer: AtomicBool,
    /// As a client does that sends a request again by itself.
    sends_again: bool,
}

impl Deaf {
    fn unheard<T>(&self, done: Option<T>) -> Result<Option<T>, StoreError> {
        if !self.loses_an_answer.swap(false, Ordering::SeqCst) {
            return Ok(done);
        }
        if self.sends_again {
            return Ok(None);
        }
        Err(StoreError::Unavailable {
            action: "write an object",
            source: "the answer was lost".into(),
        })
    }
}

#[async_trait]
impl Store for Deaf {
    async fn put(&self, _: &str, _: Bytes) -> Result<ETag, StoreError> {
        unreachable!("a claim is written by conditional writes only")
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.unheard(self.inner.put_if_absent(key, bytes).await?)
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.unheard(self.inner.put_if_match(key, etag, bytes).await?)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, _: &str, _: Page) -> Result<Listing, StoreError> {
        unreachable!("a claim lists nothing")
    }

    async fn delete(&self, _: &str) -> Result<bool, StoreError> {
        unreachable!("a claim deletes nothing")
    }

    async fn append(&self, _: &str) -> Result<Box<dyn Append>, StoreError> {
        unreachable!("a claim records nothing")
    }

    fn location(&self, _: &str) -> Result<String, StoreError> {
        unreachable!("a claim shows nothing")
    }
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_this_workers_at_the_next_attempt() {
    for (sends_again, is_takeover) in [(false, false), (true, false), (false, true), (true, true)] {
        let bench = Bench::new().await;
        if is_takeover {
            let mut given_up = won(&bench.claims("dead")).await;
            bench.claims("dead").give_up(&mut given_up).await.unwrap();
        }
        let store = Deaf {
            inner: FolderStore::open(bench.folder.path()).await.unwrap(),
            loses_an_answer: AtomicBool::new(true),
            sends_again,
        };
        let a = Claims {
            store: &store,
            ..bench.claims("a")
        };
        let mut seeking = Seeking::new();
        let first = a.tries(&mut seeking).await;
        let second = match first {
            Err(_) => a.tries(&mut seeking).await.unwrap(),
            Ok(first) => first,
        };
        let Attempt::Won(held) = second else {
            panic!("it waits for itself: {sends_again} {is_takeover}");
        };
        let generation = if is_takeover { 2 } else { 1 };
        assert_eq!(
            (held.generation(), held.last().is_some()),
            (generation, is_takeover)
        );

        // Another holding of the same worker, and another worker, do not take it for theirs.
        for worker in ["a", "b"] {
            assert!(matches!(
                bench.claims(worker).tries(&mut Seeking::new()).await.unwrap(),
                Attempt::Held { .. }
            ));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_store_tells_no_age_a_living_holder_is_seen_to_renew_whatever_the_clock_says() {
    let bench = Bench::new().await;
    let mut held = won(&bench.claims("a")).await;
    let store = Deaf {
        inner: FolderStore::open(bench.folder.path()).await.unwrap(),
        loses_an_answer: AtomicBool::new(false),
        sends_again: false,
    };
    let clock = bench.clock_off_by(90);
    let b = Claims {
        store: &store,
        clock: &clock,
        ..bench.claims("b")
    };
    let (a, mut sought) = (bench.claims("a"), Seeking::new());
    let renewals = async {
        for _ in 0..5 {
            tokio::time::sleep(HEARTBEAT).await;
            bench.manual.advance(HEARTBEAT);
            a.renew(&mut held).await?;
        }
        Ok::<_, ClaimError>(())
    };
    let (renewed, attempt) = tokio::join!(renewals, b.tries(&mut sought));
    assert!(renewed.is_ok() && matches!(attempt.unwrap(), Attempt::Held { .. }));

    // And a dead one's is taken all the same.
    assert_eq!(won(&b).await.generation(), 2);
}

#[tokio::test]
async fn a_claim_that_ran_out_in_this_workers_hands_is_taken_anew_at_once_unless_another_has_it() {
    let bench = Bench::new().await;
    let mut held = won(&bench.claims("a")).await;
    // A renewal that was given up all the same arrived.
    bench.claims("a").renew(&mut held).await.unwrap();
    let mut others = [
        ("b", Seeking::after(1)),
        ("a", Seeking::after(2)),
        ("a", Seeking::new()),
    ];
    for (worker, seeking) in &mut others {
        let attempt = bench.claims(worker).tries(seeking).await.unwrap();
        assert!(matches!(attempt, Attempt::Held { .. }));
    }
    let Attempt::Won(anew) = bench.claims("a").tries(&mut Seeking::after(1)).await.unwrap() else {
        panic!("it waits for itself");
    };
    assert_eq!(anew.generation(), 2);
    assert!(matches!(
        bench.claims("a").renew(&mut held).await,
        Err(ClaimError::Lost)
    ));
}
