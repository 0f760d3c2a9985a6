//! What a session has seen.

use std::time::Duration;

/// Counts since the start of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtpStats {
    /// Packets of the stream that came in, whatever became of them.
    pub packets_received: u64,
    /// Packets of the stream that never came, or too late.
    pub packets_lost: u64,
    /// Packets dropped because their turn had passed.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicate: u64,
    /// Datagrams that are not RTP.
    pub packets_malformed: u64,
    /// Datagrams from an address that is not the peer's.
    pub packets_foreign: u64,
    /// SRTP packets that nobody with the key has sent so: changed on their way, of another key, not encrypted at all.
    pub packets_unauthentic: u64,
    /// SRTP packets that were here before.
    pub packets_replayed: u64,
    /// Packets of a payload type that was not agreed on.
    pub packets_unexpected: u64,
    /// Times that the peer went on with another SSRC.
    pub ssrc_changes: u64,
    /// DTMF digits that came in.
    pub digits_received: u64,
    /// The interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Frames concealed because a packet was missing.
    pub frames_concealed: u64,
    /// Frames dropped because nobody took them out of the channel.
    pub frames_dropped: u64,
    /// Packets sent, event packets included.
    pub packets_sent: u64,
    /// Packets that the network stack did not take.
    pub send_errors: u64,
    /// RTCP reports of the peer's that came.
    pub reports_received: u64,
    /// RTCP packets that are none, that are not the peer's, or that are not encrypted where they must be.
    pub reports_refused: u64,
    /// RTCP reports that were sent.
    pub reports_sent: u64,
    /// How long it takes to the peer and back, on average, its reports say.
    pub round_trip: Option<Duration>,
    /// Packets of ours that the peer has lost.
    pub peer_lost: Option<u64>,
    /// The interarrival jitter of our packets there.
    pub peer_jitter: Option<Duration>,
}
