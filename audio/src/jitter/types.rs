//! What goes into a jitter buffer and comes out.

use std::time::Duration;

/// How one buffer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The rate of the RTP timestamps in Hz. Default 8000.
    pub clock_rate_hz: u32,
    /// How long the first packet waits, which is how late a packet may come or how far it may be overtaken. 0
    /// to 400 ms, default 40 ms: two packets, enough for a wired network and below what a talker notices.
    pub target: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock_rate_hz: 8_000,
            target: Duration::from_millis(40),
        }
    }
}

/// What became of a packet that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits to be played.
    Queued,
    /// It is there already, and was dropped.
    Duplicate,
    /// Its turn has passed, and it was dropped.
    Late,
    /// Its number is far from the stream's, and it was dropped; if the next packet follows it, the stream
    /// begins anew there (RFC 3550, appendix A.1).
    Stray,
    /// The stream began anew with it: the sender has restarted.
    Restarted,
    /// Longer than [`MAX_PAYLOAD_BYTES`](super::JitterBuffer::MAX_PAYLOAD_BYTES), and dropped.
    TooLong,
}

/// What to play next.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<'a> {
    /// Decode this.
    Packet {
        /// The RTP timestamp of its first sample.
        timestamp: u32,
        /// Never empty.
        payload: &'a [u8],
    },
    /// A packet is missing: conceal one packet time.
    Missing,
    /// There is no stream now: play silence. So it is before the first packet, while the buffer fills, and
    /// after 100 ms without any.
    Idle,
}

/// What a buffer has seen since it was made. Resets keep the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets pushed, whatever became of them.
    pub received: u64,
    /// Packets handed out or skimmed, those without payload included.
    pub delivered: u64,
    /// Packets that never came, or came too late.
    pub lost: u64,
    /// Packets dropped because their turn had passed.
    pub late: u64,
    /// Packets dropped because they were there already.
    pub duplicates: u64,
    /// Packets dropped unplayed because too many waited, or because the stream began anew.
    pub discarded: u64,
    /// Packets refused as stray or too long.
    pub refused: u64,
    /// Times that a packet was due and none was there.
    pub underruns: u64,
    /// Times that the stream began anew.
    pub restarts: u64,
    /// The interarrival jitter of RFC 3550 §6.4.1.
    pub jitter: Duration,
}
