//! How many calls may be placed at once: over one trunk, and to one number.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The bounds, and what is under way.
#[derive(Debug, Clone)]
pub(crate) struct Caps {
    per_trunk: u32,
    per_number: u32,
    /// By trunk's id and by number; what is not there is not dialled.
    open: Arc<Mutex<HashMap<Key, u32>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Trunk(String),
    Number(String),
}

/// No phone number in a log.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Key::Trunk(_) => "Trunk(..)",
            Key::Number(_) => "Number(..)",
        })
    }
}

/// A call's place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    keys: [Key; 2],
    open: Arc<Mutex<HashMap<Key, u32>>>,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("too many calls over this trunk")]
    Trunk,
    #[error("too many calls to this number")]
    Number,
}

impl Caps {
    pub(crate) fn new(per_trunk: u32, per_number: u32) -> Self {
        Self {
            per_trunk,
            per_number,
            open: Arc::default(),
        }
    }

    /// Takes a place. Calls without a trunk count as one.
    pub(crate) fn take(&self, trunk: &str, number: &str) -> Result<Place, Full> {
        let keys = [Key::Trunk(trunk.to_owned()), Key::Number(number.to_owned())];
        let [of_trunk, of_number] = &keys;
        let mut open = self.open.lock();
        let count = |key: &Key| open.get(key).copied().unwrap_or_default();
        if count(of_trunk) >= self.per_trunk {
            return Err(Full::Trunk);
        }
        if count(of_number) >= self.per_number {
            return Err(Full::Number);
        }
        for key in &keys {
            *open.entry(key.clone()).or_default() += 1;
        }
        drop(open);
        Ok(Place {
            keys,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        for key in &self.keys {
            if let Some(count) = open.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    open.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_and_a_number_have_so_many_places_and_no_more() {
        let caps = Caps::new(2, 1);
        let one = caps.take("t", "1").expect("free");
        assert_eq!(caps.take("t", "1").expect_err("taken"), Full::Number);
        assert_eq!(caps.take("other", "1").expect_err("taken"), Full::Number);
        let two = caps.take("t", "2").expect("free");
        assert_eq!(caps.take("t", "3").expect_err("taken"), Full::Trunk);
        drop(one);
        let again = caps.take("t", "1").expect("free again");
        drop((two, again));
        assert!(
            caps.open.lock().is_empty(),
            "nothing is kept of calls that are over"
        );
        assert!(!format!("{:?}", caps.take("t", "+15551234")).contains("555"));
    }
}
