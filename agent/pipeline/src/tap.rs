//! Both sides of the call on the call's clock, for the recording.
//!
//! The call's clock is the phone's: what the caller said stands where it was on the phone's wire, somewhat earlier than
//! it came here, and what the agent said where the phone got it, somewhat later than it was sent from here ([`Delays`]).
//! What was written but cleared before it was sent is not there.

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

    /// How far away the phone is; asked once, at the beginning. None unless told otherwise.
    fn delays(&self) -> Delays {
        Delays::default()
    }
}

/// How far the phone is from the conversation, by the buffers in between. Each is taken for [`Delays::MOST`] at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delays {
    /// From the first sample of a caller's frame on the phone's wire to the frame here.
    pub caller: Duration,
    /// From a sample of the agent's being sent to the phone having it.
    pub agent: Duration,
}

impl Delays {
    /// Longer delays are not made up for.
    pub const MOST: Duration = Duration::from_millis(200);
}

/// Slots wait so long for both sides before they are passed on: the longest delay, and what a frame may be late.
const LAG_SLOTS: u64 = 25;
/// A frame of the caller's that is later than this sets the caller's clock anew; one that is earlier is dropped. 300 ms.
const SLACK_SAMPLES: i64 = 4800;
/// The caller's clock is looked at every second,
const CLOCK_WINDOW: u32 = 50;
/// and put right, where nobody hears it, when it is wrong by more than 5 ms.
const CLOCK_ERROR_SAMPLES: i64 = 80;
/// The peak of a quiet frame: 45 dB below the loudest.
const QUIET: u16 = 180;

/// Puts the two sides together.
pub(crate) struct Slots {
    tap: Box<dyn Tap>,
    delays: Delays,
    waiting: VecDeque<Slot>,
    /// The first slot not yet passed on; none before the gate opened.
    next: Option<u64>,
    caller_clock: CallerClock,
}

impl Slots {
    pub(crate) fn new(tap: Box<dyn Tap>) -> Self {
        let Delays { caller, agent } = tap.delays();
        Self {
            tap,
            delays: Delays {
                caller: caller.min(Delays::MOST),
                agent: agent.min(Delays::MOST),
            },
            waiting: VecDeque::new(),
            next: None,
            caller_clock: CallerClock::default(),
        }
    }

    /// Slots are passed on from the one after that in which the phone gets what is sent at `now`.
    pub(crate) fn open(&mut self, now: Duration) {
        self.next.get_or_insert(slot_at(now + self.delays.agent) + 1);
    }

    /// A frame of the caller's that came at `now`. Frames follow each other without gaps as long as they come roughly
    /// when they should, so that a jittering network does not tear words apart.
    pub(crate) fn caller(&mut self, frame: &[i16], now: Duration) {
        let ideal = sample_at(now.saturating_sub(self.delays.caller));
        if let Some(start) = self.caller_clock.place(frame, ideal) {
            self.lay(start, frame, |slot| &mut slot.caller);
        }
        self.pass_on(slot_at(now).saturating_sub(LAG_SLOTS));
    }

    /// Samples of the agent's, of which the first was sent at `at`.
    pub(crate) fn agent(&mut self, samples: &[i16], at: Duration) {
        let start = sample_at(at + self.delays.agent);
        self.lay(start, samples, |slot| &mut slot.agent);
    }

