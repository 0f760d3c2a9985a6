//! SIP without a call: any bytes, and OPTIONS.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::error::CallError;
use crate::sip::message::{Message, Start};

/// RFC 3261 §17.1.2.2: the first interval between repeats.
const T1: Duration = Duration::from_millis(500);
const MAX_DATAGRAM: usize = 65_535;

/// A UDP socket that sends bytes as they are and hands back what arrives.
pub struct RawSip {
    socket: UdpSocket,
    target: SocketAddr,
}

impl RawSip {
    /// # Errors
    ///
    /// [`CallError::Socket`] when no local port can be bound.
    pub async fn open(target: SocketAddr) -> Result<Self, CallError> {
        let local = match target {
            SocketAddr::V4(_) => "127.0.0.1:0",
            SocketAddr::V6(_) => "[::1]:0",
        };
        Ok(Self {
            socket: UdpSocket::bind(local).await.map_err(CallError::Socket)?,
            target,
        })
    }

    /// Where answers arrive: for the Via of what is sent.
    ///
    /// # Errors
    ///
    /// [`CallError::Socket`] when the system does not say.
    pub fn local_addr(&self) -> Result<SocketAddr, CallError> {
        self.socket.local_addr().map_err(CallError::Socket)
    }

    /// # Errors
    ///
    /// [`CallError::Socket`], for example when the datagram is too long.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), CallError> {
        self.socket
            .send_to(bytes, self.target)
            .await
            .map(drop)
            .map_err(CallError::Socket)
    }

    /// The next datagram, or `None` when none comes in time.
    pub async fn receive(&self, within: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let deadline = Instant::now() + within;
        loop {
            match timeout_at(deadline, self.socket.recv_from(&mut buffer)).await {
                Ok(Ok((length, _))) => {
                    buffer.truncate(length);
                    return Some(buffer);
                }
                // An ICMP report on an earlier datagram: nothing has arrived.
                Ok(Err(_)) if Instant::now() < deadline => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// Asks by OPTIONS whether the other side is there: the status code of its answer.
    ///
    /// # Errors
    ///
    /// [`CallError::Late`] when no answer comes in time.
    pub async fn options(&self, user: &str, within: Duration) -> Result<u16, CallError> {
        let unique: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(16)
            .map(char::from)
            .collect();
        let (local, target) = (self.local_addr()?, self.target);
        let request = Message::request("OPTIONS", &format!("sip:{user}@{target}"))
            .with("Via", format!("SIP/2.0/UDP {local};branch=z9hG4bK{unique};rport"))
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:caller@{local}>;tag={unique}"))
            .with("To", format!("<sip:{user}@{target}>"))
            .with("Call-ID", unique.clone())
            .with("CSeq", "1 OPTIONS")
            .encode();
        let deadline = Instant::now() + within;
        let mut interval = T1;
        while Instant::now() < deadline {
            self.send(&request).await?;
            let rest = deadline.saturating_duration_since(Instant::now());
            if let Some(code) = self.final_answer(&unique, interval.min(rest)).await {
                return Ok(code);
            }
            interval *= 2;
        }
        Err(CallError::Late {
            what: "an answer to OPTIONS",
            waited: within,
            so_far: "OPTIONS sent".to_owned(),
        })
    }

    async fn final_answer(&self, call_id: &str, within: Duration) -> Option<u16> {
        let deadline = Instant::now() + within;
        loop {
            let bytes = self
                .receive(deadline.saturating_duration_since(Instant::now()))
                .await?;
            let message = Message::parse(&bytes).filter(|message| message.header("Call-ID") == Some(call_id));
            if let Some(Message {
                start: Start::Response {
                    code: code @ 200.., ..
                },
                ..
            }) = message
            {
                return Some(code);
            }
        }
    }
}
