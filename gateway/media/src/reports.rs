//! What a session reports by RTCP and learns from it, without socket and clock (RFC 3550 §6.4, appendix A.3).

use std::time::Duration;

use crate::rtcp::{Block, Compound, SenderInfo};

/// A jump of so many numbers is a stream that began anew (RFC 3550, appendix A.1).
const MAX_DROPOUT: u16 = 3_000;
/// Our clock for reports begins there, so that no report bears the time 0, which means that there was none.
const CLOCK_BEGINS: Duration = Duration::from_hours(1);
/// A round trip that takes longer is a mistake of somebody's clock.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

/// What has come of the peer's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reception {
    pub(crate) ssrc: u32,
    base: u32,
    highest: u32,
    received: u32,
}

impl Reception {
    pub(crate) fn begin(ssrc: u32, sequence: u16) -> Self {
        Self {
            ssrc,
            base: u32::from(sequence),
            highest: u32::from(sequence),
            received: 1,
        }
    }

    /// Another packet of the stream.
    pub(crate) fn packet(&mut self, sequence: u16) {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        if ahead.min(behind) > MAX_DROPOUT {
            *self = Self::begin(self.ssrc, sequence);
            return;
        }
        if ahead < behind {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        }
        self.received = self.received.wrapping_add(1);
    }

    fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) packets: u32,
    /// Of their payloads.
    pub(crate) octets: u32,
    /// The RTP time of the last packet, and when it left.
    pub(crate) timestamp: u32,
    pub(crate) at: Duration,
}

/// What the peer has told of our stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Reports that came.
    pub(crate) reports: u64,
    pub(crate) lost: Option<u64>,
    pub(crate) jitter: Option<Duration>,
    round_trips: u32,
    round_trip_sum: Duration,
}

impl Told {
    /// The mean of those measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip_sum.checked_div(self.round_trips)
    }
}

/// One session's side of RTCP.
#[derive(Debug)]
pub(crate) struct Reports {
    us: u32,
    /// What stands for us in place of a name: random, so that it says nothing (RFC 7022 §4.2).
    name: String,
    clock_rate_hz: u32,
    /// The middle of the peer's last report's time, and when it came.
    last: Option<(u32, Duration)>,
    /// At our report before.
    before: Option<Reception>,
    packets_before: u32,
    told: Told,
}

impl Reports {
    pub(crate) fn new(us: u32, name: String, clock_rate_hz: u32) -> Self {
        Self {
            us,
            name,
            clock_rate_hz,
            last: None,
            before: None,
            packets_before: 0,
            told: Told::default(),
        }
    }

    pub(crate) fn us(&self) -> u32 {
        self.us
    }

    pub(crate) fn told(&self) -> Told {
        self.told
    }

    /// Takes what the peer says, at `now`.
    pub(crate) fn take(&mut self, compound: &Compound, now: Duration) {
        self.told.reports += 1;
        if let Some(sender) = compound.sender {
            self.last = Some((middle(sender.ntp), now));
        }
        let Some(block) = compound.about_us else { return };
        self.told.lost = Some(u64::try_from(block.lost).unwrap_or(0));
        let ticks = u64::from(block.jitter) * 1_000_000 / u64::from(self.clock_rate_hz.max(1));
        self.told.jitter = Some(Duration::from_micros(ticks));
        if block.last_report == 0 {
            return;
        }
        let round_trip = middle(ntp(now))
            .wrapping_sub(block.last_report)
            .wrapping_sub(block.since_last_report);
        let round_trip = Duration::from_nanos(u64::from(round_trip) * 1_000_000_000 / 65_536);
        if round_trip <= MAX_ROUND_TRIP {
            self.told.round_trips += 1;
            self.told.round_trip_sum += round_trip;
        }
    }

    /// Appends our report of what was sent and what came, at `now`.
    pub(crate) fn write(
        &mut self,
        sent: Option<Sent>,
        reception: Option<Reception>,
        jitter: Duration,
        is_goodbye: bool,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        let is_new = |sent: &Sent| sent.packets != self.packets_before;
        let sender = sent.filter(is_new).map(|sent| SenderInfo {
            ntp: ntp(now),
            rtp_timestamp: sent
                .timestamp
                .wrapping_add(self.ticks(now.saturating_sub(sent.at))),
            packets: sent.packets,
            octets: sent.octets,
        });
        self.packets_before = sent.map_or(0, |sent| sent.packets);
        let about_us = reception.map(|reception| self.block(&reception, jitter, now));
        self.before = reception;
        let compound = Compound {
            ssrc: self.us,
            sender,
            about_us,
            is_goodbye,
        };
        compound.write(&self.name, out);
    }

