//! A PIN being entered: pure, with time as an argument.
//!
//! After each call the caller takes acts until there are none, and wakes the entry at [`PinEntry::poll_timeout`]. [`Act::End`] is the
//! last one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::Digit;

use super::machine::EndReason;
use crate::bridge::Cue;

/// As livekit-sip has it.
const MAX_DIGITS: usize = 16;
/// Who misses the key may try again, and who guesses gets three tries a call.
const ATTEMPTS: u32 = 3;
/// Who has pressed nothing more for so long has entered it all, `#` or not.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a caller is asked who presses nothing, and how long a silence is left after the question where that is long itself.
const ASK_EVERY: Duration = Duration::from_secs(8);
const SILENCE: Duration = Duration::from_secs(5);

/// What a caller has entered, without the `#`. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pin(String);

impl Pin {
    pub(super) fn into_digits(self) -> String {
        self.0
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(_)")
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Let the caller hear this, or nothing.
    Play(Option<Cue>),
    /// Ask LiveKit whether that is a PIN; [`PinEntry::refused`] when it is not.
    Check(Pin),
    /// End the call. The last act.
    End(EndReason),
}

/// How long that takes what the caller hears.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) enter: Duration,
    pub(super) wrong: Duration,
}

/// The entry of one caller, whose phone is answered.
#[derive(Debug)]
pub(super) struct PinEntry {
    until: Instant,
    lengths: Lengths,
    failures: u32,
    phase: Phase,
    acts: VecDeque<Act>,
}

#[derive(Debug)]
enum Phase {
    Asking { ask_at: Instant },
    Entering { digits: Pin, check_at: Instant },
    Checking,
    Refusing { end_at: Instant, reason: EndReason },
    Ended,
}

impl PinEntry {
    /// Begins; a PIN must be there within `limit`.
    pub(super) fn new(limit: Duration, lengths: Lengths, now: Instant) -> Self {
        let (failures, acts) = Default::default();
        Self {
            until: now + limit,
            lengths,
            failures,
            phase: Phase::Asking { ask_at: now },
            acts,
        }
    }

    pub(super) fn pressed(&mut self, digit: Digit, now: Instant) {
        let mut digits = match &mut self.phase {
            Phase::Asking { .. } => Pin(String::new()),
            Phase::Entering { digits, .. } => Pin(std::mem::take(&mut digits.0)),
            Phase::Checking | Phase::Refusing { .. } | Phase::Ended => return,
        };
        if digits.0.is_empty() {
            self.acts.push_back(Act::Play(None));
        }
        let digit = digit.to_char();
        if digit == '#' {
            return self.check(digits);
        }
        digits.0.push(digit);
        if digits.0.len() > MAX_DIGITS {
            return self.refused(now);
        }
        let check_at = now + PAUSE;
        self.phase = Phase::Entering { digits, check_at };
    }

