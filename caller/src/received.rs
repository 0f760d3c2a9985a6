//! What came back over RTP, as one continuous timeline.

use std::time::Duration;

use audio::codec::{Codec, Decoder};
use media::rtp::Packet;
use media::sdp::offered_payload_type;

use crate::report::RtpReport;

/// A jump of the RTP timestamp beyond this, or another stream, starts at its arrival instead of its timestamp.
const MAX_JUMP: Duration = Duration::from_secs(5);
/// How many packets are looked at to find the one that was delayed least.
const CLOCK_WINDOW: usize = 50;

/// One RTP packet of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Since the INVITE.
    pub at: Duration,
    /// Where its first sample lies in [`Received::samples`].
    pub position: usize,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// The audio received, in order of its RTP timestamps; what never came is silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// 8000, 16000 or 48000; 0 before the first packet.
    pub sample_rate_hz: u32,
    pub samples: Vec<i16>,
    pub arrivals: Vec<Arrival>,
    /// Whether the recording reached its limit: what came later is missing.
    pub full: bool,
}

impl Received {
    /// When a sample was on the wire, since the INVITE: by the packet, of those shortly before it, that was delayed least.
    /// [`Duration::ZERO`] before the first packet.
    pub fn time_of(&self, sample: usize) -> Duration {
        let upto = self
            .arrivals
            .partition_point(|arrival| arrival.position <= sample);
        let window = self
            .arrivals
            .get(upto.saturating_sub(CLOCK_WINDOW)..upto)
            .unwrap_or_default();
        let least = window
            .iter()
            .filter_map(|arrival| Some(arrival.at + self.duration(sample.checked_sub(arrival.position)?)));
        least.min().unwrap_or_default()
    }

    /// The samples that were on the wire between two times since the INVITE.
    pub fn between(&self, from: Duration, to: Duration) -> &[i16] {
        let first = self.first_at(from);
        let last = self.first_at(to);
        self.samples.get(first..last).unwrap_or_default()
    }

