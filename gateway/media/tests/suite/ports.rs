use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use media::{PortError, PortPool, PortRange};

/// Loopback, and nobody else's: on 127.0.0.1 other programs come and go.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 77, 1));

#[test]
fn ranges_are_checked_at_the_edge() {
    let calls = |text: &str| text.parse::<PortRange>().map(|range| range.calls()).ok();
    assert_eq!(calls("10000-10001"), Some(1));
    assert_eq!(calls("10001-10004"), Some(1), "10002 and 10003");
    assert_eq!(calls("10000 - 20000"), Some(5_000));
    assert_eq!(calls("65534-65535"), Some(1));
    for bad in [
        "",
        "10000",
        "10000-10000",
        "10001-10002",
        "20000-10000",
        "0-100",
        "65535-65535",
        "a-b",
        "1-70000",
    ] {
        let error = bad.parse::<PortRange>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{bad}` is not a port range")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn ports_are_even_distinct_and_free_again_on_drop() {
    let pool = PortPool::new(PortRange::new(41_001, 41_008).unwrap(), 0);
    let held: Vec<_> = (0..3).map(|_| pool.bind(LOOPBACK).unwrap()).collect();
    let mut ports: Vec<u16> = held.iter().map(media::RtpPort::port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [41_002, 41_004, 41_006]);
    assert_eq!(pool.in_use(), 3);
    assert!(matches!(
        pool.bind(LOOPBACK),
        Err(PortError::Exhausted { calls: 3 })
    ));
    assert!(
        UdpSocket::bind((LOOPBACK, 41_003)).is_err(),
        "the odd port is held too"
    );
    drop(held);
    assert_eq!(pool.in_use(), 0);
    assert!(UdpSocket::bind((LOOPBACK, 41_002)).is_ok());
}

#[tokio::test]
async fn a_port_that_another_program_holds_is_passed_over() {
    let _other = UdpSocket::bind((LOOPBACK, 41_021)).unwrap();
    let pool = PortPool::new(PortRange::new(41_020, 41_023).unwrap(), 0);
    let port = pool.bind(LOOPBACK).unwrap();
    assert_eq!(port.port(), 41_022);
    assert_eq!(pool.in_use(), 1, "the one passed over is not kept");
    assert!(matches!(pool.bind(LOOPBACK), Err(PortError::Exhausted { .. })));
}

#[tokio::test]
async fn a_port_rests_before_it_is_given_again() {
    let pool = PortPool::new(PortRange::new(41_040, 41_047).unwrap(), 0);
    let ports: Vec<u16> = (0..5).map(|_| pool.bind(LOOPBACK).unwrap().port()).collect();
    assert_eq!(ports, [41_040, 41_042, 41_044, 41_046, 41_040]);
}

#[tokio::test]
async fn a_pool_begins_where_it_is_told_and_still_gives_every_pair() {
    let range = PortRange::new(41_080, 41_088).unwrap();
    for (start, expected) in [
        (1, [41_082, 41_084, 41_086, 41_080]),
        (3, [41_086, 41_080, 41_082, 41_084]),
        (u16::MAX, [41_086, 41_080, 41_082, 41_084]),
    ] {
        let pool = PortPool::new(range, start);
        let held: Vec<_> = (0..4).map(|_| pool.bind(LOOPBACK).unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(media::RtpPort::port).collect();
        assert_eq!(ports, expected, "{start}");
        assert!(pool.bind(LOOPBACK).is_err());
    }
    let widest = PortRange::new(1_024, u16::MAX).unwrap();
    let port = PortPool::new(widest, u16::MAX).bind(LOOPBACK).unwrap().port();
    assert!(port >= 1_024 && port.is_multiple_of(2), "{port}");
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_named() {
    let pool = PortPool::new(PortRange::new(41_060, 41_063).unwrap(), 0);
    let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
    let error = pool.bind(elsewhere).unwrap_err();
    assert_eq!(error.to_string(), "cannot bind an RTP port on 192.0.2.1");
    assert_eq!(pool.in_use(), 0);
}