    /// LiveKit has no room for what was entered.
    pub(super) fn refused(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return self.refuse(EndReason::WrongPin, now);
        }
        self.acts.push_back(Act::Play(Some(Cue::Wrong)));
        self.phase = Phase::Asking {
            ask_at: now + self.lengths.wrong + Cue::Wrong.length(),
        };
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Asking { .. } | Phase::Entering { .. } if now >= self.until => {
                let reason = if self.failures > 0 {
                    EndReason::WrongPin
                } else {
                    EndReason::NoPin
                };
                self.refuse(reason, now);
            }
            Phase::Asking { ask_at } if now >= *ask_at => {
                *ask_at = now + ASK_EVERY.max(self.lengths.enter + SILENCE);
                self.acts.push_back(Act::Play(Some(Cue::Enter)));
            }
            Phase::Entering { digits, check_at } if now >= *check_at => {
                let digits = Pin(std::mem::take(&mut digits.0));
                self.check(digits);
            }
            Phase::Refusing { end_at, reason } if now >= *end_at => {
                self.acts.push_back(Act::End(*reason));
                self.phase = Phase::Ended;
            }
            _ => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Asking { ask_at: at } | Phase::Entering { check_at: at, .. } => Some(self.until.min(*at)),
            Phase::Refusing { end_at, .. } => Some(*end_at),
            Phase::Checking | Phase::Ended => None,
        }
    }

    pub(super) fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    fn check(&mut self, digits: Pin) {
        self.phase = Phase::Checking;
        self.acts.push_back(Act::Check(digits));
    }

    /// The caller hears that it was in vain before the call ends.
    fn refuse(&mut self, reason: EndReason, now: Instant) {
        self.acts.push_back(Act::Play(Some(Cue::Wrong)));
        self.phase = Phase::Refusing {
            end_at: now + self.lengths.wrong,
            reason,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    fn entry() -> (PinEntry, Instant) {
        let now = tokio::time::Instant::now().into_std();
        let lengths = Lengths {
            enter: Cue::Enter.length(),
            wrong: Cue::Wrong.length(),
        };
        let mut entry = PinEntry::new(LIMIT, lengths, now);
        entry.handle_timeout(now);
        assert_eq!(acts(&mut entry), [Act::Play(Some(Cue::Enter))]);
        (entry, now)
    }

    fn acts(entry: &mut PinEntry) -> Vec<Act> {
        std::iter::from_fn(|| entry.poll_act()).collect()
    }

    fn press(entry: &mut PinEntry, keys: &str, now: Instant) {
        for key in keys.chars() {
            entry.pressed(Digit::from_char(key).unwrap(), now);
        }
    }

    fn check(digits: &str) -> Act {
        Act::Check(Pin(digits.to_owned()))
    }

    /// Lets time pass from one wake-up to the next; what was done, and when, since the start.
    fn pass(entry: &mut PinEntry, start: Instant) -> Vec<(Duration, Act)> {
        let mut done = Vec::new();
        while let Some(at) = entry.poll_timeout() {
            entry.handle_timeout(at);
            done.extend(acts(entry).into_iter().map(|act| (at - start, act)));
        }
        done
    }

    #[test]
    fn the_asking_ends_with_the_first_key_and_the_pin_with_the_hash_or_a_pause() {
        let (mut entry, now) = entry();
        press(&mut entry, "12*", now);
        assert_eq!(acts(&mut entry), [Act::Play(None)]);
        press(&mut entry, "4#5", now);
        assert_eq!(acts(&mut entry), [check("12*4")]);
        assert_eq!(entry.poll_timeout(), None);

        entry.refused(now);
        assert_eq!(acts(&mut entry), [Act::Play(Some(Cue::Wrong))]);
        press(&mut entry, "9", now);
        press(&mut entry, "8", now + PAUSE / 2);
        acts(&mut entry);
        assert_eq!(entry.poll_timeout(), Some(now + PAUSE / 2 + PAUSE));
        entry.handle_timeout(now + PAUSE / 2 + PAUSE);
        assert_eq!(acts(&mut entry), [check("98")]);
    }

    #[test]
    fn the_third_wrong_one_is_the_last_and_is_heard_to_be_wrong() {
        let (mut entry, now) = entry();
        for keys in ["1#", "12345678901234567"] {
            press(&mut entry, keys, now);
            if keys.ends_with('#') {
                entry.refused(now);
            }
            let done = acts(&mut entry);
            assert_eq!(done.last(), Some(&Act::Play(Some(Cue::Wrong))), "{done:?}");
        }
        press(&mut entry, "#", now);
        assert_eq!(acts(&mut entry), [Act::Play(None), check("")]);
        entry.refused(now);
        let wrong = Act::Play(Some(Cue::Wrong));
        assert_eq!(acts(&mut entry), [wrong]);
        press(&mut entry, "1#", now);
        assert_eq!(
            pass(&mut entry, now),
            [(Cue::Wrong.length(), Act::End(EndReason::WrongPin))]
        );
    }

    #[test]
    fn who_enters_nothing_is_asked_again_and_not_for_ever() {
        let (mut entry, now) = entry();
        let done = pass(&mut entry, now);
        let asked = done.iter().filter(|(_, act)| *act == Act::Play(Some(Cue::Enter)));
        assert_eq!(asked.count(), 7);
        let end = (LIMIT + Cue::Wrong.length(), Act::End(EndReason::NoPin));
        assert_eq!(done.last(), Some(&end));
    }

    #[test]
    fn a_long_question_is_heard_to_its_end_before_it_is_asked_again() {
        let now = tokio::time::Instant::now().into_std();
        let lengths = Lengths {
            enter: Duration::from_secs(20),
            wrong: Duration::from_secs(3),
        };
        let mut entry = PinEntry::new(LIMIT, lengths, now);
        let asked: Vec<_> = pass(&mut entry, now)
            .into_iter()
            .map(|(at, _)| at.as_secs())
            .collect();
        assert_eq!(asked, [0, 25, 50, 60, 63]);
    }

    #[test]
    fn whoever_keeps_on_pressing_is_cut_short_too() {
        let (mut entry, now) = entry();
        press(&mut entry, "1#", now);
        entry.refused(now);
        press(&mut entry, "1", now + LIMIT * 59 / 60);
        acts(&mut entry);
        let done = pass(&mut entry, now);
        assert_eq!(
            done.last().map(|(_, act)| act),
            Some(&Act::End(EndReason::WrongPin))
        );
        assert!(
            done.iter().all(|(_, act)| !matches!(act, Act::Check(_))),
            "{done:?}"
        );
    }

    #[test]
    fn nothing_of_it_shows() {
        let (mut entry, now) = entry();
        press(&mut entry, "7777", now);
        assert!(!format!("{entry:?}").contains("7777"), "{entry:?}");
        assert_eq!(format!("{:?}", check("7777")), "Check(Pin(_))");
    }
}
