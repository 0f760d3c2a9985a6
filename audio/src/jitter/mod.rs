//! A jitter buffer in virtual time: it orders the packets of one RTP stream and hands them out one packet
//! time apart.
//!
//! It buffers packets, not samples, so that it serves every codec. The consumer calls [`JitterBuffer::pop`]
//! whenever it needs the next packet's worth of sound (every 20 ms with 20 ms packets), decodes what it gets
//! and conceals what is missing.
//!
//! The delay adapts by itself: it begins at [`Options::target`], grows when packets come later than that (the
//! late packet is still played if nothing newer has been), and shrinks again through [`JitterBuffer::skim`]
//! once the buffer has been fuller than needed for two seconds.

mod measure;
mod types;

use std::time::Duration;

use measure::{Arrival, Arrivals, DepthWindow};
pub use types::{Options, Popped, Pushed, Stats};

/// Orders one stream. See the [module](self).
#[derive(Debug)]
pub struct JitterBuffer {
    options: Options,
    slots: Vec<Slot>,
    queued: usize,
    /// The next packet to play and the newest one seen, as sequence numbers that do not wrap. `None` before
    /// the first packet.
    stream: Option<Stream>,
    phase: Phase,
    /// Packet times concealed since the buffer ran dry. A packet of that time that turns out lost is covered
    /// already.
    starved: u32,
    /// The sequence number that would confirm a restart.
    restart_at: Option<u16>,
    depth: DepthWindow,
    arrivals: Arrivals,
    stats: Stats,
}

#[derive(Debug, Default)]
struct Slot {
    sequence: Option<u64>,
    timestamp: u32,
    payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    expected: u64,
    newest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing to play until this time; `None` until a packet comes.
    Filling(Option<Duration>),
    Playing,
}

/// Longer gaps are not filled packet by packet: the concealment is silent by then, and the stream goes on at
/// once.
const LONGEST_CONCEALED_GAP: u64 = 5;
/// After so many packet times without any packet the stream has paused: the buffer fills anew before it goes
/// on.
const PAUSE_AFTER: u32 = 5;
/// RFC 3550, appendix A.1: `MAX_DROPOUT` and `MAX_MISORDER`.
const FARTHEST_AHEAD: i16 = 3_000;
const FARTHEST_BEHIND: i16 = -100;
/// Sequence numbers start here, so that packets before the first one seen have room below.
const SEQUENCE_BASE: u64 = 1 << 32;

impl JitterBuffer {
    /// The most packets that wait at a time: 1.28 s of 20 ms packets. When more come, the oldest are dropped.
    pub const CAPACITY: usize = 64;
    /// The longest payload taken, in bytes: all that an Ethernet frame holds.
    pub const MAX_PAYLOAD_BYTES: usize = 1_500;

    /// A buffer for one stream (one SSRC).
    pub fn new(options: Options) -> Self {
        let options = Options {
            target: options.target.min(Duration::from_millis(400)),
            ..options
        };
        Self {
            options,
            slots: std::iter::repeat_with(Slot::default)
                .take(Self::CAPACITY)
                .collect(),
            queued: 0,
            stream: None,
            phase: Phase::Filling(None),
            starved: 0,
            restart_at: None,
            depth: DepthWindow::default(),
            arrivals: Arrivals::new(options.clock_rate_hz),
            stats: Stats::default(),
        }
    }

    /// Takes a packet that arrived at `now`. An empty payload holds a place in the sequence and takes no time
    /// to play: push one for each packet of the stream that is not sound (DTMF, comfort noise), or it will
    /// count as lost.
    pub fn push(&mut self, sequence: u16, timestamp: u32, payload: &[u8], now: Duration) -> Pushed {
        self.stats.received += 1;
        if payload.len() > Self::MAX_PAYLOAD_BYTES {
            self.stats.refused += 1;
            return Pushed::TooLong;
        }
        let Some(stream) = self.stream else {
            self.begin(sequence, timestamp, payload, now);
            return Pushed::Queued;
        };
        let distance = sequence.wrapping_sub(stream.newest as u16) as i16;
        if !(FARTHEST_BEHIND..=FARTHEST_AHEAD).contains(&distance) {
            return self.stray(sequence, timestamp, payload, now);
        }
        self.restart_at = None;
        let number = stream.newest.wrapping_add_signed(i64::from(distance));
        self.insert(number, stream, timestamp, payload, now)
    }

