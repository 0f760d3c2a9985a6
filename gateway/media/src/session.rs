//! One call's RTP over a real socket.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use audio::Codec;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Digit, Frame, Received, Receiver, ReceiverOptions, RtpPort, RtpStats, SourcePolicy, Start, Transmitter,
    dtmf::TooManyDigits, rtp, sdp::Negotiated, source::SourceLock,
};

/// What a session is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// The codec agreed on.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of telephone-events, if agreed on.
    pub dtmf_payload_type: Option<u8>,
    /// Where the peer wants its packets; `None` while it holds the call.
    pub remote: Option<SocketAddr>,
    /// Whether packets may be sent: the direction agreed on.
    pub sending: bool,
    /// Whose packets are taken. Default: by the SDP.
    pub source: SourcePolicy,
    /// How long the first packet waits in the jitter buffer, 0 to 400 ms. Default 40 ms.
    pub jitter_target: Duration,
}

impl From<&Negotiated> for SessionOptions {
    fn from(negotiated: &Negotiated) -> Self {
        Self {
            codec: negotiated.codec,
            payload_type: negotiated.payload_type,
            dtmf_payload_type: negotiated.dtmf_payload_type,
            remote: negotiated.remote,
            sending: negotiated.direction.sends(),
            source: SourcePolicy::default(),
            jitter_target: Duration::from_millis(40),
        }
    }
}

/// The ends of a running session.
#[derive(Debug)]
pub struct RtpSession {
    /// To the peer.
    pub sender: RtpSender,
    /// From the peer: one frame per 20 ms, silence included, from the start to the end of the session. At most ten wait (200 ms); when
    /// nobody takes them, newer ones are dropped and counted.
    pub frames: mpsc::Receiver<Frame>,
    /// The peer's DTMF digits, each when it begins. At most 32 wait.
    pub digits: mpsc::Receiver<Digit>,
    /// Statistics, the media timeout, and changes by re-INVITE.
    pub control: RtpControl,
}

const MAX_WAITING_FRAMES: usize = 10;
const MAX_WAITING_DIGITS: usize = 32;
/// Between two ticks no more datagrams are read at once than fifty streams would send.
const MAX_DATAGRAMS_PER_TICK: usize = 64;

impl RtpSession {
    /// Runs the session as a task of `tasks` until `cancel`. The port is free again when the task has ended and the sender is dropped.
    pub fn start(
        port: RtpPort,
        options: SessionOptions,
        tasks: &TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let SessionOptions {
            codec,
            payload_type,
            dtmf_payload_type,
            ..
        } = options;
        let port = Arc::new(port);
        let link = Link {
            lock: SourceLock::new(options.source, options.remote),
            sending: options.sending,
            stats: RtpStats::default(),
            last_packet: None,
        };
        let control = RtpControl(Arc::new(Shared {
            started: Instant::now(),
            link: Mutex::new(link),
        }));
        let (frames_in, frames) = mpsc::channel(MAX_WAITING_FRAMES);
        let (digits_in, digits) = mpsc::channel(MAX_WAITING_DIGITS);
        let receiver = Receiver::new(ReceiverOptions {
            codec,
            payload_type,
            dtmf_payload_type,
            jitter_target: options.jitter_target,
        });
        let task = ReceiveTask {
            port: port.clone(),
            control: control.clone(),
            receiver,
            frames: frames_in,
            digits: digits_in,
            foreign: 0,
            frames_dropped: 0,
        };
        tasks.spawn(task.run(cancel));
        let start = Start {
            ssrc: rand::random(),
            sequence: rand::random(),
            timestamp: rand::random(),
        };
        let transmitter = Transmitter::new(codec, payload_type, dtmf_payload_type, start);
        let sender = RtpSender {
            port,
            control: control.clone(),
            transmitter,
            codec,
        };
        Self {
            sender,
            frames,
            digits,
            control,
        }
    }
}

/// Sends to the peer. It has no clock: each call stands for 20 ms, and its caller keeps the pace.
pub struct RtpSender {
    port: Arc<RtpPort>,
    control: RtpControl,
    transmitter: Transmitter,
    codec: Codec,
}

impl RtpSender {
    /// Sends 20 ms at the codec's rate, or a part of a digit in their place. What lacks is sent as silence, what is too much is not
    /// sent. While the call is held nothing leaves, but the time passes. It never waits; what the network stack does not take at once
    /// is lost and counted.
    pub fn send(&mut self, pcm: &[i16]) {
        let destination = {
            let link = self.control.link();
            link.lock.destination().filter(|_| link.sending)
        };
        let Some(destination) = destination else {
            self.transmitter.skip();
            return;
        };
        let (mut sent, mut failed) = (0, 0);
        self.transmitter.frame(pcm, |datagram| {
            match self.port.outgoing.send_to(datagram, destination) {
                Ok(_) => sent += 1,
                Err(_) => failed += 1,
            }
        });
        let mut link = self.control.link();
        link.stats.packets_sent += sent;
        link.stats.send_errors += failed;
    }

