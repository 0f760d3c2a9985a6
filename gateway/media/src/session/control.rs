//! A view of a session: what it has seen, and changes to it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{MasterKey, RtpStats, source::SourceLock};

/// A view of a running session. Clones see the same one.
#[derive(Debug, Clone)]
pub struct RtpControl(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    link: Mutex<Link>,
}

/// What the task, the sender and the views share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) lock: SourceLock,
    pub(super) sending: bool,
    pub(super) stats: RtpStats,
    pub(super) last_packet: Option<Instant>,
    /// Since when the peer is expected to send.
    expected: Instant,
    /// A key of the peer's that the task does not know yet.
    pub(super) their_key: Option<MasterKey>,
}

impl RtpControl {
    pub(super) fn new(lock: SourceLock, sending: bool) -> Self {
        let link = Link {
            lock,
            sending,
            stats: RtpStats::default(),
            last_packet: None,
            expected: Instant::now(),
            their_key: None,
        };
        Self(Arc::new(Shared {
            started: Instant::now(),
            link: Mutex::new(link),
        }))
    }

    /// The counts so far; they are brought up to date every 20 ms.
    pub fn stats(&self) -> RtpStats {
        self.link().stats
    }

    /// The time since the peer's last packet, of whatever kind; `None` before the first one.
    pub fn since_last_packet(&self) -> Option<Duration> {
        self.link().last_packet.map(|at| at.elapsed())
    }

    /// The peer is expected to send from now on: what it did not send before, in early media or on hold, is no fault of its.
    pub fn expect(&self) {
        self.link().expected = Instant::now();
    }

    /// Ends when the peer has sent nothing for `first` since it is expected to (see [`expect`](Self::expect); at first that is the
    /// start), or for `later` since its last packet. The gateway uses 30 s and 15 s. Cancel-safe. While the call is held the caller should not wait for it.
    pub async fn media_timeout(&self, first: Duration, later: Duration) {
        loop {
            let now = Instant::now();
            let (expected, last_packet) = {
                let link = self.link();
                (link.expected, link.last_packet.filter(|at| *at >= link.expected))
            };
            let deadline = last_packet.map_or(expected + first, |at| at + later);
            if deadline <= now {
                return;
            }
            // Before the first packet: it may come in between, and `later` counts from then on.
            tokio::time::sleep_until(deadline.min(now + later)).await;
        }
    }

    /// Follows a re-INVITE: where to send, and whether. With symmetric RTP the source is learnt anew.
    pub fn update(&self, remote: Option<SocketAddr>, sending: bool) {
        let mut link = self.link();
        link.lock.set_sdp(remote);
        link.sending = sending;
    }

    /// Follows a re-INVITE by which the peer encrypts with another key. Ours stays. Nothing where the stream is not encrypted.
    pub fn rekey(&self, key: MasterKey) {
        self.link().their_key = Some(key);
    }

    /// This instant on the session's own clock, which begins at its start.
    pub(super) fn at(&self, instant: Instant) -> Duration {
        instant - self.0.started
    }

    pub(super) fn link(&self) -> MutexGuard<'_, Link> {
        // Plain values: a panic elsewhere cannot leave them half changed.
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourcePolicy;

    const FIRST: Duration = Duration::from_secs(30);
    const LATER: Duration = Duration::from_secs(15);

    fn control() -> RtpControl {
        RtpControl::new(SourceLock::new(SourcePolicy::SdpAddress, None), true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_sends_has_the_longer_time() {
        let control = control();
        control.media_timeout(FIRST, LATER).await;
        assert_eq!(control.0.started.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_falls_silent_while_its_first_packet_is_waited_for_has_the_shorter_one() {
        let control = control();
        let speaks = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            control.link().last_packet = Some(Instant::now());
        };
        tokio::join!(speaks, control.media_timeout(FIRST, LATER));
        assert_eq!(control.0.started.elapsed(), Duration::from_secs(16));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_was_not_expected_to_send_has_the_longer_time_from_when_it_is() {
        let control = control();
        control.link().last_packet = Some(Instant::now());
        tokio::time::sleep(LATER * 4).await;
        control.expect();
        let since = Instant::now();
        control.media_timeout(FIRST, LATER).await;
        assert_eq!(since.elapsed(), FIRST);
    }
}
