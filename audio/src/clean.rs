//! Speech without echo and noise, at an even level, by WebRTC's audio processing in pure Rust (`sonora`).

use std::collections::VecDeque;

use sonora::{
    AudioProcessing, Config, StreamConfig,
    config::{AdaptiveDigital, EchoCanceller as Aec3, GainController2, NoiseSuppression as Suppression},
    config::{NoiseSuppressionLevel, Pipeline},
};

use crate::correlate::best_lag;
use crate::level::rms_dbfs;

const SAMPLE_RATE_HZ: u32 = 16_000;
/// 20 ms.
const FRAME_SAMPLES: usize = 320;
/// What the library takes at a time: 10 ms.
const PART_SAMPLES: usize = 160;
/// By so much speech is made louder at most. Beyond it there is only noise on a telephone.
const MAX_GAIN_DB: f32 = 30.0;

/// The longest delay that is looked for: half a second, and a moment.
const MAX_DELAY_SAMPLES: usize = 9_600;
/// An echo is so much of what is heard, 320 ms,
const PIECE_SAMPLES: usize = 5_120;
/// and is to be found this near to where the library believes it, 40 ms,
const NEAR_SAMPLES: usize = 640;
/// by being so much alike. Another voice is hardly ever by half as much, at so few places.
const ALIKE: f64 = 0.5;
/// Looked for again in every so many frames, and to be found twice.
const LOOK_EVERY: u32 = 5;
const FOUND: u32 = 2;
/// What is quieter is not looked at.
const FAINT_DBFS: f32 = -55.0;

/// Takes what was played to somebody out of what is heard from them: AEC3, 0.7 % of a core and 400 kB a stream (measured).
///
/// It finds an echo, up to half a second late, about 0.5 s after it has begun. Until then, and where there is no echo at all, it takes
/// whoever begins to speak over the far side for echo, for up to a second: see [`EchoCanceller::has_echo`].
pub struct EchoCanceller {
    processing: Box<AudioProcessing>,
    /// What the library gives for the delay before it has found one.
    unknown_delay_ms: Option<i32>,
    /// What both sides have said last, until an echo is found.
    far: VecDeque<i16>,
    near: VecDeque<i16>,
    frames: u32,
    found: u32,
}

impl EchoCanceller {
    /// One that has heard nothing.
    pub fn new() -> Self {
        let processing = processing(Config {
            echo_canceller: Some(Aec3::default()),
            ..Config::default()
        });
        Self {
            processing: Box::new(processing),
            unknown_delay_ms: None,
            far: VecDeque::new(),
            near: VecDeque::new(),
            frames: 0,
            found: 0,
        }
    }

    /// Takes 20 ms at 16 kHz of both sides (320 samples) and gives `near` without the echo of `far`. The echo of a frame has to come with
    /// it or later.
    pub fn process(
        &mut self,
        far: &[i16; FRAME_SAMPLES],
        near: &[i16; FRAME_SAMPLES],
    ) -> [i16; FRAME_SAMPLES] {
        let mut clean = *near;
        let mut unused = [0; PART_SAMPLES];
        let parts = far
            .chunks_exact(PART_SAMPLES)
            .zip(near.chunks_exact(PART_SAMPLES));
        for ((far, near), clean) in parts.zip(clean.chunks_exact_mut(PART_SAMPLES)) {
            // It fails by its settings alone, and those are fixed.
            let _ = self.processing.process_render_i16(far, &mut unused);
            let _ = self.processing.process_capture_i16(near, clean);
        }
        if !self.has_echo() {
            self.look(far, near);
        }
        clean
    }

