//! The call's media: negotiated before the room is joined, running from the answer on.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use audio::Codec;
use livekit::prelude::RemoteAudioTrack;
use media::sdp::{self, LocalMedia, Negotiated, SdpError};
use media::{Digit, RtpControl, RtpPort, RtpSession, RtpStats, SessionOptions};
use parking_lot::Mutex;
use sip::Invite;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::{self, CHANGE_QUEUE, Change, Downlink, Faults};
use crate::room::RoomLeg;

/// Any port: for reading an offer before a port is bound.
const NO_PORT: u16 = 9;

/// The caller's SDP.
pub(super) struct Offer(Vec<u8>);

impl Offer {
    /// # Errors
    /// [`SdpError::NoAudio`] when the INVITE has no body: offers in the ACK are not supported.
    pub(super) fn read(invite: &Invite) -> Result<Self, SdpError> {
        if invite.body.is_empty() {
            Err(SdpError::NoAudio)
        } else {
            Ok(Self(invite.body.clone()))
        }
    }

    /// The codec that would be agreed on.
    pub(super) fn codec(&self, codecs: &[Codec]) -> Result<Codec, SdpError> {
        let local = LocalMedia {
            address: IpAddr::from([127, 0, 0, 1]),
            port: NO_PORT,
            codecs,
            session_id: 0,
            version: 0,
        };
        sdp::answer(&self.0, &local).map(|(_, negotiated)| negotiated.codec)
    }
}

pub(super) struct MediaLeg {
    address: IpAddr,
    port: u16,
    session_id: u64,
    version: u64,
    answer: String,
    negotiated: Negotiated,
    changes: mpsc::Sender<Change>,
    faults: Arc<Mutex<Faults>>,
    state: State,
}

enum State {
    Waiting(Option<(RtpPort, mpsc::Receiver<Change>)>),
    Running(RtpControl),
}

impl MediaLeg {
    pub(super) fn negotiate(
        offer: &Offer,
        port: RtpPort,
        address: IpAddr,
        codecs: &[Codec],
    ) -> Result<Self, SdpError> {
        // 62 bits: some peers read it as a signed number.
        let session_id = rand::random::<u64>() >> 2;
        let local = LocalMedia {
            address,
            port: port.port(),
            codecs,
            session_id,
            version: 1,
        };
        let (answer, negotiated) = sdp::answer(&offer.0, &local)?;
        let (changes, changes_rx) = mpsc::channel(CHANGE_QUEUE);
        Ok(Self {
            address,
            port: port.port(),
            session_id,
            version: 1,
            answer,
            negotiated,
            changes,
            faults: Arc::default(),
            state: State::Waiting(Some((port, changes_rx))),
        })
    }

    pub(super) fn sample_rate_hz(&self) -> u32 {
        self.negotiated.codec.sample_rate_hz()
    }

    /// Starts RTP both ways; returns the SDP for the 200.
    pub(super) fn start(
        &mut self,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
        room: &RoomLeg,
    ) -> Vec<u8> {
        if let State::Waiting(waiting) = &mut self.state
            && let Some((port, changes)) = waiting.take()
        {
            let session = RtpSession::start(
                port,
                SessionOptions::from(&self.negotiated),
                tasks,
                cancel.clone(),
            );
            let RtpSession {
                sender,
                frames,
                digits,
                control,
            } = session;
            tasks.spawn(bridge::uplink(
                frames,
                room.source.clone(),
                self.sample_rate_hz(),
                cancel.clone(),
            ));
            tasks.spawn(bridge::keys(digits, room.keypad(), cancel.clone()));
            tasks.spawn(Downlink::new(sender, changes, Arc::clone(&self.faults)).run(cancel.clone()));
            self.state = State::Running(control);
        }
        self.answer.clone().into_bytes()
    }

    /// Resolves when the caller sends no RTP; never while it is not meant to. Cancel-safe.
    pub(super) async fn timed_out(&self, first: Duration, later: Duration) {
        match &self.state {
            State::Running(control) if !self.negotiated.held => control.media_timeout(first, later).await,
            _ => pending().await,
        }
    }

    /// Answers an offer within the call; `None` leaves the session as it was. A request for an offer gets our session as it stands.
    pub(super) fn renegotiate(&mut self, offer: Option<&[u8]>) -> Option<Vec<u8>> {
        let Some(offer) = offer else {
            return Some(self.answer.clone().into_bytes());
        };
        // The codec stays: both directions' encoders carry the history of the stream.
        let codecs = [self.negotiated.codec];
        let local = LocalMedia {
            address: self.address,
            port: self.port,
            codecs: &codecs,
            session_id: self.session_id,
            version: self.version + 1,
        };
        let (answer, negotiated) = sdp::answer(offer, &local).ok()?;
        if negotiated.payload_type != self.negotiated.payload_type {
            return None;
        }
        self.version += 1;
        self.answer = answer;
        self.negotiated = negotiated;
        if let State::Running(control) = &self.state {
            control.update(negotiated.remote, negotiated.direction.sends());
        }
        tracing::info!(
            step = "renegotiated",
            held = negotiated.held,
            "the caller changed the session"
        );
        Some(self.answer.clone().into_bytes())
    }

    pub(super) async fn add_track(&self, sid: String, track: RemoteAudioTrack) {
        self.change(Change::Add { sid, track }).await;
    }

    pub(super) async fn remove_track(&self, sid: String) {
        self.change(Change::Remove { sid }).await;
    }

    pub(super) async fn press(&self, digit: Digit) {
        self.change(Change::Press(digit)).await;
    }

    pub(super) fn stats(&self) -> Option<RtpStats> {
        match &self.state {
            State::Running(control) => Some(control.stats()),
            State::Waiting(_) => None,
        }
    }

    /// What the room's sound suffered on its way to the phone.
    pub(super) fn faults(&self) -> Faults {
        *self.faults.lock()
    }

    async fn change(&self, change: Change) {
        // Before the answer nobody takes changes: they wait in the queue, and beyond it they are lost, as ringing calls hear nothing.
        match &self.state {
            State::Running(_) => drop(self.changes.send(change).await),
            State::Waiting(_) => drop(self.changes.try_send(change)),
        }
    }
}
