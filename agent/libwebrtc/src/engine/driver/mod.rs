//! The one task behind a peer connection. It owns the sockets, the `str0m` session and the clocks; it is told what to do by
//! [`Command`]s, and tells the peer what happened. When it ends, for whatever reason, the peer learns it.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    task::Poll,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    format::{Codec, FormatParams},
    media::Frequency,
    net::Receive,
    rtp::{Extension, ExtensionMap},
};
use tokio::sync::mpsc;

use super::{
    clock::MediaClock,
    identity::identity,
    internal,
    peer::{Peer, Signals},
    runtime,
    sdp::Extmap,
    transceiver::OPUS_PAYLOAD_TYPE,
    transport::{Incoming, Transport},
};
use crate::{RtcError, peer_connection::PeerConnectionState};

pub(super) use command::{Command, Config, MediaPlan, Negotiated, ReceivePlan, SendPlan};

mod channels;
mod command;
mod events;
mod media;
mod negotiated;
#[cfg(test)]
mod tests;

/// How long a connection may be lost before it counts as failed.
const LOST_LIMIT: Duration = Duration::from_secs(15);
/// How long a session in the middle of its beginning may take to close.
const FAREWELL_LIMIT: Duration = Duration::from_millis(100);
const FAREWELL_GAP: Duration = Duration::from_millis(2);
/// Errors of SCTP that a session is given.
const MOST_ERRORS: u32 = 8;
const SEND_PERIOD: Duration = Duration::from_millis(20);
const PLAYOUT_PERIOD: Duration = Duration::from_millis(10);
/// Being later than 200 ms, sending leaves out what nobody would wait for; playout makes up for half a second.
const SEND_BURST: u32 = 10;
const PLAYOUT_BURST: u32 = 50;

struct Driver {
    peer: Weak<Peer>,
    signals: Arc<Signals>,
    rtc: Rtc,
    transport: Transport,
    epoch: Instant,
    channels: channels::Channels,
    senders: Vec<media::Sender>,
    receivers: Vec<media::Receiver>,
    send_clock: MediaClock,
    playout_clock: MediaClock,
    /// Whether anybody listens to a receiver that has got packets.
    playing: bool,
    /// Whether DTLS has been up.
    connected: bool,
    lost_at: Option<Instant>,
    dtls_started: bool,
    errors: u32,
    remote_ufrag: Option<String>,
    remote_candidates: Vec<Candidate>,
}

/// Why a driver ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the session failed")]
    Session(#[source] str0m::RtcError),
    #[error("the socket failed")]
    Socket(#[source] std::io::Error),
    #[error("the driver panicked")]
    Panic,
}

/// Starts the driver on the engine's threads.
///
/// # Errors
/// When the session cannot be made; then there is no driver.
pub(super) fn start(
    peer: Weak<Peer>,
    signals: Arc<Signals>,
    config: Config,
    socket: std::net::UdpSocket,
    commands: mpsc::Receiver<Command>,
) -> Result<(), RtcError> {
    let _guard = runtime().enter();
    let transport = Transport::new(socket).map_err(|error| internal(error.to_string()))?;
    let driver = Driver::new(peer.clone(), signals.clone(), config, transport)?;
    runtime().spawn(async move {
        let ended = unwinding(driver.run(commands)).await;
        if let Err(reason) = &ended {
            log::error!("a connection's driver ended: {reason:?}");
        }
        signals.set_ended();
        if let Some(peer) = peer.upgrade() {
            peer.driver_ended();
        }
    });
    Ok(())
}

/// Runs to the end, a panic being an end too. The future, and the sockets in it, are gone when this returns.
async fn unwinding(run: impl Future<Output = Result<(), Ended>>) -> Result<(), Ended> {
    let mut run = Box::pin(run);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(Err(Ended::Panic)))
    })
    .await
}

