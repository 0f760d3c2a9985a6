//! Which hosts have failed, so that they are tried last for a while. Pure: time comes in as an argument.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{Destination, Transport};

/// A host that says nothing of when it will be back.
const PAUSE: Duration = Duration::from_mins(1);
/// The longest that a host may want, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// Hosts. Beyond it the one that would be forgiven first is forgotten.
const MAX_HOSTS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Setbacks(HashMap<(SocketAddr, Transport), Instant>);

fn key(host: &Destination) -> (SocketAddr, Transport) {
    (host.address, host.transport)
}

impl Setbacks {
    /// `retry_after`: when it wants to be asked again (RFC 3261 §20.33).
    pub(super) fn failed(&mut self, host: &Destination, retry_after: Option<Duration>, now: Instant) {
        let pause = retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE);
        self.0.retain(|_, until| now < *until);
        if self.0.len() >= MAX_HOSTS {
            let first = self.0.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(key, _)| *key) {
                self.0.remove(&first);
            }
        }
        self.0.insert(key(host), now + pause);
    }

    pub(super) fn answered(&mut self, host: &Destination) {
        self.0.remove(&key(host));
    }

    /// Puts those that have failed last, the one that is forgiven first before the others. The order of all others stays.
    pub(super) fn sort(&self, hosts: &mut [Destination], now: Instant) {
        hosts.sort_by_key(|host| self.0.get(&key(host)).filter(|until| now < **until).copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> Destination {
        Destination::udp(SocketAddr::from(([192, 0, 2, number], 5060)))
    }

    fn order(setbacks: &Setbacks, now: Instant) -> Vec<u8> {
        let mut hosts = [1, 2, 3].map(host);
        setbacks.sort(&mut hosts, now);
        hosts
            .iter()
            .map(|host| match host.address.ip() {
                std::net::IpAddr::V4(address) => address.octets()[3],
                std::net::IpAddr::V6(_) => 0,
            })
            .collect()
    }

    #[test]
    fn a_host_that_failed_comes_last_until_its_time_is_over() {
        let start = tokio::time::Instant::now().into_std();
        let s = Duration::from_secs;
        let mut setbacks = Setbacks::default();
        setbacks.failed(&host(1), None, start);
        setbacks.failed(&host(2), Some(s(10)), start);
        assert_eq!(order(&setbacks, start), [3, 2, 1]);
        assert_eq!(order(&setbacks, start + s(10)), [2, 3, 1]);
        assert_eq!(order(&setbacks, start + PAUSE), [1, 2, 3]);
        setbacks.failed(&host(1), Some(Duration::from_hours(100)), start);
        assert_eq!(order(&setbacks, start + LONGEST_PAUSE / 2), [2, 3, 1]);
        assert_eq!(order(&setbacks, start + LONGEST_PAUSE), [1, 2, 3]);
        setbacks.failed(&host(1), Some(Duration::ZERO), start);
        assert_eq!(order(&setbacks, start), [1, 3, 2]);
    }

    #[test]
    fn a_host_that_answers_is_forgiven_by_transport_and_there_is_a_bound() {
        let start = tokio::time::Instant::now().into_std();
        let mut setbacks = Setbacks::default();
        let over_tcp = Destination {
            transport: Transport::Tcp,
            ..host(1)
        };
        setbacks.failed(&over_tcp, None, start);
        assert_eq!(order(&setbacks, start), [1, 2, 3]);
        setbacks.failed(&host(1), None, start);
        setbacks.answered(&host(1));
        assert_eq!(order(&setbacks, start), [1, 2, 3]);
        for port in 0..2_000 {
            let host = Destination::udp(SocketAddr::from(([192, 0, 2, 9], port)));
            setbacks.failed(&host, None, start);
        }
        assert_eq!(setbacks.0.len(), MAX_HOSTS);
    }
}
