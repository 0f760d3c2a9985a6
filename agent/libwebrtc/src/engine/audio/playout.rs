//! One stream of Opus packets made into an unbroken flow of sound.

use std::{collections::VecDeque, time::Duration};

use audio::{
    JitterBuffer,
    jitter::{Options, Popped},
};

use super::{OPUS_CLOCK_HZ, codec::OpusDecoder};

/// How long the first packet waits, and so how late a packet may come. A packet that is lost is repaired from the one after it, which
/// comes 20 ms later; half a packet is left for jitter. The buffer grows by itself where that is too little.
pub(super) const REORDER_WAIT: Duration = Duration::from_millis(30);
/// The peak of a packet that can be left out unheard: 45 dB below the loudest.
const QUIET: u16 = 180;
/// Quiet for so many packets in a row, and another that is left out, is a pause between words: 80 ms of the usual 20 ms. The closure of
/// a stop within a word is over sooner; to shorten it is to change the word.
const PAUSE_PACKETS: u32 = 3;

/// Jitter buffer, decoder and concealment. Time is the caller's.
pub(crate) struct Playout {
    jitter: JitterBuffer,
    decoder: OpusDecoder,
    frame_samples: usize,
    decoded: VecDeque<i16>,
    scratch: Vec<i16>,
    quiet_packets: u32,
    started: bool,
}

impl Playout {
    /// `None` for rates and channels that cannot be made of Opus.
    pub(crate) fn new(sample_rate: u32, channels: u32) -> Option<Self> {
        Some(Self {
            jitter: JitterBuffer::new(Options {
                clock_rate_hz: OPUS_CLOCK_HZ,
                target: REORDER_WAIT,
            }),
            decoder: OpusDecoder::new(sample_rate, channels)?,
            frame_samples: (sample_rate / 100 * channels) as usize,
            decoded: VecDeque::new(),
            scratch: Vec::new(),
            quiet_packets: 0,
            started: false,
        })
    }

    /// Whether a packet has come yet.
    pub(crate) fn started(&self) -> bool {
        self.started
    }

    /// A packet that arrived at `now`.
    pub(crate) fn receive(&mut self, sequence: u16, timestamp: u32, payload: &[u8], now: Duration) {
        self.started = true;
        self.jitter.push(sequence, timestamp, payload, now);
    }

    /// Another stream follows: its numbers have nothing to do with those before.
    pub(crate) fn restart(&mut self) {
        self.jitter.reset();
    }

    /// The next 10 ms, always full: sound, concealment or silence. Interleaved.
    pub(crate) fn frame(&mut self, now: Duration) -> Vec<i16> {
        while self.decoded.len() < self.frame_samples {
            if !self.fill(now) {
                break;
            }
        }
        let available = self.decoded.len().min(self.frame_samples);
        let mut frame: Vec<i16> = self.decoded.drain(..available).collect();
        frame.resize(self.frame_samples, 0);
        frame
    }

    /// Decodes or conceals one packet time. False when there is no stream.
    fn fill(&mut self, now: Duration) -> bool {
        self.scratch.clear();
        let packet_ms = self.jitter.packet_time().as_millis() as u32;
        match self.jitter.pop(now) {
            Popped::Packet { payload, .. } => {
                if !self.decoder.decode(payload, &mut self.scratch) {
                    self.decoder.conceal(None, packet_ms, &mut self.scratch);
                }
                self.skim_in_a_pause();
            }
            Popped::Missing => {
                self.decoder
                    .conceal(self.jitter.following(), packet_ms, &mut self.scratch);
            }
            Popped::Idle => return false,
        }
        self.decoded.extend(&self.scratch);
        !self.scratch.is_empty()
    }

