//! A SIP peer that is nothing but text over a stream.

use std::net::SocketAddr;

use sip::Transport;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::SOON;
use crate::peer::header;

pub(crate) struct StreamPeer<S> {
    pub(crate) stream: S,
    transport: Transport,
    me: SocketAddr,
    server: SocketAddr,
    unread: String,
}

impl StreamPeer<TcpStream> {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.expect("connected");
        let me = stream.local_addr().expect("bound");
        Self::over(stream, Transport::Tcp, me, server)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamPeer<S> {
    pub(crate) fn over(stream: S, transport: Transport, me: SocketAddr, server: SocketAddr) -> Self {
        Self {
            stream,
            transport,
            me,
            server,
            unread: String::new(),
        }
    }

    pub(crate) fn text(&self, method: &str, call: &str, body: &str) -> String {
        let (me, server) = (self.me, self.server);
        let wire = self.transport.as_str().to_uppercase();
        format!(
            "{method} sip:+15550100@{server} SIP/2.0\r\nVia: SIP/2.0/{wire} {me};branch=z9hG4bK-{call}-{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+15551234@{me}>;tag=t{call}\r\nTo: <sip:+15550100@{server}>\r\n\
             Call-ID: {call}@test\r\nCSeq: 1 {method}\r\nContact: <sip:+15551234@{me};transport={}>\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.transport,
            body.len()
        )
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sent");
        self.stream.flush().await.expect("sent");
    }

    pub(crate) async fn request(&mut self, method: &str, call: &str) {
        let text = self.text(method, call, "");
        self.send(&text).await;
    }

    /// The ACK, or another request, of the dialog that `ok` made.
    pub(crate) async fn in_dialog(&mut self, ok: &str, method: &str, cseq: u32) {
        let (me, wire) = (self.me, self.transport.as_str().to_uppercase());
        let target = header(ok, "Contact")
            .trim_start_matches('<')
            .trim_end_matches('>');
        let (from, to, call) = (header(ok, "From"), header(ok, "To"), header(ok, "Call-ID"));
        self.send(&format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{wire} {me};branch=z9hG4bK-{method}{cseq}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    }

    /// An answer to a request of the server.
    pub(crate) async fn respond(&mut self, request: &str, status: &str, tag: &str, body: &str) {
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", header(request, name)))
            .concat();
        let (to, me) = (header(request, "To"), self.me);
        self.send(&format!(
            "SIP/2.0 {status}\r\n{copied}To: {to}{tag}\r\nContact: <sip:uas@{me};transport={}>\r\nContent-Length: {}\r\n\r\n{body}",
            self.transport,
            body.len()
        ))
        .await;
    }

    /// The next message that begins with `start`; others are passed over.
    pub(crate) async fn expect(&mut self, start: &str) -> String {
        loop {
            let message = self.message().await.expect("the connection stands");
            if message.starts_with(start) {
                return message;
            }
        }
    }

    /// The next bytes, or `None` at the end of the connection.
    pub(crate) async fn bytes(&mut self) -> Option<String> {
        let mut chunk = [0; 2_048];
        let read = timeout(SOON, self.stream.read(&mut chunk))
            .await
            .expect("in time");
        let length = read.ok().filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(chunk.get(..length).expect("read")).into_owned())
    }

    async fn message(&mut self) -> Option<String> {
        loop {
            while self.unread.starts_with("\r\n") {
                self.unread.drain(..2);
            }
            if let Some(end) = self.unread.find("\r\n\r\n") {
                let length: usize = header(&self.unread, "Content-Length").parse().expect("a length");
                if self.unread.len() >= end + 4 + length {
                    let rest = self.unread.split_off(end + 4 + length);
                    return Some(std::mem::replace(&mut self.unread, rest));
                }
            }
            let more = self.bytes().await?;
            self.unread.push_str(&more);
        }
    }
}
