//! What the caller says, as samples: the frames of each turn, from shortly before its voice began.

use std::collections::VecDeque;
use std::time::Duration;

use turns::TurnId;

use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// How far back a turn can begin: prefix padding (at most 1 s) and what the VAD needs to be sure.
const PAST_SAMPLES: usize = 2 * SAMPLE_RATE_HZ as usize;
/// The longest turn that is kept whole. A longer one loses its beginning.
const MAX_TURN_SAMPLES: usize = 45 * SAMPLE_RATE_HZ as usize;
/// How much a turn that is too long loses at once.
const CUT_SAMPLES: usize = 5 * SAMPLE_RATE_HZ as usize;

/// Keeps the last seconds always, and the turn that goes on.
pub(crate) struct Hearing {
    prefix_padding: Duration,
    past: VecDeque<i16>,
    /// Samples heard since the beginning.
    position: u64,
    turn: Option<Turn>,
}

struct Turn {
    id: TurnId,
    samples: Vec<i16>,
    /// The position after the last sample taken.
    until: u64,
    goes_on: bool,
}

impl Hearing {
    pub(crate) fn new(prefix_padding: Duration) -> Self {
        let past = VecDeque::with_capacity(PAST_SAMPLES + FRAME_SAMPLES);
        Self {
            prefix_padding,
            past,
            position: 0,
            turn: None,
        }
    }

    pub(crate) fn push(&mut self, frame: &[i16]) {
        self.past.extend(frame);
        let excess = self.past.len().saturating_sub(PAST_SAMPLES);
        self.past.drain(..excess);
        self.position += frame.len() as u64;
        if let Some(turn) = &mut self.turn
            && turn.goes_on
        {
            turn.samples.extend_from_slice(frame);
            turn.until = self.position;
            if turn.samples.len() > MAX_TURN_SAMPLES {
                turn.samples.drain(..CUT_SAMPLES);
            }
        }
    }

    /// Begins, or continues, to keep the turn whose voice began `ago`.
    pub(crate) fn capture(&mut self, id: TurnId, ago: Duration) {
        let back = samples(ago + self.prefix_padding).min(self.past.len() as u64);
        // What belongs to an earlier turn, or is already kept, is not taken again.
        let taken = self.turn.as_ref().map_or(0, |turn| turn.until);
        let start = (self.position - back).max(taken);
        let missing = usize::try_from(self.position - start)
            .unwrap_or(usize::MAX)
            .min(self.past.len());
        let recent = self.past.range(self.past.len() - missing..);
        match &mut self.turn {
            Some(turn) if turn.id == id => {
                turn.samples.extend(recent);
                turn.until = self.position;
                turn.goes_on = true;
            }
            _ => {
                let samples = recent.copied().collect();
                self.turn = Some(Turn {
                    id,
                    samples,
                    until: self.position,
                    goes_on: true,
                });
            }
        }
    }

    /// All that was kept of the turn.
    pub(crate) fn speech(&self, id: TurnId) -> &[i16] {
        match &self.turn {
            Some(turn) if turn.id == id => &turn.samples,
            _ => &[],
        }
    }

    /// The turn is over, unless it is captured again.
    pub(crate) fn end(&mut self, id: TurnId) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.id == id) {
            turn.goes_on = false;
        }
    }

    /// The turn's samples are needed no more. Where it ended stays known, so that the next one does not begin in it.
    pub(crate) fn forget(&mut self, id: TurnId) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.id == id) {
            turn.goes_on = false;
            turn.samples = Vec::new();
        }
    }
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(SAMPLE_RATE_HZ))
        / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames whose samples all hold their frame's number.
    fn hear(hearing: &mut Hearing, frames: std::ops::Range<i16>) {
        for frame in frames {
            hearing.push(&[frame; FRAME_SAMPLES]);
        }
    }

    fn frames(speech: &[i16]) -> Vec<i16> {
        speech.chunks(FRAME_SAMPLES).map(|frame| frame[0]).collect()
    }

    fn hearing() -> Hearing {
        Hearing::new(Duration::from_millis(40))
    }

    #[test]
    fn a_turn_begins_with_its_prefix_padding() {
        let mut hearing = hearing();
        hear(&mut hearing, 0..10);
        hearing.capture(TurnId(1), Duration::from_millis(60));
        hear(&mut hearing, 10..12);
        assert_eq!(frames(hearing.speech(TurnId(1))), [5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(hearing.speech(TurnId(2)), [0; 0]);
    }

    #[test]
    fn a_turn_that_goes_on_has_no_sample_twice() {
        let mut hearing = hearing();
        hear(&mut hearing, 0..5);
        hearing.capture(TurnId(1), Duration::from_millis(20));
        hear(&mut hearing, 5..7);
        hearing.end(TurnId(1));
        hear(&mut hearing, 7..8);
        hearing.capture(TurnId(1), Duration::from_millis(20));
        hear(&mut hearing, 8..9);
        assert_eq!(frames(hearing.speech(TurnId(1))), [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn the_next_turn_does_not_begin_in_the_last_one() {
        let mut hearing = hearing();
        hear(&mut hearing, 0..5);
        hearing.capture(TurnId(1), Duration::ZERO);
        hear(&mut hearing, 5..6);
        hearing.forget(TurnId(1));
        hear(&mut hearing, 6..7);
        hearing.capture(TurnId(2), Duration::from_secs(1));
        assert_eq!(frames(hearing.speech(TurnId(2))), [6]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut hearing = hearing();
        hearing.capture(TurnId(1), Duration::ZERO);
        hear(&mut hearing, 0..3000);
        assert!(hearing.speech(TurnId(1)).len() <= MAX_TURN_SAMPLES);
        assert_eq!(hearing.speech(TurnId(1)).last(), Some(&2999));
        assert!(hearing.past.len() <= PAST_SAMPLES);
    }
}
