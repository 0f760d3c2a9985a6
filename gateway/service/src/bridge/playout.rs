//! The queue between a track's frames, which come on the engine's clock, and our ticks.

use std::collections::VecDeque;
use std::time::Duration;

/// Frames that wait before a track is begun, so that a late one leaves no gap: 40 ms.
const START_FRAMES: usize = 2;
/// Frames that may wait. Beyond them the oldest go, down to [`START_FRAMES`]: a delay once gained would stay for good.
const MAX_FRAMES: usize = 8;
/// Frames that are left when one was taken, if all is well. A frame or more that was left beyond it throughout [`SPARE_TICKS`] is not
/// needed, and is given back in a pause. Less than a frame is no delay that was gained: the engine's frames, of 10 ms, come in any
/// phase against our ticks.
const SPARE_FRAMES: usize = START_FRAMES - 1;
/// 2 s.
const SPARE_TICKS: u32 = 100;
/// The peak of what can be left out unheard: 45 dB below the loudest.
const QUIET: u16 = 180;
/// Quiet for so long, and all that waits behind it quiet too, is a pause between words: 60 ms, and 60 ms or more. The closure of a stop
/// within a word is over sooner; to shorten it is to change the word.
const PAUSE_TICKS: u32 = 3;
/// What the queue delays sound by, on average: [`START_FRAMES`].
pub(super) const DELAY: Duration = Duration::from_millis(40);

/// One track's sound on its way to the phone.
#[derive(Debug)]
pub(super) struct Playout {
    samples: VecDeque<i16>,
    frame_samples: usize,
    playing: bool,
    /// Ticks since the spare sound was last looked at, and the least that there was, in samples.
    ticks: u32,
    least_spare: usize,
    /// Ticks for which nothing was heard of the track.
    quiet_ticks: u32,
    faults: Faults,
}

/// What the room's sound suffered on its way through us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Times that a track ran dry.
    pub(crate) gaps: u64,
    /// Samples left out to be rid of a delay.
    pub(crate) samples_skipped: u64,
}

impl Playout {
    pub(super) fn new(frame_samples: usize) -> Self {
        Self {
            samples: VecDeque::with_capacity(frame_samples * (MAX_FRAMES + 1)),
            frame_samples,
            playing: false,
            ticks: 0,
            least_spare: usize::MAX,
            quiet_ticks: 0,
            faults: Faults::default(),
        }
    }

    /// Takes sound of any length.
    pub(super) fn push(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
        if self.samples.len() > self.frame_samples * MAX_FRAMES {
            let excess = self.samples.len() - self.frame_samples * START_FRAMES;
            self.samples.drain(..excess);
            self.faults.samples_skipped += u64::try_from(excess).unwrap_or_default();
        }
    }

    /// What has gone wrong since the last time this was asked.
    pub(super) fn take_faults(&mut self) -> Faults {
        std::mem::take(&mut self.faults)
    }

    /// Adds the next 20 ms onto `sum`; nothing while there is too little.
    pub(super) fn mix_frame_into(&mut self, sum: &mut Vec<i16>) {
        let needed = if self.playing {
            self.frame_samples
        } else {
            self.frame_samples * START_FRAMES
        };
        let was_playing = std::mem::replace(&mut self.playing, self.samples.len() >= needed);
        self.faults.gaps += u64::from(was_playing && !self.playing);
        if self.playing {
            let frame: Vec<i16> = self.samples.drain(..self.frame_samples).collect();
            audio::mix_into(sum, &frame);
            self.quiet_ticks = if frame.iter().all(is_quiet) {
                self.quiet_ticks.saturating_add(1)
            } else {
                0
            };
            self.give_back();
        } else {
            self.watch_anew();
        }
    }

    /// After a stall of the engine its sound comes all at once: without this, what the phone waited for it would stay for good.
    fn give_back(&mut self) {
        self.ticks += 1;
        self.least_spare = self.least_spare.min(self.samples.len());
        if self.ticks < SPARE_TICKS {
            return;
        }
        let surplus = self
            .least_spare
            .saturating_sub(self.frame_samples * SPARE_FRAMES)
            .min(self.samples.len());
        if surplus < self.frame_samples {
            self.watch_anew();
        } else if self.quiet_ticks >= PAUSE_TICKS && self.samples.iter().all(is_quiet) {
            self.samples.drain(..surplus);
            self.faults.samples_skipped += u64::try_from(surplus).unwrap_or_default();
            self.watch_anew();
        }
    }

    fn watch_anew(&mut self) {
        self.ticks = 0;
        self.least_spare = usize::MAX;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "iterators pass references")]