    /// The library's own belief is too soon: a voice that goes on over the far side's for long leads it to one, too.
    fn look(&mut self, far: &[i16], near: &[i16]) {
        keep_last(
            &mut self.far,
            far,
            MAX_DELAY_SAMPLES + PIECE_SAMPLES + NEAR_SAMPLES,
        );
        keep_last(&mut self.near, near, PIECE_SAMPLES);
        self.frames = self.frames.wrapping_add(1);
        let delay_ms = self.processing.statistics().delay_ms;
        self.unknown_delay_ms = self.unknown_delay_ms.or(delay_ms);
        let believed = delay_ms.filter(|_| delay_ms != self.unknown_delay_ms);
        let Some(delay_ms) = believed.and_then(|ms| usize::try_from(ms).ok()) else {
            return;
        };
        if !self.frames.is_multiple_of(LOOK_EVERY) || rms_dbfs(near) < FAINT_DBFS {
            return;
        }
        let (far, near) = (self.far.make_contiguous(), self.near.make_contiguous());
        let ends = far
            .len()
            .saturating_sub(delay_ms * SAMPLE_RATE_HZ as usize / 1_000);
        let begins = ends.saturating_sub(near.len() + NEAR_SAMPLES);
        let said = &far[begins..far.len().min(ends + NEAR_SAMPLES)];
        if rms_dbfs(said) > FAINT_DBFS && best_lag(near, said, 2 * NEAR_SAMPLES).coefficient > ALIKE {
            self.found += 1;
        }
    }

    /// Whether an echo was found so far.
    pub fn has_echo(&self) -> bool {
        self.found >= FOUND
    }
}

fn keep_last(kept: &mut VecDeque<i16>, samples: &[i16], most: usize) {
    kept.extend(samples);
    kept.drain(..kept.len().saturating_sub(most));
}

impl Default for EchoCanceller {
    fn default() -> Self {
        Self::new()
    }
}

/// How much of a steady noise is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSuppression {
    /// 6 dB.
    Low,
    /// 12 dB.
    Moderate,
    /// 18 dB.
    High,
    /// 21 dB.
    VeryHigh,
}

impl NoiseSuppression {
    fn level(self) -> NoiseSuppressionLevel {
        match self {
            Self::Low => NoiseSuppressionLevel::Low,
            Self::Moderate => NoiseSuppressionLevel::Moderate,
            Self::High => NoiseSuppressionLevel::High,
            Self::VeryHigh => NoiseSuppressionLevel::VeryHigh,
        }
    }
}

/// Takes steady noise away and brings speech to an even level.
pub struct Cleaner(Box<AudioProcessing>);

impl Cleaner {
    /// `noise`: how much of it is taken away, if any. `gain`: whether quiet speech is made louder, by up to 30 dB.
    pub fn new(noise: Option<NoiseSuppression>, gain: bool) -> Self {
        let noise_suppression = noise.map(|noise| Suppression {
            level: noise.level(),
            ..Suppression::default()
        });
        let gain_controller2 = gain.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital {
                max_gain_db: MAX_GAIN_DB,
                ..AdaptiveDigital::default()
            }),
            ..GainController2::default()
        });
        let processing = processing(Config {
            noise_suppression,
            gain_controller2,
            ..Config::default()
        });
        Self(Box::new(processing))
    }

    /// The next 20 ms at 16 kHz (320 samples), cleaned.
    pub fn process(&mut self, frame: &[i16; FRAME_SAMPLES]) -> [i16; FRAME_SAMPLES] {
        let mut clean = *frame;
        let parts = frame.chunks_exact(PART_SAMPLES);
        for (part, clean) in parts.zip(clean.chunks_exact_mut(PART_SAMPLES)) {
            let _ = self.0.process_capture_i16(part, clean);
        }
        clean
    }
}

fn processing(config: Config) -> AudioProcessing {
    let mono = StreamConfig::new(SAMPLE_RATE_HZ, 1);
    let pipeline = Pipeline {
        multi_channel_render: false,
        multi_channel_capture: false,
        ..Pipeline::default()
    };
    AudioProcessing::builder()
        .config(Config { pipeline, ..config })
        .capture_config(mono)
        .render_config(mono)
        .build()
}
