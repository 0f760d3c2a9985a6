//! Sessions over real loopback sockets. Nothing is slept for: each test waits for the frames or packets
//! themselves.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use audio::{correlate, tone::Tone};
use media::{
    Codec, Digit, FrameKind, MasterKey, PortPool, PortRange, ReportsTo, RtpSession, SessionOptions,
    SourcePolicy, SrtpKeys, Suite,
    rtp::Packet,
    sdp::{self, LocalMedia},
};
use tokio::{net::UdpSocket, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Loopback, and nobody else's: on 127.0.0.1 other programs come and go.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 77, 2));
/// Longer than any test takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One pool for all tests, so that they do not take each other's ports.
fn pool() -> &'static PortPool {
    static POOL: OnceLock<PortPool> = OnceLock::new();
    POOL.get_or_init(|| PortPool::new(PortRange::new(42_000, 42_199).unwrap(), 0))
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

    async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait())
            .await
            .expect("the task ends when it is cancelled");
    }
}

fn options(codec: Codec, remote: Option<SocketAddr>) -> SessionOptions {
    SessionOptions {
        codec,
        payload_type: media::sdp::offered_payload_type(codec),
        opus: media::OpusOptions::default(),
        events: Some(media::TelephoneEvents {
            payload_type: 101,
            clock_rate_hz: codec.clock_rate_hz(),
        }),
        remote,
        sending: true,
        source: SourcePolicy::SdpAddress,
        jitter_target: Duration::from_millis(40),
        srtp: None,
        reports_to: ReportsTo::Address(None),
        report_every: SessionOptions::REPORT_EVERY,
    }
}

/// A peer that is only a socket.
async fn bare_peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut datagram = vec![0; 1_500];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut datagram))
        .await
        .expect("a packet")
        .unwrap();
    datagram.truncate(length);
    datagram
}

fn packet(sequence: u16, payload_type: u8, ssrc: u32) -> Vec<u8> {
    let mut datagram = Vec::new();
    let timestamp = u32::from(sequence) * 160;
    Packet {
        marker: false,
        payload_type,
        sequence,
        timestamp,
        ssrc,
        payload: &[0x55; 160],
    }
    .write(&mut datagram);
    datagram
}

