//! What a `PeerConnection` is: its state, its callbacks, and the way to its driver. The negotiation is in `negotiation`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use str0m::ice::IceCreds;
use tokio::sync::{Notify, mpsc};

use super::{
    channel::Channel, driver::Command, ident, identity, internal, invalid_state, on_engine_thread,
    sdp::Extmap, transceiver::Transceiver,
};
use crate::{
    MediaType, RtcError,
    data_channel::{DataChannel, DataChannelInit, DataChannelState},
    ice_candidate::IceCandidate,
    media_stream_track::MediaStreamTrack,
    peer_connection::{
        OnConnectionChange, OnDataChannel, OnIceCandidate, OnTrack, PeerConnectionState, SignalingState,
    },
    rtp_transceiver::RtpTransceiverInit,
    session_description::SessionDescription,
};

/// How long `close` waits for the driver.
const CLOSE_LIMIT: Duration = Duration::from_millis(300);
/// Commands are few: one for each negotiation, candidate and channel.
const COMMANDS: usize = 256;

pub(crate) struct Peer {
    pub(super) state: Mutex<PeerState>,
    pub(crate) callbacks: Mutex<Callbacks>,
    commands: mpsc::Sender<Command>,
    /// What the driver will be given when it starts.
    pub(super) unstarted: Mutex<Option<mpsc::Receiver<Command>>>,
    pub(super) signals: Arc<Signals>,
}

/// What the peer and its driver tell each other beside the commands.
#[derive(Default)]
pub(super) struct Signals {
    /// The driver is to end.
    pub(super) stop: Notify,
    /// A data channel has something to send.
    pub(super) channels: Arc<Notify>,
    /// The connection is closed, or has something new to offer.
    pub(super) news: Notify,
    ended: Mutex<bool>,
    ended_changed: Condvar,
}

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) connection: Option<OnConnectionChange>,
    pub(crate) data_channel: Option<OnDataChannel>,
    pub(crate) ice_candidate: Option<OnIceCandidate>,
    pub(crate) track: Option<OnTrack>,
}

pub(super) struct PeerState {
    pub(super) signaling: SignalingState,
    pub(super) connection: PeerConnectionState,
    pub(super) pending_local: Option<SessionDescription>,
    pub(super) current_local: Option<SessionDescription>,
    pub(super) pending_remote: Option<SessionDescription>,
    pub(super) current_remote: Option<SessionDescription>,
    pub(super) transceivers: Vec<Arc<Transceiver>>,
    /// The media sections in the order of the description.
    pub(super) slots: Vec<Slot>,
    pub(super) channels: Vec<Arc<Channel>>,
    /// Whether a track was taken away since the last offer, and nothing was added.
    pub(super) only_takes_back: bool,
    /// Whether the driver has been given the channels: from the first negotiated application section on.
    pub(super) channels_live: bool,
    pub(super) credentials: IceCreds,
    /// Those of a restart that was offered and is not yet set.
    pub(super) next_credentials: Option<IceCreds>,
    /// Header extensions for audio, fixed by the first description.
    pub(super) extensions: Option<Vec<Extmap>>,
    /// Payload types for Opus beside our own, named by the peer's first description.
    pub(super) opus_payload_types: Vec<u8>,
    pub(super) session_id: u64,
    pub(super) version: u64,
    pub(super) cname: String,
    /// Whether the first offer was ours: then we are the controlling ICE agent (RFC 8445 §6.1.1).
    pub(super) offerer: bool,
    pub(super) address: Option<SocketAddr>,
}

impl PeerState {
    fn is_closed(&self) -> bool {
        self.signaling == SignalingState::Closed
    }
}

pub(super) enum Slot {
    Media(Arc<Transceiver>),
    Application { mid: String },
}

impl Peer {
    pub(crate) fn new() -> Result<Arc<Self>, RtcError> {
        identity::identity()?;
        let (commands, unstarted) = mpsc::channel(COMMANDS);
        Ok(Arc::new(Self {
            state: Mutex::new(PeerState {
                signaling: SignalingState::Stable,
                connection: PeerConnectionState::New,
                pending_local: None,
                current_local: None,
                pending_remote: None,
                current_remote: None,
                transceivers: Vec::new(),
                slots: Vec::new(),
                channels: Vec::new(),
                only_takes_back: false,
                channels_live: false,
                credentials: fresh_credentials(),
                next_credentials: None,
                extensions: None,
                opus_payload_types: Vec::new(),
                session_id: rand::random::<u64>() >> 1,
                version: 1,
                cname: ident::token(16),
                offerer: false,
                address: None,
            }),
            callbacks: Mutex::default(),
            commands,
            unstarted: Mutex::new(Some(unstarted)),
            signals: Arc::default(),
        }))
    }

    pub(crate) fn connection_state(&self) -> PeerConnectionState {
        self.state.lock().connection
    }

    pub(crate) fn signaling_state(&self) -> SignalingState {
        self.state.lock().signaling
    }

    pub(crate) fn current_local_description(&self) -> Option<SessionDescription> {
        self.state.lock().current_local.clone()
    }

