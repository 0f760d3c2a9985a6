//! More calls than can be served, from one that wants no call at all.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use caller::CallerConfig;
use service::Timeouts;
use sip::Refusal;
use sip::admission::Limits;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::fixture::{Fixture, SOON, place};
use crate::handles::Handles;

/// Where the flood goes: every call to it has a room of its own, where no agent ever comes.
const FLOODED: &str = "+15550199";
const INVITES: u32 = 300;
const SHARE: usize = 6;

/// What the flood got for answers.
#[derive(Debug, Default)]
struct Answers {
    trying: u32,
    unavailable: u32,
    other: Vec<String>,
    /// The first refusal of each call that rang: what an ACK needs.
    refusals: Vec<String>,
}

struct Flood {
    socket: UdpSocket,
    gateway: SocketAddr,
    answers: Answers,
}

impl Flood {
    async fn new(gateway: SocketAddr) -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").await.expect("bound"),
            gateway,
            answers: Answers::default(),
        }
    }

    /// Sends the INVITEs, each as soon as the one before has its first answer, and acknowledges nothing.
    async fn run(mut self) -> Self {
        for n in 0..INVITES {
            let invite = self.message("INVITE", n, &format!("<sip:{FLOODED}@{}>", self.gateway));
            self.send(&invite).await;
            let first = self.receive(&format!("Call-ID: flood-{n}\r\n")).await;
            let status = first.split(' ').nth(1).unwrap_or_default().to_owned();
            match status.as_str() {
                // On a busy machine the call may ring before its 100 is sent.
                "100" | "180" => self.answers.trying += 1,
                "503" => self.answers.unavailable += 1,
                _ => self.answers.other.push(first),
            }
            // As fast as one source may be.
            sleep(Duration::from_millis(6)).await;
        }
        self
    }

    /// Acknowledges what was refused after it had rung, at last.
    async fn acknowledge(&mut self) {
        let refusals = std::mem::take(&mut self.answers.refusals);
        for refusal in refusals {
            let header = |name: &str| {
                let line = refusal.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().to_owned()
            };
            let n = header("Call-ID: flood-").parse().expect("ours");
            let ack = self.message("ACK", n, &header("To: "));
            self.send(&ack).await;
        }
    }

    /// The next answer with `part` in it; notes refusals on the way.
    async fn receive(&mut self, part: &str) -> String {
        let search = async {
            let mut buffer = vec![0; 9_000];
            loop {
                let (length, _) = self.socket.recv_from(&mut buffer).await.expect("received");
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if message.starts_with("SIP/2.0 480") {
                    self.answers.refusals.push(message.clone());
                }
                if message.contains(part) {
                    return message;
                }
            }
        };
        timeout(SOON, search).await.expect("an answer")
    }

    async fn send(&self, message: &str) {
        let sent = self.socket.send_to(message.as_bytes(), self.gateway).await;
        sent.expect("sent");
    }

    fn message(&self, method: &str, n: u32, to: &str) -> String {
        let (me, gateway) = (self.socket.local_addr().expect("bound"), self.gateway);
        let body = if method == "INVITE" {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
        } else {
            ""
        };
        format!(
            "{method} sip:{FLOODED}@{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-flood-{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+1555200{n:04}@{me}>;tag=flood\r\nTo: {to}\r\nCall-ID: flood-{n}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:flood@{me}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// The most that there was at a time.
#[derive(Debug, Default)]
struct Peak {
    calls: usize,
    ringing: usize,
    rtp_ports: usize,
    transactions: usize,
    files: usize,
    resident_kb: u64,
}

impl Peak {
    /// Looks every 5 ms until cancelled.
    async fn watch(fixture: &Fixture, until: CancellationToken) -> Self {
        let mut peak = Self::default();
        while !until.is_cancelled() {
            let (stats, handles) = (fixture.gateway.stats(), Handles::count());
            peak.calls = peak.calls.max(stats.calls);
            peak.ringing = peak.ringing.max(stats.sip.ringing);
            peak.rtp_ports = peak.rtp_ports.max(stats.rtp_ports);
            peak.transactions = peak.transactions.max(stats.sip.transactions);
            peak.files = peak.files.max(handles.files);
            peak.resident_kb = peak.resident_kb.max(handles.resident_kb);
            sleep(Duration::from_millis(5)).await;
        }
        peak
    }
}

/// A caller from another address than the flood's gets through to an agent, and hangs up.
async fn a_good_call(fixture: &Fixture) -> Duration {
    let start = Instant::now();
    let call = place(CallerConfig {
        local: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        ..fixture.caller()
    })
    .await;
    call.wait_ringing(SOON).await.expect("ringing");
    let agent = Agent::join(fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    let took = start.elapsed();
    call.hang_up().await;
    agent.leave().await;
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_source_is_held_down_and_others_are_served_meanwhile() {
    let timeouts = Timeouts {
        no_agent: Duration::from_secs(2),
        ..Timeouts::default()
    };
    let limits = Limits {
        ringing: SHARE + 2,
        ringing_per_source: SHARE,
        ..Limits::default()
    };
    let fixture = Fixture::alone(timeouts, limits).await;
    fixture.rooms(FLOODED).await;
    // What the first call needs once and for all.
    a_good_call(&fixture).await;
    fixture.released().await;
    let before = Handles::count();

    let over = CancellationToken::new();
    let flood = Flood::new(fixture.gateway.local_addr()).await;
    let flooded = async {
        let (flood, took) = tokio::join!(flood.run(), async {
            // In the midst of it.
            while fixture.gateway.stats().sip.refusals.of(Refusal::SourceRinging) < 20 {
                sleep(Duration::from_millis(5)).await;
            }
            a_good_call(&fixture).await
        });
        over.cancel();
        (flood, took)
    };
    let ((mut flood, took), peak) = tokio::join!(flooded, Peak::watch(&fixture, over.clone()));
    println!("before: {before:?}; at most: {peak:?}; the good call was answered after {took:?}");
    let answers = &flood.answers;
    assert!(answers.other.is_empty(), "{:?}", answers.other);
    println!(
        "{} calls rang, {} were refused at once",
        answers.trying, answers.unavailable
    );
    assert_eq!(answers.trying + answers.unavailable, INVITES);
    assert!(answers.trying >= 6, "the source has its share");

    let most = SHARE + 1;
    assert!(
        peak.ringing <= most && peak.calls <= most && peak.rtp_ports <= most,
        "{peak:?}"
    );
    // Three sockets for RTP and RTCP, and what WebRTC needs; twice that for the good call and its agent.
    assert!(
        peak.files <= before.files + 10 * (most + 2),
        "{before:?}, then {peak:?}"
    );
    // Those that rang; the others never became any.
    let transactions = usize::try_from(answers.trying).expect("few") + 20;
    assert!(peak.transactions <= transactions, "{peak:?}");

    // The last ones ring out.
    let deadline = Instant::now() + timeouts.no_agent + SOON;
    while fixture.gateway.stats().sip.ringing > 0 {
        assert!(Instant::now() < deadline, "{:?}", fixture.gateway.stats());
        sleep(Duration::from_millis(20)).await;
    }
    fixture.released().await;
    flood.receive("SIP/2.0 480").await;
    flood.acknowledge().await;
    let after = Handles::count();
    println!("after: {after:?}");
    // The server's connections come and go, and the API client keeps four.
    assert!(after.files <= before.files + 7, "{before:?}, then {after:?}");
    a_good_call(&fixture).await;
    fixture.released().await;
    fixture.stop().await;
}
