//! How many calls, at the same time and per day: counted in the store by conditional writes, since functions hold no state.
//!
//! A call is counted before it is dialled, in three ledgers: its caller's, its trunk's and its number's. A ledger holds a line for each
//! call under way, which ends when the call is hung up over the API and its phone is out, when its room turns out to be gone, or when its longest
//! duration is over: so a function that dies between counting and dialling takes a place for that long at most, and never gives one
//! away twice. Minutes count with the longest duration until the call has ended.

mod ledger;

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use platform::{
    clock::SharedClock,
    config::CallerLimits,
    store::{Store, StoreError},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Fail;
use ledger::{Ledger, Line, day};

/// Each attempt loses to another writer only if that one wins.
const ATTEMPTS: u32 = 40;
/// The room of a call that was counted so lately may not have been made yet.
const YOUNG: Duration = Duration::from_mins(1);
/// No two functions' clocks are so far apart. For a ledger that is written so often, or a store that tells so little, that the store's
/// clock does not say how old its lines are.
const OLD_BY_ANY_CLOCK: Duration = Duration::from_mins(10);
/// So far apart may two functions' clocks be: a call keeps its place for so much longer than its longest duration where they decide.
const CLOCKS_APART: Duration = Duration::from_mins(2);

/// Tells which rooms there still are.
#[async_trait]
pub trait LiveRooms: Send + Sync {
    /// Those of `rooms` that exist.
    ///
    /// # Errors
    /// When that cannot be found out; no call is then taken for ended.
    async fn alive(&self, rooms: &[String]) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>;
}

/// A call that is to be counted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Who starts it.
    pub caller: &'a str,
    /// What it may start.
    pub limits: CallerLimits,
    /// LiveKit's id of the trunk, or the SIP host.
    pub trunk: &'a str,
    /// At the same time over the trunk.
    pub per_trunk: u32,
    /// Whom it calls. Only a hash of it is stored.
    pub number: &'a str,
    /// At the same time to the number.
    pub per_number: u32,
    /// The call's room: what the call is known by.
    pub room: &'a str,
    /// How long it may last, ringing included.
    pub longest: Duration,
}

/// Where a call has been counted; kept with the call until it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    ledgers: [String; 3],
    room: String,
    #[serde(default)]
    id: String,
}

/// Why a call is not counted.
#[derive(Debug, thiserror::Error)]
pub enum CapError {
    /// The cap is reached. Do not retry before a call has ended.
    #[error("{0}")]
    Reached(Cap),
    /// Too many at once. Retry.
    #[error("too many calls are being counted at once")]
    Contended,
    /// A ledger is no ledger, and so nothing is dialled.
    #[error("the ledger {0} cannot be read")]
    Unreadable(String),
    /// The store failed, and so nothing is dialled.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "their texts say it")]
pub enum Cap {
    #[error("the caller has as many calls under way as it may have")]
    Concurrent,
    #[error("the caller has started as many calls today as it may")]
    CallsPerDay,
    #[error("the caller's minutes of today are used up, or taken by calls under way")]
    MinutesPerDay,
    #[error("the trunk has as many calls under way as it may have")]
    PerTrunk,
    #[error("the number has as many calls under way as it may have")]
    PerNumber,
}

impl From<CapError> for Fail {
    fn from(error: CapError) -> Self {
        match error {
            CapError::Reached(cap) => {
                let (reason, remedy) = match cap {
                    Cap::Concurrent => (
                        "cap_concurrent",
                        "end a call, or raise the caller's limits.concurrent",
                    ),
                    Cap::CallsPerDay => (
                        "cap_calls_per_day",
                        "wait for tomorrow (UTC), or raise limits.calls_per_day",
                    ),
                    Cap::MinutesPerDay => (
                        "cap_minutes_per_day",
                        "ask for a shorter max_duration_s, or raise limits.minutes_per_day",
                    ),
                    Cap::PerTrunk => ("cap_per_trunk", "end a call, or raise calls.per_trunk"),
                    Cap::PerNumber => ("cap_per_number", "end the call, or raise calls.per_number"),
                };
                Self::refused(reason, "to", cap.to_string(), remedy)
            }
            CapError::Contended => {
                Self::unavailable("caps_contended", error.to_string(), "send it again").retry_after(1)
            }
            CapError::Unreadable(_) => Self::unavailable(
                "caps_unreadable",
                "the calls under way cannot be counted",
                "remove the ledger that the log names from the store",
            )
            .because(&error),
            CapError::Store(error) => error.into(),
        }
    }
}

/// The ledgers.
#[derive(Clone)]
pub struct Caps {
    store: Arc<dyn Store>,
    clock: SharedClock,
    rooms: Arc<dyn LiveRooms>,
}

impl Caps {
    /// Keeps the ledgers below `caps/` of the store.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock, rooms: Arc<dyn LiveRooms>) -> Self {
        Self { store, clock, rooms }
    }

