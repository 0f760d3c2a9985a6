//! Sound that comes to a call's port from somebody who is not the caller.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use caller::{CallerConfig, Codec};
use media::rtp::Packet;
use service::Timeouts;
use sip::admission::Limits;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::agent::{Agent, Noticed, RATE};
use crate::fixture::{Fixture, SOON, place};
use crate::logs;
use crate::speech::{at_rate, babble, found_in, noise};

/// Ticks of a stranger between two packets.
const PHONES_PACE: usize = 10;

/// Sends valid RTP to where a call might be: at a phone's pace to every port of the gateway, and at its own to one that it aims at.
struct Stranger {
    aim: Arc<AtomicU16>,
    _task: JoinSet<()>,
}

impl Stranger {
    fn start(from: Ipv4Addr, all: RangeInclusive<u16>, codec: Codec, pace: usize) -> Self {
        let socket = UdpSocket::bind((from, 0)).expect("bound");
        socket.set_nonblocking(true).expect("set");
        let aim = Arc::new(AtomicU16::new(0));
        let mut task = JoinSet::new();
        task.spawn(flood(socket, all, codec, pace, Arc::clone(&aim)));
        Self { aim, _task: task }
    }

    fn aim_at(&self, port: u16) {
        self.aim.store(port, Ordering::Relaxed);
    }
}

async fn flood(socket: UdpSocket, all: RangeInclusive<u16>, codec: Codec, pace: usize, aim: Arc<AtomicU16>) {
    let sound = at_rate(&noise(10), codec.sample_rate_hz());
    let mut encoder = audio::Encoder::new(codec);
    let mut ticks = interval(Duration::from_millis(2));
    for (n, frame) in (0_u16..).zip(sound.chunks_exact(codec.frame_samples()).cycle()) {
        let (mut payload, mut datagram) = (Vec::new(), Vec::new());
        encoder.encode(frame, &mut payload);
        Packet {
            marker: false,
            payload_type: media::sdp::offered_payload_type(codec),
            sequence: n,
            timestamp: u32::from(n) * codec.frame_ticks(),
            ssrc: 0xdead_beef,
            payload: &payload,
        }
        .write(&mut datagram);
        let (ports, ticks_between) = match aim.load(Ordering::Relaxed) {
            0 => (all.clone(), PHONES_PACE),
            port => (port..=port, pace),
        };
        for port in ports.step_by(2) {
            // A closed port says so later, and a full buffer loses a packet: both are all the same to a stranger.
            let _ = socket.send_to(&datagram, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        for _ in 0..ticks_between {
            ticks.tick().await;
        }
    }
}

/// The port that the gateway wants the caller's RTP at.
fn rtp_port(call: &caller::Call) -> u16 {
    let trace = call.trace();
    let is_answer = |text: &&str| text.starts_with("SIP/2.0 200") && text.contains("CSeq: 1 INVITE");
    let mut texts = trace.iter().map(|message| message.text.as_str());
    let answer = texts.find(is_answer).expect("answered");
    let mut media = answer.lines().filter_map(|line| line.strip_prefix("m=audio "));
    let port = media.next().and_then(|rest| rest.split(' ').next());
    port.expect("an audio section").parse().expect("a port")
}

async fn only_the_caller_is_heard(codec: Codec) {
    let fixture = Fixture::alone(Timeouts::default(), Limits::default()).await;
    // One at the address that the caller's SDP names, at another port, who would be understood; one from elsewhere, who floods.
    let strangers = [
        Stranger::start(Ipv4Addr::LOCALHOST, fixture.rtp.range(), codec, PHONES_PACE),
        Stranger::start(Ipv4Addr::new(127, 0, 0, 3), fixture.rtp.range(), codec, 1),
    ];
    let call = place(CallerConfig {
        codecs: vec![codec],
        ..fixture.caller()
    })
    .await;
    call.wait_ringing(SOON).await.expect("ringing");
    let mut agent = Agent::join(&fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    agent.wait_for(Noticed::Status("active".into())).await;
    let port = rtp_port(&call);
    for stranger in &strangers {
        stranger.aim_at(port);
    }
    let spoken = babble(3);
    call.speak(&spoken).await.expect("spoken");
    sleep(Duration::from_millis(700)).await;
    let heard = agent.heard();
    call.hang_up().await;
    agent.wait_for(Noticed::Status("hangup".into())).await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;

    let caller = found_in(&spoken, &heard, RATE);
    let stranger = found_in(&noise(10), &heard, RATE);
    println!("{codec:?}: of the caller {caller:.2?}, of the strangers {stranger:.2?}");
    let good = caller
        .iter()
        .filter(|(coefficient, _)| *coefficient >= 0.8)
        .count();
    assert!(good * 5 >= caller.len() * 4, "the caller is not heard");
    let most = stranger
        .iter()
        .map(|(coefficient, _)| *coefficient)
        .fold(0.0, f64::max);
    assert!(most < 0.3, "strangers are heard");
    let foreign = logs::last_number("what the call's sound saw", "packets_foreign");
    println!("{codec:?}: {foreign} packets of strangers were dropped");
    // Some 550 a second, for three seconds and more; less where the machine was late.
    assert!(foreign > 500, "{foreign}");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_a_calls_port_are_not_heard_in_the_room_by_g722() {
    only_the_caller_is_heard(Codec::G722).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_a_calls_port_are_not_heard_in_the_room_by_pcmu() {
    only_the_caller_is_heard(Codec::Pcmu).await;
}
