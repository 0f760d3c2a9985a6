//! Where the sound goes: addresses and ports.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
};

use platform::config::Sip;

use super::{Area, Finding};

/// The ports that Linux gives to whoever asks for any (ip(7)), and those of them that it keeps back.
const GIVEN: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const KEPT: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// How many ports are tried before the range counts as taken.
const TRIES: u16 = 64;

pub(super) fn examine(sip: &Sip) -> Vec<Finding> {
    let range = sip.rtp_ports.first..=sip.rtp_ports.last;
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut found: Vec<Finding> = [
        addresses(sip.listen.ip(), sip.advertised_address),
        ports(sip.listen.ip(), &range),
        shared(&range, &read(GIVEN), &read(KEPT)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if found.is_empty() {
        let says = format!(
            "RTP at {}, ports {}-{}",
            sip.advertised_address,
            range.start(),
            range.end()
        );
        found.push(Finding::well(Area::Media, says));
    }
    found
}

/// What callers are told, beside what is listened on.
fn addresses(listen: IpAddr, advertised: IpAddr) -> Option<Finding> {
    if listen.is_loopback() {
        return None;
    }
    match advertised {
        ip if ip.is_loopback() => Some(Finding::warning(
            Area::Media,
            format!("callers are told to send sound to {advertised}: those on other machines are not heard"),
            "set sip.advertised_address to the address that they reach this machine at",
        )),
        IpAddr::V4(ip) if ip.is_private() => Some(private(advertised)),
        _ => None,
    }
}

/// Lawful within a network, and the usual cause of one-way sound from outside.
fn private(advertised: IpAddr) -> Finding {
    Finding::note(
        Area::Media,
        format!("callers are told to send sound to {advertised}, which only its own network reaches"),
        "if your provider is outside of it, set sip.advertised_address to the public address, and pass sip.rtp_ports on (UDP)",
    )
}

/// One port is enough to see that the address is this machine's.
fn ports(ip: IpAddr, range: &RangeInclusive<u16>) -> Option<Finding> {
    for port in range.clone().take(usize::from(TRIES)) {
        match UdpSocket::bind(SocketAddr::new(ip, port)) {
            Ok(_) => return None,
            // By a call, most likely.
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                return Some(Finding::error(
                    Area::Media,
                    format!("no RTP port can be opened at {ip}: {error}"),
                    "sip.listen must name an address of this machine, or 0.0.0.0",
                ));
            }
        }
    }
    Some(Finding::warning(
        Area::Media,
        format!("the first {TRIES} of sip.rtp_ports are all in use"),
        "give sip.rtp_ports a range that no other program uses",
    ))
}

/// The system gives ports of the range to other programs.
fn shared(range: &RangeInclusive<u16>, given: &str, kept: &str) -> Option<Finding> {
    let mut ends = given.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
        return None;
    };
    let is_kept = |port: u16| {
        kept.trim().split(',').any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let ends = first.parse().ok().zip(last.parse().ok());
            ends.is_some_and(|(first, last): (u16, u16)| (first..=last).contains(&port))
        })
    };
    let mut both = range.clone().filter(|port| (first..=last).contains(port));
    both.any(|port| !is_kept(port)).then(|| {
        Finding::warning(
            Area::Media,
            format!("the system gives ports of sip.rtp_ports to other programs, too ({first}-{last})"),
            format!(
                "take other ports, or keep these back: sysctl -w net.ipv4.ip_local_reserved_ports={}-{}",
                range.start(),
                range.end()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn ports_that_others_are_given_are_told_unless_they_are_kept_back() {
        let told = |kept: &str| shared(&(32_760..=32_770), "32768\t60999\n", kept).map(|f| f.severity);
        assert_eq!(told("\n"), Some(Severity::Warning));
        assert_eq!(told("1,32768-32769\n"), Some(Severity::Warning));
        assert_eq!(told("1,32768-32770\n"), None);
        assert!(shared(&(20_000..=20_999), "32768\t60999\n", "").is_none());
    }

    #[test]
    fn callers_must_be_told_an_address_that_they_reach() {
        let told = |listen: &str, advertised: &str| {
            addresses(listen.parse().unwrap(), advertised.parse().unwrap()).map(|found| found.severity)
        };
        assert_eq!(told("127.0.0.1", "127.0.0.1"), None);
        assert_eq!(told("0.0.0.0", "127.0.0.1"), Some(Severity::Warning));
        assert_eq!(told("0.0.0.0", "10.0.0.1"), Some(Severity::Note));
        assert_eq!(told("0.0.0.0", "203.0.113.7"), None);
    }

    #[test]
    fn a_range_that_is_taken_is_told_and_so_is_an_address_of_another_machine() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let here = IpAddr::from([127, 0, 0, 1]);
        let found = ports(here, &(port..=port)).unwrap();
        assert_eq!(found.severity, Severity::Warning);
        // For documentation (RFC 5737).
        let found = ports(IpAddr::from([192, 0, 2, 1]), &(port..=port)).unwrap();
        assert_eq!(found.severity, Severity::Error);
    }
}
