//! The sound of a phone that rings elsewhere.

use audio::tone::Tone;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::room::audio_frame;

/// The European ringing tone (ITU-T E.180, supplement 2): 425 Hz, one second of five.
const FREQUENCY_HZ: f64 = 425.0;
const ON_FRAMES: u32 = 50;
const PERIOD_FRAMES: u32 = 250;
/// About -18 dBFS.
const AMPLITUDE: i16 = 5_800;

#[derive(Debug)]
pub(super) struct Ringback {
    tone: Tone,
    frame_samples: usize,
    /// Frames so far, within the period.
    at: u32,
}

impl Ringback {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self {
            tone: Tone::new(FREQUENCY_HZ, sample_rate_hz, AMPLITUDE),
            frame_samples: audio::frame_samples(sample_rate_hz),
            at: 0,
        }
    }

    /// Appends the next 20 ms.
    pub(super) fn frame_into(&mut self, out: &mut Vec<i16>) {
        if self.at < ON_FRAMES {
            self.tone.fill(self.frame_samples, out);
        } else {
            out.resize(out.len() + self.frame_samples, 0);
        }
        self.at = (self.at + 1) % PERIOD_FRAMES;
    }
}

/// Lets the room hear it ring until `cancel`.
pub(crate) async fn ring_into(source: NativeAudioSource, sample_rate_hz: u32, cancel: CancellationToken) {
    let mut ring = Ringback::new(sample_rate_hz);
    let mut ticks = tokio::time::interval(audio::FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut frame = Vec::new();
    let play = async {
        loop {
            ticks.tick().await;
            frame.clear();
            ring.frame_into(&mut frame);
            // The source refuses frames of another rate only.
            let _ = source.capture_frame(&audio_frame(&frame, sample_rate_hz)).await;
        }
    };
    let _ = cancel.run_until_cancelled(play).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_one_second_of_five() {
        let mut ring = Ringback::new(8_000);
        let mut sound = Vec::new();
        for _ in 0..2 * PERIOD_FRAMES {
            ring.frame_into(&mut sound);
        }
        for (second, part) in sound.chunks(8_000).enumerate() {
            let level = audio::tone::tone_dbfs(part, FREQUENCY_HZ, 8_000);
            let is_on = second % 5 == 0;
            assert_eq!(level > -20.0, is_on, "second {second}: {level} dBFS");
        }
    }
}
