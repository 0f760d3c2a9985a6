//! The placeholder for video: a server announces a track to others only when some RTP has come.

use std::time::Instant;

use str0m::rtp::RtpWrite;

use super::ident::first_sequence;

/// A VP8 key frame header of a 16 by 16 picture (RFC 6386 §9.1, behind the payload descriptor of RFC 7741 §4.2), with no picture in it.
const KEY_FRAME: [u8; 16] = [0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0, 0, 0, 0, 0, 0];
/// One frame in ten ticks of 20 ms, 200 ms on a clock of 90 kHz.
const TICKS: u32 = 10;
const TIMESTAMP_STEP: u32 = 18_000;

pub(crate) struct VideoPlaceholder {
    ticks: u32,
    sequence: u64,
    timestamp: u32,
}

impl VideoPlaceholder {
    pub(crate) fn new() -> Self {
        Self {
            ticks: 0,
            sequence: first_sequence(),
            timestamp: rand::random(),
        }
    }

    /// Call every 20 ms; five packets a second come of it.
    pub(crate) fn next(&mut self, payload_type: u8, now: Instant) -> Option<RtpWrite> {
        self.ticks += 1;
        if self.ticks < TICKS {
            return None;
        }
        self.ticks = 0;
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(TIMESTAMP_STEP);
        let packet = RtpWrite::new(
            payload_type.into(),
            self.sequence.into(),
            self.timestamp,
            now,
            KEY_FRAME.to_vec(),
        );
        Some(packet.marker(true))
    }
}