    pub(crate) fn current_remote_description(&self) -> Option<SessionDescription> {
        self.state.lock().current_remote.clone()
    }

    /// None after `close`.
    pub(crate) fn transceivers(&self) -> Vec<Arc<Transceiver>> {
        self.state.lock().transceivers.clone()
    }

    pub(crate) fn add_transceiver(
        &self,
        kind: MediaType,
        track: Option<MediaStreamTrack>,
        init: RtpTransceiverInit,
    ) -> Result<Arc<Transceiver>, RtcError> {
        let mut state = self.open()?;
        let transceiver = Transceiver::new(kind, track, init);
        state.transceivers.push(transceiver.clone());
        state.only_takes_back = false;
        self.signals.news.notify_waiters();
        Ok(transceiver)
    }

    pub(crate) fn remove_track(&self, transceiver: &Transceiver) -> Result<(), RtcError> {
        let mut peer = self.open()?;
        peer.only_takes_back = true;
        let mut state = transceiver.state.lock();
        state.stop_sending();
        // Without a driver nothing is sent anyway.
        let _ = self.command(Command::StopSending { ssrc: state.ssrc });
        Ok(())
    }

    pub(crate) fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<Arc<Channel>, RtcError> {
        let mut state = self.open()?;
        // RFC 8832 §6: stream 65535 is reserved.
        if init.negotiated && !(0..65_535).contains(&init.id) {
            return Err(invalid_state(format!("{} is no SCTP stream", init.id)));
        }
        let channel = Channel::new(label.to_owned(), init, self.signals.channels.clone());
        state
            .channels
            .retain(|other| other.state() != DataChannelState::Closed);
        state.channels.push(channel.clone());
        if state.channels_live {
            self.command(Command::OpenChannel(channel.clone()))?;
        }
        Ok(channel)
    }

    pub(crate) fn add_ice_candidate(&self, candidate: &IceCandidate) -> Result<(), RtcError> {
        let _open = self.open()?;
        self.command(Command::RemoteCandidate(candidate.candidate()))
    }

    /// Tells the peer, releases the sockets, and forgets tracks and sources. Waits for the driver, not for ever.
    pub(crate) fn close(&self) {
        let (started, channels) = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.signaling, SignalingState::Closed) == SignalingState::Closed {
                return;
            }
            state.connection = PeerConnectionState::Closed;
            state.pending_local = None;
            state.pending_remote = None;
            state.slots.clear();
            for transceiver in std::mem::take(&mut state.transceivers) {
                transceiver.state.lock().send_track = None;
            }
            (state.address.is_some(), std::mem::take(&mut state.channels))
        };
        // Commands that nobody will execute hold channels and tracks.
        drop(self.unstarted.lock().take());
        self.signals.news.notify_waiters();
        self.signals.stop.notify_one();
        for channel in channels {
            channel.set_state(DataChannelState::Closed);
        }
        if started && !on_engine_thread() {
            self.signals.wait_for_end(CLOSE_LIMIT);
        }
    }

    /// The state, unless closed.
    pub(super) fn open(&self) -> Result<parking_lot::MutexGuard<'_, PeerState>, RtcError> {
        let state = self.state.lock();
        if state.is_closed() {
            return Err(invalid_state("the peer connection is closed"));
        }
        Ok(state)
    }

    pub(super) fn command(&self, command: Command) -> Result<(), RtcError> {
        let sent = self.commands.try_send(command);
        sent.map_err(|_| internal("the connection's driver has ended or does not keep up"))
    }

    pub(super) fn set_connection_state(&self, next: PeerConnectionState) {
        {
            let mut state = self.state.lock();
            if state.connection == next || state.is_closed() {
                return;
            }
            state.connection = next;
        }
        log::debug!("the connection is {next:?}");
        if let Some(callback) = &mut self.callbacks.lock().connection {
            callback(next);
        }
    }

    /// The driver's: the peer opened a channel.
    pub(super) fn data_channel_opened(&self, channel: Arc<Channel>) {
        self.state.lock().channels.push(channel.clone());
        if let Some(callback) = &mut self.callbacks.lock().data_channel {
            callback(DataChannel(channel));
        }
    }

    /// The driver's last word, however it ended: without it nothing works any more.
    pub(super) fn driver_ended(&self) {
        let channels = std::mem::take(&mut self.state.lock().channels);
        for channel in channels {
            channel.set_state(DataChannelState::Closed);
        }
        self.set_connection_state(PeerConnectionState::Failed);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.signals.stop.notify_one();
    }
}

impl Signals {
    pub(super) fn set_ended(&self) {
        *self.ended.lock() = true;
        self.ended_changed.notify_all();
    }

    fn wait_for_end(&self, limit: Duration) {
        let mut ended = self.ended.lock();
        if self
            .ended_changed
            .wait_while_for(&mut ended, |ended| !*ended, limit)
            .timed_out()
        {
            log::warn!("a connection took longer than {limit:?} to close");
        }
    }
}

/// Longer than what RFC 8839 §5.4 asks for (24 and 128 random bits).
pub(super) fn fresh_credentials() -> IceCreds {
    IceCreds {
        ufrag: ident::token(8),
        pass: ident::token(24),
    }
}
