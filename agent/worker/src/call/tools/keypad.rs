//! What the caller types on the phone's keypad.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Duration, Instant, timeout},
};

/// Digits that may wait for somebody to ask for them.
const MAX_WAITING: usize = 64;
/// Digits that were typed longer ago were meant for nobody.
const MAX_AGE: Duration = Duration::from_secs(15);
/// The longest that an entry may take.
pub(super) const COLLECT_LIMIT: Duration = Duration::from_secs(90);

/// The digits of one call. No digit is logged: they may be of a card.
#[derive(Default)]
pub(crate) struct Keypad {
    typed: Mutex<VecDeque<(Instant, char)>>,
    more: Notify,
}

/// What is waited for.
pub(super) struct Wanted {
    pub(super) most: usize,
    pub(super) stop: Option<char>,
    /// For the first digit, and for each further one.
    pub(super) patience: Duration,
}

impl Keypad {
    /// A key was pressed.
    pub(crate) fn press(&self, digit: char) {
        let mut typed = self.typed.lock();
        if typed.len() == MAX_WAITING {
            typed.pop_front();
        }
        typed.push_back((Instant::now(), digit));
        drop(typed);
        self.more.notify_one();
    }

    /// Takes digits until there are enough, the stop digit comes, or none comes. What was typed shortly before counts: people type while
    /// they are still being asked.
    pub(super) async fn collect(&self, wanted: Wanted) -> String {
        let mut digits = String::new();
        while digits.len() < wanted.most {
            let Some(digit) = self.next(wanted.patience).await else {
                break;
            };
            if wanted.stop == Some(digit) {
                break;
            }
            digits.push(digit);
        }
        digits
    }

    async fn next(&self, patience: Duration) -> Option<char> {
        let next = async {
            loop {
                if let Some(digit) = self.take() {
                    return digit;
                }
                self.more.notified().await;
            }
        };
        timeout(patience, next).await.ok()
    }

    fn take(&self) -> Option<char> {
        let mut typed = self.typed.lock();
        while let Some((at, digit)) = typed.pop_front() {
            if at.elapsed() <= MAX_AGE {
                return Some(digit);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{task::JoinSet, time::sleep};

    use super::*;

    fn wanted(most: usize, stop: Option<char>) -> Wanted {
        Wanted {
            most,
            stop,
            patience: Duration::from_secs(5),
        }
    }

    /// Types a digit a second.
    fn type_slowly(keypad: &Arc<Keypad>, digits: &'static str) -> JoinSet<()> {
        let keypad = keypad.clone();
        let mut typing = JoinSet::new();
        typing.spawn(async move {
            for digit in digits.chars() {
                sleep(Duration::from_secs(1)).await;
                keypad.press(digit);
            }
        });
        typing
    }

    #[tokio::test(start_paused = true)]
    async fn digits_are_taken_until_there_are_enough_or_the_stop_digit_or_none_comes() {
        for (most, stop, expected, seconds) in [
            (2, None, "12", 2),
            (9, Some('#'), "1234", 5),
            (9, None, "1234#", 10),
            (9, Some('1'), "", 1),
        ] {
            let keypad = Arc::new(Keypad::default());
            let _typing = type_slowly(&keypad, "1234#");
            let began = Instant::now();
            assert_eq!(keypad.collect(wanted(most, stop)).await, expected);
            assert_eq!(began.elapsed().as_secs(), seconds, "{expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_typed_into_the_question_counts_and_what_was_typed_long_before_does_not() {
        let keypad = Keypad::default();
        (0..100).for_each(|_| keypad.press('9'));
        sleep(Duration::from_secs(16)).await;
        keypad.press('4');
        keypad.press('2');
        sleep(Duration::from_secs(10)).await;
        assert_eq!(keypad.collect(wanted(3, None)).await, "42");
        assert_eq!(keypad.collect(wanted(3, None)).await, "");
    }
}