    /// In a pause, a buffer that has grown too long is shortened by a packet, if nobody hears that.
    fn skim_in_a_pause(&mut self) {
        let is_quiet = |samples: &[i16]| samples.iter().all(|sample| sample.unsigned_abs() <= QUIET);
        if !is_quiet(&self.scratch) {
            self.quiet_packets = 0;
            return;
        }
        self.quiet_packets = self.quiet_packets.saturating_add(1);
        if self.quiet_packets < PAUSE_PACKETS {
            return;
        }
        if let Some(payload) = self.jitter.skim() {
            let end = self.scratch.len();
            self.decoder.decode(payload, &mut self.scratch);
            // The first sound after the pause is heard.
            if is_quiet(&self.scratch[end..]) {
                self.scratch.truncate(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::codec::OpusEncoder;

    const PACKET: Duration = Duration::from_millis(20);
    const TICK: Duration = Duration::from_millis(10);

    /// A 440 Hz tone, packet by packet.
    fn tone_packets(count: usize) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(16_000, 1).unwrap();
        let mut phase = 0.0_f64;
        (0..count)
            .map(|_| {
                let frame: Vec<i16> = (0..320)
                    .map(|_| {
                        phase += 440.0 / 16_000.0 * std::f64::consts::TAU;
                        (phase.sin() * 10_000.0) as i16
                    })
                    .collect();
                encoder.encode(&frame).unwrap()
            })
            .collect()
    }

    /// Plays for `ticks`, delivering each `(arrival, number)` of `arrivals` in its time.
    fn play(packets: &[Vec<u8>], arrivals: &[(Duration, usize)], ticks: u32) -> Vec<Vec<i16>> {
        let mut playout = Playout::new(16_000, 1).unwrap();
        (0..ticks)
            .map(|tick| {
                let (from, now) = (TICK * tick, TICK * (tick + 1));
                for (at, number) in arrivals
                    .iter()
                    .filter(|arrival| arrival.0 >= from && arrival.0 < now)
                {
                    playout.receive(*number as u16, *number as u32 * 960, &packets[*number], *at);
                }
                playout.frame(now)
            })
            .collect()
    }

    fn loud(frame: &[i16]) -> bool {
        frame.iter().any(|&sample| sample.unsigned_abs() > 3_000)
    }

    fn punctual(count: usize) -> Vec<(Duration, usize)> {
        (0..count)
            .map(|number| (PACKET * number as u32, number))
            .collect()
    }

    #[test]
    fn frames_are_always_full_and_start_within_50_ms() {
        let packets = tone_packets(50);
        let frames = play(&packets, &punctual(50), 100);
        assert!(frames.iter().all(|frame| frame.len() == 160));
        assert!(frames.iter().position(|frame| loud(frame)).unwrap() <= 5);
        assert!(frames[10..].iter().all(|frame| loud(frame)));
    }

    #[test]
    fn reordered_packets_are_put_in_order() {
        let packets = tone_packets(50);
        let mut arrivals = punctual(50);
        for pair in arrivals[10..40].chunks_exact_mut(2) {
            let swapped = (pair[1].1, pair[0].1);
            (pair[0].1, pair[1].1) = swapped;
        }
        let straight = play(&packets, &punctual(50), 100);
        let reordered = play(&packets, &arrivals, 100);
        let same = straight.iter().zip(&reordered).filter(|(a, b)| a == b).count();
        assert!(
            reordered[10..95].iter().all(|frame| loud(frame)),
            "no gap is heard ({same} frames equal)"
        );
    }

    #[test]
    fn lost_packets_are_concealed() {
        let packets = tone_packets(50);
        let arrivals: Vec<_> = punctual(50)
            .into_iter()
            .filter(|arrival| arrival.1 % 7 != 6)
            .collect();
        let frames = play(&packets, &arrivals, 98);
        let heard = frames[10..].iter().filter(|frame| loud(frame)).count();
        assert!(
            heard > 80,
            "only {heard} of 88 frames are loud; 12 of them were lost"
        );
        let silent = |frame: &Vec<i16>| frame.iter().all(|&sample| sample == 0);
        assert!(!frames[10..].iter().any(silent));
    }

    #[test]
    fn silence_keeps_flowing_when_the_packets_stop_and_the_sound_comes_back() {
        let packets = tone_packets(100);
        let mut arrivals = punctual(25);
        arrivals.extend((25..100).map(|number| (PACKET * number as u32 + Duration::from_secs(1), number)));
        let frames = play(&packets, &arrivals, 300);
        assert_eq!(frames.len(), 300);
        assert!(
            frames[80..140]
                .iter()
                .all(|frame| frame.iter().all(|&sample| sample == 0))
        );
        assert!(frames[160..240].iter().all(|frame| loud(frame)));
    }

    /// Words of 240 ms with a closure of 60 ms in each, and from packet 200 to 225 a pause.
    fn spoken_packets(count: usize) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(16_000, 1).unwrap();
        (0..count)
            .map(|number| {
                let is_quiet = number % 15 < 3 || (200..225).contains(&number);
                let frame: Vec<i16> = (0..320)
                    .map(|n| {
                        let at = (number * 320 + n) as f64 / 16_000.0;
                        let loudness = if is_quiet { 0.0 } else { 10_000.0 };
                        ((at * 440.0 * std::f64::consts::TAU).sin() * loudness) as i16
                    })
                    .collect();
                encoder.encode(&frame).unwrap()
            })
            .collect()
    }

    #[test]
    fn words_are_heard_whole_and_a_delay_is_given_back_in_the_pause_between_them() {
        let packets = spoken_packets(350);
        // The first 20 packets come 100 ms late, and so the buffer holds 100 ms too much from then on.
        let late = Duration::from_millis(100);
        let arrivals: Vec<_> = punctual(350)
            .into_iter()
            .map(|(at, number)| {
                (
                    if number < 20 {
                        at + late
                    } else {
                        at.max(PACKET * 19 + late)
                    },
                    number,
                )
            })
            .collect();
        let (straight, delayed) = (
            play(&packets, &punctual(350), 700),
            play(&packets, &arrivals, 700),
        );
        let loud_in = |frames: &[Vec<i16>]| frames.iter().filter(|frame| loud(frame)).count();
        let pause = |frames: &[Vec<i16>]| {
            let loudness: Vec<bool> = frames.iter().map(|frame| loud(frame)).collect();
            let begins = loudness
                .windows(20)
                .position(|frames| frames.iter().all(|loud| !loud));
            let begins = begins.expect("a pause");
            let length = loudness[begins..].iter().position(|loud| *loud).unwrap();
            (begins, length)
        };
        // The buffer's first silence is one, too.
        let (straight, delayed) = (&straight[50..], &delayed[50..]);
        let ((due, whole), (begins, shortened)) = (pause(straight), pause(delayed));
        assert!(
            (8..=11).contains(&(begins - due)),
            "delayed by {} frames",
            begins - due
        );
        assert!(
            (6..=10).contains(&(whole - shortened)),
            "{whole} frames, then {shortened}"
        );
        assert!(loud_in(&delayed[..begins]).abs_diff(loud_in(&straight[..due])) <= 10);
        let word = |frames: &[Vec<i16>], (begins, length): (usize, usize)| {
            loud_in(&frames[begins + length..][..200])
        };
        assert_eq!(
            word(delayed, (begins, shortened)),
            word(straight, (due, whole)),
            "the first word after the pause lacks its beginning"
        );
    }

    #[test]
    fn another_stream_begins_with_any_numbers() {
        let packets = tone_packets(50);
        let mut playout = Playout::new(16_000, 1).unwrap();
        playout.receive(60_000, 5, &packets[0], Duration::ZERO);
        playout.frame(TICK * 3);
        playout.restart();
        for number in 0..20 {
            let now = PACKET * number + Duration::from_millis(100);
            playout.receive(number as u16, number * 960, &packets[number as usize], now);
            playout.frame(now);
            let frame = playout.frame(now + TICK);
            assert!(number < 5 || loud(&frame));
        }
    }
}
