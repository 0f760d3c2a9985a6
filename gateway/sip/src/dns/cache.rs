//! What DNS has said, for as long as it holds. Pure: time comes in as an argument.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Kind;
use super::message::Record;

/// Names, of each kind. Beyond it what would have ended first goes first.
const MAX_ENTRIES: usize = 512;

type Key = (String, Kind);

#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<Key, (Arc<[Record]>, Instant)>);

impl Cache {
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Arc<[Record]>> {
        let (records, until) = self.0.get(key)?;
        (now < *until).then(|| Arc::clone(records))
    }

    pub(super) fn keep(&mut self, key: Key, records: Arc<[Record]>, ttl: Duration, now: Instant) {
        if ttl.is_zero() {
            self.0.remove(&key);
            return;
        }
        if self.0.len() >= MAX_ENTRIES && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, until)| now < *until);
            if self.0.len() >= MAX_ENTRIES {
                let first = self.0.iter().min_by_key(|(_, (_, until))| *until);
                if let Some(first) = first.map(|(key, _)| key.clone()) {
                    self.0.remove(&first);
                }
            }
        }
        self.0.insert(key, (records, now + ttl));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_ttl_and_there_is_a_bound() {
        let start = tokio::time::Instant::now().into_std();
        let key = |name: &str| (name.to_owned(), Kind::A);
        let mut cache = Cache::default();
        let second = Duration::from_secs(1);
        cache.keep(key("a"), Arc::default(), second, start);
        assert!(cache.find(&key("a"), start + second / 2).is_some());
        assert!(cache.find(&key("a"), start + second).is_none());
        assert!(cache.find(&("a".to_owned(), Kind::Srv), start).is_none());
        cache.keep(key("none"), Arc::default(), Duration::ZERO, start);
        assert!(cache.find(&key("none"), start).is_none());
        let lasting = Duration::from_hours(1);
        for name in 0..MAX_ENTRIES * 2 {
            cache.keep(key(&name.to_string()), Arc::default(), lasting, start + second);
        }
        assert_eq!(cache.0.len(), MAX_ENTRIES);
        let last = (MAX_ENTRIES * 2 - 1).to_string();
        assert!(cache.find(&key(&last), start + second).is_some());
    }
}
