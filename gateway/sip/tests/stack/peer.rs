//! A SIP peer that is nothing but text over UDP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

pub(crate) struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
    /// Of requests within dialogs that the server began.
    cseq: std::sync::atomic::AtomicU32,
}

impl Peer {
    pub(crate) async fn bind(server: SocketAddr) -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").await.expect("bind"),
            server,
            cseq: std::sync::atomic::AtomicU32::new(100),
        }
    }

    /// Whom it speaks to, when it was there first.
    pub(crate) fn talk_to(&mut self, server: SocketAddr) {
        self.server = server;
    }

    /// A request outside any dialog. `call` names the call and its transaction.
    pub(crate) fn text(&self, method: &str, call: &str, body: &str) -> String {
        let (me, server) = (self.socket.local_addr().expect("bound"), self.server);
        format!(
            "{method} sip:+15550100@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{call};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+15551234@{me}>;tag=t{call}\r\nTo: <sip:+15550100@{server}>\r\n\
             Call-ID: {call}@test\r\nCSeq: 1 {method}\r\nContact: <sip:+15551234@{me}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    pub(crate) async fn request(&self, method: &str, call: &str, body: &str) {
        let call = format!("{call}-{method}");
        self.send(&self.text(method, &call, body)).await;
    }

    pub(crate) async fn invite(&self, call: &str, body: &str) {
        self.send(&self.text("INVITE", call, body)).await;
    }

    pub(crate) async fn cancel(&self, call: &str) {
        self.send(&self.text("CANCEL", call, "")).await;
    }

    pub(crate) async fn ack(&self, ok: &str) {
        self.in_dialog(ok, "ACK", 1, "").await;
    }

    /// A request within the dialog that the response `ok` made.
    pub(crate) async fn in_dialog(&self, ok: &str, method: &str, cseq: u32, body: &str) {
        let (me, server) = (self.socket.local_addr().expect("bound"), self.server);
        self.send(&format!(
            "{method} sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:+15551234@{me}>\r\nContent-Length: {}\r\n\r\n{body}",
            header(ok, "From"),
            header(ok, "To"),
            header(ok, "Call-ID"),
            body.len()
        ))
        .await;
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Answers an INVITE of the server: with a tag of ours, a Contact, more headers, and a body.
    pub(crate) async fn respond(&self, invite: &str, status: &str, tag: &str, more: &str, body: &str) {
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", header(invite, name)))
            .concat();
        let (to, me) = (header(invite, "To"), self.local_addr());
        self.send(&format!(
            "SIP/2.0 {status}\r\n{copied}To: {to};tag={tag}\r\nContact: <sip:uas@{me}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    }

    /// A request within the dialog that our answer to `invite` made.
    pub(crate) async fn ask_back(&self, invite: &str, method: &str, tag: &str, more: &str, body: &str) {
        let (me, server) = (self.local_addr(), self.server);
        self.send(&format!(
            "{method} sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-back-{method}-{};rport\r\n\
             Max-Forwards: 70\r\nFrom: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n\
             Contact: <sip:uas@{me}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.cseq.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            header(invite, "To"),
            header(invite, "From"),
            header(invite, "Call-ID"),
            self.cseq.load(std::sync::atomic::Ordering::Relaxed),
            body.len()
        ))
        .await;
    }

    /// The ACK of the 200 to a request within a dialog that the server began.
    pub(crate) async fn acknowledge(&self, ok: &str, body: &str) {
        let cseq = header(ok, "CSeq").split(' ').next().unwrap_or_default();
        let (me, server) = (self.local_addr(), self.server);
        self.send(&format!(
            "ACK sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-ack-{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} ACK\r\nContent-Length: {}\r\n\r\n{body}",
            header(ok, "From"),
            header(ok, "To"),
            header(ok, "Call-ID"),
            body.len()
        ))
        .await;
    }

    /// Answers a request of the server.
    pub(crate) async fn answer(&self, request: &str, status: &str) {
        let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", header(request, name)))
            .concat();
        self.send(&format!("SIP/2.0 {status}\r\n{copied}Content-Length: 0\r\n\r\n"))
            .await;
    }

    pub(crate) async fn send_bytes(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).await.expect("sent");
    }

    /// The next message that begins with `start`; others are passed over.
    pub(crate) async fn expect(&mut self, start: &str) -> String {
        self.find(|message| message.starts_with(start)).await
    }

    pub(crate) async fn final_answer(&mut self) -> String {
        self.find(|message| message.starts_with("SIP/2.0 ") && !message.starts_with("SIP/2.0 1"))
            .await
    }

    pub(crate) async fn final_answer_to(&mut self, call: &str) -> String {
        self.final_answer_in(&format!("Call-ID: {call}@test\r\n")).await
    }

    /// The next final answer that holds `part`.
    pub(crate) async fn final_answer_in(&mut self, part: &str) -> String {
        self.find(|message| {
            message.starts_with("SIP/2.0 ") && !message.starts_with("SIP/2.0 1") && message.contains(part)
        })
        .await
    }

    pub(crate) async fn any_answer_to(&mut self, call: &str) -> String {
        let call_id = format!("Call-ID: {call}@test\r\n");
        self.find(|message| message.starts_with("SIP/2.0 ") && message.contains(&call_id))
            .await
    }

    /// The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
    pub(crate) async fn ack_refusal(&self, call: &str, answer: &str) {
        let ack = self.text("ACK", call, "");
        let to = format!("To: {}\r\n", header(answer, "To"));
        let ack: String = ack
            .split_inclusive("\r\n")
            .map(|line| if line.starts_with("To: ") { &to } else { line })
            .collect();
        self.send(&ack).await;
    }

    pub(crate) async fn find(&mut self, mut wanted: impl FnMut(&str) -> bool) -> String {
        let search = async {
            let mut buffer = vec![0; 9000];
            loop {
                let (length, _) = self.socket.recv_from(&mut buffer).await.expect("received");
                let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                if wanted(&message) {
                    return message;
                }
            }
        };
        timeout(Duration::from_secs(5), search)
            .await
            .expect("the wanted message in time")
    }

    async fn send(&self, text: &str) {
        self.send_bytes(text.as_bytes(), self.server).await;
    }
}

pub(crate) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let mut values = message
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next().unwrap_or_default()
}
