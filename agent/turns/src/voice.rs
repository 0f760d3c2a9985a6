//! From probabilities to voice: hysteresis over frames of 20 ms.

use std::time::Duration;

use crate::VadOptions;

/// The length of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// What the caller's voice does. Durations of voice and silence are counted in audio, so a burst of late frames is
/// as long as it sounds; only the two points in time are on the call's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// [`VadOptions::min_speech`] of voice in a row.
    Started {
        /// When its first frame began.
        onset: Duration,
        /// The voice so far.
        voiced: Duration,
    },
    /// Another frame of voice; gaps shorter than [`VadOptions::min_silence`] are not counted.
    Continues {
        /// The voice so far.
        voiced: Duration,
    },
    /// [`VadOptions::min_silence`] of silence in a row.
    Ended {
        /// When the last frame of voice ended.
        last_voice: Duration,
    },
}

/// Finds the beginning and the end of voice in a stream of probabilities, one per 20 ms frame.
#[derive(Debug, Clone)]
pub struct VoiceGate {
    options: VadOptions,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Quiet { voiced: Duration },
    Voice { voiced: Duration, silence: Duration },
}

impl VoiceGate {
    /// A gate that has heard nothing.
    pub fn new(options: VadOptions) -> Self {
        Self {
            options,
            state: State::Quiet {
                voiced: Duration::ZERO,
            },
        }
    }

    /// Takes the probability (0.0 to 1.0) that the frame which ended at `now` holds voice.
    pub fn push(&mut self, probability: f32, now: Duration) -> Option<Voice> {
        match &mut self.state {
            State::Quiet { voiced } if probability >= self.options.activation => {
                *voiced += FRAME;
                if *voiced < self.options.min_speech {
                    return None;
                }
                let started = Voice::Started {
                    onset: now.saturating_sub(*voiced),
                    voiced: *voiced,
                };
                self.state = State::Voice {
                    voiced: *voiced,
                    silence: Duration::ZERO,
                };
                Some(started)
            }
            State::Quiet { voiced } => {
                *voiced = Duration::ZERO;
                None
            }
            State::Voice { voiced, silence } if probability >= self.options.deactivation => {
                *voiced += FRAME;
                *silence = Duration::ZERO;
                Some(Voice::Continues { voiced: *voiced })
            }
            State::Voice { silence, .. } => {
                *silence += FRAME;
                if *silence < self.options.min_silence {
                    return None;
                }
                let last_voice = now.saturating_sub(*silence);
                self.state = State::Quiet {
                    voiced: Duration::ZERO,
                };
                Some(Voice::Ended { last_voice })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn run(probabilities: &[f32]) -> Vec<Voice> {
        let mut gate = VoiceGate::new(VadOptions::default());
        let mut now = Duration::ZERO;
        probabilities
            .iter()
            .filter_map(|probability| {
                now += FRAME;
                gate.push(*probability, now)
            })
            .collect()
    }

    #[test]
    fn voice_starts_after_three_frames_and_its_onset_is_the_first() {
        let events = run(&[0.0, 0.5, 0.9, 0.9]);
        assert_eq!(
            events,
            [Voice::Started {
                onset: ms(20),
                voiced: ms(60)
            }]
        );
    }

    #[test]
    fn two_frames_of_click_are_nothing() {
        assert_eq!(run(&[0.9, 0.9, 0.1, 0.9, 0.9, 0.1]), []);
    }

    #[test]
    fn voice_lives_on_between_the_thresholds_but_does_not_begin_there() {
        assert_eq!(run(&[0.4; 20]), []);
        let events = run(&[0.9, 0.9, 0.9, 0.4]);
        assert_eq!(events.last(), Some(&Voice::Continues { voiced: ms(80) }));
    }

    #[test]
    fn a_gap_shorter_than_min_silence_neither_ends_nor_counts() {
        let mut probabilities = vec![0.9; 5];
        probabilities.extend([0.0; 12]);
        probabilities.push(0.9);
        let events = run(&probabilities);
        assert_eq!(events.last(), Some(&Voice::Continues { voiced: ms(120) }));
    }

    #[test]
    fn voice_ends_after_min_silence_at_its_last_frame() {
        let mut probabilities = vec![0.9; 5];
        probabilities.extend([0.0; 13]);
        assert_eq!(
            run(&probabilities).last(),
            Some(&Voice::Ended { last_voice: ms(100) })
        );
        probabilities.pop();
        assert_eq!(
            run(&probabilities).last(),
            Some(&Voice::Continues { voiced: ms(100) })
        );
    }
}
