//! What a jitter buffer measures: the jitter, the packet time, and how full it is.

use std::time::Duration;

/// A packet with payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) at: Duration,
}

/// The arrivals of one stream.
#[derive(Debug)]
pub(super) struct Arrivals {
    clock_rate_hz: f64,
    last: Option<Arrival>,
    /// The interarrival jitter of RFC 3550 §6.4.1.
    pub(super) jitter: Duration,
    /// The time between the timestamps of neighbouring packets; 20 ms until it is known.
    pub(super) packet_time: Duration,
}

impl Arrivals {
    pub(super) fn new(clock_rate_hz: u32) -> Self {
        let clock_rate_hz = f64::from(clock_rate_hz.max(1));
        Self {
            clock_rate_hz,
            last: None,
            jitter: Duration::ZERO,
            packet_time: crate::FRAME,
        }
    }

    pub(super) fn note(&mut self, arrival: Arrival) {
        let Some(last) = self.last.replace(arrival) else {
            return;
        };
        let ticks = arrival.timestamp.wrapping_sub(last.timestamp) as i32;
        let seconds = f64::from(ticks) / self.clock_rate_hz;
        let transit = (arrival.at.as_secs_f64() - last.at.as_secs_f64() - seconds).abs();
        // A pause in the sending, or a new start of the timestamps, is not jitter.
        if transit < 1.0 {
            let jitter = self.jitter.as_secs_f64();
            self.jitter = Duration::from_secs_f64(jitter + (transit - jitter) / 16.0);
        }
        if arrival.sequence == last.sequence + 1 && (0.005..=0.2).contains(&seconds) {
            self.packet_time = Duration::from_secs_f64(seconds);
        }
    }

    /// The next packet is not compared with the last one.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }
}

/// The least number of packets that waited, over windows of 100 deliveries: two seconds.
#[derive(Debug, Default)]
pub(super) struct DepthWindow {
    deliveries: u32,
    least: usize,
    /// So many packets waited all the time beyond the target.
    pub(super) surplus: usize,
}

const DEPTH_WINDOW: u32 = 100;

impl DepthWindow {
    pub(super) fn note(&mut self, queued: usize, target: usize) {
        self.least = if self.deliveries == 0 {
            queued
        } else {
            self.least.min(queued)
        };
        self.deliveries += 1;
        if self.deliveries == DEPTH_WINDOW {
            self.surplus = self.least.saturating_sub(target);
            self.deliveries = 0;
        }
    }
}