    fn block(&self, reception: &Reception, jitter: Duration, now: Duration) -> Block {
        let lost = reception.expected().wrapping_sub(reception.received) as i32;
        let same = |before: &Reception| before.ssrc == reception.ssrc && before.base == reception.base;
        let (expected, received) = match self.before.filter(same) {
            Some(before) => (
                reception.expected().wrapping_sub(before.expected()),
                reception.received.wrapping_sub(before.received),
            ),
            None => (reception.expected(), reception.received),
        };
        let lost_since = expected.saturating_sub(received);
        let fraction = (u64::from(lost_since) << 8)
            .checked_div(u64::from(expected))
            .unwrap_or(0);
        let (last_report, since) = match self.last {
            Some((middle, at)) => (middle, now.saturating_sub(at)),
            None => (0, Duration::ZERO),
        };
        Block {
            ssrc: reception.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost,
            highest_sequence: reception.highest,
            jitter: self.ticks(jitter),
            last_report,
            since_last_report: u32::try_from(since.as_nanos() * 65_536 / 1_000_000_000).unwrap_or(u32::MAX),
        }
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_micros() * u128::from(self.clock_rate_hz) / 1_000_000) as u32
    }
}

/// The session's time as RTCP writes it. Nobody needs to know what time it is here (RFC 3550 §4).
fn ntp(now: Duration) -> u64 {
    let now = now + CLOCK_BEGINS;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    now.as_secs() << 32 | fraction
}

fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reports(us: u32) -> Reports {
        Reports::new(us, "name".into(), 8_000)
    }

    fn sent(packets: u32, at: Duration) -> Sent {
        Sent {
            packets,
            octets: packets * 160,
            timestamp: packets * 160,
            at,
        }
    }

    fn written(
        reports: &mut Reports,
        sent: Option<Sent>,
        reception: Option<Reception>,
        now: Duration,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        reports.write(sent, reception, Duration::from_millis(4), false, now, &mut out);
        out
    }

    fn received(numbers: impl IntoIterator<Item = u16>) -> Reception {
        let mut numbers = numbers.into_iter();
        let mut reception = Reception::begin(1, numbers.next().unwrap());
        numbers.for_each(|number| reception.packet(number));
        reception
    }

    fn block(reports: &mut Reports, reception: Reception) -> Block {
        let out = written(reports, None, Some(reception), SECOND);
        Compound::parse(&out, 1).unwrap().about_us.unwrap()
    }

    #[test]
    fn loss_is_counted_over_the_turn_of_numbers_and_since_the_report_before() {
        let mut reports = reports(2);
        let first = received((65_530..=65_535).chain([1, 0]).chain(4..6));
        let told = block(&mut reports, first);
        assert_eq!(
            (told.lost, told.fraction_lost, told.highest_sequence),
            (2, (2 * 256 / 12) as u8, 0x0001_0005)
        );
        assert_eq!(told.jitter, 32);
        let mut second = first;
        (6..16).for_each(|number| second.packet(number));
        let told = block(&mut reports, second);
        assert_eq!((told.lost, told.fraction_lost), (2, 0));
    }

    #[test]
    fn packets_that_come_twice_are_less_than_no_loss_and_a_jump_begins_anew() {
        let mut reports = reports(2);
        let told = block(&mut reports, received([5, 6, 6, 6, 7]));
        assert_eq!((told.lost, told.fraction_lost), (-2, 0));
        let told = block(&mut reports, received([5, 6, 40_000, 40_001, 40_003]));
        assert_eq!((told.lost, told.highest_sequence), (1, 40_003));
    }

    #[test]
    fn the_way_there_and_back_is_measured_and_the_wait_between_is_not_part_of_it() {
        let (mut here, mut there) = (reports(1), reports(2));
        let way = Duration::from_millis(30);
        // Their clock has nothing to do with ours.
        let elsewhere = Duration::from_secs(77_777);
        let report = written(&mut here, Some(sent(5, SECOND)), None, SECOND);
        there.take(&Compound::parse(&report, 2).unwrap(), elsewhere + way);
        let reception = Reception {
            ssrc: 1,
            ..received([1])
        };
        let answer = written(&mut there, None, Some(reception), elsewhere + 4 * SECOND);
        let back = SECOND + 4 * SECOND + way;
        here.take(&Compound::parse(&answer, 1).unwrap(), back);
        let measured = here.told().round_trip().unwrap();
        assert!(
            measured.abs_diff(2 * way) < Duration::from_millis(1),
            "{measured:?}"
        );
        assert_eq!(here.told().jitter, Some(Duration::from_millis(4)));
        assert_eq!(there.told().round_trip(), None);
        // An answer to what we have never said.
        let mut wrong = Compound::parse(&answer, 1).unwrap();
        wrong.about_us.as_mut().unwrap().last_report ^= 0x7000_0000;
        here.take(&wrong, back);
        assert_eq!(here.told().round_trip(), Some(measured));
        assert_eq!(here.told().reports, 2);
    }

    #[test]
    fn who_has_sent_nothing_since_reports_as_a_receiver() {
        let mut reports = reports(1);
        let is_sender = |out: Vec<u8>| Compound::parse(&out, 9).unwrap().sender;
        assert_eq!(is_sender(written(&mut reports, None, None, SECOND)), None);
        let told = is_sender(written(&mut reports, Some(sent(3, SECOND)), None, 2 * SECOND)).unwrap();
        assert_eq!(
            (told.packets, told.octets, told.rtp_timestamp),
            (3, 480, 480 + 8_000)
        );
        assert_eq!(
            is_sender(written(&mut reports, Some(sent(3, SECOND)), None, 3 * SECOND)),
            None
        );
    }
}
