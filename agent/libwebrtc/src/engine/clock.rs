//! A steady tick in the caller's time.

use std::time::{Duration, Instant};

/// Ticks every `period`, each a period after the one before, however late it is asked: a late caller gets its ticks one after the
/// other, so that the rate holds. Being later than `burst` ticks, it skips what is beyond and says so.
#[derive(Debug)]
pub(crate) struct MediaClock {
    period: Duration,
    burst: u32,
    next: Option<Instant>,
}

/// One tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    /// Ticks left out before this one.
    pub(crate) skipped: u32,
}

impl MediaClock {
    pub(crate) fn new(period: Duration, burst: u32) -> Self {
        Self {
            period,
            burst,
            next: None,
        }
    }

    /// Runs it or stops it. When it starts, the first tick is at once.
    pub(crate) fn run(&mut self, running: bool, now: Instant) {
        if running {
            self.next.get_or_insert(now);
        } else {
            self.next = None;
        }
    }

    /// When the next tick is due; `None` when stopped.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// The next tick if it is due at `now`. Call again until there is none.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Tick> {
        let due = self.next?;
        let late = now.checked_duration_since(due)?;
        let behind = u32::try_from(late.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        let skipped = behind.saturating_sub(self.burst);
        self.next = Some(due + self.period * skipped + self.period);
        Some(Tick { skipped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(20);

    fn started() -> (MediaClock, Instant) {
        let mut clock = MediaClock::new(PERIOD, 10);
        let start = tokio::time::Instant::now().into_std();
        clock.run(true, start);
        (clock, start)
    }

    fn ticks(clock: &mut MediaClock, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| clock.tick(now))
            .map(|tick| tick.skipped)
            .collect()
    }

    #[test]
    fn a_late_caller_catches_up_and_the_rate_holds() {
        let (mut clock, start) = started();
        let mut count = 0;
        // Asked at uneven times, up to 90 ms late, over one second.
        for at in [
            3, 21, 40, 130, 131, 220, 300, 380, 385, 470, 560, 650, 740, 830, 920, 999,
        ] {
            count += ticks(&mut clock, start + Duration::from_millis(at)).len();
        }
        assert_eq!(count, 50);
    }

    #[test]
    fn ticks_keep_to_their_grid_after_a_late_one() {
        let (mut clock, start) = started();
        clock.tick(start);
        clock.tick(start + Duration::from_millis(33));
        assert_eq!(clock.deadline(), Some(start + 2 * PERIOD));
    }

    #[test]
    fn a_long_pause_is_skipped_and_counted() {
        let (mut clock, start) = started();
        clock.tick(start);
        let ticks = ticks(&mut clock, start + 100 * PERIOD);
        assert_eq!(ticks.len(), 11);
        assert_eq!(ticks.iter().sum::<u32>() as usize + ticks.len(), 100);
        assert_eq!(ticks[0], 89);
    }

    #[test]
    fn a_stopped_clock_starts_anew() {
        let (mut clock, start) = started();
        clock.run(false, start);
        assert_eq!(clock.deadline(), None);
        assert_eq!(clock.tick(start + PERIOD), None);
        clock.run(true, start + 5 * PERIOD);
        assert_eq!(ticks(&mut clock, start + 5 * PERIOD), [0]);
    }
}