    /// Sends 20 ms of silence.
    pub fn send_silence(&mut self) {
        self.send(&[]);
    }

    /// Sends this digit in place of the next 13 frames; those that wait already (at most 32) go first.
    pub fn press(&mut self, digit: Digit) -> Result<(), TooManyDigits> {
        self.transmitter.press(digit)
    }

    /// Whether digits are being sent or wait.
    pub fn is_pressing(&self) -> bool {
        self.transmitter.is_pressing()
    }

    /// The codec, which says how long a frame is.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The local port.
    pub fn port(&self) -> u16 {
        self.port.port()
    }
}

impl std::fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtpSender")
            .field("codec", &self.codec)
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

/// A view of a running session. Clones see the same one.
#[derive(Debug, Clone)]
pub struct RtpControl(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    link: Mutex<Link>,
}

#[derive(Debug)]
struct Link {
    lock: SourceLock,
    sending: bool,
    stats: RtpStats,
    last_packet: Option<Instant>,
}

impl RtpControl {
    /// The counts so far; they are brought up to date every 20 ms.
    pub fn stats(&self) -> RtpStats {
        self.link().stats
    }

    /// The time since the peer's last packet, of whatever kind; `None` before the first one.
    pub fn since_last_packet(&self) -> Option<Duration> {
        self.link().last_packet.map(|at| at.elapsed())
    }

    /// Ends when the peer has sent nothing for `first` since the start, or for `later` since its last packet. The gateway uses 30 s and
    /// 15 s. Cancel-safe. While the call is held the caller should not wait for it.
    pub async fn media_timeout(&self, first: Duration, later: Duration) {
        loop {
            let deadline = match self.link().last_packet {
                Some(at) => at + later,
                None => self.0.started + first,
            };
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    /// Follows a re-INVITE: where to send, and whether. With symmetric RTP the source is learnt anew.
    pub fn update(&self, remote: Option<SocketAddr>, sending: bool) {
        let mut link = self.link();
        link.lock.set_sdp(remote);
        link.sending = sending;
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        // Plain values: a panic elsewhere cannot leave them half changed.
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ReceiveTask {
    port: Arc<RtpPort>,
    control: RtpControl,
    receiver: Receiver,
    frames: mpsc::Sender<Frame>,
    digits: mpsc::Sender<Digit>,
    /// Datagrams from a wrong address.
    foreign: u64,
    frames_dropped: u64,
}

impl ReceiveTask {
    async fn run(mut self, cancel: CancellationToken) {
        let mut datagram = vec![0; rtp::MAX_PACKET_BYTES + 1];
        let mut ticks = frame_ticks();
        // A socket that fails is left alone until the next tick, so that it cannot keep the task busy.
        let mut readable = true;
        loop {
            tokio::select! {
                biased;
                // Cancel-safe, as is every other arm: a tick or a datagram not taken stays where it is.
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {
                    readable = true;
                    self.drain(&mut datagram);
                    self.emit_frame();
                }
                received = self.port.incoming.recv_from(&mut datagram), if readable => match received {
                    Ok((length, from)) => self.take(&datagram[..length], from),
                    Err(_) => readable = false,
                }
            }
        }
    }

    /// Reads all that has come in. After a stall of the machine the packets of that time must be in the buffer
    /// before the ticks of that time are made up for.
    fn drain(&mut self, datagram: &mut [u8]) {
        for _ in 0..MAX_DATAGRAMS_PER_TICK {
            let Ok((length, from)) = self.port.incoming.try_recv_from(datagram) else {
                return;
            };
            self.take(&datagram[..length], from);
        }
    }

    fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        let now = Instant::now();
        let mut link = self.control.link();
        if !link.lock.accepts(from) {
            self.foreign += 1;
            return;
        }
        let received = self.receiver.datagram(datagram, now - self.control.0.started);
        if let Received::Packet | Received::Digit(_) = received {
            link.lock.confirm(from);
            link.last_packet = Some(now);
        }
        drop(link);
        if let Received::Digit(digit) = received {
            // Nobody presses 32 keys faster than a program reads them; if it does not read, they are lost.
            let _ = self.digits.try_send(digit);
        }
    }

    fn emit_frame(&mut self) {
        let frame = self.receiver.frame(self.control.0.started.elapsed());
        if let Err(mpsc::error::TrySendError::Full(_)) = self.frames.try_send(frame) {
            self.frames_dropped += 1;
        }
        let received = self.receiver.stats();
        let mut link = self.control.link();
        link.stats = RtpStats {
            frames_dropped: self.frames_dropped,
            packets_foreign: received.packets_foreign + self.foreign,
            packets_sent: link.stats.packets_sent,
            send_errors: link.stats.send_errors,
            ..received
        };
    }
}

/// A tick every 20 ms; those missed are made up for at once, so that as many frames come out as time has passed.
fn frame_ticks() -> Interval {
    let mut ticks = tokio::time::interval(audio::FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}
