//! Peer connections.

use std::{fmt, sync::Arc};

use crate::{
    MediaType, RtcError,
    data_channel::{DataChannel, DataChannelInit},
    engine::peer::Peer,
    ice_candidate::IceCandidate,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    peer_connection_factory::RtcConfiguration,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverInit},
    session_description::SessionDescription,
    stats::RtcStats,
};

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum PeerConnectionState {
    New,
    Connecting,
    Connected,
    Disconnected,
    Failed,
    Closed,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SignalingState {
    Stable,
    HaveLocalOffer,
    HaveLocalPrAnswer,
    HaveRemoteOffer,
    HaveRemotePrAnswer,
    Closed,
}

#[derive(Debug, Clone, Default)]
pub struct OfferOptions {
    pub ice_restart: bool,
    /// Ignored: sections come from transceivers.
    pub offer_to_receive_audio: bool,
    /// Ignored: sections come from transceivers.
    pub offer_to_receive_video: bool,
}

#[derive(Debug, Clone, Default)]
pub struct AnswerOptions {}

#[derive(Debug, Clone)]
pub struct IceCandidateError {
    pub address: String,
    pub port: i32,
    pub url: String,
    pub error_code: i32,
    pub error_text: String,
}

#[derive(Debug, Clone)]
pub struct TrackEvent {
    pub receiver: RtpReceiver,
    pub streams: Vec<MediaStream>,
    pub track: MediaStreamTrack,
    pub transceiver: RtpTransceiver,
}

pub type OnConnectionChange = Box<dyn FnMut(PeerConnectionState) + Send + Sync>;
pub type OnDataChannel = Box<dyn FnMut(DataChannel) + Send + Sync>;
pub type OnIceCandidate = Box<dyn FnMut(IceCandidate) + Send + Sync>;
pub type OnIceCandidateError = Box<dyn FnMut(IceCandidateError) + Send + Sync>;
pub type OnTrack = Box<dyn FnMut(TrackEvent) + Send + Sync>;

#[derive(Clone)]
pub struct PeerConnection(pub(crate) Arc<Peer>);

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("state", &self.connection_state())
            .finish_non_exhaustive()
    }
}

#[allow(clippy::unused_async, reason = "the original's signatures")]
impl PeerConnection {
    /// Accepted and ignored: ICE servers are not used.
    pub fn set_configuration(&self, _configuration: RtcConfiguration) -> Result<(), RtcError> {
        Ok(())
    }

    /// An offer that only takes tracks back comes a quarter of a second later, unless something else is added meanwhile; `InvalidState`
    /// when the connection is closed by then.
    pub async fn create_offer(&self, options: OfferOptions) -> Result<SessionDescription, RtcError> {
        if !options.ice_restart {
            self.0.settle().await;
        }
        self.0.create_offer(&options)
    }

    pub async fn create_answer(&self, _options: AnswerOptions) -> Result<SessionDescription, RtcError> {
        self.0.create_answer()
    }

    pub async fn set_local_description(&self, description: SessionDescription) -> Result<(), RtcError> {
        self.0.set_local_description(description)
    }

    pub async fn set_remote_description(&self, description: SessionDescription) -> Result<(), RtcError> {
        self.0.set_remote_description(description)
    }

    pub async fn add_ice_candidate(&self, candidate: IceCandidate) -> Result<(), RtcError> {
        self.0.add_ice_candidate(&candidate)
    }

    pub fn create_data_channel(&self, label: &str, init: DataChannelInit) -> Result<DataChannel, RtcError> {
        self.0.create_data_channel(label, init).map(DataChannel)
    }

    /// Stops sending at once; the section goes inactive with the next negotiation.
    #[allow(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn remove_track(&self, sender: RtpSender) -> Result<(), RtcError> {
        self.0.remove_track(&sender.0)
    }

    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(Vec::new())
    }

    pub fn add_transceiver(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let kind = match &track {
            MediaStreamTrack::Audio(_) => MediaType::Audio,
            MediaStreamTrack::Video(_) => MediaType::Video,
        };
        self.0
            .add_transceiver(kind, Some(track), init)
            .map(RtpTransceiver)
    }

    pub fn add_transceiver_for_media(
        &self,
        media_type: MediaType,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        self.0.add_transceiver(media_type, None, init).map(RtpTransceiver)
    }

    /// Tells the peer, releases the sockets and forgets all tracks. Blocks for some milliseconds: see the crate's contract.
    pub fn close(&self) {
        self.0.close();
    }

    pub fn connection_state(&self) -> PeerConnectionState {
        self.0.connection_state()
    }

    pub fn signaling_state(&self) -> SignalingState {
        self.0.signaling_state()
    }

    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.0.current_local_description()
    }

    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.0.current_remote_description()
    }

    pub fn senders(&self) -> Vec<RtpSender> {
        self.0.transceivers().into_iter().map(RtpSender).collect()
    }

    pub fn receivers(&self) -> Vec<RtpReceiver> {
        self.0.transceivers().into_iter().map(RtpReceiver).collect()
    }

    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        self.0.transceivers().into_iter().map(RtpTransceiver).collect()
    }

    pub fn on_connection_state_change(&self, callback: Option<OnConnectionChange>) {
        self.0.callbacks.lock().connection = callback;
    }

    pub fn on_data_channel(&self, callback: Option<OnDataChannel>) {
        self.0.callbacks.lock().data_channel = callback;
    }

    pub fn on_ice_candidate(&self, callback: Option<OnIceCandidate>) {
        self.0.callbacks.lock().ice_candidate = callback;
    }

    /// Never called: there is no STUN or TURN server to fail.
    pub fn on_ice_candidate_error(&self, _callback: Option<OnIceCandidateError>) {}

    pub fn on_track(&self, callback: Option<OnTrack>) {
        self.0.callbacks.lock().track = callback;
    }
}