/// A call between two sessions that agreed by SDP: a second of sound one way, and digits.
#[tokio::test]
async fn two_sessions_that_agreed_by_sdp_hear_each_other() {
    for codecs in [&[Codec::G722][..], &[Codec::Pcmu], &[Codec::Pcma]] {
        let running = Running::new();
        let (caller_port, callee_port) = (pool().bind(LOOPBACK).unwrap(), pool().bind(LOOPBACK).unwrap());
        let local = |port: u16| LocalMedia {
            address: LOOPBACK,
            port,
            codecs,
            session_id: 1,
            version: 1,
            srtp: None,
        };
        let caller = local(caller_port.port());
        let (answer, callee) =
            sdp::answer(sdp::make_offer(&caller).as_bytes(), &local(callee_port.port())).unwrap();
        let caller = sdp::parse_answer(answer.as_bytes(), &caller).unwrap();
        let start = |port, agreed| {
            RtpSession::start(
                port,
                SessionOptions::from(&agreed),
                &running.tasks,
                running.cancel.clone(),
            )
        };
        let (mut caller, mut callee) = (start(caller_port, caller), start(callee_port, callee));

        let codec = caller.sender.codec();
        let sent: Vec<i16> = (0..50)
            .flat_map(|n| {
                let hz = 300.0 + 37.0 * f64::from(n * n % 61);
                Tone::new(hz, codec.sample_rate_hz(), 8_000).take(codec.frame_samples())
            })
            .collect();
        for digit in "42".chars() {
            callee.sender.press(Digit::from_char(digit).unwrap()).unwrap();
        }
        let (mut heard, mut frames) = (Vec::new(), sent.chunks(codec.frame_samples()));
        // Both are paced by the frames that they get, as in a gateway.
        for _ in 0..65 {
            let frame = timeout(PATIENCE, callee.frames.recv())
                .await
                .expect("a frame every 20 ms")
                .unwrap();
            heard.extend_from_slice(&frame);
            callee.sender.send_silence();
            timeout(PATIENCE, caller.frames.recv())
                .await
                .expect("a frame every 20 ms")
                .unwrap();
            caller.sender.send(frames.next().unwrap_or_default());
        }
        let found = correlate::best_lag(&sent, &heard, codec.sample_rate_hz() as usize / 4);
        assert!(found.coefficient > 0.9, "{codec:?}: {found:?}");
        let digits: Vec<_> = [caller.digits.recv().await, caller.digits.recv().await]
            .into_iter()
            .flatten()
            .map(Digit::to_char)
            .collect();
        assert_eq!(digits, ['4', '2']);
        let stats = callee.control.stats();
        assert_eq!(
            (
                stats.packets_malformed,
                stats.packets_foreign,
                stats.packets_unexpected
            ),
            (0, 0, 0)
        );
        assert!(
            stats.packets_sent >= 65 && stats.packets_received >= 60,
            "{stats:?}"
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn frames_come_without_packets_and_only_the_peers_packets_count() {
    let running = Running::new();
    let (peer, address) = bare_peer().await;
    let port = pool().bind(LOOPBACK).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port.port());
    let mut session = RtpSession::start(
        port,
        options(Codec::Pcmu, Some(address)),
        &running.tasks,
        running.cancel.clone(),
    );
    let frame = timeout(PATIENCE, session.frames.recv()).await.unwrap().unwrap();
    assert_eq!((frame.kind(), frame.len()), (FrameKind::Silence, 160));
    assert_eq!(session.control.since_last_packet(), None);

    let stranger = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
    stranger.send_to(&packet(1, 0, 9), ours).await.unwrap();
    peer.send_to(b"not RTP at all", ours).await.unwrap();
    for n in 0..5 {
        peer.send_to(&packet(n, 0, 7), ours).await.unwrap();
    }
    loop {
        let frame = timeout(PATIENCE, session.frames.recv())
            .await
            .expect("sound in time")
            .unwrap();
        if frame.kind() == FrameKind::Received {
            break;
        }
    }
    let stats = session.control.stats();
    assert_eq!(
        (
            stats.packets_received,
            stats.packets_foreign,
            stats.packets_malformed
        ),
        (5, 1, 1)
    );
    assert!(session.control.since_last_packet().unwrap() < PATIENCE);
    running.stop().await;
}

#[tokio::test]
async fn symmetric_rtp_answers_where_the_packets_come_from() {
    let running = Running::new();
    let (peer, _) = bare_peer().await;
    let port = pool().bind(LOOPBACK).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port.port());
    // The SDP names an address behind NAT that nobody can reach.
    let behind_nat = "127.9.9.9:9".parse().unwrap();
    let options = SessionOptions {
        source: SourcePolicy::Symmetric,
        ..options(Codec::Pcma, Some(behind_nat))
    };
    let mut session = RtpSession::start(port, options, &running.tasks, running.cancel.clone());
    peer.send_to(&packet(1, 8, 7), ours).await.unwrap();
    while session.control.since_last_packet().is_none() {
        timeout(PATIENCE, session.frames.recv()).await.unwrap().unwrap();
    }
    session.sender.send(&[1_000; 160]);
    let datagram = received(&peer).await;
    let packet = Packet::parse(&datagram).unwrap();
    assert_eq!(
        (packet.payload_type, packet.payload.len(), packet.marker),
        (8, 160, true)
    );
    running.stop().await;
}

#[tokio::test]
async fn a_held_call_sends_nothing_and_its_time_passes() {
    let running = Running::new();
    let (peer, address) = bare_peer().await;
    let port = pool().bind(LOOPBACK).unwrap();
    let mut session = RtpSession::start(
        port,
        options(Codec::Pcmu, Some(address)),
        &running.tasks,
        running.cancel.clone(),
    );
    session.sender.send_silence();
    session.control.update(None, false);
    for _ in 0..10 {
        session.sender.send_silence();
    }
    session.control.update(Some(address), true);
    session.sender.send_silence();
    let (first, second) = (received(&peer).await, received(&peer).await);
    let (first, second) = (Packet::parse(&first).unwrap(), Packet::parse(&second).unwrap());
    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(11 * 160));
    assert!(second.marker, "the first packet after a pause");
    running.stop().await;
}

#[tokio::test]
async fn a_reader_that_sleeps_loses_frames_and_the_session_lives() {
    let running = Running::new();
    let port = pool().bind(LOOPBACK).unwrap();
    let session = RtpSession::start(
        port,
        options(Codec::Pcmu, None),
        &running.tasks,
        running.cancel.clone(),
    );
    let overflow = async {
        while session.control.stats().frames_dropped < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, overflow)
        .await
        .expect("frames are dropped, not queued without end");
    assert_eq!(session.frames.len(), 10);
    running.stop().await;
}

#[tokio::test]
async fn the_port_is_free_when_the_session_and_its_sender_are_gone() {
    let running = Running::new();
    let port = pool().bind(LOOPBACK).unwrap();
    let number = port.port();
    let session = RtpSession::start(
        port,
        options(Codec::Pcmu, None),
        &running.tasks,
        running.cancel.clone(),
    );
    assert!(UdpSocket::bind((LOOPBACK, number)).await.is_err());
    running.stop().await;
    drop(session);
    assert!(UdpSocket::bind((LOOPBACK, number)).await.is_ok());
}

