//! How good the caller's sound is, as it comes.

/// Beyond this a sample is taken for cut off: 0.1 dB below the most that there is.
const CLIPPED: u16 = 32_400;
/// A frame within these is digital silence: a muted microphone, or a network that sends none of the noise.
const SILENT: u16 = 2;
/// As likely voice, and as likely none.
const VOICE: f32 = 0.5;
const NO_VOICE: f32 = 0.2;

/// Speech quieter than this is hard to understand.
const QUIET_DBFS: f32 = -45.0;
/// Noise this close to the speech covers it.
const NOISY_DB: f32 = 10.0;
/// Of so many samples of speech one may be clipped.
const CLIPPED_SHARE: f32 = 0.002;
/// With less speech than two seconds nothing is said of it.
const ENOUGH_FRAMES: u64 = 100;

/// What came of the caller's sound. Levels are root mean squares relative to full scale.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CallerAudio {
    /// Frames of 20 ms.
    pub frames: u64,
    /// Those of them that were digital silence.
    pub silent_frames: u64,
    /// Those of them with voice.
    pub voiced_frames: u64,
    /// The level of the voice, in dBFS.
    pub voice_dbfs: Option<f32>,
    /// The level between the words, without digital silence, in dBFS.
    pub noise_dbfs: Option<f32>,
    /// The share of the voice's samples that were clipped, 0 to 1.
    pub clipped: f32,
}

/// What is wrong with a caller's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFault {
    /// It is louder than the line can carry.
    Clipped,
    /// It is too quiet.
    Quiet,
    /// There is too much noise.
    Noisy,
    /// All of it was digital silence.
    Silent,
}

impl AudioFault {
    /// Its name in logs and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clipped => "clipped",
            Self::Quiet => "quiet",
            Self::Noisy => "noisy",
            Self::Silent => "silent",
        }
    }
}

impl CallerAudio {
    /// What is wrong, if anything; of too little sound nothing is.
    pub fn faults(&self) -> Vec<AudioFault> {
        if self.frames >= ENOUGH_FRAMES && self.silent_frames == self.frames {
            return vec![AudioFault::Silent];
        }
        let Some(voice) = self.voice_dbfs.filter(|_| self.voiced_frames >= ENOUGH_FRAMES) else {
            return Vec::new();
        };
        let noisy = self.noise_dbfs.is_some_and(|noise| voice - noise < NOISY_DB);
        [
            (self.clipped > CLIPPED_SHARE, AudioFault::Clipped),
            (voice < QUIET_DBFS, AudioFault::Quiet),
            (noisy, AudioFault::Noisy),
        ]
        .into_iter()
        .filter_map(|(is_so, fault)| is_so.then_some(fault))
        .collect()
    }
}

/// Looks at each frame.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    frames: u64,
    silent: u64,
    voice: Level,
    noise: Level,
    clipped: u64,
}

/// Of many frames.
#[derive(Debug, Default)]
struct Level {
    frames: u64,
    samples: u64,
    energy: f64,
}

impl Level {
    fn add(&mut self, frame: &[i16]) {
        self.frames += 1;
        self.samples += frame.len() as u64;
        self.energy += frame.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a level, of far fewer than 2^52 samples"
    )]
    fn dbfs(&self) -> Option<f32> {
        let mean = self.energy / self.samples.max(1) as f64 / 32_768_f64.powi(2);
        (mean > 0.0).then(|| (10.0 * mean.log10()) as f32)
    }
}

impl Gauge {
    /// A frame, and how probable it is that it holds voice.
    pub(crate) fn push(&mut self, frame: &[i16], probability: f32) {
        self.frames += 1;
        if frame.iter().all(|sample| sample.unsigned_abs() <= SILENT) {
            self.silent += 1;
        } else if probability >= VOICE {
            self.voice.add(frame);
            let clipped = frame.iter().filter(|sample| sample.unsigned_abs() >= CLIPPED);
            self.clipped += clipped.count() as u64;
        } else if probability <= NO_VOICE {
            self.noise.add(frame);
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a share, of far fewer than 2^23 samples"
    )]
    pub(crate) fn read(&self) -> CallerAudio {
        CallerAudio {
            frames: self.frames,
            silent_frames: self.silent,
            voiced_frames: self.voice.frames,
            voice_dbfs: self.voice.dbfs(),
            noise_dbfs: self.noise.dbfs(),
            clipped: self.clipped as f32 / self.voice.samples.max(1) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three seconds of voice of this amplitude, and as much of what is between the words.
    fn heard(voice: i16, noise: i16) -> CallerAudio {
        let mut gauge = Gauge::default();
        for _ in 0..150 {
            gauge.push(&[voice; 320], 0.9);
            gauge.push(&[noise; 320], 0.1);
        }
        gauge.read()
    }

    #[test]
    fn a_good_line_has_no_fault() {
        let audio = heard(3_000, 30);
        assert_eq!(audio.faults(), []);
        assert_eq!(
            (audio.frames, audio.voiced_frames, audio.silent_frames),
            (300, 150, 0)
        );
        let (voice, noise) = (audio.voice_dbfs.unwrap(), audio.noise_dbfs.unwrap());
        assert!(
            (voice + 20.8).abs() < 0.1 && (noise + 60.8).abs() < 0.1,
            "{audio:?}"
        );
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(heard(i16::MAX, 30).faults(), [AudioFault::Clipped]);
        assert_eq!(heard(100, 3).faults(), [AudioFault::Quiet]);
        assert_eq!(heard(3_000, 1_500).faults(), [AudioFault::Noisy]);
        assert_eq!(heard(0, 1).faults(), [AudioFault::Silent]);
    }

    #[test]
    fn of_little_speech_nothing_is_said() {
        let mut gauge = Gauge::default();
        for _ in 0..50 {
            gauge.push(&[i16::MAX; 320], 0.9);
            gauge.push(&[0; 320], 0.0);
        }
        assert_eq!(gauge.read().faults(), []);
        assert_eq!(Gauge::default().read(), CallerAudio::default());
    }
}
