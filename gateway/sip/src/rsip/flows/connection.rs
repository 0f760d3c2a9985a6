//! One connection: bytes to messages and back, admission in front of the stack.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use rsipstack::sip::SipMessage;
use rsipstack::transport::{SipConnection, TransportEvent};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::super::Shared;
use crate::Refusal;
use crate::admission::Verdict;
use crate::stream::{Due, Frame, Framer, Vigil};

/// Read at once, in bytes.
const CHUNK: usize = 4 * 1024;
/// What may wait for a peer that takes nothing, in bytes.
const MAX_WAITING: usize = 256 * 1024;
/// A source that is too fast is read this much later.
const PAUSE: Duration = Duration::from_millis(20);
const PONG: &[u8] = b"\r\n";
const PING: &[u8] = b"\r\n\r\n";

pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) shared: Arc<Shared>,
    /// The connection as the stack knows it.
    pub(super) channel: SipConnection,
    pub(super) to_stack: mpsc::UnboundedSender<TransportEvent>,
    pub(super) from_stack: mpsc::UnboundedReceiver<TransportEvent>,
    /// Cancelled by the stack too, when it has no use for the connection any more.
    pub(super) closed: CancellationToken,
    /// Held by the table of connections, and by each call that needs this one.
    pub(super) in_use: Weak<()>,
    pub(super) vigil: Vigil,
}

/// What is on its way in and out.
struct Traffic {
    framer: Framer,
    out: BytesMut,
    /// Written, and perhaps still in a buffer of TLS.
    is_unflushed: bool,
    /// A message whose source is too fast, and when it is looked at again.
    held: Option<(Vec<u8>, Instant)>,
}

