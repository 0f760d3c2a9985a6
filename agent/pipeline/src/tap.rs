//! Both sides of the call on the call's clock, for the recording.
//!
//! What the caller said stands in the slot in which it came; what the agent said stands at the very sample at which
//! the far end got it, so what was written but cleared before it was sent is not there.

use std::collections::VecDeque;
use std::time::Duration;

use turns::FRAME;

use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// 20 ms of both sides, 16 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Counted from the beginning of the conversation: the slot begins at `index` · 20 ms.
    pub index: u64,
    /// The caller.
    pub caller: [i16; FRAME_SAMPLES],
    /// The agent.
    pub agent: [i16; FRAME_SAMPLES],
}

/// Takes what was said. It gets nothing from before the recording gate opened, and every slot after that, in order.
pub trait Tap: Send {
    /// One slot. Must not block: the audio waits for it.
    fn slot(&mut self, slot: &Slot);
}

/// Slots wait so long for both sides before they are passed on.
const LAG_SLOTS: u64 = 15;
/// A frame that is later or earlier than this sets the caller's clock anew.
const SLACK_SLOTS: u64 = 4;

/// Puts the two sides together.
pub(crate) struct Slots {
    tap: Box<dyn Tap>,
    waiting: VecDeque<Slot>,
    /// The first slot not yet passed on; none before the gate opened.
    next: Option<u64>,
    /// The slot after the caller's last frame.
    caller_next: u64,
}

impl Slots {
    pub(crate) fn new(tap: Box<dyn Tap>) -> Self {
        Self {
            tap,
            waiting: VecDeque::new(),
            next: None,
            caller_next: 0,
        }
    }

    /// From the next slot on, slots are passed on.
    pub(crate) fn open(&mut self, now: Duration) {
        self.next.get_or_insert(slot_at(now) + 1);
    }

    /// A frame of the caller's that came at `now`. Frames follow each other without gaps as long as they come roughly
    /// when they should, so that a jittering network does not tear words apart.
    pub(crate) fn caller(&mut self, frame: &[i16], now: Duration) {
        let ideal = slot_at(now);
        let is_near = self.caller_next + SLACK_SLOTS >= ideal && self.caller_next <= ideal + SLACK_SLOTS;
        let index = if is_near { self.caller_next } else { ideal };
        if index + 1 < self.caller_next {
            return;
        }
        self.caller_next = index + 1;
        if let Some(slot) = self.slot(index) {
            for (target, sample) in slot.caller.iter_mut().zip(frame) {
                *target = *sample;
            }
        }
        self.pass_on(slot_at(now).saturating_sub(LAG_SLOTS));
    }

    /// Samples of the agent's, of which the far end got the first at `at`.
    pub(crate) fn agent(&mut self, samples: &[i16], at: Duration) {
        let per_second = u128::from(SAMPLE_RATE_HZ);
        let start = u64::try_from(at.as_nanos() * per_second / 1_000_000_000).unwrap_or(u64::MAX);
        let mut position = start;
        let mut rest = samples;
        while !rest.is_empty() {
            let (index, offset) = (position / FRAME_SAMPLES as u64, position % FRAME_SAMPLES as u64);
            let offset = usize::try_from(offset).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(FRAME_SAMPLES - offset));
            if let Some(slot) = self.slot(index) {
                for (target, sample) in slot.agent.iter_mut().skip(offset).zip(now) {
                    *target = target.saturating_add(*sample);
                }
            }
            position += now.len() as u64;
            rest = later;
        }
    }

    /// Passes on what there is up to `now`: nothing more will come.
    pub(crate) fn finish(&mut self, now: Duration) {
        self.pass_on(slot_at(now));
    }

    /// The waiting slot `index`; none when it was passed on already, lies before the gate, or absurdly far ahead.
    fn slot(&mut self, index: u64) -> Option<&mut Slot> {
        let ahead = usize::try_from(index.checked_sub(self.next?)?)
            .ok()
            .filter(|ahead| *ahead < 1000)?;
        while self.waiting.len() <= ahead {
            self.push_silence();
        }
        self.waiting.get_mut(ahead)
    }

    fn push_silence(&mut self) {
        let index = self.next.unwrap_or(0) + self.waiting.len() as u64;
        self.waiting.push_back(Slot {
            index,
            caller: [0; FRAME_SAMPLES],
            agent: [0; FRAME_SAMPLES],
        });
    }

    fn pass_on(&mut self, end: u64) {
        while let Some(next) = self.next.filter(|next| *next < end) {
            if self.waiting.is_empty() {
                self.push_silence();
            }
            if let Some(slot) = self.waiting.pop_front() {
                self.tap.slot(&slot);
            }
            self.next = Some(next + 1);
        }
    }
}

