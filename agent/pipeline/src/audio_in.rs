//! The caller's sound before anybody listens to it: without the agent's own voice, which a speaker-phone sends back, without noise, at an
//! even level.
//!
//! The recording gets the sound as it came.

use std::collections::VecDeque;
use std::time::Duration;

use audio::correlate::best_lag;
use audio::level::rms_dbfs;
use audio::{Cleaner, EchoCanceller, NoiseSuppression};

use crate::tap::sample_at;
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// What is done to the caller's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioIn {
    /// Whether the echo of the agent's voice is taken out. Default true.
    pub echo_cancellation: bool,
    /// How much of a steady noise is taken away. Default none.
    pub noise_suppression: Option<NoiseSuppression>,
    /// Whether quiet speech is made louder. Default false.
    pub gain_control: bool,
}

impl Default for AudioIn {
    fn default() -> Self {
        Self {
            echo_cancellation: true,
            noise_suppression: None,
            gain_control: false,
        }
    }
}

/// Of the agent's sound we learn when it was sent, up to two frames and a moment later: by so much it is shifted. No echo is faster, since
/// each way has a jitter buffer.
const LAG_SAMPLES: u64 = samples(80);
/// An echo comes no later than so, and for so long the canceller works on when the agent is silent.
const TAIL_SAMPLES: u64 = samples(1_000);
/// After so many frames of the agent's sound an echo would have been found, were there one,
const FOUND_AFTER: u32 = 50;
/// and after so many in a row, and some frames of silence from the caller in spite of them, there is none.
const HEARD_AFTER: u32 = 25;
const QUIET_FRAMES: u32 = 5;
/// Until then so much of the caller's sound is compared with what the agent has said in the time in which an echo comes,
const PIECE_SAMPLES: usize = 2_560;
const ECHO_WITHIN_SAMPLES: usize = 9_600;
/// and is an echo when it is so much like that. An echo that has gone through G.722 and twice through Opus is 0.5 alike in its first frame
/// and 0.8 after 0.1 s; another voice less than this in 85 to 95 of 100 places (measured, synthetic voices).
const ALIKE: f64 = 0.45;
/// What is quieter than this stops no agent.
const FAINT_DBFS: f32 = -50.0;
/// Below this the agent is silent.
const SILENT_DBFS: f32 = -60.0;
/// What the agent said later, or earlier, than where it would follow on is placed anew.
const SLACK_SAMPLES: u64 = samples(40);
/// The caller's frames follow each other. One that would lie so far ahead of its time stands for one that was made up while it was late,
const AHEAD_SAMPLES: u64 = samples(40);
/// and of so many the least late is in time.
const CLOCK_FRAMES: u32 = 50;
const LATE_SAMPLES: u64 = samples(20);
/// More than this is no lateness: the caller was away.
const AWAY_SAMPLES: u64 = samples(300);

const fn samples(ms: u64) -> u64 {
    ms * SAMPLE_RATE_HZ as u64 / 1000
}

/// A frame of the caller's, for the two who listen.
pub(crate) struct Clear {
    /// For whoever finds voice.
    pub(crate) voice: [i16; FRAME_SAMPLES],
    /// For whoever finds words.
    pub(crate) words: [i16; FRAME_SAMPLES],
}

impl Clear {
    fn both(frame: &[i16; FRAME_SAMPLES]) -> Self {
        let (voice, words) = (*frame, *frame);
        Self { voice, words }
    }
}

/// Makes the caller's sound clear, frame by frame.
pub(crate) struct Clarity {
    echo: Option<Echo>,
    cleaner: Option<Cleaner>,
}

impl Clarity {
    pub(crate) fn new(options: AudioIn) -> Self {
        let AudioIn {
            echo_cancellation,
            noise_suppression,
            gain_control,
        } = options;
        let cleans = noise_suppression.is_some() || gain_control;
        Self {
            echo: echo_cancellation.then(Echo::new),
            cleaner: cleans.then(|| Cleaner::new(noise_suppression, gain_control)),
        }
    }

    /// Whether it has to know what the agent says.
    pub(crate) fn needs_agent(&self) -> bool {
        self.echo.is_some()
    }

    /// What the far end got of the agent's, 16 kHz, its first sample at `at` since the beginning.
    pub(crate) fn agent(&mut self, samples: &[i16], at: Duration) {
        if let Some(echo) = &mut self.echo {
            echo.far.lay(samples, sample_at(at));
        }
    }