/// The connection is to be closed, for this reason if somebody is to blame.
struct Closed(Option<Refusal>);

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Connection {
    /// Serves the connection to its end.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, stream: S) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let Closed(why) = self.serve(&mut reader, &mut writer).await;
        if let Some(why) = why {
            self.shared.refusals.lock().add(why);
        }
        self.closed.cancel();
        // A peer that does not take what is left is not waited for.
        let _ = tokio::time::timeout(PAUSE, writer.shutdown()).await;
    }

    async fn serve(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Closed {
        let mut traffic = Traffic {
            framer: Framer::default(),
            out: BytesMut::new(),
            is_unflushed: false,
            held: None,
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            let wants_out = traffic.has_to_write();
            self.vigil.writing(wants_out, now());
            let held_until = traffic.held.as_ref().map(|(_, until)| *until);
            let wake = held_until.map_or(self.vigil.next(), |until| until.min(self.vigil.next()));
            let mut heard = false;
            // All arms are cancel-safe: a write that is not through has taken nothing.
            tokio::select! {
                () = self.closed.cancelled() => return self.last_words(&mut traffic, writer).await,
                event = self.from_stack.recv() => match event {
                    Some(TransportEvent::Incoming(message, ..)) => traffic.out.extend_from_slice(&message.to_bytes()),
                    Some(_) => {}
                    None => return Closed(None),
                },
                written = traffic.write(writer), if wants_out => match written {
                    Ok(()) => self.vigil.wrote(),
                    Err(_) => return Closed(None),
                },
                read = reader.read(&mut chunk), if held_until.is_none() => match read {
                    Ok(0) | Err(_) => return Closed(None),
                    Ok(length) => {
                        heard = true;
                        traffic.framer.push(chunk.get(..length).unwrap_or_default());
                    }
                },
                () = sleep_until(wake.into()) => {}
            }
            if traffic.out.len() > MAX_WAITING {
                return Closed(Some(Refusal::Slow));
            }
            if let Err(closed) = self.look(&mut traffic, heard) {
                return closed;
            }
        }
    }

    /// What has come, and what is due.
    fn look(&mut self, traffic: &mut Traffic, heard: bool) -> Result<(), Closed> {
        let now = now();
        let was_held = traffic.held.is_some();
        if traffic.held.as_ref().is_none_or(|(_, until)| now >= *until) {
            let held = traffic.held.take().map(|(message, _)| message);
            if let Some(message) = held {
                self.receive(message, traffic, now)?;
            }
            while traffic.held.is_none() {
                match traffic.framer.next() {
                    Ok(Some(Frame::Message(message))) => {
                        self.vigil.message();
                        self.receive(message, traffic, now)?;
                    }
                    Ok(Some(Frame::Ping)) => traffic.out.extend_from_slice(PONG),
                    Ok(None) => break,
                    Err(_) => return Err(Closed(Some(Refusal::TooLarge))),
                }
            }
        }
        if heard || was_held {
            // Nothing is read while a message is held: its source is not to blame for what is not read.
            self.vigil
                .heard(traffic.held.is_none() && traffic.framer.is_amid(), now);
        }
        let in_use = self.in_use.strong_count() > 1;
        match self.vigil.due(in_use, now) {
            None => Ok(()),
            Some(Due::Ping) => {
                traffic.out.extend_from_slice(PING);
                Ok(())
            }
            Some(Due::Idle) => Err(Closed(None)),
            Some(Due::Slow) => Err(Closed(Some(Refusal::Slow))),
        }
    }

    fn receive(&self, message: Vec<u8>, traffic: &mut Traffic, now: Instant) -> Result<(), Closed> {
        let verdict = {
            let mut admission = self.shared.admission.lock();
            if !admission.may_send(self.peer.ip(), now) {
                // What is sent over a connection is not sent again, so it is not dropped: it waits, and its sender with it.
                traffic.held = Some((message, now + PAUSE));
                return Ok(());
            }
            admission.check_message(&message, self.peer, now)
        };
        match verdict {
            Verdict::Pass => self.pass(&message),
            Verdict::Reply(why, reply) => {
                self.shared.refusals.lock().add(why);
                traffic.out.extend_from_slice(&reply);
            }
            Verdict::Drop(Refusal::Malformed) => return Err(Closed(Some(Refusal::Malformed))),
            Verdict::Drop(why) => self.shared.refusals.lock().add(why),
        }
        Ok(())
    }

    fn pass(&self, message: &[u8]) {
        let Some(remote) = self.channel.get_remote_addr() else {
            return;
        };
        let transport = remote.r#type.unwrap_or_default();
        let read = SipMessage::try_from(message)
            .ok()
            .and_then(|message| SipConnection::update_msg_received(message, self.peer, transport).ok());
        let Some(message) = read else {
            self.shared.refusals.lock().add(Refusal::Malformed);
            return;
        };
        let event = TransportEvent::Incoming(message, self.channel.clone(), remote.clone());
        // A stack that has stopped takes nothing more; the connection ends with it.
        let _ = self.to_stack.send(event);
    }

    /// What the stack has queued before it let the connection go, as far as the peer takes it at once.
    async fn last_words(&mut self, traffic: &mut Traffic, writer: &mut (impl AsyncWrite + Unpin)) -> Closed {
        while let Ok(event) = self.from_stack.try_recv() {
            if let TransportEvent::Incoming(message, ..) = event {
                traffic.out.extend_from_slice(&message.to_bytes());
            }
        }
        let writing = async { while traffic.has_to_write() && traffic.write(writer).await.is_ok() {} };
        let _ = tokio::time::timeout(PAUSE, writing).await;
        Closed(None)
    }
}

impl Traffic {
    fn has_to_write(&self) -> bool {
        self.is_unflushed || !self.out.is_empty()
    }

    /// One step. Cancel-safe.
    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        if self.out.is_empty() {
            writer.flush().await?;
            self.is_unflushed = false;
            return Ok(());
        }
        let length = writer.write(&self.out).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        self.out.advance(length);
        self.is_unflushed = true;
        Ok(())
    }
}
