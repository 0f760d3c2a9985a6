//! Whether the caller is heard: a track that is there and of which nothing comes.
//!
//! A gateway and a browser send sound all the time, silence too. Where nothing comes although the track is there and not muted, its
//! stream has got stuck on the way, and nothing but a new subscription brings it back. Where that does not help, the call has sound in one
//! direction only; that is named, so that nobody takes it for a caller who says nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Without a frame for so long, the track is subscribed to anew. A lossy network is silent for less.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(3);
/// Between two such attempts.
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_secs(4);
/// Attempts in a row.
const ATTEMPTS: u32 = 2;
/// Without a frame for so long, it is named.
const NAME_AFTER: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The subscription is to be given up.
    Unsubscribe,
    /// And to be made again.
    Subscribe,
    /// The call's sound goes one way only.
    Name,
    /// The caller is heard again, after that was named.
    Heard,
}

/// Watches the number of frames that have come. Pure: time is the caller's.
#[derive(Debug, Default)]
pub(super) struct Deafness {
    frames: u64,
    /// Since when nothing has come.
    quiet: Option<Instant>,
    /// When the subscription was given up last, and how often.
    attempt: Option<Instant>,
    attempts: u32,
    gave_up_subscription: bool,
    is_named: bool,
}

impl Deafness {
    /// Call it every [`LOOK_EVERY`]. `expected`: there is a track that should be heard.
    pub(super) fn look(&mut self, frames: u64, expected: bool, now: Instant) -> Option<Remedy> {
        if std::mem::take(&mut self.gave_up_subscription) {
            return Some(Remedy::Subscribe);
        }
        if frames > self.frames {
            let before = std::mem::replace(
                self,
                Self {
                    frames,
                    ..Self::default()
                },
            );
            return before.is_named.then_some(Remedy::Heard);
        }
        if !expected {
            self.quiet = None;
            return None;
        }
        let quiet_for = now.saturating_duration_since(*self.quiet.get_or_insert(now));
        let is_next = self
            .attempt
            .is_none_or(|at| now.saturating_duration_since(at) >= NEXT_ATTEMPT_AFTER);
        if quiet_for >= RESUBSCRIBE_AFTER && is_next && self.attempts < ATTEMPTS {
            self.attempt = Some(now);
            self.attempts += 1;
            self.gave_up_subscription = true;
            return Some(Remedy::Unsubscribe);
        }
        if quiet_for >= NAME_AFTER && !self.is_named {
            self.is_named = true;
            return Some(Remedy::Name);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done in `seconds`, and after how many milliseconds each; `frames` and `expected` by the milliseconds.
    fn run(
        deafness: &mut Deafness,
        start: Instant,
        seconds: u64,
        frames: impl Fn(u64) -> u64,
        expected: impl Fn(u64) -> bool,
    ) -> Vec<(u64, Remedy)> {
        (0..seconds * 2)
            .map(|n| n * 500)
            .filter_map(|ms| {
                let now = start + Duration::from_millis(ms);
                let remedy = deafness.look(frames(ms), expected(ms), now)?;
                Some((ms, remedy))
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_is_heard_is_left_alone_and_so_is_one_who_is_muted_or_not_there() {
        let start = Instant::now();
        assert_eq!(
            run(&mut Deafness::default(), start, 60, |ms| ms / 20, |_| true),
            []
        );
        // The network stutters for less than three seconds.
        let stutter = |ms: u64| ms / 2_500;
        assert_eq!(run(&mut Deafness::default(), start, 60, stutter, |_| true), []);
        assert_eq!(run(&mut Deafness::default(), start, 60, |_| 0, |_| false), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_stream_is_subscribed_to_anew_twice_and_then_named_once() {
        use Remedy::{Heard, Name, Subscribe, Unsubscribe};
        let (mut deafness, start) = (Deafness::default(), Instant::now());
        let done = run(&mut deafness, start, 30, |_| 7, |_| true);
        // The seven frames came with the first look.
        assert_eq!(
            done,
            [
                (3_500, Unsubscribe),
                (4_000, Subscribe),
                (7_500, Unsubscribe),
                (8_000, Subscribe),
                (10_500, Name)
            ]
        );
        assert_eq!(
            deafness.look(8, true, start + Duration::from_secs(31)),
            Some(Heard)
        );
        let later = start + Duration::from_secs(32);
        let again = run(&mut deafness, later, 5, |_| 8, |_| true);
        assert_eq!(again.first().unwrap().1, Unsubscribe, "whatever was done before");
    }
}
