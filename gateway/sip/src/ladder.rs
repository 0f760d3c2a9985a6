//! The messages of a call, for whoever looks for a fault. Kept in memory only, and only when the stack is told to.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

/// One message, as it was sent or received.
#[derive(Clone, PartialEq, Eq)]
pub struct LadderMessage {
    pub at: Instant,
    /// By us.
    pub sent: bool,
    /// Head and body, cut at [`Ladder::MAX_MESSAGE_BYTES`]. Not for logs.
    pub text: String,
}

impl fmt::Debug for LadderMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LadderMessage")
            .field("at", &self.at)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// The messages of one call so far; none where the stack keeps none. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Ladder(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    call_id: String,
    ladders: Weak<Ladders>,
    messages: Mutex<Messages>,
}

#[derive(Debug, Default)]
struct Messages {
    kept: Vec<LadderMessage>,
    left_out: usize,
}

impl Ladder {
    /// Messages that are kept of a call: its beginning.
    pub const MAX_MESSAGES: usize = 128;
    pub const MAX_MESSAGE_BYTES: usize = 4_096;

    /// Whether messages are kept.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The messages in the order of time, and how many more there were.
    pub fn messages(&self) -> (Vec<LadderMessage>, usize) {
        let Some(kept) = &self.0 else {
            return (Vec::new(), 0);
        };
        let messages = kept.messages.lock();
        (messages.kept.clone(), messages.left_out)
    }

    pub(crate) fn note(&self, at: Instant, sent: bool, text: impl FnOnce() -> String) {
        let Some(kept) = &self.0 else { return };
        let mut messages = kept.messages.lock();
        if messages.kept.len() >= Self::MAX_MESSAGES {
            messages.left_out += 1;
            return;
        }
        let mut text = text();
        if text.len() > Self::MAX_MESSAGE_BYTES {
            let end = (0..=Self::MAX_MESSAGE_BYTES)
                .rev()
                .find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
        }
        messages.kept.push(LadderMessage { at, sent, text });
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(ladders) = self.ladders.upgrade() {
            let mut calls = ladders.calls.lock();
            // Another call may have come under the same Call-ID.
            if calls
                .get(&self.call_id)
                .is_some_and(|kept| kept.strong_count() == 0)
            {
                calls.remove(&self.call_id);
            }
        }
    }
}

/// The ladders of all calls, by Call-ID.
#[derive(Debug)]
pub(crate) struct Ladders {
    is_on: bool,
    calls: Mutex<HashMap<String, Weak<Kept>>>,
}

impl Ladders {
    pub(crate) fn new(is_on: bool) -> Arc<Self> {
        Arc::new(Self {
            is_on,
            calls: Mutex::default(),
        })
    }

    /// Keeps the messages with this Call-ID from now on, until the last clone is dropped.
    pub(crate) fn begin(self: &Arc<Self>, call_id: &str) -> Ladder {
        if !self.is_on {
            return Ladder::default();
        }
        let kept = Arc::new(Kept {
            call_id: call_id.to_owned(),
            ladders: Arc::downgrade(self),
            messages: Mutex::default(),
        });
        self.calls
            .lock()
            .insert(call_id.to_owned(), Arc::downgrade(&kept));
        Ladder(Some(kept))
    }

    /// The ladder of the call with this Call-ID; one that keeps nothing when there is no such call.
    pub(crate) fn of(&self, call_id: &str) -> Ladder {
        // Not within the lock: the last clone may be the one that is dropped here.
        let kept = self.calls.lock().get(call_id).and_then(Weak::upgrade);
        Ladder(kept)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.calls.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_call_keeps_so_many_messages_and_nothing_is_left_of_it() {
        let ladders = Ladders::new(true);
        let ladder = ladders.begin("a");
        for n in 0..Ladder::MAX_MESSAGES + 2 {
            ladders.of("a").note(now(), n % 2 == 0, || "ä".repeat(n * 100));
            ladders.of("b").note(now(), true, || unreachable!("no such call"));
        }
        let (messages, left_out) = ladder.messages();
        assert_eq!((messages.len(), left_out), (Ladder::MAX_MESSAGES, 2));
        assert!(
            messages
                .iter()
                .all(|it| it.text.len() <= Ladder::MAX_MESSAGE_BYTES)
        );
        let another = ladders.begin("a");
        drop(ladder);
        assert_eq!(ladders.len(), 1, "the other call's");
        drop(another);
        assert_eq!(ladders.len(), 0);
    }

    #[test]
    fn nothing_is_kept_unless_it_is_wanted() {
        let ladders = Ladders::new(false);
        let ladder = ladders.begin("a");
        ladders.of("a").note(now(), true, || unreachable!("not wanted"));
        assert!(!ladder.is_kept() && ladder.messages().0.is_empty());
        assert_eq!(ladders.len(), 0);
    }
}