    /// A frame of the caller's that came at `now`.
    pub(crate) fn caller(&mut self, frame: &[i16; FRAME_SAMPLES], now: Duration) -> Clear {
        let clear = match &mut self.echo {
            Some(echo) => echo.process(frame, sample_at(now)),
            None => Clear::both(frame),
        };
        let Some(cleaner) = &mut self.cleaner else {
            return clear;
        };
        let words = cleaner.process(&clear.words);
        if clear.voice == clear.words {
            Clear::both(&words)
        } else {
            Clear { words, ..clear }
        }
    }
}

struct Echo {
    canceller: EchoCanceller,
    far: Far,
    clock: Clock,
    /// Up to where the agent was heard, and in how many frames.
    sounded_until: Option<u64>,
    sounded: u32,
    /// Of those, how many there were in a row.
    in_a_row: u32,
    /// Frames of the agent's sound of which an echo would have come, and did not.
    quiet: u32,
    /// What both have said last, as long as it is not known whether there is an echo.
    last_far: VecDeque<i16>,
    last_near: VecDeque<i16>,
}

impl Echo {
    fn new() -> Self {
        Self {
            canceller: EchoCanceller::new(),
            far: Far::default(),
            clock: Clock::default(),
            sounded_until: None,
            sounded: 0,
            in_a_row: 0,
            quiet: 0,
            last_far: VecDeque::new(),
            last_near: VecDeque::new(),
        }
    }

    fn process(&mut self, near: &[i16; FRAME_SAMPLES], now: u64) -> Clear {
        let at = self.clock.place(now);
        let far = self.far.take(at.saturating_sub(LAG_SAMPLES));
        if rms_dbfs(&far) > SILENT_DBFS {
            self.sounded_until = Some(at);
            self.sounded = self.sounded.saturating_add(1);
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.in_a_row = 0;
        }
        // Neither side moves on meanwhile, so that the canceller's idea of the delay stays right.
        if self.sounded_until.is_none_or(|until| at > until + TAIL_SAMPLES) {
            return Clear::both(near);
        }
        let clean = self.canceller.process(&far, near);
        if self.canceller.has_echo() {
            Clear::both(&clean)
        } else if self.is_undecided() && self.sounds_like_echo(&far, near) {
            // It may be one: it does not stop the agent, and what may be words is kept.
            Clear {
                voice: clean,
                words: *near,
            }
        } else {
            // The canceller would take the beginning of what a caller without an echo says for one.
            Clear::both(near)
        }
    }

    fn is_undecided(&self) -> bool {
        self.sounded < FOUND_AFTER && self.quiet < QUIET_FRAMES
    }

    fn sounds_like_echo(&mut self, far: &[i16], near: &[i16]) -> bool {
        keep_last(&mut self.last_far, far, ECHO_WITHIN_SAMPLES + PIECE_SAMPLES);
        keep_last(&mut self.last_near, near, PIECE_SAMPLES);
        if rms_dbfs(near) < FAINT_DBFS {
            self.quiet += u32::from(self.in_a_row >= HEARD_AFTER);
            return false;
        }
        let (piece, said) = (self.last_near.make_contiguous(), self.last_far.make_contiguous());
        best_lag(piece, said, said.len()).coefficient > ALIKE
    }
}

fn keep_last(kept: &mut VecDeque<i16>, samples: &[i16], most: usize) {
    kept.extend(samples);
    kept.drain(..kept.len().saturating_sub(most));
}

/// Where the caller's frames belong, though the network's delays change from one to the next.
#[derive(Default)]
struct Clock {
    next: Option<u64>,
    frames: u32,
    least_late: u64,
}

impl Clock {
    fn place(&mut self, now: u64) -> u64 {
        let mut at = self.next.unwrap_or(now);
        if at > now + AHEAD_SAMPLES || now > at + AWAY_SAMPLES {
            at = now;
            self.frames = 0;
        }
        let late = now.saturating_sub(at);
        self.least_late = if self.frames == 0 {
            late
        } else {
            self.least_late.min(late)
        };
        self.frames += 1;
        if self.frames == CLOCK_FRAMES {
            self.frames = 0;
            if self.least_late > LATE_SAMPLES {
                at += self.least_late;
            }
        }
        self.next = Some(at + FRAME_SAMPLES as u64);
        at
    }
}

/// The agent's sound on its way back.
#[derive(Default)]
struct Far {
    samples: VecDeque<i16>,
    /// The place of the first of them.
    start: u64,
}