    /// The length of so many samples.
    pub fn duration(&self, samples: usize) -> Duration {
        let rate = f64::from(self.sample_rate_hz.max(1));
        #[allow(
            clippy::cast_precision_loss,
            reason = "a call has far fewer than 2^52 samples"
        )]
        Duration::from_secs_f64(samples as f64 / rate)
    }

    /// The first sample that was on the wire at or after `time`.
    fn first_at(&self, time: Duration) -> usize {
        let (mut low, mut high) = (0, self.samples.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time_of(middle) < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Builds a [`Received`] packet by packet.
pub(crate) struct Recorder {
    pub(crate) received: Received,
    pub(crate) last_arrival: Option<Duration>,
    pub(crate) rtp: RtpReport,
    decoder: Option<(Codec, Decoder)>,
    stream: Option<Stream>,
    limit: Duration,
    pcm: Vec<i16>,
}

/// The stream under way and where it was anchored.
#[derive(Clone, Copy)]
struct Stream {
    ssrc: u32,
    timestamp: u32,
    position: usize,
    sequence: u16,
}

impl Recorder {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            received: Received::default(),
            last_arrival: None,
            rtp: RtpReport::default(),
            decoder: None,
            stream: None,
            limit,
            pcm: Vec::new(),
        }
    }

    /// Takes one datagram of the RTP port, which arrived `at` since the INVITE.
    pub(crate) fn push(&mut self, datagram: &[u8], at: Duration) {
        let packet = Packet::parse(datagram).ok();
        let codecs = Codec::ALL;
        let known = packet.and_then(|packet| {
            let codec = codecs
                .into_iter()
                .find(|codec| offered_payload_type(*codec) == packet.payload_type)?;
            Some((packet, codec))
        });
        let Some((packet, codec)) = known else {
            self.rtp.other += 1;
            return;
        };
        if !self.decode(codec, packet.payload) {
            self.rtp.other += 1;
            return;
        }
        self.rtp.received += 1;
        self.last_arrival = Some(at);
        if let Some(position) = self.place(&packet, codec, at) {
            self.write(&packet, position, at);
        }
    }

    /// Decodes into `pcm`; false when the codec's rate does not fit what was recorded before.
    fn decode(&mut self, codec: Codec, payload: &[u8]) -> bool {
        if self.received.sample_rate_hz == 0 {
            self.received.sample_rate_hz = codec.sample_rate_hz();
        }
        if self.received.sample_rate_hz != codec.sample_rate_hz() {
            return false;
        }
        if self.decoder.as_ref().is_none_or(|(current, _)| *current != codec) {
            self.decoder = Some((codec, Decoder::new(codec)));
        }
        self.pcm.clear();
        let decoder = self.decoder.as_mut();
        decoder.is_some_and(|(_, decoder)| decoder.decode(payload, &mut self.pcm))
    }

    /// Where the packet's first sample belongs; `None` when that is before the start.
    fn place(&mut self, packet: &Packet<'_>, codec: Codec, at: Duration) -> Option<usize> {
        let per_tick = i64::from(codec.sample_rate_hz() / codec.clock_rate_hz());
        let max_jump = i64::from(codec.sample_rate_hz()) * i64::try_from(MAX_JUMP.as_secs()).unwrap_or(0);
        if let Some(stream) = self.stream.filter(|stream| stream.ssrc == packet.ssrc) {
            let ticks = i64::from(packet.timestamp.wrapping_sub(stream.timestamp).cast_signed());
            let moved = ticks * per_tick;
            if moved.abs() <= max_jump {
                let position = usize::try_from(i64::try_from(stream.position).ok()? + moved).ok()?;
                let ahead = packet.sequence.wrapping_sub(stream.sequence).cast_signed();
                if ahead > 0 {
                    self.rtp.lost += u64::try_from(ahead - 1).unwrap_or(0);
                    self.stream = Some(Stream {
                        timestamp: packet.timestamp,
                        position,
                        sequence: packet.sequence,
                        ..stream
                    });
                }
                return Some(position);
            }
        }
        let position = self.position_at(at).max(self.received.samples.len());
        self.stream = Some(Stream {
            ssrc: packet.ssrc,
            timestamp: packet.timestamp,
            position,
            sequence: packet.sequence,
        });
        Some(position)
    }

    /// The position that a packet arriving `at` has by the clock alone.
    fn position_at(&self, at: Duration) -> usize {
        let Some(last) = self.received.arrivals.last() else {
            return 0;
        };
        let passed = at.saturating_sub(last.at).as_millis() * u128::from(self.received.sample_rate_hz) / 1000;
        last.position
            .saturating_add(usize::try_from(passed).unwrap_or(usize::MAX))
    }

    fn write(&mut self, packet: &Packet<'_>, position: usize, at: Duration) {
        let end = position.saturating_add(self.pcm.len());
        let limit = self.limit.as_millis() * u128::from(self.received.sample_rate_hz) / 1000;
        if self.received.full || u128::try_from(end).unwrap_or(u128::MAX) > limit {
            self.received.full = true;
            return;
        }
        if self.received.samples.len() < end {
            self.received.samples.resize(end, 0);
        }
        if let Some(place) = self.received.samples.get_mut(position..end) {
            place.copy_from_slice(&self.pcm);
        }
        let Packet {
            sequence,
            timestamp,
            ssrc,
            ..
        } = *packet;
        let arrival = Arrival {
            at,
            position,
            sequence,
            timestamp,
            ssrc,
        };
        // Late packets are few: keep the arrivals in order of position, as `time_of` needs them.
        let place = self
            .received
            .arrivals
            .partition_point(|other| other.position <= position);
        self.received.arrivals.insert(place, arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, timestamp: u32, ssrc: u32, fill: u8) -> Vec<u8> {
        let payload = [fill; 160];
        let packet = Packet {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc,
            payload: &payload,
        };
        let mut bytes = Vec::new();
        packet.write(&mut bytes);
        bytes
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_lost_packet_leaves_silence_of_its_length() {
        let mut recorder = Recorder::new(MS(60_000));
        recorder.push(&packet(65_535, u32::MAX - 159, 1, 0x10), MS(100));
        recorder.push(&packet(1, 160, 1, 0x10), MS(140));
        assert_eq!((recorder.rtp.received, recorder.rtp.lost), (2, 1));
        let samples = &recorder.received.samples;
        assert_eq!(samples.len(), 480);
        assert!(samples[160..320].iter().all(|sample| *sample == 0));
        assert!(samples[320..].iter().all(|sample| *sample != 0));
    }

    #[test]
    fn a_late_packet_fills_its_own_place() {
        let mut recorder = Recorder::new(MS(60_000));
        for (sequence, timestamp, at) in [(0, 0, 0), (2, 320, 40), (1, 160, 45), (3, 480, 60)] {
            recorder.push(&packet(sequence, timestamp, 1, 0x10), MS(at));
        }
        assert!(recorder.received.samples.iter().all(|sample| *sample != 0));
        assert!(
            recorder
                .received
                .arrivals
                .is_sorted_by_key(|arrival| arrival.position)
        );
    }

    #[test]
    fn a_new_stream_continues_at_its_arrival() {
        let mut recorder = Recorder::new(MS(60_000));
        recorder.push(&packet(7, 1_000_000, 1, 0x10), MS(0));
        recorder.push(&packet(9, 5, 2, 0x10), MS(1_000));
        assert_eq!(recorder.received.arrivals[1].position, 8_000);
        assert_eq!(recorder.rtp.lost, 0);
    }

    #[test]
    fn time_on_the_wire_ignores_delayed_packets() {
        let mut recorder = Recorder::new(MS(60_000));
        for (index, at) in [(0, 30), (1, 70), (2, 70), (3, 90)] {
            recorder.push(&packet(index, u32::from(index) * 160, 1, 0x10), MS(at));
        }
        assert_eq!(recorder.received.time_of(160), MS(50));
        assert_eq!(recorder.received.between(MS(50), MS(90)).len(), 320);
    }

    #[test]
    fn the_recording_is_bounded_and_foreign_packets_are_counted() {
        let mut recorder = Recorder::new(MS(30));
        recorder.push(&packet(0, 0, 1, 0x10), MS(0));
        recorder.push(&packet(1, 160, 1, 0x10), MS(20));
        assert!(recorder.received.full);
        assert_eq!(recorder.received.samples.len(), 160);
        recorder.push(b"no rtp", MS(40));
        assert_eq!(recorder.rtp.other, 1);
    }
}
