//! A call beside somebody who sends as fast as he can.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use caller::{Call, CallerConfig};
use service::Timeouts;
use sip::Refusal;
use sip::admission::Limits;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, SOON, place};
use crate::speech::babble;

const PER_SECOND: u32 = 30_000;
const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// How long each part is watched: without the flood, and with it.
const WATCHED: Duration = Duration::from_secs(4);
/// What an answer may take beside the flood: the first repeat of a request is due after it (RFC 3261 §17.1.2.2).
const T1: Duration = Duration::from_millis(500);
/// What a phone's jitter buffer may be asked to bridge.
const GAP: Duration = Duration::from_millis(200);

fn options(me: SocketAddr, there: SocketAddr, n: u32) -> String {
    format!(
        "OPTIONS sip:{there} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{me}>;tag={n}\r\nTo: <sip:{there}>\r\nCall-ID: {n}@{me}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Sends until told to stop; how many there were.
async fn flood(there: SocketAddr, over: CancellationToken) -> u32 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    socket.set_nonblocking(true).expect("set");
    let me = socket.local_addr().expect("bound");
    let mut ticks = interval(Duration::from_millis(1));
    let mut sent = 0;
    while !over.is_cancelled() {
        ticks.tick().await;
        for _ in 0..PER_SECOND / 1_000 {
            // A full buffer loses one: it is no fewer for the gateway than it could take.
            let _ = socket.send_to(options(me, there, sent).as_bytes(), there);
            sent += 1;
        }
    }
    sent
}

/// What the good caller sees for a while.
#[derive(Debug)]
struct Seen {
    /// How long OPTIONS took to be answered.
    answers: Vec<Duration>,
    unanswered: usize,
    frames: usize,
    longest_gap: Duration,
}

impl Seen {
    async fn watch(call: &Call, there: SocketAddr) -> Self {
        let from = call.invited_at().elapsed();
        let socket = tokio::net::UdpSocket::bind((GOOD, 0)).await.expect("bound");
        let me = socket.local_addr().expect("bound");
        let (mut answers, mut unanswered) = (Vec::new(), 0);
        let (end, mut ticks) = (Instant::now() + WATCHED, interval(Duration::from_millis(50)));
        let mut buffer = vec![0; 2_000];
        for n in 0.. {
            ticks.tick().await;
            if Instant::now() >= end {
                break;
            }
            let asked = Instant::now();
            socket
                .send_to(options(me, there, n).as_bytes(), there)
                .await
                .expect("sent");
            let ours = format!("Call-ID: {n}@{me}\r\n");
            let answer = async {
                loop {
                    let (length, _) = socket.recv_from(&mut buffer).await.expect("received");
                    if String::from_utf8_lossy(&buffer[..length]).contains(&ours) {
                        return;
                    }
                }
            };
            match timeout(T1, answer).await {
                Ok(()) => answers.push(asked.elapsed()),
                Err(_) => unanswered += 1,
            }
        }
        let arrivals = call.received().arrivals;
        let times: Vec<_> = arrivals
            .iter()
            .map(|arrival| arrival.at)
            .filter(|at| *at >= from)
            .collect();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        answers.sort_unstable();
        Self {
            unanswered,
            frames: times.len(),
            longest_gap: gaps.max().unwrap_or(Duration::MAX),
            answers,
        }
    }

    fn print(&self, what: &str) {
        let (p50, most) = (
            self.answers[self.answers.len() / 2],
            self.answers[self.answers.len() - 1],
        );
        println!(
            "{what}: OPTIONS of another address answered in p50 {p50:.1?}, most {most:.1?}, {} of {} not within {T1:?}; {} frames heard, longest gap {:.1?}",
            self.unanswered,
            self.answers.len() + self.unanswered,
            self.frames,
            self.longest_gap
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_thousand_options_a_second_from_one_source_do_not_disturb_a_call_from_another() {
    let fixture = Fixture::alone(Timeouts::default(), Limits::default()).await;
    let there = fixture.gateway.local_addr();
    let call = place(CallerConfig {
        local: GOOD,
        ..fixture.caller()
    })
    .await;
    call.wait_ringing(SOON).await.expect("ringing");
    let mut agent = Agent::join(&fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    agent.wait_for(Noticed::Status("active".into())).await;
    let spoken = babble(14);
    let watched = async {
        sleep(Duration::from_secs(1)).await;
        let quiet = Seen::watch(&call, there).await;
        let over = CancellationToken::new();
        let begun = Instant::now();
        let (sent, flooded) = tokio::join!(flood(there, over.clone()), async {
            let flooded = Seen::watch(&call, there).await;
            over.cancel();
            flooded
        });
        (quiet, flooded, f64::from(sent) / begun.elapsed().as_secs_f64())
    };
    let (said, (quiet, flooded, rate)) = tokio::join!(call.speak(&spoken), watched);
    said.expect("spoken");
    let dropped = fixture.gateway.stats().sip.refusals.of(Refusal::TooFast);
    quiet.print("quiet");
    flooded.print("beside the flood");
    println!("{rate:.0} OPTIONS/s were sent, {dropped} dropped unread");
    assert!(rate > f64::from(PER_SECOND) / 2.0, "{rate}: no flood");
    assert!(dropped > u64::from(PER_SECOND), "{dropped} dropped");
    // What a burst pushes out of the socket's buffer is repeated by whoever sent it.
    let asked = flooded.answers.len() + flooded.unanswered;
    assert!(
        flooded.unanswered * 20 <= asked,
        "{} of {asked} unanswered",
        flooded.unanswered
    );
    let p50 = flooded.answers[flooded.answers.len() / 2];
    assert!(p50 <= Duration::from_millis(50), "{p50:?}");
    assert!(
        flooded.longest_gap <= GAP.max(quiet.longest_gap * 2),
        "{:?}",
        flooded.longest_gap
    );
    assert!(
        flooded.frames * 100 >= quiet.frames * 97,
        "{} frames",
        flooded.frames
    );
    call.hang_up().await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;
    fixture.stop().await;
}