impl Far {
    /// Puts `samples` behind what is there, or where they belong when that is elsewhere.
    fn lay(&mut self, samples: &[i16], at: u64) {
        let end = self.start + self.samples.len() as u64;
        let mut known = 0;
        if self.samples.is_empty() || at > end + TAIL_SAMPLES {
            self.samples.clear();
            self.start = at;
        } else if at > end + SLACK_SAMPLES {
            let gap = usize::try_from(at - end).unwrap_or(0);
            self.samples.extend(std::iter::repeat_n(0, gap));
        } else if end > at + SLACK_SAMPLES {
            known = usize::try_from(end - at).unwrap_or(usize::MAX);
        }
        self.samples.extend(samples.iter().skip(known));
        let most = usize::try_from(2 * TAIL_SAMPLES).unwrap_or(usize::MAX);
        self.forget(self.samples.len().saturating_sub(most));
    }

    /// The frame at `at`, silence where nothing is known. What lies long before it is forgotten.
    fn take(&mut self, at: u64) -> [i16; FRAME_SAMPLES] {
        let mut frame = [0; FRAME_SAMPLES];
        let old = at.saturating_sub(self.start).saturating_sub(AWAY_SAMPLES);
        self.forget(usize::try_from(old).unwrap_or(usize::MAX));
        let lead = usize::try_from(self.start.saturating_sub(at)).unwrap_or(usize::MAX);
        let passed = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        for (place, sample) in frame.iter_mut().skip(lead).zip(self.samples.iter().skip(passed)) {
            *place = *sample;
        }
        frame
    }

    fn forget(&mut self, count: usize) {
        let count = count.min(self.samples.len());
        self.samples.drain(..count);
        self.start += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = FRAME_SAMPLES;

    fn firsts(far: &mut Far, at: impl IntoIterator<Item = u64>) -> Vec<i16> {
        at.into_iter().map(|at| far.take(at)[0]).collect()
    }

    #[test]
    fn what_the_agent_said_is_found_where_it_was_said() {
        let mut far = Far::default();
        far.lay(&[1; FRAME], 1_000);
        far.lay(&[2; FRAME], 1_320);
        // After a pause, and a moment earlier than it would follow on.
        far.lay(&[3; FRAME], 3_000);
        far.lay(&[4; FRAME], 3_300);
        assert_eq!(
            firsts(&mut far, [680, 1_000, 1_320, 1_640, 3_000, 3_320, 3_640]),
            [0, 1, 2, 0, 3, 4, 0]
        );
    }

    #[test]
    fn the_callers_frames_keep_their_clock() {
        let mut clock = Clock::default();
        let mut place = |ms: u64| clock.place(samples(ms)) / samples(1);
        // Late ones and those that catch up follow each other.
        let places: Vec<u64> = [0, 20, 75, 76, 80, 100].map(&mut place).into();
        assert_eq!(places, [0, 20, 40, 60, 80, 100]);
        // Some were made up in the place of some that came after all: those that follow are not ahead for ever.
        let places: Vec<u64> = [120, 140, 141, 142, 143, 160].map(&mut place).into();
        assert_eq!(places, [120, 140, 160, 180, 143, 163]);
        // Frames were lost: within two seconds the rest is where it belongs.
        let last = (0..100).map(|n| place(300 + 20 * n)).last();
        assert_eq!(last, Some(2_280));
        assert_eq!(place(5_000), 5_000);
    }

    #[test]
    fn the_agents_sound_is_kept_for_two_seconds_at_most() {
        let mut far = Far::default();
        for frame in 0..1_000 {
            far.lay(&[1; FRAME], frame * FRAME as u64);
        }
        assert!(far.samples.len() <= 32_000);
        // What lies far ahead of all that is known is no gap to be filled.
        far.lay(&[2; FRAME], u64::MAX / 2);
        assert_eq!((far.samples.len(), far.take(u64::MAX / 2)[0]), (FRAME, 2));
    }

    #[test]
    fn with_everything_off_the_sound_is_as_it_came() {
        let mut clarity = Clarity::new(AudioIn {
            echo_cancellation: false,
            ..AudioIn::default()
        });
        assert!(!clarity.needs_agent());
        let clear = clarity.caller(&[7; FRAME], Duration::ZERO);
        assert_eq!((clear.voice, clear.words), ([7; FRAME], [7; FRAME]));
    }

    #[test]
    fn a_caller_is_untouched_before_the_agent_has_said_anything() {
        let mut clarity = Clarity::new(AudioIn::default());
        for frame in 0..100u64 {
            let sound = [i16::try_from(frame).unwrap() * 50; FRAME];
            let clear = clarity.caller(&sound, Duration::from_millis(20 * frame));
            assert_eq!((clear.voice, clear.words), (sound, sound));
        }
    }
}