/// The header extensions that `str0m` reads or writes for us.
pub(super) fn known_extension(uri: &str) -> Option<Extension> {
    let known = [
        Extension::AudioLevel,
        Extension::TransportSequenceNumber,
        Extension::RtpMid,
    ];
    known.into_iter().find(|extension| extension.as_uri() == uri)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Driver {
    fn new(
        peer: Weak<Peer>,
        signals: Arc<Signals>,
        config: Config,
        transport: Transport,
    ) -> Result<Box<Self>, RtcError> {
        let epoch = now();
        let identity = identity()?;
        let mut extensions = ExtensionMap::empty();
        for Extmap { id, uri } in &config.extensions {
            if let Some(extension) = known_extension(uri) {
                extensions.set(*id, extension);
            }
        }
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(identity.provider.clone())
            .set_dtls_cert(identity.certificate.clone())
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .set_rtp_mode(true)
            .set_extension_map(extensions)
            .set_local_ice_credentials(config.credentials);
        for payload_type in config.opus_payload_types {
            if payload_type != OPUS_PAYLOAD_TYPE {
                let opus = Codec::Opus;
                let (rate, channels) = (Frequency::FORTY_EIGHT_KHZ, Some(2));
                let codecs = rtc.codec_config();
                codecs.add_config(
                    payload_type.into(),
                    None,
                    opus,
                    rate,
                    channels,
                    FormatParams::default(),
                );
            }
        }
        let mut rtc = rtc.build(epoch);
        let host =
            Candidate::host(transport.address(), "udp").map_err(|error| internal(error.to_string()))?;
        rtc.add_local_candidate(host);
        rtc.direct_api().set_ice_controlling(config.controlling);
        Ok(Box::new(Self {
            peer,
            signals,
            rtc,
            transport,
            epoch,
            channels: channels::Channels::default(),
            senders: Vec::new(),
            receivers: Vec::new(),
            send_clock: MediaClock::new(SEND_PERIOD, SEND_BURST),
            playout_clock: MediaClock::new(PLAYOUT_PERIOD, PLAYOUT_BURST),
            playing: false,
            connected: false,
            lost_at: None,
            dtls_started: false,
            errors: 0,
            remote_ufrag: None,
            remote_candidates: Vec::new(),
        }))
    }

    /// Until stopped.
    async fn run(mut self: Box<Self>, mut commands: mpsc::Receiver<Command>) -> Result<(), Ended> {
        let signals = self.signals.clone();
        loop {
            let timeout = self.drain()?;
            self.run_clocks(now());
            let wake = self.wake_at(timeout);
            // Every arm is cancel-safe: notifications leave a permit, and the others only take what they return.
            tokio::select! {
                biased;
                () = signals.stop.notified() => break,
                () = tokio::time::sleep_until(wake.into()) => self.time_passed(timeout)?,
                incoming = self.transport.receive() => {
                    let incoming = incoming.map_err(Ended::Socket)?;
                    Self::take(&mut self.rtc, incoming)?;
                }
                Some(command) = commands.recv() => self.execute(command),
                () = signals.channels.notified() => {}
            }
        }
        self.finish().await;
        Ok(())
    }

    /// Says good-bye: an RTCP BYE and a DTLS alert. Nothing acknowledges them or sends them again, so they are sent twice; who gets
    /// both drops the second as a replay.
    async fn finish(mut self: Box<Self>) {
        let limit = now() + FAREWELL_LIMIT;
        // The session does not close in the middle of the SCTP handshake.
        while self.rtc.close().is_err() && now() < limit {
            if self.step_until(limit).await.is_err() {
                break;
            }
        }
        let mut farewell = Vec::new();
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                Output::Transmit(transmit) => farewell.push(transmit),
                Output::Event(_) => {}
                Output::Timeout(_) => break,
            }
        }
        for transmit in &farewell {
            self.transport.send(transmit);
        }
        if self.connected {
            tokio::time::sleep(FAREWELL_GAP).await;
            for transmit in &farewell {
                self.transport.send(transmit);
            }
        }
        self.transport.finish().await;
    }

    /// Serves the session once, until `limit` at the latest.
    async fn step_until(&mut self, limit: Instant) -> Result<(), Ended> {
        let timeout = self.drain()?;
        let wake = timeout.min(limit);
        tokio::select! {
            () = tokio::time::sleep_until(wake.into()) => {
                self.rtc.handle_input(Input::Timeout(now())).map_err(Ended::Session)
            }
            incoming = self.transport.receive() => Self::take(&mut self.rtc, incoming.map_err(Ended::Socket)?),
        }
    }

    /// Takes all that the session has to give. Returns when it wants to be called next.
    fn drain(&mut self) -> Result<Instant, Ended> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => self.transport.send(&transmit),
                Ok(Output::Event(event)) => self.handle(event),
                Ok(Output::Timeout(at)) => {
                    if !self.flush_channels() {
                        return Ok(at);
                    }
                }
                Err(error) => self.endure(error)?,
            }
        }
    }

    /// The session reports the peer's `close_notify` as an error when it comes in the middle of the SCTP handshake.
    fn endure(&mut self, error: str0m::RtcError) -> Result<(), Ended> {
        self.errors += 1;
        if !matches!(error, str0m::RtcError::Sctp(_)) || self.errors > MOST_ERRORS {
            return Err(Ended::Session(error));
        }
        log::debug!("SCTP: {error}");
        self.handle(Event::Closed);
        Ok(())
    }

    fn take(rtc: &mut Rtc, incoming: Incoming<'_>) -> Result<(), Ended> {
        match incoming {
            Incoming::Packet {
                protocol,
                source,
                destination,
                contents,
            } => {
                // What is no STUN, DTLS, RTP or RTCP is dropped here.
                let Ok(contents) = contents.as_ref().try_into() else {
                    return Ok(());
                };
                let receive = Receive {
                    proto: protocol,
                    source,
                    destination,
                    contents,
                };
                rtc.handle_input(Input::Receive(now(), receive))
                    .map_err(Ended::Session)?;
            }
            Incoming::CandidateUp(candidate) => {
                rtc.add_local_candidate(candidate);
            }
            Incoming::CandidateDown(candidate) => {
                rtc.direct_api().invalidate_candidate(&candidate);
            }
            Incoming::Nothing => {}
        }
        Ok(())
    }

    fn run_clocks(&mut self, now: Instant) {
        self.send_clock
            .run(self.connected && !self.senders.is_empty(), now);
        self.playout_clock.run(self.playing, now);
    }

    fn wake_at(&self, timeout: Instant) -> Instant {
        let clocks = [
            self.send_clock.deadline(),
            self.playout_clock.deadline(),
            self.lost_at.map(|at| at + LOST_LIMIT),
        ];
        clocks.into_iter().flatten().fold(timeout, Instant::min)
    }

    fn time_passed(&mut self, timeout: Instant) -> Result<(), Ended> {
        let now = now();
        if now >= timeout {
            self.rtc
                .handle_input(Input::Timeout(now))
                .map_err(Ended::Session)?;
        }
        if self.lost_at.is_some_and(|at| now >= at + LOST_LIMIT) {
            self.lost_at = None;
            self.report(PeerConnectionState::Failed);
        }
        // One at a time: between the ticks of a late sender its sources refill.
        if let Some(tick) = self.send_clock.tick(now) {
            self.send_media(tick, now);
        }
        self.play(now);
        Ok(())
    }

    fn report(&self, state: PeerConnectionState) {
        if let Some(peer) = self.peer.upgrade() {
            peer.set_connection_state(state);
        }
    }
}