    /// Adds `samples` to one side, from the sample `start` on.
    fn lay(&mut self, start: u64, samples: &[i16], side: fn(&mut Slot) -> &mut [i16; FRAME_SAMPLES]) {
        let mut position = start;
        let mut rest = samples;
        while !rest.is_empty() {
            let (index, offset) = (position / FRAME_SAMPLES as u64, position % FRAME_SAMPLES as u64);
            let offset = usize::try_from(offset).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(FRAME_SAMPLES - offset));
            if let Some(slot) = self.slot(index) {
                for (target, sample) in side(slot).iter_mut().skip(offset).zip(now) {
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

/// Where the caller's frames belong: one after the other, at the time of those that were delayed least.
#[derive(Debug, Default)]
struct CallerClock {
    /// The sample after the last frame.
    next: Option<u64>,
    /// Frames since the clock was looked at, and how late the least late of them was, in samples.
    frames: u32,
    least_late: Option<i64>,
}

impl CallerClock {
    /// The position of the first sample of `frame`, which came when `ideal` was due; none when it has no place.
    fn place(&mut self, frame: &[i16], ideal: u64) -> Option<u64> {
        let late = |next: u64| ideal.cast_signed().saturating_sub(next.cast_signed());
        let next = self.next.filter(|next| late(*next) <= SLACK_SAMPLES);
        let mut start = next.unwrap_or(ideal);
        if next.is_none() {
            (self.frames, self.least_late) = (0, None);
        }
        let late = late(start);
        if late < -SLACK_SAMPLES {
            return None;
        }
        let least_late = self.least_late.map_or(late, |least| least.min(late));
        (self.frames, self.least_late) = (self.frames + 1, Some(least_late));
        if self.frames >= CLOCK_WINDOW && is_quiet(frame) {
            if least_late.abs() > CLOCK_ERROR_SAMPLES {
                start = start.saturating_add_signed(least_late);
            }
            (self.frames, self.least_late) = (0, None);
        }
        self.next = Some(start + FRAME_SAMPLES as u64);
        Some(start)
    }
}

fn is_quiet(frame: &[i16]) -> bool {
    frame.iter().all(|sample| sample.unsigned_abs() <= QUIET)
}

/// The sample, at [`SAMPLE_RATE_HZ`], that is due at `now`.
pub(crate) fn sample_at(now: Duration) -> u64 {
    let samples = now.as_nanos() * u128::from(SAMPLE_RATE_HZ) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

fn slot_at(now: Duration) -> u64 {
    u64::try_from(now.as_nanos() / FRAME.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Taken(Arc<Mutex<Vec<Slot>>>, Delays);

    impl Tap for Taken {
        fn slot(&mut self, slot: &Slot) {
            self.0.lock().unwrap().push(slot.clone());
        }

        fn delays(&self) -> Delays {
            self.1
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
        assert_eq!(caller, [1, 2, 3, 4, 5]);
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
    fn both_sides_stand_where_the_phone_had_them() {
        let (caller, agent) = (ms(100), ms(60));
        let taken = Taken(Arc::default(), Delays { caller, agent });
        let mut slots = Slots::new(Box::new(taken.clone()));
        slots.agent(&[3; FRAME_SAMPLES], ms(180));
        // The phone hears at 260 ms what is sent now: it has not heard what was sent before, and said nothing since.
        slots.open(ms(200));
        slots.agent(&[4; FRAME_SAMPLES], ms(180));
        slots.caller(&[5; FRAME_SAMPLES], ms(360));
        slots.caller(&[6; FRAME_SAMPLES], ms(380));
        slots.agent(&[7; FRAME_SAMPLES], ms(240));
        slots.finish(ms(340));
        assert_eq!(taken.firsts(), [(14, 6, 0), (15, 0, 7), (16, 0, 0)]);
    }

    #[test]
    fn a_callers_clock_that_began_late_is_put_right_in_silence() {
        let (mut slots, taken) = slots();
        slots.open(ms(0));
        // The first frame is 100 ms late, those after it are not.
        for frame in 0..100u16 {
            let at = (20 * u64::from(frame)).max(100);
            let sound = if frame == 80 { 999 } else { 0 };
            slots.caller(&[sound; FRAME_SAMPLES], ms(at));
        }
        slots.finish(ms(2_000));
        let loud: Vec<u64> = taken
            .firsts()
            .iter()
            .filter(|slot| slot.1 != 0)
            .map(|slot| slot.0)
            .collect();
        assert_eq!(loud, [80]);
    }

    #[test]
    fn slots_are_passed_on_while_the_call_goes_on() {
        let (mut slots, taken) = slots();
        slots.open(ms(0));
        for frame in 0..100u8 {
            slots.caller(&[i16::from(frame); FRAME_SAMPLES], ms(20 * u64::from(frame)));
        }
        assert_eq!(taken.firsts().len(), 73);
        assert!(slots.waiting.len() <= 30);
    }
}
