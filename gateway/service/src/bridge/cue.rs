//! What a caller hears who is asked for a PIN: patterns of tones, which need no language and no file.

use std::time::Duration;

use audio::tone::Tone;

/// About -18 dBFS, as the ringing tone.
const AMPLITUDE: i16 = 5_800;

/// A pattern of tones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cue {
    /// Three short tones: enter the PIN.
    Enter,
    /// Two long tones, falling and low: that was no PIN.
    Wrong,
    /// Two short tones, rising: the PIN is right.
    Right,
}

/// A part of a pattern: its frequency, `None` for silence, and its length in frames of 20 ms. None of the frequencies is one of DTMF.
type Part = (Option<f64>, u32);

impl Cue {
    fn parts(self) -> &'static [Part] {
        const ENTER: f64 = 600.0;
        const PAUSE: Part = (None, 6);
        match self {
            Cue::Enter => &[(Some(ENTER), 8), PAUSE, (Some(ENTER), 8), PAUSE, (Some(ENTER), 8)],
            Cue::Wrong => &[(Some(400.0), 20), PAUSE, (Some(300.0), 25)],
            Cue::Right => &[(Some(ENTER), 6), (Some(900.0), 10)],
        }
    }

    /// How long it sounds.
    pub(crate) fn length(self) -> Duration {
        let frames: u32 = self.parts().iter().map(|(_, frames)| frames).sum();
        audio::FRAME * frames
    }
}

/// A cue on its way.
#[derive(Debug)]
pub(super) struct Playing {
    parts: std::slice::Iter<'static, Part>,
    sample_rate_hz: u32,
    current: Option<(Option<Tone>, u32)>,
}

impl Playing {
    pub(super) fn new(cue: Cue, sample_rate_hz: u32) -> Self {
        Self {
            parts: cue.parts().iter(),
            sample_rate_hz,
            current: None,
        }
    }

    /// Appends the next 20 ms; `false` when it is over.
    pub(super) fn frame_into(&mut self, out: &mut Vec<i16>) -> bool {
        let (tone, left) = match self.current.take() {
            Some(current) => current,
            None => match self.parts.next() {
                Some((frequency, frames)) => {
                    let tone = frequency.map(|hz| Tone::new(hz, self.sample_rate_hz, AMPLITUDE));
                    (tone, *frames)
                }
                None => return false,
            },
        };
        let samples = audio::frame_samples(self.sample_rate_hz);
        let mut tone = tone;
        match &mut tone {
            Some(tone) => tone.fill(samples, out),
            None => out.resize(out.len() + samples, 0),
        }
        self.current = (left > 1).then_some((tone, left - 1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sounds_as_long_as_it_says_and_none_is_like_another() {
        let loudest = [(Cue::Enter, 600.0), (Cue::Wrong, 300.0), (Cue::Right, 900.0)];
        for (cue, _) in loudest {
            let mut playing = Playing::new(cue, 8_000);
            let mut sound = Vec::new();
            while playing.frame_into(&mut sound) {}
            let length = Duration::from_micros(125) * u32::try_from(sound.len()).expect("short");
            assert_eq!(length, cue.length(), "{cue:?}");
            for (other, frequency) in loudest {
                let level = audio::tone::tone_dbfs(&sound, frequency, 8_000);
                // The tone for a right PIN rises from the one that asks for it.
                let is_part = other == cue || (cue, other) == (Cue::Right, Cue::Enter);
                assert_eq!(level > -30.0, is_part, "{cue:?} at {frequency} Hz: {level} dBFS");
            }
        }
    }
}
