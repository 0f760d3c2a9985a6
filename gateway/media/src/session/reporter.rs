//! RTCP over the session's sockets.

use std::time::Duration;

use tokio::time::Instant;

use super::RtpControl;
use super::control::ReportsTo;
use crate::reports::Reports;
use crate::rtcp::Compound;
use crate::srtp::{Protector, Unprotector};
use crate::{Receiver, RtpPort, RtpStats};

/// Writes reports when they are due and reads the peer's.
pub(super) struct Reporter {
    reports: Reports,
    protector: Option<Protector>,
    every: Duration,
    /// Before the first tick there is none.
    due_at: Option<Instant>,
    sent: u64,
    refused: u64,
    packet: Vec<u8>,
}

impl Reporter {
    pub(super) fn new(reports: Reports, protector: Option<Protector>, every: Duration) -> Self {
        Self {
            reports,
            protector,
            every,
            due_at: None,
            sent: 0,
            refused: 0,
            packet: Vec::new(),
        }
    }

    /// Takes a datagram of the peer's.
    pub(super) fn take(&mut self, datagram: &[u8], unprotector: Option<&mut Unprotector>, now: Duration) {
        let opened = unprotector
            .map(|unprotector| unprotector.rtcp(datagram))
            .transpose();
        let compound = opened.ok().and_then(|opened| {
            let plain = opened.as_ref().map_or(datagram, AsRef::as_ref);
            Compound::parse(plain, self.reports.us()).ok()
        });
        match compound {
            Some(compound) => self.reports.take(&compound, now),
            None => self.refuse(),
        }
    }

    /// Counts a datagram that is not looked at.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Sends a report if one is due.
    pub(super) fn tick(&mut self, port: &RtpPort, control: &RtpControl, receiver: &Receiver, now: Instant) {
        match self.due_at {
            None => self.due_at = Some(now + spread(self.every / 2)),
            Some(due_at) if now >= due_at => {
                self.due_at = Some(now + spread(self.every));
                self.send(port, control, receiver, false);
            }
            Some(_) => {}
        }
    }

    /// Sends a report, the last one with the good-bye. What the network stack does not take at once is lost.
    pub(super) fn send(
        &mut self,
        port: &RtpPort,
        control: &RtpControl,
        receiver: &Receiver,
        is_goodbye: bool,
    ) {
        let now = control.at(Instant::now());
        let (sent, reports_to, sound_to) = {
            let link = control.link();
            (link.sent, link.reports_to, link.lock.destination())
        };
        let destination = match reports_to {
            ReportsTo::Address(address) => address,
            ReportsTo::WithSound => sound_to,
        };
        let Some(destination) = destination else { return };
        self.packet.clear();
        let (reception, jitter) = (receiver.reception(), receiver.stats().jitter);
        self.reports
            .write(sent, reception, jitter, is_goodbye, now, &mut self.packet);
        let hand_over = |packet: &[u8]| match reports_to {
            ReportsTo::Address(_) => port.reports.try_send_to(packet, destination),
            ReportsTo::WithSound => port.outgoing.send_to(packet, destination),
        };
        let is_sent = match &mut self.protector {
            None => hand_over(&self.packet).is_ok(),
            // What cannot be encrypted does not leave.
            Some(protector) => {
                let sealed = protector.rtcp(&self.packet);
                sealed.is_some_and(|sealed| hand_over(sealed.as_ref()).is_ok())
            }
        };
        self.sent += u64::from(is_sent);
    }

    /// Adds what it has seen.
    pub(super) fn count(&self, stats: RtpStats) -> RtpStats {
        let told = self.reports.told();
        RtpStats {
            reports_received: told.reports,
            reports_refused: self.refused,
            reports_sent: self.sent,
            round_trip: told.round_trip(),
            peer_lost: told.lost,
            peer_jitter: told.jitter,
            ..stats
        }
    }
}

/// Half to one and a half times as long, so that the reports of many calls do not fall together (RFC 3550 §6.3.1).
fn spread(time: Duration) -> Duration {
    time.mul_f64(rand::random::<f64>() + 0.5)
}
