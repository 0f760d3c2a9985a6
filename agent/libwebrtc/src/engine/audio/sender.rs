//! One track on its way out: a packet for every 20 ms, sound or silence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{OPUS_CLOCK_HZ, SourceQueue, codec::OpusEncoder};
use crate::engine::{ident::first_sequence, track::Track};

const TIMESTAMP_STEP: u32 = OPUS_CLOCK_HZ / 50;
/// Silence is encoded for 200 ms, so that the decoders' filters fade out, and is constant from then on.
const ENCODED_SILENCE_FRAMES: u32 = 10;
/// 20 ms of silence at full band, mono and stereo (RFC 6716 §3.1: configuration 31, one frame; an empty CELT frame).
const SILENCE_MONO: [u8; 3] = [0xf8, 0xff, 0xfe];
const SILENCE_STEREO: [u8; 3] = [0xfc, 0xff, 0xfe];
/// Above it, a frame counts as voice for the header extension (RFC 6464 §3).
const VOICE_DBOV: i8 = -50;

pub(crate) struct AudioSender {
    track: Arc<Track>,
    source: Arc<SourceQueue>,
    seal: Arc<AtomicBool>,
    encoder: OpusEncoder,
    frame: Vec<i16>,
    silent_frames: u32,
    sequence: u64,
    timestamp: u32,
}

#[derive(Debug)]
pub(crate) struct AudioPacket {
    /// Extended: it does not wrap.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
    /// -127 to 0, for the header extension (RFC 6464).
    pub(crate) level_dbov: i8,
    pub(crate) voice: bool,
}

impl AudioSender {
    /// `None` when the track has no source, or one of a rate or channels that cannot be encoded.
    pub(crate) fn new(track: Arc<Track>, seal: Arc<AtomicBool>) -> Option<Self> {
        let source = track.source.clone()?;
        let encoder = OpusEncoder::new(source.sample_rate(), source.channels());
        if encoder.is_none() {
            log::error!(
                "track {}: {} Hz with {} channels cannot be encoded; nothing is sent",
                track.id,
                source.sample_rate(),
                source.channels()
            );
        }
        Some(Self {
            encoder: encoder?,
            track,
            source,
            seal,
            frame: Vec::new(),
            silent_frames: 0,
            sequence: first_sequence(),
            timestamp: rand::random(),
        })
    }

    /// The next packet, `skipped` packet times after the one before. The timestamps go on with the time, whatever was skipped.
    /// `None` when the track must not be heard at all.
    pub(crate) fn next(&mut self, skipped: u32, now: Instant) -> Option<AudioPacket> {
        let steps = skipped.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(TIMESTAMP_STEP.wrapping_mul(steps));
        let sound = self.source.pull(&mut self.frame, now);
        if self.seal.load(Ordering::Acquire) {
            return None;
        }
        if !(sound && self.track.enabled()) {
            self.frame.fill(0);
        }
        let level_dbov = level_dbov(&self.frame);
        let payload = self.encode()?;
        self.sequence += 1;
        Some(AudioPacket {
            sequence: self.sequence,
            timestamp: self.timestamp,
            payload,
            level_dbov,
            voice: level_dbov > VOICE_DBOV,
        })
    }

    fn encode(&mut self) -> Option<Vec<u8>> {
        if self.frame.iter().any(|&sample| sample != 0) {
            self.silent_frames = 0;
        } else {
            self.silent_frames = self.silent_frames.saturating_add(1);
        }
        if self.silent_frames <= ENCODED_SILENCE_FRAMES {
            return self.encoder.encode(&self.frame);
        }
        let silence = if self.source.channels() == 2 {
            SILENCE_STEREO
        } else {
            SILENCE_MONO
        };
        Some(silence.to_vec())
    }
}

/// The level against the loudest possible sine's peak, from -127 (silence) to 0.
fn level_dbov(frame: &[i16]) -> i8 {
    let energy: f64 = frame.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let mean = energy / frame.len().max(1) as f64;
    let full_scale = f64::from(i16::MAX).powi(2);
    (10.0 * (mean / full_scale).log10()).clamp(-127.0, 0.0) as i8
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;
    use crate::engine::audio::codec::OpusDecoder;

    struct Rig {
        source: Arc<SourceQueue>,
        track: Arc<Track>,
        sender: AudioSender,
        now: Instant,
    }

    fn rig() -> Rig {
        let source = Arc::new(SourceQueue::new(16_000, 1, 1_000));
        let track = Track::local("mic", Some(source.clone()));
        let sender = AudioSender::new(track.clone(), Arc::default()).unwrap();
        Rig {
            source,
            track,
            sender,
            now: tokio::time::Instant::now().into_std(),
        }
    }

    impl Rig {
        fn capture(&self, frame: &[i16]) {
            let capture = pin!(self.source.capture(frame));
            let _ = capture.poll(&mut Context::from_waker(Waker::noop()));
        }

        fn next(&mut self, skipped: u32) -> AudioPacket {
            self.sender.next(skipped, self.now).unwrap()
        }
    }

    fn noise() -> Vec<i16> {
        (0..320).map(|index: i16| (index * 97 % 101 - 50) * 200).collect()
    }

    #[test]
    fn an_idle_source_sends_silence_every_20_ms_and_cheaply() {
        let mut rig = rig();
        let first = rig.next(0);
        let mut before = (first.sequence, first.timestamp);
        for _ in 0..100 {
            let packet = rig.next(0);
            assert_eq!(packet.sequence, before.0 + 1);
            assert_eq!(packet.timestamp, before.1.wrapping_add(960));
            assert_eq!(packet.level_dbov, -127);
            before = (packet.sequence, packet.timestamp);
        }
        assert_eq!(rig.next(0).payload, SILENCE_MONO);
    }

    #[test]
    fn constant_silence_decodes_to_20_ms_of_silence() {
        for (payload, channels) in [(SILENCE_MONO, 1), (SILENCE_STEREO, 2)] {
            let mut decoder = OpusDecoder::new(48_000, channels).unwrap();
            let mut out = Vec::new();
            assert!(decoder.decode(&payload, &mut out));
            assert_eq!(out.len(), 960 * channels as usize);
            assert!(out.iter().all(|&sample| sample == 0));
        }
    }

    #[test]
    fn skipped_time_shows_in_the_timestamps_and_not_in_the_sequence() {
        let mut rig = rig();
        let before = rig.next(0);
        let after = rig.next(4);
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(5 * 960));
    }

    #[test]
    fn a_muted_track_sends_silence_and_uses_its_source_up() {
        let mut rig = rig();
        rig.track.set_enabled(false);
        rig.capture(&noise());
        assert_eq!(rig.next(0).level_dbov, -127);
        rig.track.set_enabled(true);
        assert_eq!(rig.next(0).level_dbov, -127, "what was muted is gone");
        rig.capture(&noise());
        assert!(rig.next(0).voice);
    }

    #[test]
    fn after_clearing_no_sound_queued_before_is_sent() {
        let mut rig = rig();
        for _ in 0..10 {
            rig.capture(&noise());
        }
        assert!(rig.next(0).voice);
        rig.source.clear();
        assert_eq!(rig.next(0).level_dbov, -127);
    }

    #[test]
    fn a_sealed_track_sends_nothing() {
        let mut rig = rig();
        rig.capture(&noise());
        rig.sender.seal.store(true, Ordering::Release);
        assert!(rig.sender.next(0, rig.now).is_none());
    }
}
