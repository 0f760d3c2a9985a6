//! Where peer connections and tracks are made.

use crate::{
    MediaType, RtcError, engine::peer::Peer, peer_connection::PeerConnection, rtp_parameters::RtpCapabilities,
};

#[derive(Debug, Clone)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub password: String,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum ContinualGatheringPolicy {
    GatherOnce,
    GatherContinually,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceTransportsType {
    Relay,
    NoHost,
    All,
}

#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RtcConfiguration {
    pub ice_servers: Vec<IceServer>,
    pub continual_gathering_policy: ContinualGatheringPolicy,
    pub ice_transport_type: IceTransportsType,
    pub enable_sctp_snap: bool,
}

impl Default for RtcConfiguration {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            continual_gathering_policy: ContinualGatheringPolicy::GatherContinually,
            ice_transport_type: IceTransportsType::All,
            enable_sctp_snap: false,
        }
    }
}

#[derive(Clone, Default, Debug)]
pub struct PeerConnectionFactory;

impl PeerConnectionFactory {
    /// The options are ignored: they speak of playout devices.
    pub fn with_options(_zero_playout_delay: bool, _enable_warp: bool) -> Self {
        Self
    }

    /// # Errors
    /// `Internal` when the process has no DTLS certificate.
    #[allow(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn create_peer_connection(
        &self,
        configuration: RtcConfiguration,
    ) -> Result<PeerConnection, RtcError> {
        if configuration.ice_transport_type != IceTransportsType::All {
            log::warn!(
                "relayed candidates only were asked for, and this engine has none: it uses host candidates"
            );
        }
        Peer::new().map(PeerConnection)
    }

    /// None: the engine offers one codec for each kind, whatever is preferred.
    pub fn get_rtp_sender_capabilities(&self, _media_type: MediaType) -> RtpCapabilities {
        RtpCapabilities { codecs: Vec::new() }
    }
}

pub mod native;
