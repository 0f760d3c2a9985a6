//! Reports over real loopback sockets. Nothing is slept for: each test waits for the frames or packets themselves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use media::rtcp::{Compound, is_rtcp};
use media::{
    Codec, MasterKey, PortPool, PortRange, ReportsTo, RtpSession, RtpStats, SessionOptions, SourcePolicy,
    SrtpKeys, Suite,
};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Loopback, and nobody else's.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 77, 4));
const PATIENCE: Duration = Duration::from_secs(20);
/// So often that a test can wait for them.
const OFTEN: Duration = Duration::from_millis(60);

fn pool() -> &'static PortPool {
    static POOL: OnceLock<PortPool> = OnceLock::new();
    POOL.get_or_init(|| PortPool::new(PortRange::new(43_000, 43_099).unwrap(), 0))
}

fn options(remote: SocketAddr, reports_to: ReportsTo) -> SessionOptions {
    SessionOptions {
        codec: Codec::Pcmu,
        payload_type: 0,
        opus: media::OpusOptions::default(),
        events: None,
        remote: Some(remote),
        sending: true,
        source: SourcePolicy::SdpAddress,
        jitter_target: SessionOptions::JITTER_TARGET,
        srtp: None,
        reports_to,
        report_every: OFTEN,
    }
}

struct Running {
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Running {
    fn new() -> Self {
        Self {
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        }
    }

    fn start(&self, port: media::RtpPort, options: SessionOptions) -> RtpSession {
        RtpSession::start(port, options, &self.tasks, self.cancel.clone())
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("it ends");
    }
}

/// Two sessions that send to each other; of each what it has seen once both know how far it is.
async fn know_each_other(mux: bool, suite: Option<Suite>) -> [RtpStats; 2] {
    let running = Running::new();
    let ports = [(); 2].map(|()| pool().bind(LOOPBACK).unwrap());
    let numbers = [ports[0].port(), ports[1].port()];
    let keys = [(); 2].map(|()| MasterKey::random());
    let mut here = 0;
    let mut ends = ports.map(|port| {
        let there = 1 - here;
        let remote = SocketAddr::new(LOOPBACK, numbers[there]);
        let reports_to = if mux {
            ReportsTo::WithSound
        } else {
            ReportsTo::Address(Some(SocketAddr::new(LOOPBACK, numbers[there] + 1)))
        };
        let srtp = suite.map(|suite| SrtpKeys {
            suite,
            sending: keys[here],
            receiving: keys[there],
        });
        here += 1;
        let options = SessionOptions {
            srtp,
            ..options(remote, reports_to)
        };
        running.start(port, options)
    });
    let search = async {
        loop {
            for end in &mut ends {
                end.frames.recv().await.unwrap();
                end.sender.send_silence();
            }
            let stats = [ends[0].control.stats(), ends[1].control.stats()];
            if stats.iter().all(|stats| stats.round_trip.is_some()) {
                return stats;
            }
        }
    };
    let stats = timeout(PATIENCE, search).await.expect("they hear of each other");
    running.stop().await;
    stats
}

#[tokio::test]
async fn two_ends_tell_each_other_what_came_and_how_far_it_is() {
    let suites = [None, Some(Suite::Aes128CmSha1_80), Some(Suite::Aes128CmSha1_32)];
    for (mux, suite) in [false, true]
        .into_iter()
        .flat_map(|mux| suites.map(|suite| (mux, suite)))
    {
        for stats in know_each_other(mux, suite).await {
            println!("{mux} {suite:?}: {stats:?}");
            assert_eq!(stats.peer_lost, Some(0), "{stats:?}");
            assert!(stats.peer_jitter.is_some() && stats.reports_sent > 0, "{stats:?}");
            let odd = (
                stats.reports_refused,
                stats.packets_malformed,
                stats.packets_unauthentic,
            );
            assert_eq!(odd, (0, 0, 0), "{stats:?}");
        }
    }
}

/// The next report that comes to a socket.
async fn report(socket: &UdpSocket) -> Compound {
    let mut datagram = vec![0; 1_500];
    loop {
        let received = timeout(PATIENCE, socket.recv_from(&mut datagram)).await;
        let (length, _) = received.expect("a report").unwrap();
        if is_rtcp(&datagram[..length]) {
            return Compound::parse(&datagram[..length], 7).unwrap();
        }
    }
}

#[tokio::test]
async fn the_last_report_says_good_bye() {
    for mux in [false, true] {
        let running = Running::new();
        let sound = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        let reports = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        let (reports_to, hears) = if mux {
            (ReportsTo::WithSound, &sound)
        } else {
            let address = reports.local_addr().unwrap();
            (ReportsTo::Address(Some(address)), &reports)
        };
        let port = pool().bind(LOOPBACK).unwrap();
        let mut session = running.start(port, options(sound.local_addr().unwrap(), reports_to));
        session.sender.send(&[500; 160]);
        let first = report(hears).await;
        let sender = first.sender.expect("something was sent");
        assert_eq!((sender.packets, sender.octets), (1, 160));
        assert!(!first.is_goodbye && first.about_us.is_none(), "{first:?}");
        let second = report(hears).await;
        assert_eq!((second.sender, second.ssrc), (None, first.ssrc));
        running.stop().await;
        let goodbye = async { while !report(hears).await.is_goodbye {} };
        timeout(PATIENCE, goodbye).await.expect("a good-bye");
        session.frames.close();
    }
}

#[tokio::test]
async fn what_is_no_report_of_the_peers_is_counted_and_has_no_other_effect() {
    let running = Running::new();
    let peer = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let stranger = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
    let port = pool().bind(LOOPBACK).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port.port() + 1);
    let to = ReportsTo::Address(Some(peer.local_addr().unwrap()));
    let mut session = running.start(port, options(peer.local_addr().unwrap(), to));
    let mut good = Vec::new();
    let said = Compound {
        ssrc: 9,
        sender: None,
        about_us: None,
        is_goodbye: false,
    };
    said.write("peer", &mut good);
    stranger.send_to(&good, ours).await.unwrap();
    for datagram in [&b""[..], b"no report", &good[..9], &[0x80; 1_500], &good] {
        peer.send_to(datagram, ours).await.unwrap();
    }
    let stats = loop {
        timeout(PATIENCE, session.frames.recv()).await.unwrap().unwrap();
        let stats = session.control.stats();
        if stats.reports_received == 1 && stats.reports_refused == 5 {
            break stats;
        }
        assert!(
            stats.reports_received <= 1 && stats.reports_refused <= 5,
            "{stats:?}"
        );
    };
    assert_eq!((stats.packets_received, stats.packets_malformed), (0, 0));
    assert_eq!(session.control.since_last_packet(), None);
    running.stop().await;
}

