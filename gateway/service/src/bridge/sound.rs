//! What the phone hears in place of the room.

use audio::Resampler;

use super::cue::{self, Cue};
use super::ring::Ringback;
use crate::sounds::Clip;

/// What is to be heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sound {
    /// That it rings elsewhere, until something else is to be heard.
    Ring,
    /// A pattern of tones, once.
    Cue(Cue),
    /// A recording, once.
    Clip(Clip),
    /// A recording, over and over.
    Music(Clip),
}

/// A sound on its way.
pub(super) enum Playing {
    Ring(Ringback),
    Cue(cue::Playing),
    Recording(Recording),
}

impl Playing {
    pub(super) fn new(sound: Sound, sample_rate_hz: u32) -> Self {
        match sound {
            Sound::Ring => Self::Ring(Ringback::new(sample_rate_hz)),
            Sound::Cue(cue) => Self::Cue(cue::Playing::new(cue, sample_rate_hz)),
            Sound::Clip(clip) => Self::Recording(Recording::new(clip, sample_rate_hz, false)),
            Sound::Music(clip) => Self::Recording(Recording::new(clip, sample_rate_hz, true)),
        }
    }

    /// Whether it comes to an end by itself.
    pub(super) fn ends(&self) -> bool {
        match self {
            Self::Ring(_) => false,
            Self::Cue(_) => true,
            Self::Recording(recording) => !recording.repeats,
        }
    }

    /// Appends the next 20 ms; `false` when it is over.
    pub(super) fn frame_into(&mut self, out: &mut Vec<i16>) -> bool {
        match self {
            Self::Ring(ring) => {
                ring.frame_into(out);
                true
            }
            Self::Cue(playing) => playing.frame_into(out),
            Self::Recording(recording) => recording.frame_into(out),
        }
    }
}

/// A recording, converted while it plays: what is held of it is the file's.
pub(super) struct Recording {
    clip: Clip,
    /// Samples that were taken.
    at: usize,
    /// Nothing between equal rates, and for such as the start has refused.
    resampler: Option<Resampler>,
    /// Converted and not yet played.
    ready: Vec<i16>,
    frame_samples: usize,
    repeats: bool,
}

impl Recording {
    fn new(clip: Clip, sample_rate_hz: u32, repeats: bool) -> Self {
        Self {
            resampler: Resampler::new(clip.sample_rate_hz(), sample_rate_hz).ok(),
            clip,
            at: 0,
            ready: Vec::new(),
            frame_samples: audio::frame_samples(sample_rate_hz),
            repeats,
        }
    }

    fn frame_into(&mut self, out: &mut Vec<i16>) -> bool {
        let block = audio::frame_samples(self.clip.sample_rate_hz()).max(1);
        while self.ready.len() < self.frame_samples {
            let rest = self.clip.samples().get(self.at..).unwrap_or_default();
            let (next, _) = rest.split_at(block.min(rest.len()));
            if !next.is_empty() {
                self.at += next.len();
                match &mut self.resampler {
                    Some(resampler) => resampler.process(next, &mut self.ready),
                    None => self.ready.extend_from_slice(next),
                }
            } else if self.repeats && self.at > 0 {
                self.at = 0;
            } else if self.ready.is_empty() {
                return false;
            } else {
                self.ready.resize(self.frame_samples, 0);
            }
        }
        out.extend(self.ready.drain(..self.frame_samples));
        true
    }
}

#[cfg(test)]
mod tests {
    use audio::tone::{Tone, tone_dbfs};

    use super::*;

    fn tone(sample_rate_hz: u32, samples: usize) -> Clip {
        let mut tone = Vec::new();
        Tone::new(440.0, sample_rate_hz, 8_000).fill(samples, &mut tone);
        Clip::of(tone, sample_rate_hz)
    }

    #[test]
    fn a_recording_of_any_rate_sounds_at_that_of_the_codec_and_as_long_as_it_is() {
        for from_hz in [8_000, 11_025, 22_050, 44_100, 48_000] {
            for to_hz in [8_000, 16_000, 48_000] {
                // 1.5 s, and a little more than whole frames.
                let clip = tone(from_hz, from_hz as usize * 3 / 2 + 7);
                let mut playing = Playing::new(Sound::Clip(clip), to_hz);
                let mut sound = Vec::new();
                let mut frames = 0;
                while playing.frame_into(&mut sound) {
                    frames += 1;
                    assert_eq!(sound.len(), frames * audio::frame_samples(to_hz));
                }
                assert_eq!(frames, 76, "{from_hz} to {to_hz}");
                let level = tone_dbfs(&sound[..to_hz as usize], 440.0, to_hz);
                assert!(level > -17.0, "{from_hz} to {to_hz}: {level}");
            }
        }
    }

    #[test]
    fn music_begins_again() {
        let mut playing = Playing::new(Sound::Music(tone(8_000, 8_000)), 8_000);
        let mut sound = Vec::new();
        for _ in 0..125 {
            assert!(playing.frame_into(&mut sound));
        }
        assert!(tone_dbfs(&sound[16_000..], 440.0, 8_000) > -17.0);
    }
}