fn is_quiet(sample: &i16) -> bool {
    sample.unsigned_abs() <= QUIET
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(playout: &mut Playout) -> Vec<i16> {
        let mut sum = Vec::new();
        playout.mix_frame_into(&mut sum);
        sum
    }

    #[test]
    fn a_track_begins_with_40_ms_in_hand_and_again_after_it_ran_dry() {
        let mut playout = Playout::new(2);
        playout.push(&[1, 2]);
        assert!(next(&mut playout).is_empty());
        playout.push(&[3]);
        playout.push(&[4]);
        assert_eq!(next(&mut playout), [1, 2]);
        assert_eq!(next(&mut playout), [3, 4]);
        assert!(next(&mut playout).is_empty());
        playout.push(&[5, 6]);
        assert!(next(&mut playout).is_empty());
        playout.push(&[7, 8]);
        assert_eq!(next(&mut playout), [5, 6]);
        assert_eq!(
            playout.take_faults(),
            Faults {
                gaps: 1,
                samples_skipped: 0
            }
        );
    }

    #[test]
    fn delay_does_not_pile_up() {
        let mut playout = Playout::new(2);
        for n in 0..9 {
            playout.push(&[n, n]);
        }
        assert_eq!(next(&mut playout), [7, 7]);
        assert_eq!(
            playout.take_faults(),
            Faults {
                gaps: 0,
                samples_skipped: 14
            }
        );
    }

    #[test]
    fn delay_that_is_not_needed_is_given_back_in_silence() {
        let mut playout = Playout::new(2);
        playout.push(&[0; 10]);
        let mut waits = Vec::new();
        for tick in 0..=SPARE_TICKS + 30 {
            let sample = if tick < SPARE_TICKS + 10 { 9_000 } else { 0 };
            next(&mut playout);
            waits.push(playout.samples.len());
            playout.push(&[sample; 2]);
        }
        // Loud sound is left whole, and in silence one frame in hand is left.
        assert_eq!(
            (waits[0], waits[SPARE_TICKS as usize + 9], waits.last()),
            (8, 8, Some(&2))
        );
        assert_eq!(playout.take_faults().samples_skipped, 6);
    }

    /// 10 ms of speech at 16 kHz: words of 300 ms, each with a closure of 40 ms in it, and with `pause` a pause after the last.
    fn speech(at: usize, pause: bool) -> Vec<i16> {
        let in_word = at % 30;
        let is_closure = (10..14).contains(&in_word);
        vec![if pause || is_closure { 70 } else { 9_000 }; 160]
    }

    /// A track whose frames come in twos, but for the first `extra`, which come at once, and whose first is at `phase`.
    fn spoken(phase: usize, extra: usize, pause: &std::ops::Range<usize>) -> (Vec<i16>, Faults) {
        let mut playout = Playout::new(320);
        let mut heard = Vec::new();
        let mut at = 0;
        for tick in 0..600 {
            let count = match tick {
                0 => phase,
                1 => 2 + extra,
                _ => 2,
            };
            for _ in 0..count {
                playout.push(&speech(at, pause.contains(&at)));
                at += 1;
            }
            heard.extend(next(&mut playout));
        }
        (heard, playout.take_faults())
    }

    #[test]
    fn the_phase_of_the_engines_frames_is_no_delay_and_stays() {
        for phase in [2, 3] {
            let (heard, faults) = spoken(phase, 0, &(600..700));
            assert_eq!(faults, Faults::default(), "phase {phase}");
            let all: Vec<i16> = (0..1_200)
                .flat_map(|at| speech(at, (600..700).contains(&at)))
                .collect();
            assert!(heard.len() > 590 * 320 && all.starts_with(&heard));
        }
    }

    #[test]
    fn a_word_is_heard_as_it_was_said_and_a_delay_is_given_back_in_the_pause_after_it() {
        // 60 ms too much from the beginning, known after 2 s; the pause is from 6 s to 6.9 s.
        let (heard, faults) = spoken(2, 6, &(600..690));
        assert_eq!(faults.samples_skipped, 3 * 320);
        let quiet = |samples: &[i16]| samples.iter().filter(|sample| is_quiet(sample)).count();
        // Before the pause and after it nothing is left out.
        let all: Vec<i16> = (0..600).flat_map(|at| speech(at, false)).collect();
        assert_eq!(heard[..all.len()], all[..]);
        let pause = &heard[600 * 160..690 * 160 - 3 * 320];
        assert_eq!(quiet(pause), pause.len());
        assert_eq!(heard[690 * 160 - 3 * 320], 9_000);
    }

    #[test]
    fn tracks_are_added_up() {
        let (mut a, mut b, mut sum) = (Playout::new(1), Playout::new(1), Vec::new());
        a.push(&[10, 10]);
        b.push(&[i16::MAX, 0]);
        a.mix_frame_into(&mut sum);
        b.mix_frame_into(&mut sum);
        assert_eq!(sum, [i16::MAX]);
    }
}
