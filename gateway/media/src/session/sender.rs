//! Sending.

use std::sync::Arc;

use audio::Codec;
use tokio::time::Instant;

use super::RtpControl;
use crate::{
    Digit, RtpPort, Transmitter, dtmf::TooManyDigits, reports::Sent, rtp::HEADER_BYTES, srtp::Protector,
};

/// Sends to the peer. It has no clock: each call stands for 20 ms, and its caller keeps the pace.
pub struct RtpSender {
    pub(super) port: Arc<RtpPort>,
    pub(super) control: RtpControl,
    pub(super) transmitter: Transmitter,
    pub(super) protector: Option<Protector>,
    pub(super) codec: Codec,
}

impl RtpSender {
    /// Sends 20 ms at the codec's rate, or a part of a digit in their place. What lacks is sent as silence,
    /// what is too much is not sent. While the call is held nothing leaves, but the time passes. It never
    /// waits; what the network stack does not take at once is lost and counted.
    pub fn send(&mut self, pcm: &[i16]) {
        let destination = {
            let link = self.control.link();
            link.lock.destination().filter(|_| link.sending)
        };
        let Some(destination) = destination else {
            self.transmitter.skip();
            return;
        };
        let (mut sent, mut failed, mut octets) = (0, 0, 0);
        let timestamp = self.transmitter.timestamp();
        self.transmitter.frame(pcm, |datagram| {
            let is_sent = match &mut self.protector {
                None => self.port.outgoing.send_to(datagram, destination).is_ok(),
                // What cannot be encrypted does not leave.
                Some(protector) => protector.rtp(datagram).is_some_and(|sealed| {
                    let sent = self.port.outgoing.send_to(sealed.as_ref(), destination);
                    sent.is_ok()
                }),
            };
            *(if is_sent { &mut sent } else { &mut failed }) += 1;
            octets += if is_sent { datagram.len() - HEADER_BYTES } else { 0 };
        });
        let at = self.control.at(Instant::now());
        let mut link = self.control.link();
        link.stats.packets_sent += sent;
        link.stats.send_errors += failed;
        // Of what goes into reports, and wraps there.
        let (packets, before) = (
            link.stats.packets_sent as u32,
            link.sent.map_or(0, |sent| sent.octets),
        );
        link.sent = (packets > 0).then_some(Sent {
            packets,
            octets: before.wrapping_add(octets as u32),
            timestamp,
            at,
        });
    }

    /// Sends 20 ms of silence.
    pub fn send_silence(&mut self) {
        self.send(&[]);
    }

    /// Sends this digit in place of the next 13 frames; those that wait already (at most 32) go first.
    pub fn press(&mut self, digit: Digit) -> Result<(), TooManyDigits> {
        self.transmitter.press(digit)
    }

    /// Whether digits are being sent or wait.
    pub fn is_pressing(&self) -> bool {
        self.transmitter.is_pressing()
    }

    /// The codec, which says how long a frame is.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The local port.
    pub fn port(&self) -> u16 {
        self.port.port()
    }
}

impl std::fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtpSender")
            .field("codec", &self.codec)
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}
