//! The receiving half of a stream, without socket and clock: datagrams in, 20 ms frames and digits out.

use std::time::Duration;

use audio::{Codec, Concealer, Decoder, JitterBuffer, jitter, jitter::Popped, level};

use crate::{Digit, Frame, FrameKind, RtpStats, dtmf::Detector, reports::Reception, rtp::Packet};

/// What a [`Receiver`] expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// The codec agreed on.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of telephone-events, if agreed on.
    pub dtmf_payload_type: Option<u8>,
    /// How long the first packet waits in the jitter buffer, 0 to 400 ms. The gateway uses 40 ms.
    pub jitter_target: Duration,
}

/// Turns the packets of one call into frames. Call [`Receiver::frame`] every 20 ms, whether packets came or
/// not.
pub struct Receiver {
    options: ReceiverOptions,
    /// The stream, and another one that sends in its place, with the number of its packets in a row.
    ssrc: Option<u32>,
    challenger: Option<(u32, u32)>,
    jitter: JitterBuffer,
    decoder: Decoder,
    /// `None` for a codec that conceals by itself.
    concealer: Option<Concealer>,
    /// Something has been played that the decoder could go on with.
    sounds: bool,
    digits: Detector,
    /// Decoded, not yet in a frame: less than one packet time.
    pcm: Vec<i16>,
    /// Samples in a row below [`QUIET_DBFS`].
    quiet_samples: usize,
    stats: RtpStats,
    /// Of the stream, for reports.
    reception: Option<Reception>,
}

/// What a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Not RTP; dropped.
    Malformed,
    /// Of another SSRC than the stream's; dropped.
    Foreign,
    /// A packet of the stream.
    Packet,
    /// A packet of the stream that begins a digit.
    Digit(Digit),
}

/// Three packets of a new SSRC in a row and none of the old: the peer has moved on (a transfer, a media
/// server). One stray packet of a late or forged stream must not tear the sound.
const PACKETS_TO_BELIEVE: u32 = 3;
/// Below this level nobody hears that 20 ms are left out.
const QUIET_DBFS: f32 = -50.0;
/// Quiet for so long, and a packet that is left out, is a pause between words. The closure of a stop within a word is over sooner; to
/// shorten it is to change the word.
const PAUSE: Duration = Duration::from_millis(60);
/// However loud: a surplus of so many packets is brought down.
const URGENT_SURPLUS: usize = 10;

impl Receiver {
    /// A receiver for a new call.
    pub fn new(options: ReceiverOptions) -> Self {
        let codec = options.codec;
        let jitter = jitter::Options {
            clock_rate_hz: codec.clock_rate_hz(),
            target: options.jitter_target,
        };
        let decoder = Decoder::new(codec);
        Self {
            options,
            ssrc: None,
            challenger: None,
            jitter: JitterBuffer::new(jitter),
            concealer: (!decoder.conceals()).then(|| Concealer::new(codec.sample_rate_hz())),
            decoder,
            sounds: false,
            digits: Detector::default(),
            pcm: Vec::with_capacity(codec.frame_samples() * 4),
            quiet_samples: 0,
            stats: RtpStats::default(),
            reception: None,
        }
    }

    /// Takes a datagram from the peer that arrived at `now` (on any monotone clock).
    pub fn datagram(&mut self, datagram: &[u8], now: Duration) -> Received {
        let Ok(packet) = Packet::parse(datagram) else {
            self.stats.packets_malformed += 1;
            return Received::Malformed;
        };
        if !self.belongs(packet.ssrc) {
            self.stats.packets_foreign += 1;
            return Received::Foreign;
        }
        match &mut self.reception {
            Some(reception) if reception.ssrc == packet.ssrc => reception.packet(packet.sequence),
            begun => *begun = Some(Reception::begin(packet.ssrc, packet.sequence)),
        }
        if packet.payload_type == self.options.payload_type {
            self.jitter
                .push(packet.sequence, packet.timestamp, packet.payload, now);
            return Received::Packet;
        }
        // Whatever else is in the sequence holds its place there, so that it does not count as lost sound.
        self.jitter.push(packet.sequence, packet.timestamp, &[], now);
        if Some(packet.payload_type) != self.options.dtmf_payload_type {
            self.stats.packets_unexpected += 1;
            return Received::Packet;
        }
        match self.digits.handle(packet.timestamp, packet.payload) {
            Some(digit) => {
                self.stats.digits_received += 1;
                Received::Digit(digit)
            }
            None => Received::Packet,
        }
    }

