//! A SIP phone of the test's own hand, for what the synthetic caller does not do: digits, re-INVITE, SRTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use media::sdp::{self, LocalMedia, LocalSrtp, Negotiated};
use media::{Codec, MasterKey, PortPool, PortRange, RtpSession, SessionOptions, Suite};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fixture::{FROM, NUMBER};

/// So often that a test can wait for its reports.
const REPORT_EVERY: Duration = Duration::from_millis(200);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a phone offers.
pub(crate) struct Offering {
    pub(crate) codecs: Vec<Codec>,
    /// Keys for SRTP, if it has that; they are required.
    pub(crate) keys: Vec<(Suite, MasterKey)>,
    /// Whether RTCP may come beside its sound.
    pub(crate) mux: bool,
}

impl Offering {
    pub(crate) fn plain(codec: Codec) -> Self {
        Self {
            codecs: vec![codec],
            keys: Vec::new(),
            mux: false,
        }
    }

    pub(crate) fn encrypted(codec: Codec, suite: Suite) -> Self {
        Self {
            codecs: vec![codec],
            keys: vec![(suite, MasterKey::random())],
            mux: false,
        }
    }
}

pub(crate) struct Phone {
    offering: Offering,
    socket: UdpSocket,
    server: SocketAddr,
    ports: PortPool,
    port: Option<media::RtpPort>,
    /// The 200, for the dialog's tags.
    pub(crate) ok: String,
    tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl Phone {
    /// Sends the INVITE, offering PCMU.
    pub(crate) async fn dial(server: SocketAddr) -> Self {
        Self::dial_offering(server, Offering::plain(Codec::Pcmu)).await
    }

    /// Sends the INVITE.
    pub(crate) async fn dial_offering(server: SocketAddr, offering: Offering) -> Self {
        let ports = PortPool::new(PortRange::new(25_000, 25_019).expect("a range"), 0);
        let port = ports.bind(LOOPBACK).expect("a port");
        let phone = Self {
            offering,
            socket: UdpSocket::bind("127.0.0.1:0").await.expect("bound"),
            server,
            ports,
            port: None,
            ok: String::new(),
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        let offer = phone.offer(port.port());
        let to = format!("<sip:{NUMBER}@{server}>");
        phone.send("INVITE", 1, &to, &offer).await;
        Self {
            port: Some(port),
            ..phone
        }
    }

    /// Waits for the 200, acknowledges it and starts RTP.
    pub(crate) async fn answered(&mut self) -> RtpSession {
        self.ok = self.expect("SIP/2.0 200").await;
        self.in_dialog("ACK", 1, "").await;
        let negotiated = self.negotiated(&self.ok);
        let port = self.port.take().expect("not yet answered");
        let options = SessionOptions {
            report_every: REPORT_EVERY,
            ..SessionOptions::from(&negotiated)
        };
        RtpSession::start(port, options, &self.tasks, self.cancel.clone())
    }

    /// Sends a re-INVITE with `direction` and acknowledges its 200, which is returned.
    pub(crate) async fn reinvite(&mut self, cseq: u32, direction: &str) -> String {
        let port = self.ports.bind(LOOPBACK).expect("a port");
        let offer = self.offer(port.port()).replace("sendrecv", direction);
        self.in_dialog("INVITE", cseq, &offer).await;
        let answer = self.expect("SIP/2.0 200").await;
        self.in_dialog("ACK", cseq, "").await;
        answer
    }

    pub(crate) async fn in_dialog(&self, method: &str, cseq: u32, body: &str) {
        let to = header(&self.ok, "To").to_owned();
        self.send(method, cseq, &to, body).await;
    }

    pub(crate) async fn expect(&self, start: &str) -> String {
        let search = async {
            let mut buffer = vec![0; 9000];
            loop {
                let (length, _) = self.socket.recv_from(&mut buffer).await.expect("received");
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if message.starts_with(start) {
                    return message;
                }
            }
        };
        timeout(Duration::from_secs(10), search)
            .await
            .unwrap_or_else(|_| panic!("no {start}"))
    }

    /// Answers a request within the call with 200.
    pub(crate) async fn agree(&self, request: &str) {
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
        let is_copied = |line: &&str| {
            let name = line.split(':').next();
            name.is_some_and(|name| copied.contains(&name))
        };
        let lines: Vec<&str> = request.lines().filter(is_copied).collect();
        let head = lines.join("\r\n");
        let message = format!("SIP/2.0 200 OK\r\n{head}\r\nContent-Length: 0\r\n\r\n");
        let sent = self.socket.send_to(message.as_bytes(), self.server).await;
        sent.expect("sent");
    }

    fn negotiated(&self, message: &str) -> Negotiated {
        let body = message.split_once("\r\n\r\n").expect("a body").1;
        sdp::parse_answer(body.as_bytes(), &self.local(9)).expect("an SDP answer")
    }

    /// The keys in its offer and in the answer to it, as they stand in SDP.
    pub(crate) fn keys(&self) -> Vec<String> {
        let said = [self.offer(9), self.ok.clone()].join("\r\n");
        let keys = said.lines().filter_map(|line| line.split_once("inline:"));
        keys.map(|(_, key)| key.to_owned()).collect()
    }

    fn offer(&self, port: u16) -> String {
        let mut offer = sdp::make_offer(&self.local(port));
        if self.offering.mux {
            offer.push_str("a=rtcp-mux\r\n");
        }
        offer
    }

    fn local(&self, port: u16) -> LocalMedia<'_> {
        let srtp = LocalSrtp {
            required: true,
            keys: &self.offering.keys,
        };
        LocalMedia {
            address: self.server.ip(),
            port,
            codecs: &self.offering.codecs,
            session_id: 1,
            version: 1,
            srtp: (!self.offering.keys.is_empty()).then_some(srtp),
        }
    }

    async fn send(&self, method: &str, cseq: u32, to: &str, body: &str) {
        let (me, server) = (self.socket.local_addr().expect("bound"), self.server);
        let message = format!(
            "{method} sip:{NUMBER}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{method}-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{FROM}@{me}>;tag=phone\r\nTo: {to}\r\nCall-ID: phone-{me}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{FROM}@{me}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket
            .send_to(message.as_bytes(), self.server)
            .await
            .expect("sent");
    }
}

/// Says something and listens, until `frames` of 20 ms have come in.
pub(crate) async fn talk(rtp: &mut RtpSession, said: &[i16], frames: usize) -> Vec<i16> {
    let mut heard = Vec::new();
    let mut said = said.chunks(rtp.sender.codec().frame_samples());
    for _ in 0..frames {
        let frame = timeout(Duration::from_secs(5), rtp.frames.recv()).await;
        heard.extend_from_slice(&frame.expect("in time").expect("a frame every 20 ms"));
        rtp.sender.send(said.next().unwrap_or_default());
    }
    heard
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let mut values = message
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next().unwrap_or_default()
}
