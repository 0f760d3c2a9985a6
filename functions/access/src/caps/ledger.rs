//! A ledger: the calls under way, and the sums of a day.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CapError;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The day of the two sums.
    pub(super) day: String,
    pub(super) calls: u32,
    pub(super) seconds: u64,
    pub(super) active: Vec<Line>,
    /// So that no two states of it have the same bytes.
    pub(super) writes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// Of this call alone: rooms of one name follow each other.
    #[serde(default)]
    pub(super) id: String,
    pub(super) room: String,
    pub(super) at_ms: i64,
    pub(super) longest_s: u64,
    /// How old it was, at least and by the store's clock, when the ledger was written last.
    #[serde(default)]
    pub(super) known_ms: u64,
}

impl Line {
    /// Whether it is surely older than that. The store's clock says so, or the functions' where they are further apart than clocks are.
    pub(super) fn is_older(&self, than: Duration, surely: Duration, now_ms: i64) -> bool {
        Duration::from_millis(self.known_ms) > than || now_ms - self.at_ms > ms(surely)
    }
}

impl Ledger {
    pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Self, CapError> {
        serde_json::from_slice(bytes).map_err(|_| CapError::Unreadable(key.to_owned()))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Drops what has surely been over for long, and begins a new day; never an old one again, which a function whose clock is behind
    /// may still have.
    pub(super) fn turn_to(&mut self, day: &str, apart: Duration, now_ms: i64) {
        let over = |line: &Line| {
            let longest = Duration::from_secs(line.longest_s);
            line.is_older(longest, longest.saturating_add(apart), now_ms)
        };
        self.active.retain(|line| !over(line));
        // Days are written so that the later one is the greater one.
        if *day > *self.day {
            day.clone_into(&mut self.day);
            self.calls = 0;
            self.seconds = 0;
        }
    }

    /// The ledger is so old, at least: so long all its lines have been there.
    pub(super) fn age(&mut self, at_least: Duration) {
        let more = u64::try_from(at_least.as_millis()).unwrap_or(u64::MAX);
        for line in &mut self.active {
            line.known_ms = line.known_ms.saturating_add(more);
        }
    }

    pub(super) fn enter(&mut self, line: Line) {
        self.calls += 1;
        self.seconds += line.longest_s;
        self.active.push(line);
    }

    /// Whether there was such a line.
    pub(super) fn leave(&mut self, is_it: impl Fn(&Line) -> bool, now_ms: i64, never_was: bool) -> bool {
        let Some(at) = self.active.iter().position(is_it) else {
            return false;
        };
        let line = self.active.swap_remove(at);
        if day(line.at_ms) == self.day {
            let used = if never_was {
                0
            } else {
                u64::try_from((now_ms - line.at_ms) / 1_000 + 1).unwrap_or_default()
            };
            self.seconds = self.seconds.saturating_sub(line.longest_s.saturating_sub(used));
            self.calls -= u32::from(never_was && self.calls > 0);
        }
        true
    }
}

pub(super) fn day(at_ms: i64) -> String {
    events::Timestamp::from_unix_ms(at_ms).map_or_else(String::new, events::Timestamp::day)
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
