//! Whose packets are taken.

use std::net::SocketAddr;

/// Which source address is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Packets from the IP address that the SDP names, from any port. The default.
    #[default]
    SdpAddress,
    /// Symmetric RTP (RFC 4961), for peers behind NAT whose SDP names an address nobody can reach: the sender
    /// of the first packet is believed, then only that one, and packets go back there.
    Symmetric,
}

/// Keeps to one source.
#[derive(Debug)]
pub(crate) struct SourceLock {
    policy: SourcePolicy,
    sdp: Option<SocketAddr>,
    latched: Option<SocketAddr>,
}

impl SourceLock {
    pub(crate) fn new(policy: SourcePolicy, sdp: Option<SocketAddr>) -> Self {
        Self {
            policy,
            sdp,
            latched: None,
        }
    }

    /// Whether a packet from this address may be taken.
    pub(crate) fn accepts(&self, from: SocketAddr) -> bool {
        match self.policy {
            SourcePolicy::SdpAddress => self
                .sdp
                .is_some_and(|sdp| sdp.ip().to_canonical() == from.ip().to_canonical()),
            SourcePolicy::Symmetric => self.latched.is_none_or(|latched| latched == from),
        }
    }

    /// A valid packet has come from an address that was accepted.
    pub(crate) fn confirm(&mut self, from: SocketAddr) {
        if self.policy == SourcePolicy::Symmetric {
            self.latched.get_or_insert(from);
        }
    }

    /// Where to send, if anywhere.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.latched.or(self.sdp)
    }

    /// The peer has named another address (re-INVITE). What was latched is forgotten.
    pub(crate) fn set_sdp(&mut self, sdp: Option<SocketAddr>) {
        self.sdp = sdp;
        self.latched = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn by_sdp_any_port_of_the_named_address_is_believed() {
        let mut lock = SourceLock::new(SourcePolicy::SdpAddress, Some(address("192.0.2.1:4000")));
        assert!(lock.accepts(address("192.0.2.1:4002")));
        assert!(lock.accepts(address("[::ffff:192.0.2.1]:4000")));
        assert!(!lock.accepts(address("192.0.2.2:4000")));
        lock.confirm(address("192.0.2.1:4002"));
        assert_eq!(lock.destination(), Some(address("192.0.2.1:4000")));
        lock.set_sdp(None);
        assert!(!lock.accepts(address("192.0.2.1:4000")));
        assert_eq!(lock.destination(), None);
    }

    #[test]
    fn symmetric_keeps_to_the_first_confirmed_source_until_the_next_sdp() {
        let mut lock = SourceLock::new(SourcePolicy::Symmetric, Some(address("10.0.0.1:4000")));
        assert_eq!(lock.destination(), Some(address("10.0.0.1:4000")));
        lock.confirm(address("192.0.2.1:4002"));
        assert!(lock.accepts(address("192.0.2.1:4002")));
        assert!(!lock.accepts(address("192.0.2.1:4000")));
        assert_eq!(lock.destination(), Some(address("192.0.2.1:4002")));
        lock.set_sdp(Some(address("10.0.0.1:5000")));
        assert!(lock.accepts(address("192.0.2.9:1")));
    }
}