    /// The next 20 ms, at `now`.
    pub fn frame(&mut self, now: Duration) -> Frame {
        let wanted = self.options.codec.frame_samples();
        let mut kind = if self.pcm.is_empty() {
            FrameKind::Silence
        } else {
            FrameKind::Received
        };
        while self.pcm.len() < wanted {
            kind = kind.max(self.more(wanted - self.pcm.len(), now));
        }
        if kind == FrameKind::Concealed {
            self.stats.frames_concealed += 1;
        }
        let frame = Frame::new(self.options.codec, kind, &self.pcm);
        self.pcm.drain(..wanted);
        frame
    }

    /// What has come of the stream, for reports.
    pub(crate) fn reception(&self) -> Option<Reception> {
        self.reception
    }

    /// What has been seen; the fields of the sending side and of the socket are 0.
    pub fn stats(&self) -> RtpStats {
        let jitter = self.jitter.stats();
        RtpStats {
            packets_received: jitter.received,
            packets_lost: jitter.lost,
            packets_late: jitter.late,
            packets_duplicate: jitter.duplicates,
            jitter: jitter.jitter,
            ..self.stats
        }
    }

    /// Adds one packet time, or `lacking` samples of silence, to `pcm`.
    fn more(&mut self, lacking: usize, now: Duration) -> FrameKind {
        let packet_samples = samples_of(self.jitter.packet_time(), self.options.codec);
        let start = self.pcm.len();
        match self.jitter.pop(now) {
            Popped::Packet { payload, .. } => {
                if !self.decoder.decode(payload, &mut self.pcm) {
                    self.conceal(packet_samples);
                    return FrameKind::Concealed;
                }
                self.sounds = true;
                if let Some(concealer) = &mut self.concealer {
                    concealer.good(&mut self.pcm[start..]);
                }
                self.shorten_delay(start);
                FrameKind::Received
            }
            Popped::Missing => {
                self.conceal(packet_samples);
                FrameKind::Concealed
            }
            Popped::Idle => {
                self.fall_silent(lacking);
                FrameKind::Silence
            }
        }
    }

    fn conceal(&mut self, samples: usize) {
        let following = self.jitter.following();
        match &mut self.concealer {
            Some(concealer) => concealer.conceal(samples, &mut self.pcm),
            None => drop(self.decoder.conceal(following, samples, &mut self.pcm)),
        }
    }

    /// Concealment fades into silence, also when the stream just stops.
    fn fall_silent(&mut self, samples: usize) {
        let start = self.pcm.len();
        match &mut self.concealer {
            Some(concealer) => concealer.conceal(samples, &mut self.pcm),
            None if std::mem::take(&mut self.sounds) => {
                self.decoder.conceal(None, samples, &mut self.pcm);
                let length = self.pcm.len() - start;
                for (n, sample) in self.pcm[start..].iter_mut().enumerate() {
                    *sample = (i32::from(*sample) * (length - n) as i32 / length as i32) as i16;
                }
            }
            None => self.pcm.resize(start + samples, 0),
        }
    }

    /// Leaves out a waiting packet where it is not heard, if too many wait. The decoder still sees it, since
    /// it keeps a history.
    fn shorten_delay(&mut self, start: usize) {
        let is_quiet = |pcm: &[i16]| level::rms_dbfs(pcm) <= QUIET_DBFS;
        if is_quiet(&self.pcm[start..]) {
            self.quiet_samples += self.pcm.len() - start;
        } else {
            self.quiet_samples = 0;
        }
        let urgent = self.jitter.queued() > URGENT_SURPLUS;
        if !urgent && self.quiet_samples < samples_of(PAUSE, self.options.codec) {
            return;
        }
        if let Some(payload) = self.jitter.skim() {
            let end = self.pcm.len();
            self.decoder.decode(payload, &mut self.pcm);
            if urgent || is_quiet(&self.pcm[end..]) {
                self.pcm.truncate(end);
            } else if let Some(concealer) = &mut self.concealer {
                // The first sound after the pause is heard.
                concealer.good(&mut self.pcm[end..]);
            }
        }
    }

    fn belongs(&mut self, ssrc: u32) -> bool {
        if *self.ssrc.get_or_insert(ssrc) == ssrc {
            self.challenger = None;
            return true;
        }
        let packets = match self.challenger {
            Some((other, packets)) if other == ssrc => packets + 1,
            _ => 1,
        };
        self.challenger = Some((ssrc, packets));
        if packets < PACKETS_TO_BELIEVE {
            return false;
        }
        self.ssrc = Some(ssrc);
        self.challenger = None;
        self.stats.ssrc_changes += 1;
        self.jitter.reset();
        self.decoder = Decoder::new(self.options.codec);
        self.digits = Detector::default();
        true
    }
}

fn samples_of(time: Duration, codec: Codec) -> usize {
    (time.as_micros() as usize * codec.sample_rate_hz() as usize).div_ceil(1_000_000)
}
