//! One call's RTP over a real socket.

mod control;
mod reporter;
mod sender;
mod task;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use audio::{Codec, OpusOptions};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Digit, Frame, Receiver, ReceiverOptions, RtpPort, RtpStats, SourcePolicy, SrtpKeys, Start,
    TelephoneEvents, Transmitter,
    reports::Reports,
    sdp::Negotiated,
    source::SourceLock,
    srtp::{Protector, Unprotector},
};
pub use control::{ReportsTo, RtpControl};
use reporter::Reporter;
pub use sender::RtpSender;
use task::ReceiveTask;

/// What a session is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// The codec agreed on.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// What the peer wants of Opus, where that is the codec.
    pub opus: OpusOptions,
    /// Telephone-events, if agreed on.
    pub events: Option<TelephoneEvents>,
    /// Where the peer wants its packets; `None` while it holds the call.
    pub remote: Option<SocketAddr>,
    /// Whether packets may be sent: the direction agreed on.
    pub sending: bool,
    /// Whose packets are taken. Default: by the SDP.
    pub source: SourcePolicy,
    /// How long the first packet waits in the jitter buffer, 0 to 400 ms. Default 40 ms.
    pub jitter_target: Duration,
    /// What packets are encrypted with; `None` for plain RTP.
    pub srtp: Option<SrtpKeys>,
    /// Where reports go, and whether they may come beside the sound.
    pub reports_to: ReportsTo,
    /// How often on average; the first comes in half the time. Default 5 s.
    pub report_every: Duration,
}

impl SessionOptions {
    /// The default of [`Self::jitter_target`]: two packets.
    pub const JITTER_TARGET: Duration = Duration::from_millis(40);
    /// The default of [`Self::report_every`], and the least that RFC 3550 §6.2 allows for.
    pub const REPORT_EVERY: Duration = Duration::from_secs(5);
    /// From a packet's arrival to its frame, on average: the wait, and half a tick.
    pub const RECEIVE_DELAY: Duration = Self::JITTER_TARGET.saturating_add(Duration::from_millis(10));
}

impl From<&Negotiated> for SessionOptions {
    fn from(negotiated: &Negotiated) -> Self {
        Self {
            codec: negotiated.codec,
            payload_type: negotiated.payload_type,
            opus: negotiated.opus,
            events: negotiated.events,
            remote: negotiated.remote,
            sending: negotiated.direction.sends(),
            source: SourcePolicy::default(),
            jitter_target: Self::JITTER_TARGET,
            srtp: negotiated.srtp,
            reports_to: negotiated.reports_to,
            report_every: Self::REPORT_EVERY,
        }
    }
}

/// The ends of a running session.
#[derive(Debug)]
pub struct RtpSession {
    /// To the peer.
    pub sender: RtpSender,
    /// From the peer: one frame per 20 ms, silence included, from the start to the end of the session. At
    /// most ten wait (200 ms); when nobody takes them, newer ones are dropped and counted.
    pub frames: mpsc::Receiver<Frame>,
    /// The peer's DTMF digits, each when it begins. At most 32 wait.
    pub digits: mpsc::Receiver<Digit>,
    /// Statistics, the media timeout, and changes by re-INVITE.
    pub control: RtpControl,
}

const MAX_WAITING_FRAMES: usize = 10;
const MAX_WAITING_DIGITS: usize = 32;

impl RtpSession {
    /// Runs the session as a task of `tasks` until `cancel`. The port is free again when the task has ended
    /// and the sender is dropped.
    pub fn start(
        port: RtpPort,
        options: SessionOptions,
        tasks: &TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let SessionOptions {
            codec,
            payload_type,
            events,
            ..
        } = options;
        let port = Arc::new(port);
        let control = RtpControl::new(
            SourceLock::new(options.source, options.remote),
            options.sending,
            options.reports_to,
        );
        let (frames_in, frames) = mpsc::channel(MAX_WAITING_FRAMES);
        let (digits_in, digits) = mpsc::channel(MAX_WAITING_DIGITS);
        let receiver = Receiver::new(ReceiverOptions {
            codec,
            payload_type,
            dtmf_payload_type: events.map(|events| events.payload_type),
            jitter_target: options.jitter_target,
        });
        let start = Start {
            ssrc: rand::random(),
            // The upper half is left free: a receiver that misses the first packets must not miss that the number began anew (RFC
            // 3711 §3.3.1).
            sequence: rand::random::<u16>() >> 1,
            timestamp: rand::random(),
        };
        let name = format!("{:016x}", rand::random::<u64>());
        let protector = |keys: SrtpKeys| Protector::new(keys.suite, keys.sending);
        let reporter = Reporter::new(
            Reports::new(start.ssrc, name, codec.clock_rate_hz()),
            // Reports have keys and numbers of their own (RFC 3711 §3.4): this one encrypts no sound, and the sender's no report.
            options.srtp.map(protector),
            options.report_every,
        );
        let task = ReceiveTask {
            reporter,
            port: port.clone(),
            control: control.clone(),
            receiver,
            frames: frames_in,
            digits: digits_in,
            unprotector: options
                .srtp
                .map(|keys| Unprotector::new(keys.suite, keys.receiving)),
            own: RtpStats::default(),
        };
        tasks.spawn(task.run(cancel));
        let transmitter = Transmitter::new(codec, payload_type, events, options.opus, start);
        let sender = RtpSender {
            port,
            control: control.clone(),
            transmitter,
            protector: options.srtp.map(protector),
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