/// In virtual time: the socket stays silent, and only the clock moves.
#[tokio::test(start_paused = true)]
async fn the_media_timeout_counts_from_the_start_and_then_from_the_last_packet() {
    let running = Running::new();
    let (peer, address) = bare_peer().await;
    let port = pool().bind(LOOPBACK).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port.port());
    let mut session = RtpSession::start(
        port,
        options(Codec::Pcmu, Some(address)),
        &running.tasks,
        running.cancel.clone(),
    );
    let (first, later) = (Duration::from_secs(30), Duration::from_secs(15));
    let started = tokio::time::Instant::now();
    session.control.media_timeout(first, later).await;
    assert!(
        (30_000..30_010).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );

    peer.send_to(&packet(1, 0, 7), ours).await.unwrap();
    while session.control.since_last_packet().is_none() {
        session.frames.recv().await.unwrap();
    }
    let last = tokio::time::Instant::now() - session.control.since_last_packet().unwrap();
    session.control.media_timeout(first, later).await;
    assert!(
        (15_000..15_010).contains(&last.elapsed().as_millis()),
        "{:?}",
        last.elapsed()
    );
    running.stop().await;
}

/// In virtual time: the machine stands still for 100 ms while packets come in.
#[tokio::test(start_paused = true)]
async fn after_a_stall_the_packets_of_that_time_are_played_and_none_is_concealed() {
    let running = Running::new();
    let peer = std::net::UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let port = pool().bind(LOOPBACK).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port.port());
    let options = options(Codec::Pcmu, Some(peer.local_addr().unwrap()));
    let mut session = RtpSession::start(port, options, &running.tasks, running.cancel.clone());
    let mut kinds = Vec::new();
    for n in 0..20 {
        peer.send_to(&packet(n, 0, 7), ours).unwrap();
        kinds.push(session.frames.recv().await.unwrap().kind());
    }
    for n in 20..25 {
        peer.send_to(&packet(n, 0, 7), ours).unwrap();
    }
    tokio::time::advance(Duration::from_millis(100)).await;
    for _ in 0..5 {
        kinds.push(session.frames.recv().await.unwrap().kind());
    }
    assert!(
        kinds[5..].iter().all(|kind| *kind == FrameKind::Received),
        "{kinds:?}"
    );
    running.stop().await;
}

/// Two encrypted sessions with a relay between them, that changes a packet, sends one twice and one in the clear.
#[tokio::test]
async fn of_an_encrypted_stream_only_what_is_authentic_and_new_is_heard() {
    let (running, relay) = (Running::new(), bare_peer().await);
    let (here, there) = (MasterKey::random(), MasterKey::random());
    let start = |sending, receiving| {
        let port = pool().bind(LOOPBACK).unwrap();
        let address = SocketAddr::new(LOOPBACK, port.port());
        let options = SessionOptions {
            srtp: Some(SrtpKeys {
                suite: Suite::Aes128CmSha1_80,
                sending,
                receiving,
            }),
            ..options(Codec::Pcmu, Some(relay.1))
        };
        let session = RtpSession::start(port, options, &running.tasks, running.cancel.clone());
        (session, address)
    };
    let ((mut caller, _), (mut callee, to_callee)) = (start(here, there), start(there, here));
    let relay = relay.0;
    let mut pass = async |change: &dyn Fn(&mut Vec<u8>)| {
        caller.sender.send(&[2_000; 160]);
        let mut datagram = received(&relay).await;
        assert_eq!(datagram.len(), 12 + 160 + 10);
        change(&mut datagram);
        relay.send_to(&datagram, to_callee).await.unwrap();
        datagram
    };
    let last = pass(&|_| {}).await;
    relay.send_to(&last, to_callee).await.unwrap();
    pass(&|datagram| datagram[40] ^= 1).await;
    let plain = packet(9, 0, 7);
    relay.send_to(&plain, to_callee).await.unwrap();
    pass(&|_| {}).await;
    let mut heard = false;
    let stats = loop {
        let frame = timeout(PATIENCE, callee.frames.recv()).await.unwrap().unwrap();
        heard |= frame.kind() == FrameKind::Received && frame.iter().any(|sample| *sample > 1_500);
        let stats = callee.control.stats();
        if heard && stats.packets_received == 2 {
            break stats;
        }
    };
    assert_eq!(
        (
            stats.packets_unauthentic,
            stats.packets_replayed,
            stats.packets_malformed
        ),
        (2, 1, 0)
    );

    // Who has got another key is heard by it.
    let other = MasterKey::random();
    callee.control.rekey(other);
    pass(&|_| {}).await;
    while callee.control.stats().packets_unauthentic < 3 {
        timeout(PATIENCE, callee.frames.recv()).await.unwrap();
    }
    running.stop().await;
}
