//! Whose packets are taken.

use std::net::SocketAddr;

/// Which source address is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourcePolicy {
    /// The IP address that the SDP names. Of its ports the named one is believed as soon as a packet comes from it, and then only
    /// that one; until then, the port of the first valid packet, since some phones send from another port than they receive at.
    /// So a stranger behind the same address cannot stay in the caller's place. The default.
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
    pub(crate) fn accepts(&mut self, from: SocketAddr) -> bool {
        let from = canonical(from);
        if self.policy == SourcePolicy::SdpAddress {
            match self.sdp.map(canonical) {
                Some(sdp) if sdp == from => self.latched = Some(from),
                Some(sdp) if sdp.ip() == from.ip() => {}
                _ => return false,
            }
        }
        self.latched.is_none_or(|latched| latched == from)
    }

    /// A valid packet has come from an address that was accepted.
    pub(crate) fn confirm(&mut self, from: SocketAddr) {
        self.latched.get_or_insert(canonical(from));
    }

    /// Where to send, if anywhere.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        match self.policy {
            SourcePolicy::SdpAddress => self.sdp,
            SourcePolicy::Symmetric => self.latched.or(self.sdp),
        }
    }

    /// Whether it is the peer's host, whatever the port.
    pub(crate) fn is_peer(&self, from: SocketAddr) -> bool {
        let from = canonical(from).ip();
        let known = match self.policy {
            SourcePolicy::SdpAddress => self.sdp,
            SourcePolicy::Symmetric => self.latched,
        };
        known.is_some_and(|known| canonical(known).ip() == from)
    }

    /// The peer has named another address (re-INVITE). What was latched is forgotten.
    pub(crate) fn set_sdp(&mut self, sdp: Option<SocketAddr>) {
        self.sdp = sdp;
        self.latched = None;
    }
}

/// An IPv4 address that comes as an IPv6 one, as on a socket of both, is the same address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn by_sdp_a_stranger_at_the_same_address_yields_to_the_port_that_was_named() {
        let mut lock = SourceLock::new(SourcePolicy::SdpAddress, Some(address("192.0.2.1:4000")));
        assert!(lock.accepts(address("192.0.2.1:9999")));
        lock.confirm(address("192.0.2.1:9999"));
        assert!(!lock.accepts(address("192.0.2.1:7777")));
        assert!(lock.accepts(address("[::ffff:192.0.2.1]:4000")));
        assert!(!lock.accepts(address("192.0.2.1:9999")));
        assert!(lock.accepts(address("192.0.2.1:4000")));
    }

    #[test]
    fn by_sdp_a_phone_that_sends_from_another_port_is_believed() {
        let mut lock = SourceLock::new(SourcePolicy::SdpAddress, Some(address("192.0.2.1:4000")));
        assert!(lock.accepts(address("192.0.2.1:4002")));
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
