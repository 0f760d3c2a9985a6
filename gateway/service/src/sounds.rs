//! Recordings that callers hear: read once, at the start.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audio::wav::{self, Wav, WavError};
use platform::config::SipSounds;
use thiserror::Error;

use crate::bridge::{Cue, Sound};

/// Of a file: a minute of music at 48 kHz has 6 MB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Rates of telephone and studio, which are converted to that of any codec.
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// A recording. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Clip(Arc<Wav>);

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?})", self.length())
    }
}

impl Clip {
    pub(crate) fn samples(&self) -> &[i16] {
        &self.0.samples
    }

    pub(crate) fn sample_rate_hz(&self) -> u32 {
        self.0.sample_rate_hz
    }

    /// How long it sounds.
    pub(crate) fn length(&self) -> Duration {
        let samples = u64::try_from(self.0.samples.len()).unwrap_or_default();
        Duration::from_micros(samples.saturating_mul(1_000_000) / u64::from(self.0.sample_rate_hz))
    }

    fn read(path: &Path) -> Result<Self, Fault> {
        let length = std::fs::metadata(path).map_err(Fault::Unreadable)?.len();
        if length > MAX_BYTES {
            return Err(Fault::TooLong);
        }
        Self::new(wav::read(&std::fs::read(path).map_err(Fault::Unreadable)?)?)
    }

    fn new(wav: Wav) -> Result<Self, Fault> {
        if !RATES_HZ.contains(&wav.sample_rate_hz)
            || audio::Resampler::new(wav.sample_rate_hz, 48_000).is_err()
        {
            return Err(Fault::Rate(wav.sample_rate_hz));
        }
        let clip = Self(Arc::new(wav));
        if clip.length() < audio::FRAME {
            return Err(Fault::Empty);
        }
        Ok(clip)
    }

    #[cfg(test)]
    pub(crate) fn of(samples: Vec<i16>, sample_rate_hz: u32) -> Self {
        Self(Arc::new(Wav {
            sample_rate_hz,
            samples,
        }))
    }
}

/// A recording that cannot be played.
#[derive(Debug, Error)]
#[error("{key}: {}: {fault}; write a WAV file of 16-bit PCM, mono, 8000 to 48000 Hz", .path.display())]
pub struct SoundError {
    /// Below `sip.sounds`.
    key: &'static str,
    path: PathBuf,
    #[source]
    fault: Fault,
}

#[derive(Debug, Error)]
enum Fault {
    #[error("the file cannot be read ({0})")]
    Unreadable(std::io::Error),
    #[error("it is longer than 64 MB")]
    TooLong,
    #[error("it holds no sound")]
    Empty,
    #[error("{0} Hz cannot be played")]
    Rate(u32),
    #[error(transparent)]
    Wav(#[from] WavError),
}

/// What callers hear of us.
#[derive(Debug, Default)]
pub(crate) struct Sounds {
    pin: Option<Clip>,
    wrong_pin: Option<Clip>,
    right_pin: Option<Clip>,
    /// That no agent is there.
    pub(crate) no_agent: Option<Clip>,
    hold: Option<Clip>,
}

impl Sounds {
    /// # Errors
    /// The first [`SoundError`] found.
    pub(crate) fn read(files: &SipSounds) -> Result<Self, SoundError> {
        let clip = |key: &'static str, file: &Option<PathBuf>| match file {
            None => Ok(None),
            Some(path) => match Clip::read(path) {
                Ok(clip) => Ok(Some(clip)),
                Err(fault) => Err(SoundError {
                    key,
                    path: path.clone(),
                    fault,
                }),
            },
        };
        Ok(Self {
            pin: clip("pin", &files.pin)?,
            wrong_pin: clip("wrong_pin", &files.wrong_pin)?,
            right_pin: clip("right_pin", &files.right_pin)?,
            no_agent: clip("no_agent", &files.no_agent)?,
            hold: clip("hold", &files.hold)?,
        })
    }

    /// The recording in place of a cue, if there is one.
    pub(crate) fn cue(&self, cue: Cue) -> Sound {
        match self.recorded(cue) {
            Some(clip) => Sound::Clip(clip.clone()),
            None => Sound::Cue(cue),
        }
    }

    /// How long that sounds.
    pub(crate) fn length(&self, cue: Cue) -> Duration {
        self.recorded(cue).map_or_else(|| cue.length(), Clip::length)
    }

    /// What a caller hears who waits.
    pub(crate) fn hold(&self) -> Option<Sound> {
        self.hold.clone().map(Sound::Music)
    }

    fn recorded(&self, cue: Cue) -> Option<&Clip> {
        match cue {
            Cue::Enter => self.pin.as_ref(),
            Cue::Wrong => self.wrong_pin.as_ref(),
            Cue::Right => self.right_pin.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_played_is_named_with_its_key_and_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sound.wav");
        let fault = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            let files = SipSounds {
                hold: Some(path.clone()),
                ..SipSounds::default()
            };
            Sounds::read(&files).expect_err("refused").to_string()
        };
        let wav = |samples: usize, rate| {
            let mut file = Vec::new();
            wav::write(&mut file, &vec![1; samples], rate).expect("written");
            file
        };
        for (bytes, why) in [
            (b"ID3 not a WAV".to_vec(), "not a RIFF/WAVE file"),
            (wav(10, 8_000), "it holds no sound"),
            (wav(8_000, 4_000), "4000 Hz cannot be played"),
            (wav(8_000, 8_009), "8009 Hz cannot be played"),
        ] {
            let said = fault(&bytes);
            assert!(said.starts_with("hold: ") && said.contains(why), "{said}");
            assert!(said.contains("16-bit PCM, mono"), "{said}");
        }
        let missing = SipSounds {
            pin: Some(folder.path().join("none.wav")),
            ..SipSounds::default()
        };
        let said = Sounds::read(&missing).expect_err("refused").to_string();
        assert!(said.contains("none.wav: the file cannot be read"), "{said}");
    }

    #[test]
    fn a_recording_stands_in_for_its_tones() {
        let clip = Clip::of(vec![1; 12_000], 8_000);
        let sounds = Sounds {
            pin: Some(clip.clone()),
            ..Sounds::default()
        };
        assert_eq!(sounds.cue(Cue::Enter), Sound::Clip(clip));
        assert_eq!(sounds.length(Cue::Enter), Duration::from_millis(1_500));
        assert_eq!(sounds.cue(Cue::Wrong), Sound::Cue(Cue::Wrong));
        assert_eq!(sounds.length(Cue::Wrong), Cue::Wrong.length());
    }
}
