//! The tasks of one call: SIP, and what comes back over RTP. They own the sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use media::sdp::{LocalMedia, Negotiated, parse_answer};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::received::Recorder;
use crate::report::{EndedBy, SipStep, TimedStep};
use crate::sip::uac::{Uac, UacEvent};

/// The longest datagram taken; also the longest that UDP carries.
const MAX_DATAGRAM: usize = 65_535;
/// The most steps and messages that a call keeps.
const MAX_KEPT: usize = 512;

/// Where the call stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) steps: Vec<TimedStep>,
    pub(crate) ringing: bool,
    pub(crate) media: Option<Negotiated>,
    pub(crate) ended: Option<EndedBy>,
}

/// A SIP message on the wire, for tests that look at it.
#[derive(Clone)]
pub struct TracedMessage {
    /// Since the INVITE.
    pub at: Duration,
    pub sent: bool,
    pub text: String,
}

/// What the call's handle asks of its SIP task.
pub(crate) enum Command {
    HangUp,
    Raw(Vec<u8>),
}

/// The SIP task.
pub(crate) struct SipLeg {
    pub(crate) uac: Uac,
    pub(crate) socket: UdpSocket,
    pub(crate) target: SocketAddr,
    pub(crate) invited: Instant,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) trace: Arc<Mutex<Vec<TracedMessage>>>,
    pub(crate) offered: Offered,
    pub(crate) token: CancellationToken,
    /// Set once the call is cancelled by our side, to name a 487 rightly.
    pub(crate) cancelled: bool,
}

/// What the offer said, to judge the answer by.
pub(crate) struct Offered {
    pub(crate) rtp: SocketAddr,
    pub(crate) codecs: Vec<audio::Codec>,
}

impl SipLeg {
    /// Runs until the token is cancelled: repeats of the other side are answered also after the end.
    pub(crate) async fn run(mut self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        self.uac.invite(self.invited);
        self.step(SipStep::Invite);
        loop {
            self.flush().await;
            let timeout = self.uac.poll_timeout();
            // Every arm is cancel-safe: a token, a datagram that stays in the socket, a queue, a timer.
            tokio::select! {
                () = self.token.cancelled() => return,
                arrived = self.socket.recv_from(&mut buffer) => {
                    // An error here is an ICMP report on an earlier datagram: the repeats find out.
                    if let Ok((length, from)) = arrived {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        self.keep(false, bytes);
                        self.uac.handle_datagram(bytes, from, Instant::now());
                    }
                }
                Some(command) = self.commands.recv() => match command {
                    Command::HangUp => self.uac.hang_up(Instant::now()),
                    Command::Raw(bytes) => self.send(&bytes, self.target).await,
                },
                () = sleep_until(timeout.unwrap_or(self.invited)), if timeout.is_some() => {
                    self.uac.handle_timeout(Instant::now());
                }
            }
        }
    }

    /// Sends and reports all that the last input caused.
    async fn flush(&mut self) {
        loop {
            while let Some(transmit) = self.uac.poll_transmit() {
                self.send(&transmit.bytes, transmit.to).await;
            }
            let Some(event) = self.uac.poll_event() else {
                return;
            };
            self.report(event);
        }
    }

    async fn send(&mut self, bytes: &[u8], to: SocketAddr) {
        self.keep(true, bytes);
        if let Err(error) = self.socket.send_to(bytes, to).await {
            tracing::debug!(%error, "SIP datagram not sent; it is repeated");
        }
    }

    fn report(&mut self, event: UacEvent) {
        match event {
            UacEvent::Provisional { code: 100, .. } => self.step(SipStep::Trying),
            UacEvent::Provisional { code, .. } => {
                self.step(SipStep::Ringing { code });
                self.progress.send_modify(|progress| progress.ringing = true);
            }
            UacEvent::Challenged { code } => self.step(SipStep::Challenged { code }),
            UacEvent::Answered { sdp } => self.answered(&sdp),
            UacEvent::Reinvited { .. } => self.step(SipStep::Reinvited),
            UacEvent::Sent { method: "CANCEL" } => {
                self.cancelled = true;
                self.step(SipStep::CancelSent);
            }
            UacEvent::Sent { .. } => self.step(SipStep::ByeSent),
            UacEvent::Refused { code: 487, .. } if self.cancelled => self.end(EndedBy::Cancelled),
            UacEvent::Refused { code, phrase, reason } => self.end(EndedBy::Refused { code, phrase, reason }),
            UacEvent::ByeReceived { reason } => self.end(EndedBy::Callee { reason }),
            UacEvent::ByeAnswered { .. } => self.end(EndedBy::Caller),
            UacEvent::NoAnswer { method } => self.end(EndedBy::NoAnswer { method }),
        }
    }

    fn answered(&mut self, sdp: &[u8]) {
        self.step(SipStep::Answered);
        let local = self.offered.local();
        match parse_answer(sdp, &local) {
            Ok(negotiated) => self
                .progress
                .send_modify(|progress| progress.media = Some(negotiated)),
            Err(error) => {
                tracing::warn!(%error, "the SDP answer does not fit the offer");
                self.end(EndedBy::BadAnswer);
                self.uac.hang_up(Instant::now());
            }
        }
    }

    fn end(&mut self, by: EndedBy) {
        if self.progress.borrow().ended.is_some() {
            return;
        }
        self.step(SipStep::Ended(by.clone()));
        self.progress.send_modify(|progress| progress.ended = Some(by));
    }

    fn step(&mut self, step: SipStep) {
        let at = self.invited.elapsed();
        self.progress.send_modify(|progress| {
            if progress.steps.len() < MAX_KEPT {
                progress.steps.push(TimedStep { step, at });
            }
        });
    }

    fn keep(&mut self, sent: bool, bytes: &[u8]) {
        let mut trace = self.trace.lock();
        if trace.len() < MAX_KEPT {
            let text = String::from_utf8_lossy(bytes).into_owned();
            trace.push(TracedMessage {
                at: self.invited.elapsed(),
                sent,
                text,
            });
        }
    }
}

impl Offered {
    /// The session id and version repeat what the offer said; only addresses and codecs matter to the answer.
    pub(crate) fn local(&self) -> LocalMedia<'_> {
        LocalMedia {
            address: self.rtp.ip(),
            port: self.rtp.port(),
            codecs: &self.codecs,
            session_id: u64::from(self.rtp.port()),
            version: 1,
            srtp: None,
        }
    }
}

/// Records everything that arrives on the RTP port until the token is cancelled. `heard` counts the packets.
pub(crate) async fn listen(
    socket: Arc<UdpSocket>,
    recorder: Arc<Mutex<Recorder>>,
    invited: Instant,
    heard: watch::Sender<u64>,
    token: CancellationToken,
) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Cancel-safe: a token and a datagram that stays in the socket.
        let arrived = tokio::select! {
            () = token.cancelled() => return,
            arrived = socket.recv_from(&mut buffer) => arrived,
        };
        if let Ok((length, _)) = arrived {
            recorder
                .lock()
                .push(buffer.get(..length).unwrap_or_default(), invited.elapsed());
            heard.send_modify(|count| *count += 1);
        }
    }
}
