//! A range of UDP ports for one gateway, apart from every other run's.

use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;

use rand::seq::SliceRandom;

use crate::StackError;

/// What a run gets, with its guard: room for 127 calls.
const BLOCK: u16 = 256;
/// Below are the ports of well-known services, and in part root's alone.
const LOWEST: u16 = 10_240;
/// What Linux takes ports from when a program asks for any, unless it is set otherwise.
const USUAL_EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// A range of free UDP ports outside the kernel's ephemeral range, so that no socket of any program gets one of them by chance.
///
/// As long as this lives, no other run is given a port of the range: the port before it is held, and who finds that taken
/// looks elsewhere.
#[derive(Debug)]
pub struct RtpPorts {
    first: u16,
    last: u16,
    _guard: UdpSocket,
}

impl RtpPorts {
    /// Finds a range.
    ///
    /// # Errors
    ///
    /// [`StackError::NoPort`] when none is free.
    pub fn reserve() -> Result<Self, StackError> {
        let mut blocks = blocks(&ephemeral());
        // Runs that begin at once do not try the same ones.
        blocks.shuffle(&mut rand::rng());
        let mut refused = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for first in blocks {
            match Self::in_block(first) {
                Ok(ports) => return Ok(ports),
                Err(error) => refused = error,
            }
        }
        Err(StackError::NoPort(refused))
    }

    /// The ports, both ends included.
    pub fn range(&self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// All of a block, or nothing. What is probed is free again at once; between then and the gateway's own bind only a program that
    /// asks for this very port may take it, and the gateway passes over it.
    fn in_block(guard: u16) -> std::io::Result<Self> {
        let (first, last) = (guard + 2, guard + (BLOCK - 1));
        let guard = bind(guard)?;
        are_free(first..=last)?;
        Ok(Self {
            first,
            last,
            _guard: guard,
        })
    }
}

impl fmt::Display for RtpPorts {
    /// As the key `sip.rtp_ports` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

fn are_free(mut ports: RangeInclusive<u16>) -> std::io::Result<()> {
    ports.try_for_each(|port| bind(port).map(drop))
}

/// On every interface, so that a port that is taken on any of them is found.
fn bind(port: u16) -> std::io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
}

/// The first ports of all blocks outside `ephemeral`; where there are none, of all.
fn blocks(ephemeral: &RangeInclusive<u16>) -> Vec<u16> {
    let all = || (LOWEST..=u16::MAX - BLOCK + 1).step_by(usize::from(BLOCK));
    let is_outside = |first: &u16| first + (BLOCK - 1) < *ephemeral.start() || first > ephemeral.end();
    let outside: Vec<u16> = all().filter(is_outside).collect();
    if outside.is_empty() {
        all().collect()
    } else {
        outside
    }
}

fn ephemeral() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().filter_map(|port| port.parse().ok());
    match (ports.next(), ports.next()) {
        (Some(first), Some(last)) => first..=last,
        _ => USUAL_EPHEMERAL,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_that_are_held_at_once_have_no_port_in_common_and_none_that_the_kernel_gives_away() {
        let held: Vec<RtpPorts> = (0..10).map(|_| RtpPorts::reserve().unwrap()).collect();
        let ports: BTreeSet<u16> = held.iter().flat_map(|ports| ports.first..=ports.last).collect();
        assert_eq!(ports.len(), 10 * usize::from(BLOCK - 2));
        let ephemeral = ephemeral();
        assert!(
            ports
                .iter()
                .all(|port| *port >= LOWEST && !ephemeral.contains(port))
        );
        assert_eq!(held[0].to_string(), format!("{}-{}", held[0].first, held[0].last));
    }

    #[test]
    fn a_block_that_is_held_or_has_a_taken_port_is_not_given() {
        let held = RtpPorts::reserve().unwrap();
        assert!(RtpPorts::in_block(held.first - 2).is_err());
        assert!(are_free(held.first..=held.last).is_ok());
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, held.last)).unwrap();
        assert!(are_free(held.first..=held.last).is_err());
        drop(taken);
    }

    #[test]
    fn blocks_lie_around_the_ephemeral_range_whatever_it_is() {
        let usual = blocks(&USUAL_EPHEMERAL);
        assert!(
            usual.contains(&32_512)
                && !usual.contains(&32_768)
                && !usual.contains(&60_928)
                && usual.contains(&61_184)
        );
        assert_eq!(usual.last(), Some(&65_280));
        assert!(!blocks(&(1_024..=u16::MAX)).is_empty());
    }
}