#[tokio::test]
async fn beside_encrypted_sound_no_report_is_sent_or_taken_in_the_clear() {
    let running = Running::new();
    let peer = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = pool().bind(LOOPBACK).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port.port() + 1);
    let address = peer.local_addr().unwrap();
    let keys = SrtpKeys {
        suite: Suite::Aes128CmSha1_80,
        sending: MasterKey::random(),
        receiving: MasterKey::random(),
    };
    let options = SessionOptions {
        srtp: Some(keys),
        ..options(address, ReportsTo::Address(Some(address)))
    };
    let mut session = running.start(port, options);
    let mut plain = Vec::new();
    let said = Compound {
        ssrc: 9,
        sender: None,
        about_us: None,
        is_goodbye: false,
    };
    said.write("peer", &mut plain);
    peer.send_to(&plain, ours).await.unwrap();
    let mut datagram = vec![0; 1_500];
    let received = timeout(PATIENCE, peer.recv_from(&mut datagram)).await;
    let (length, _) = received.expect("a report").unwrap();
    assert!(Compound::parse(&datagram[..length], 9).is_err(), "in the clear");
    while session.control.stats().reports_refused == 0 {
        timeout(PATIENCE, session.frames.recv()).await.unwrap().unwrap();
    }
    assert_eq!(session.control.stats().reports_received, 0);
    running.stop().await;
}