    /// What to play next, at `now`. Call it once per packet time.
    pub fn pop(&mut self, now: Duration) -> Popped<'_> {
        match self.advance(now) {
            Advance::Slot(index) => {
                self.depth.note(self.queued, self.target_packets());
                let slot = &self.slots[index];
                Popped::Packet {
                    timestamp: slot.timestamp,
                    payload: &slot.payload,
                }
            }
            Advance::Missing => Popped::Missing,
            Advance::Idle => Popped::Idle,
        }
    }

    /// The payload that follows a [`Popped::Missing`], if it is there, for codecs that can repair the missing
    /// one from it (Opus).
    pub fn following(&self) -> Option<&[u8]> {
        let expected = self.stream?.expected;
        let slot = &self.slots[index_of(expected)];
        (slot.sequence == Some(expected)).then_some(&slot.payload[..])
    }

    /// When more has waited in the buffer than the target over two seconds: the next packet, to be decoded
    /// and not played, which makes the delay one packet time shorter. Call it where nobody hears it, right
    /// after a quiet packet.
    pub fn skim(&mut self) -> Option<&[u8]> {
        let expected = self.stream?.expected;
        let index = index_of(expected);
        if self.depth.surplus == 0
            || self.phase != Phase::Playing
            || self.slots[index].sequence != Some(expected)
        {
            return None;
        }
        self.depth.surplus -= 1;
        self.take(expected);
        Some(&self.slots[index].payload)
    }

    /// Forgets the stream, for a new SSRC or codec. The counts stay.
    pub fn reset(&mut self) {
        self.stats.discarded += self.queued as u64;
        for slot in &mut self.slots {
            slot.sequence = None;
        }
        self.queued = 0;
        self.stream = None;
        self.phase = Phase::Filling(None);
        self.starved = 0;
        self.restart_at = None;
        self.depth = DepthWindow::default();
        self.arrivals.forget_last();
    }

    /// The number of packets that wait.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The time that one packet takes, as the timestamps tell; 20 ms until they have.
    pub fn packet_time(&self) -> Duration {
        self.arrivals.packet_time
    }

    /// What the buffer has seen.
    pub fn stats(&self) -> Stats {
        Stats {
            jitter: self.arrivals.jitter,
            ..self.stats
        }
    }

    fn begin(&mut self, sequence: u16, timestamp: u32, payload: &[u8], now: Duration) {
        let number = SEQUENCE_BASE + u64::from(sequence);
        let stream = Stream {
            expected: number,
            newest: number,
        };
        self.insert(number, stream, timestamp, payload, now);
    }

    fn stray(&mut self, sequence: u16, timestamp: u32, payload: &[u8], now: Duration) -> Pushed {
        if self.restart_at != Some(sequence) {
            self.restart_at = Some(sequence.wrapping_add(1));
            self.stats.refused += 1;
            return Pushed::Stray;
        }
        self.reset();
        self.stats.restarts += 1;
        self.begin(sequence, timestamp, payload, now);
        Pushed::Restarted
    }

    fn insert(
        &mut self,
        number: u64,
        mut stream: Stream,
        timestamp: u32,
        payload: &[u8],
        now: Duration,
    ) -> Pushed {
        if number < stream.expected {
            // Before the first packet has been played, an older one may still take its place in front.
            let first = self.stats.delivered == 0 && matches!(self.phase, Phase::Filling(_));
            if !first || stream.newest - number >= Self::CAPACITY as u64 {
                self.stats.late += 1;
                return Pushed::Late;
            }
            stream.expected = number;
        }
        if self.slots[index_of(number)].sequence == Some(number) {
            self.stats.duplicates += 1;
            return Pushed::Duplicate;
        }
        stream.newest = stream.newest.max(number);
        if payload.is_empty() && number == stream.expected && self.phase == Phase::Filling(None) {
            // It does not end a pause, since there is nothing to play.
            stream.expected += 1;
            self.stream = Some(stream);
            self.stats.delivered += 1;
            return Pushed::Queued;
        }
        self.stream = Some(stream);
        self.make_room(number);
        let slot = &mut self.slots[index_of(number)];
        slot.sequence = Some(number);
        slot.timestamp = timestamp;
        slot.payload.clear();
        slot.payload.extend_from_slice(payload);
        self.queued += 1;
        if !payload.is_empty() {
            if let Phase::Filling(until @ None) = &mut self.phase {
                *until = Some(now + self.options.target);
            }
            self.arrivals.note(Arrival {
                sequence: number,
                timestamp,
                at: now,
            });
        }
        Pushed::Queued
    }

    /// Drops the oldest packets until `number` is within the capacity.
    fn make_room(&mut self, number: u64) {
        let Some(stream) = &mut self.stream else { return };
        let oldest = (number + 1).saturating_sub(Self::CAPACITY as u64);
        while stream.expected < oldest {
            let slot = &mut self.slots[index_of(stream.expected)];
            if slot
                .sequence
                .take_if(|sequence| *sequence == stream.expected)
                .is_some()
            {
                self.queued -= 1;
                self.stats.discarded += 1;
            } else {
                self.stats.lost += 1;
            }
            stream.expected += 1;
        }
    }

    fn advance(&mut self, now: Duration) -> Advance {
        if let Phase::Filling(until) = self.phase {
            if until.is_none_or(|until| now < until) {
                return Advance::Idle;
            }
            self.phase = Phase::Playing;
            self.starved = 0;
            self.jump_to_oldest();
        }
        loop {
            let Some(Stream { expected, .. }) = self.stream else {
                return Advance::Idle;
            };
            if self.queued == 0 {
                return self.underrun();
            }
            if self.slots[index_of(expected)].sequence == Some(expected) {
                self.take(expected);
                if self.slots[index_of(expected)].payload.is_empty() {
                    continue;
                }
                self.starved = 0;
                return Advance::Slot(index_of(expected));
            }
            if self.gap() > LONGEST_CONCEALED_GAP {
                self.jump_to_oldest();
                continue;
            }
            self.skip_one();
            if self.starved == 0 {
                return Advance::Missing;
            }
            self.starved -= 1;
        }
    }

    fn underrun(&mut self) -> Advance {
        self.stats.underruns += 1;
        self.starved += 1;
        if self.starved < PAUSE_AFTER {
            return Advance::Missing;
        }
        self.phase = Phase::Filling(None);
        Advance::Idle
    }

    fn take(&mut self, number: u64) {
        self.slots[index_of(number)].sequence = None;
        self.queued -= 1;
        self.stats.delivered += 1;
        if let Some(stream) = &mut self.stream {
            stream.expected = number + 1;
        }
    }

    fn skip_one(&mut self) {
        self.stats.lost += 1;
        if let Some(stream) = &mut self.stream {
            stream.expected += 1;
        }
    }

    /// The number of packets missing before the oldest one that waits.
    fn gap(&self) -> u64 {
        let Some(Stream { expected, .. }) = self.stream else {
            return 0;
        };
        (0..Self::CAPACITY as u64)
            .find(|&ahead| self.slots[index_of(expected + ahead)].sequence == Some(expected + ahead))
            .unwrap_or(0)
    }

    fn jump_to_oldest(&mut self) {
        let gap = self.gap();
        self.stats.lost += gap;
        if let Some(stream) = &mut self.stream {
            stream.expected += gap;
        }
    }

    /// The packets that wait when one was taken, if the delay is the target's.
    fn target_packets(&self) -> usize {
        (self.options.target.as_nanos() / self.arrivals.packet_time.as_nanos().max(1)) as usize
    }
}

enum Advance {
    Slot(usize),
    Missing,
    Idle,
}

fn index_of(number: u64) -> usize {
    (number % JitterBuffer::CAPACITY as u64) as usize
}