    /// Counts the call, or says which cap is reached. All ledgers have it, or none.
    ///
    /// # Errors
    /// As [`CapError`] says.
    pub async fn count(&self, wanted: &Wanted<'_>) -> Result<Counted, CapError> {
        let limits = wanted.limits;
        let many = |most, cap| Limits {
            concurrent: (most, cap),
            per_day: None,
        };
        let checks = [
            (
                key("callers", wanted.caller),
                Limits {
                    concurrent: (limits.concurrent, Cap::Concurrent),
                    per_day: Some(limits),
                },
            ),
            (key("trunks", wanted.trunk), many(wanted.per_trunk, Cap::PerTrunk)),
            (
                key("numbers", wanted.number),
                many(wanted.per_number, Cap::PerNumber),
            ),
        ];
        let counted = Counted {
            ledgers: checks.clone().map(|(key, _)| key),
            room: wanted.room.to_owned(),
            id: format!("{:016x}", rand::random::<u64>()),
        };
        for (at, (ledger, limits)) in checks.iter().enumerate() {
            if let Err(error) = self.enter(ledger, limits, wanted, &counted.id).await {
                for earlier in counted.ledgers.iter().take(at) {
                    if let Err(error) = self.leave(earlier, &counted, true).await {
                        tracing::warn!(%error, ledger = earlier, "a call that was refused takes a place until its longest duration is over");
                    }
                }
                return Err(error);
            }
        }
        Ok(counted)
    }

    /// The call has ended: its place is free, and the minutes that it did not use.
    ///
    /// # Errors
    /// As [`CapError`] says; the place is then free when the longest duration is over.
    pub async fn ended(&self, counted: &Counted) -> Result<(), CapError> {
        self.leave_all(counted, false).await
    }

    /// The call never was: it counts for nothing.
    ///
    /// # Errors
    /// As [`CapError`] says; the place is then free when the longest duration is over.
    pub async fn undone(&self, counted: &Counted) -> Result<(), CapError> {
        self.leave_all(counted, true).await
    }

    /// Every ledger, also when one of them cannot be written; the first error.
    async fn leave_all(&self, counted: &Counted, never_was: bool) -> Result<(), CapError> {
        let mut left = Ok(());
        for ledger in &counted.ledgers {
            left = left.and(self.leave(ledger, counted, never_was).await);
        }
        left
    }

    async fn enter(&self, key: &str, limits: &Limits, wanted: &Wanted<'_>, id: &str) -> Result<(), CapError> {
        let line = |now_ms: i64| Line {
            id: id.to_owned(),
            room: wanted.room.to_owned(),
            at_ms: now_ms,
            longest_s: wanted.longest.as_secs(),
            known_ms: 0,
        };
        let mut looked = false;
        loop {
            let now_ms = self.clock.now_ms();
            let mut reached = None;
            self.change(key, |ledger| {
                ledger.turn_to(&day(now_ms), CLOCKS_APART, now_ms);
                reached = limits.reached(ledger, wanted.longest.as_secs());
                if reached.is_none() {
                    ledger.enter(line(now_ms));
                }
                reached.is_none()
            })
            .await?;
            match reached {
                None => return Ok(()),
                // Before anybody is refused: are the calls that take the places still there?
                Some(_) if !looked => {
                    looked = true;
                    self.drop_ended(key).await?;
                }
                Some(cap) => return Err(CapError::Reached(cap)),
            }
        }
    }