fn slot_at(now: Duration) -> u64 {
    u64::try_from(now.as_nanos() / FRAME.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Taken(Arc<Mutex<Vec<Slot>>>);

    impl Tap for Taken {
        fn slot(&mut self, slot: &Slot) {
            self.0.lock().unwrap().push(slot.clone());
        }
    }

    impl Taken {
        /// `(index, first sample of the caller, first sample of the agent)` of each slot.
        fn firsts(&self) -> Vec<(u64, i16, i16)> {
            self.0
                .lock()
                .unwrap()
                .iter()
                .map(|slot| (slot.index, slot.caller[0], slot.agent[0]))
                .collect()
        }
    }

    fn slots() -> (Slots, Taken) {
        let taken = Taken::default();
        (Slots::new(Box::new(taken.clone())), taken)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_from_before_the_gate_is_passed_on() {
        let (mut slots, taken) = slots();
        slots.caller(&[7; FRAME_SAMPLES], ms(0));
        slots.agent(&[7; FRAME_SAMPLES], ms(0));
        slots.open(ms(15));
        slots.caller(&[8; FRAME_SAMPLES], ms(20));
        slots.agent(&[9; FRAME_SAMPLES], ms(20));
        slots.finish(ms(60));
        assert_eq!(taken.firsts(), [(1, 8, 9), (2, 0, 0)]);
    }

    #[test]
    fn a_jittering_caller_stays_without_gaps() {
        let (mut slots, taken) = slots();
        slots.open(ms(0));
        for (frame, at) in [(1, 20), (2, 75), (3, 76), (4, 81), (5, 105)] {
            slots.caller(&[frame; FRAME_SAMPLES], ms(at));
        }
        slots.finish(ms(120));
        let caller: Vec<i16> = taken.firsts().iter().map(|(_, caller, _)| *caller).collect();
        // The first frame is taken for slot 0, which lies before the gate.
        assert_eq!(caller, [2, 3, 4, 5, 0]);
    }

    #[test]
    fn a_caller_who_was_away_comes_back_at_the_right_slot() {
        let (mut slots, taken) = slots();
        slots.open(ms(0));
        slots.caller(&[1; FRAME_SAMPLES], ms(20));
        slots.caller(&[2; FRAME_SAMPLES], ms(400));
        slots.finish(ms(420));
        assert_eq!(taken.firsts().last(), Some(&(20, 2, 0)));
        assert_eq!(taken.firsts().len(), 20);
    }

    #[test]
    fn the_agent_stands_at_its_sample() {
        let (mut slots, taken) = slots();
        slots.open(ms(0));
        slots.agent(&[5; FRAME_SAMPLES], ms(30));
        slots.finish(ms(80));
        let taken = taken.0.lock().unwrap();
        let agent: Vec<i16> = taken.iter().flat_map(|slot| slot.agent).collect();
        let heard: Vec<usize> = agent
            .iter()
            .enumerate()
            .filter(|(_, s)| **s == 5)
            .map(|(at, _)| at)
            .collect();
        // The first slot passed on is slot 1, which begins at 20 ms.
        assert_eq!(
            (heard.first(), heard.last(), heard.len()),
            (Some(&160), Some(&479), 320)
        );
    }

    #[test]
    fn slots_are_passed_on_while_the_call_goes_on() {
        let (mut slots, taken) = slots();
        slots.open(ms(0));
        for frame in 0..100u8 {
            slots.caller(&[i16::from(frame); FRAME_SAMPLES], ms(20 * u64::from(frame)));
        }
        assert_eq!(taken.firsts().len(), 83);
        assert!(slots.waiting.len() <= 20);
    }
}
