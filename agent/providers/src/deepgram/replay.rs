//! The sound whose words are not final yet. No socket and no clock in here.

use std::collections::VecDeque;

/// What has to be said once more is no more than that: 10 s at 16 kHz. A recogniser settles within a few seconds.
const MAX_SAMPLES: usize = 160_000;
/// A message of sound: 100 ms at 16 kHz.
const PIECE_SAMPLES: usize = 1_600;

/// Keeps what a connection has not settled, to say it again to the next one. Positions count the utterance's samples.
pub(super) struct Unsettled {
    rate_hz: u32,
    samples: VecDeque<i16>,
    /// Of the first sample that is kept.
    start: u64,
    /// Up to where the words are final.
    settled: u64,
    /// Where the connection began to hear.
    origin: u64,
    /// Up to where it was told.
    told: u64,
}

impl Unsettled {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            samples: VecDeque::new(),
            start: 0,
            settled: 0,
            origin: 0,
            told: 0,
        }
    }

    /// Whether all words are final.
    pub(super) fn is_empty(&self) -> bool {
        self.settled == self.end()
    }

    pub(super) fn push(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
        self.forget();
    }

    /// The next piece that the connection has to be told.
    pub(super) fn tell(&mut self) -> Option<Vec<i16>> {
        let from = usize::try_from(self.told.checked_sub(self.start)?).ok()?;
        let piece: Vec<i16> = self
            .samples
            .iter()
            .skip(from)
            .take(PIECE_SAMPLES)
            .copied()
            .collect();
        self.told += piece.len() as u64;
        self.forget();
        (!piece.is_empty()).then_some(piece)
    }

    /// The words are final up to so many seconds after the connection's first sample.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is no time of the connection is cut to one that is"
    )]
    pub(super) fn settle(&mut self, until_secs: f64) {
        let samples = (until_secs * f64::from(self.rate_hz)).round() as u64;
        let until = self.origin.saturating_add(samples).min(self.told);
        self.settled = self.settled.max(until);
        self.forget();
    }

    /// Another connection, which has heard nothing. False when sound that is not settled is not there any more.
    pub(super) fn begin_again(&mut self) -> bool {
        self.origin = self.settled;
        self.told = self.settled;
        self.start <= self.settled
    }

    fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    /// Drops what is settled, and of what was told whatever is too much.
    fn forget(&mut self) {
        let settled = self.settled.saturating_sub(self.start);
        let excess = self.samples.len().saturating_sub(MAX_SAMPLES) as u64;
        let told = self.told.saturating_sub(self.start);
        let drop = settled.max(excess.min(told));
        let count = usize::try_from(drop)
            .unwrap_or(usize::MAX)
            .min(self.samples.len());
        self.samples.drain(..count);
        self.start += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SECOND: [i16; 16_000] = [1; 16_000];

    fn tell_all(unsettled: &mut Unsettled) -> usize {
        std::iter::from_fn(|| unsettled.tell())
            .map(|piece| piece.len())
            .sum()
    }

    #[test]
    fn the_next_connection_is_told_what_is_not_final_and_its_time_begins_there() {
        let mut unsettled = Unsettled::new(16_000);
        unsettled.push(&SECOND);
        unsettled.push(&SECOND);
        assert_eq!(tell_all(&mut unsettled), 32_000);
        unsettled.settle(1.5);
        unsettled.push(&SECOND);
        assert!(unsettled.begin_again());
        assert_eq!(tell_all(&mut unsettled), 24_000);
        unsettled.settle(1.5);
        assert!(unsettled.is_empty());
        assert_eq!(unsettled.tell(), None);
    }

    #[test]
    fn no_answer_settles_what_was_not_told_or_unsettles_what_was() {
        let mut unsettled = Unsettled::new(16_000);
        unsettled.push(&SECOND);
        unsettled.settle(0.5);
        assert_eq!(tell_all(&mut unsettled), 16_000);
        unsettled.settle(f64::INFINITY);
        unsettled.settle(f64::NAN);
        unsettled.settle(-1.0);
        assert!(unsettled.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_a_loss_is_told() {
        let mut unsettled = Unsettled::new(16_000);
        for _ in 0..11 {
            unsettled.push(&SECOND);
            tell_all(&mut unsettled);
        }
        assert_eq!(unsettled.samples.len(), MAX_SAMPLES);
        assert!(!unsettled.begin_again());
        let mut settled = Unsettled::new(16_000);
        for _ in 0..11 {
            settled.push(&SECOND);
            tell_all(&mut settled);
            settled.settle(1.0);
        }
        assert!(settled.begin_again());
    }
}