    async fn leave(&self, key: &str, counted: &Counted, never_was: bool) -> Result<(), CapError> {
        let now_ms = self.clock.now_ms();
        let is_it = |line: &Line| line.id == counted.id && line.room == counted.room;
        self.change(key, |ledger| ledger.leave(is_it, now_ms, never_was))
            .await
    }

    async fn drop_ended(&self, key: &str) -> Result<(), CapError> {
        let Some((object, age)) = self.store.get_aged(key).await? else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        let mut ledger = Ledger::decode(key, &object.bytes)?;
        ledger.age(age.at_least);
        let old: Vec<Line> = ledger
            .active
            .into_iter()
            .filter(|line| line.is_older(YOUNG, OLD_BY_ANY_CLOCK, now_ms))
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let rooms: Vec<String> = old.iter().map(|line| line.room.clone()).collect();
        let Ok(alive) = self.rooms.alive(&rooms).await else {
            return Ok(());
        };
        // By the call's own id: a young call in a room of the same name keeps its place.
        let gone: Vec<&Line> = old
            .iter()
            .filter(|line| !alive.contains(&line.room) && !line.id.is_empty())
            .collect();
        self.change(key, |ledger| {
            let left = gone
                .iter()
                .map(|gone| ledger.leave(|line| line.id == gone.id, now_ms, false));
            left.fold(false, |any, left| any | left)
        })
        .await
    }

    /// Reads, changes and writes until nobody came in between. `change` says whether there is anything to write.
    async fn change(&self, key: &str, mut change: impl FnMut(&mut Ledger) -> bool) -> Result<(), CapError> {
        for attempt in 0..ATTEMPTS {
            let found = self.store.get_aged(key).await?;
            let mut ledger = match &found {
                Some((object, _)) => Ledger::decode(key, &object.bytes)?,
                None => Ledger::default(),
            };
            if let Some((_, age)) = &found {
                ledger.age(age.at_least);
            }
            if !change(&mut ledger) {
                return Ok(());
            }
            ledger.writes += 1;
            let bytes = ledger.encode().into();
            let won = match &found {
                Some((object, _)) => self.store.put_if_match(key, &object.etag, bytes).await?,
                None => self.store.put_if_absent(key, bytes).await?,
            };
            if won.is_some() {
                return Ok(());
            }
            // Not all at once again.
            let pause = Duration::from_millis(5).mul_f64(f64::from(attempt.min(10)) * rand::random::<f64>());
            tokio::time::sleep(pause).await;
        }
        Err(CapError::Contended)
    }
}

#[derive(Clone)]
struct Limits {
    concurrent: (u32, Cap),
    per_day: Option<CallerLimits>,
}

impl Limits {
    fn reached(&self, ledger: &Ledger, longest_s: u64) -> Option<Cap> {
        let (most, cap) = self.concurrent;
        if ledger.active.len() >= most as usize {
            return Some(cap);
        }
        let per_day = self.per_day?;
        if ledger.calls >= per_day.calls_per_day {
            return Some(Cap::CallsPerDay);
        }
        let seconds = u64::from(per_day.minutes_per_day) * 60;
        (ledger.seconds.saturating_add(longest_s) > seconds).then_some(Cap::MinutesPerDay)
    }
}

/// Hashed: names may have characters that keys have not, and numbers are nobody's business.
fn key(kind: &str, name: &str) -> String {
    let hash = Sha256::digest(format!("{kind}:{name}").as_bytes());
    let hex = hash
        .iter()
        .take(16)
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("caps/{kind}/{hex}.json")
}
