//! The task that receives.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::RtpControl;
use super::control::ReportsTo;
use super::reporter::Reporter;
use crate::srtp::{Rejected, Unprotector};
use crate::{Digit, Frame, MasterKey, Received, Receiver, RtpPort, RtpStats, rtcp, rtp};

/// Between two ticks no more datagrams are read at once than fifty streams would send.
const MAX_DATAGRAMS_PER_TICK: usize = 64;

pub(super) struct ReceiveTask {
    pub(super) port: Arc<RtpPort>,
    pub(super) control: RtpControl,
    pub(super) receiver: Receiver,
    pub(super) frames: mpsc::Sender<Frame>,
    pub(super) digits: mpsc::Sender<Digit>,
    /// Of an encrypted stream.
    pub(super) unprotector: Option<Unprotector>,
    /// What does not come as far as the receiver, or does not get on from it.
    pub(super) own: RtpStats,
    pub(super) reporter: Reporter,
}

impl ReceiveTask {
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut datagram = vec![0; rtp::MAX_PACKET_BYTES + 1];
        let mut report = vec![0; rtp::MAX_PACKET_BYTES + 1];
        let mut ticks = frame_ticks();
        // A socket that fails is left alone until the next tick, so that it cannot keep the task busy.
        let (mut readable, mut reports_readable) = (true, true);
        loop {
            tokio::select! {
                biased;
                // Cancel-safe, as is every other arm: a tick or a datagram not taken stays where it is.
                () = cancel.cancelled() => {
                    self.reporter.send(&self.port, &self.control, &self.receiver, true);
                    return;
                }
                _ = ticks.tick() => {
                    (readable, reports_readable) = (true, true);
                    self.drain(&mut datagram);
                    self.emit_frame();
                    self.reporter.tick(&self.port, &self.control, &self.receiver, Instant::now());
                }
                received = self.port.incoming.recv_from(&mut datagram), if readable => match received {
                    Ok((length, from)) => self.take(&datagram[..length], from),
                    Err(_) => readable = false,
                },
                received = self.port.reports.recv_from(&mut report), if reports_readable => match received {
                    Ok((length, from)) => self.take_report(&report[..length], from),
                    Err(_) => reports_readable = false,
                }
            }
        }
    }

    /// Reads all that has come in. After a stall of the machine the packets of that time must be in the
    /// buffer before the ticks of that time are made up for.
    fn drain(&mut self, datagram: &mut [u8]) {
        for _ in 0..MAX_DATAGRAMS_PER_TICK {
            let Ok((length, from)) = self.port.incoming.try_recv_from(datagram) else {
                return;
            };
            self.take(&datagram[..length], from);
        }
    }

    fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        let now = Instant::now();
        let mut link = self.control.link();
        if link.reports_to == ReportsTo::WithSound && rtcp::is_rtcp(datagram) {
            drop(link);
            return self.take_report(datagram, from);
        }
        if !link.lock.accepts(from) {
            self.own.packets_foreign += 1;
            return;
        }
        follow(link.their_key.take(), &mut self.unprotector);
        let opened = self
            .unprotector
            .as_mut()
            .map(|unprotector| unprotector.rtp(datagram))
            .transpose();
        let opened = match opened {
            Ok(opened) => opened,
            Err(Rejected::Unauthentic) => return self.own.packets_unauthentic += 1,
            Err(Rejected::Replayed) => return self.own.packets_replayed += 1,
        };
        let datagram = opened.as_ref().map_or(datagram, AsRef::as_ref);
        let received = self.receiver.datagram(datagram, self.control.at(now));
        if let Received::Packet | Received::Digit(_) = received {
            link.lock.confirm(from);
            link.last_packet = Some(now);
        }
        drop(link);
        if let Received::Digit(digit) = received {
            // Nobody presses 32 keys faster than a program reads them; if it does not read, they are lost.
            let _ = self.digits.try_send(digit);
        }
    }

    /// Wherever it came to.
    fn take_report(&mut self, datagram: &[u8], from: SocketAddr) {
        let (is_peer, their_key) = {
            let mut link = self.control.link();
            (link.lock.is_peer(from), link.their_key.take())
        };
        follow(their_key, &mut self.unprotector);
        if !is_peer {
            return self.reporter.refuse();
        }
        let now = self.control.at(Instant::now());
        self.reporter.take(datagram, self.unprotector.as_mut(), now);
    }

    fn emit_frame(&mut self) {
        let frame = self.receiver.frame(self.control.at(Instant::now()));
        if let Err(mpsc::error::TrySendError::Full(_)) = self.frames.try_send(frame) {
            self.own.frames_dropped += 1;
        }
        let received = self.receiver.stats();
        let mut link = self.control.link();
        link.stats = self.reporter.count(RtpStats {
            frames_dropped: self.own.frames_dropped,
            packets_foreign: received.packets_foreign + self.own.packets_foreign,
            packets_unauthentic: self.own.packets_unauthentic,
            packets_replayed: self.own.packets_replayed,
            packets_sent: link.stats.packets_sent,
            send_errors: link.stats.send_errors,
            ..received
        });
    }
}

/// The peer has another key.
fn follow(their_key: Option<MasterKey>, unprotector: &mut Option<Unprotector>) {
    if let (Some(key), Some(unprotector)) = (their_key, unprotector) {
        *unprotector = Unprotector::new(unprotector.suite(), key);
    }
}

/// A tick every 20 ms; those missed are made up for at once, so that as many frames come out as time has
/// passed.
fn frame_ticks() -> Interval {
    let mut ticks = tokio::time::interval(audio::FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}
