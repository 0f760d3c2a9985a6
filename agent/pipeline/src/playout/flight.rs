//! Frames that were written and not yet heard, and the clock by which they are.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use turns::FRAME;

/// One frame on its way.
pub(super) struct Frame {
    /// When the far end gets its first sample.
    pub(super) at: Instant,
    /// The position of its first sample in the utterance, and how many of its samples are the utterance's.
    pub(super) position: usize,
    pub(super) own: usize,
    pub(super) samples: Vec<i16>,
}

/// The frames under way, oldest first, each 20 ms after the one before it.
pub(super) struct Flight {
    frames: VecDeque<Frame>,
    /// When the last of them will have been heard.
    lands: Instant,
    sample_rate_hz: u32,
}

impl Flight {
    pub(super) fn new(sample_rate_hz: u32, now: Instant) -> Self {
        Self {
            frames: VecDeque::new(),
            lands: now,
            sample_rate_hz,
        }
    }

    /// When everything under way will have been heard.
    pub(super) fn lands(&self) -> Instant {
        self.lands
    }

    /// A frame was written at `now`; returns when it is heard.
    pub(super) fn take_off(
        &mut self,
        position: usize,
        own: usize,
        samples: Vec<i16>,
        now: Instant,
    ) -> Instant {
        let at = self.lands.max(now);
        self.lands = at + FRAME;
        self.frames.push_back(Frame {
            at,
            position,
            own,
            samples,
        });
        at
    }

    /// The sink knows that `samples` are still to be sent: the reckoning is set right.
    pub(super) fn correct(&mut self, samples: usize, now: Instant) {
        let micros = samples.saturating_mul(1_000_000) / usize::try_from(self.sample_rate_hz).unwrap_or(1);
        self.lands = now + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let mut ends = self.lands;
        for frame in self.frames.iter_mut().rev() {
            frame.at = ends.checked_sub(FRAME).unwrap_or(ends);
            ends = frame.at;
        }
    }

    /// The next frame that has been heard in full by `now`.
    pub(super) fn landed(&mut self, now: Instant) -> Option<Frame> {
        let is_heard = self.frames.front().is_some_and(|frame| frame.at + FRAME <= now);
        if is_heard { self.frames.pop_front() } else { None }
    }

    /// The position up to which the utterance has been heard by `now`; none when nothing is under way.
    pub(super) fn heard(&self, now: Instant) -> Option<usize> {
        let frame = self.frames.front()?;
        Some(frame.position + self.samples_of(frame, now).min(frame.own))
    }

    /// Everything under way was dropped at `now`: returns the frame that was being heard, cut to what was.
    pub(super) fn crash(&mut self, now: Instant) -> Option<Frame> {
        let heard = self.frames.front().map_or(0, |frame| self.samples_of(frame, now));
        let first = self.frames.pop_front();
        self.frames.clear();
        self.lands = now;
        first.filter(|_| heard > 0).map(|mut frame| {
            frame.samples.truncate(heard);
            frame
        })
    }

    fn samples_of(&self, frame: &Frame, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(frame.at).as_micros() * u128::from(self.sample_rate_hz);
        usize::try_from(elapsed / 1_000_000)
            .unwrap_or(usize::MAX)
            .min(frame.samples.len())
    }
}
