//! Digits over real sockets and a network that loses and overtakes: none is lost, none comes twice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use media::dtmf::Event;
use media::rtp::Packet;
use media::{
    Codec, Digit, PortPool, PortRange, ReportsTo, RtpSession, SessionOptions, SourcePolicy, TelephoneEvents,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 77, 3));
const PATIENCE: Duration = Duration::from_secs(30);
const DIGITS: &str = "1590*#AD77330021";
const LOSS: f64 = 0.05;
/// Packets that are held back until the next one has passed.
const OVERTAKEN: f64 = 0.05;
const PCMU: u8 = 0;
const EVENTS: u8 = 101;

fn pool() -> &'static PortPool {
    static POOL: OnceLock<PortPool> = OnceLock::new();
    POOL.get_or_init(|| PortPool::new(PortRange::new(43_000, 43_199).unwrap(), 0))
}

/// Sends to `to` what it does not lose.
struct Network {
    socket: UdpSocket,
    to: SocketAddr,
    chance: StdRng,
    held: Option<Vec<u8>>,
    lost: usize,
    overtaken: usize,
}

impl Network {
    async fn new(to: SocketAddr, seed: u64) -> Self {
        Self {
            socket: UdpSocket::bind((LOOPBACK, 0)).await.unwrap(),
            to,
            chance: StdRng::seed_from_u64(seed),
            held: None,
            lost: 0,
            overtaken: 0,
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    async fn carry(&mut self, datagram: &[u8]) {
        if self.chance.random_bool(LOSS) {
            self.lost += 1;
            return;
        }
        if self.held.is_none() && self.chance.random_bool(OVERTAKEN) {
            self.overtaken += 1;
            self.held = Some(datagram.to_vec());
            return;
        }
        self.socket.send_to(datagram, self.to).await.unwrap();
        if let Some(held) = self.held.take() {
            self.socket.send_to(&held, self.to).await.unwrap();
        }
    }
}

fn session(remote: SocketAddr, tasks: &TaskTracker, cancel: &CancellationToken) -> RtpSession {
    start(pool().bind(LOOPBACK).unwrap(), remote, tasks, cancel)
}

fn start(
    port: media::RtpPort,
    remote: SocketAddr,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> RtpSession {
    let options = SessionOptions {
        codec: Codec::Pcmu,
        payload_type: PCMU,
        opus: media::OpusOptions::default(),
        events: Some(TelephoneEvents {
            payload_type: EVENTS,
            clock_rate_hz: 8_000,
        }),
        remote: Some(remote),
        sending: true,
        source: SourcePolicy::SdpAddress,
        jitter_target: SessionOptions::JITTER_TARGET,
        srtp: None,
        reports_to: ReportsTo::Address(None),
        report_every: SessionOptions::REPORT_EVERY,
    };
    RtpSession::start(port, options, tasks, cancel.clone())
}

/// What has come in within half a second after the last one that was expected.
async fn digits(rtp: &mut RtpSession) -> String {
    let mut found = String::new();
    while found.len() < DIGITS.len() {
        let digit = timeout(PATIENCE, rtp.digits.recv()).await;
        let Ok(Some(digit)) = digit else { return found };
        found.push(digit.to_char());
    }
    while let Ok(Some(digit)) = timeout(Duration::from_millis(500), rtp.digits.recv()).await {
        found.push(digit.to_char());
    }
    found
}

/// A peer that presses each key for `length`, with 60 ms of sound between two, and never sets the marker bit.
async fn press(mut network: Network, length: Duration) -> (usize, usize) {
    let mut ticks = interval(Duration::from_millis(10));
    let (mut sequence, mut timestamp) = (0_u16, 0_u32);
    let mut said = |payload_type: u8, timestamp: u32, payload: &[u8]| {
        let mut datagram = Vec::new();
        Packet {
            marker: false,
            payload_type,
            sequence,
            timestamp,
            ssrc: 7,
            payload,
        }
        .write(&mut datagram);
        sequence = sequence.wrapping_add(1);
        datagram
    };
    let ticks_of_digit = length.as_millis() as u32 / 10;
    for digit in DIGITS.chars() {
        let code = Digit::from_char(digit).unwrap().code();
        for at in 1..=ticks_of_digit {
            ticks.tick().await;
            let end = at == ticks_of_digit;
            if at % 2 == 1 && !end {
                continue;
            }
            let event = Event {
                code,
                end,
                volume: 10,
                duration: (at * 80) as u16,
            };
            for _ in 0..if end { 3 } else { 1 } {
                let datagram = said(EVENTS, timestamp, &event.bytes());
                network.carry(&datagram).await;
            }
        }
        timestamp += ticks_of_digit * 80;
        for at in 0..6 {
            ticks.tick().await;
            if at % 2 == 0 {
                let datagram = said(PCMU, timestamp, &[0xFF; 160]);
                network.carry(&datagram).await;
                timestamp += 160;
            }
        }
    }
    (network.lost, network.overtaken)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_digits_of_50_to_250_ms_come_in_whatever_the_network_does() {
    let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
    let mut peers = JoinSet::new();
    for seed in 0..4_u64 {
        for length_ms in [50, 80, 120, 180, 250] {
            let port = pool().bind(LOOPBACK).unwrap();
            let to = SocketAddr::new(LOOPBACK, port.port());
            let network = Network::new(to, seed * 1_000 + length_ms).await;
            let mut rtp = start(port, network.address(), &tasks, &cancel);
            peers.spawn(async move {
                let pressing = press(network, Duration::from_millis(length_ms));
                let (faults, found) = tokio::join!(pressing, digits(&mut rtp));
                (length_ms, faults, found)
            });
        }
    }
    let mut faults = (0, 0);
    while let Some(done) = peers.join_next().await {
        let (length_ms, (lost, overtaken), found) = done.unwrap();
        faults = (faults.0 + lost, faults.1 + overtaken);
        assert_eq!(found, DIGITS, "keys pressed for {length_ms} ms");
    }
    println!("320 digits, {} packets lost, {} overtaken", faults.0, faults.1);
    assert!(
        faults.0 > 100 && faults.1 > 100,
        "the network was too good: {faults:?}"
    );
    cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_digits_of_ours_arrive_whatever_the_network_does() {
    let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
    let mut peers = JoinSet::new();
    for seed in 0..4 {
        let port = pool().bind(LOOPBACK).unwrap();
        let to = SocketAddr::new(LOOPBACK, port.port());
        let mut network = Network::new(to, seed).await;
        let mut there = start(port, network.address(), &tasks, &cancel);
        let mut here = session(network.address(), &tasks, &cancel);
        for digit in DIGITS.chars() {
            here.sender.press(Digit::from_char(digit).unwrap()).unwrap();
        }
        let stop = cancel.child_token();
        peers.spawn(async move {
            let carried = stop.clone();
            let carry = async {
                let mut datagram = vec![0; 1_500];
                loop {
                    let (length, _) = network.socket.recv_from(&mut datagram).await.unwrap();
                    network.carry(&datagram[..length]).await;
                }
            };
            let say = async {
                let mut ticks = interval(audio::FRAME);
                loop {
                    ticks.tick().await;
                    here.sender.send_silence();
                }
            };
            let found = async {
                let found = digits(&mut there).await;
                stop.cancel();
                found
            };
            let (found, _, _) = tokio::join!(
                found,
                carried.run_until_cancelled(carry),
                carried.run_until_cancelled(say)
            );
            found
        });
    }
    while let Some(found) = peers.join_next().await {
        assert_eq!(found.unwrap(), DIGITS);
    }
    cancel.cancel();
}
