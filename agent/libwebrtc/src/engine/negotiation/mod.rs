//! Offers and answers (RFC 9429), and what the driver is told of them. [`state`] has their effect on the sections, [`describe`] our
//! side in words.

use std::{sync::Arc, time::Duration};

use super::{
    driver::{self, Command},
    internal, invalid_state,
    peer::{Peer, fresh_credentials},
    sdp::{Sdp, write::Setup},
    transport,
};
use crate::{
    RtcError, RtcErrorType,
    ice_candidate::IceCandidate,
    peer_connection::{OfferOptions, PeerConnectionState, SignalingState},
    session_description::{SdpType, SessionDescription},
};
use describe::{host_candidate, offered_extensions};

mod describe;
mod state;

/// How long an offer waits that does nothing but take tracks back. Whoever leaves takes its tracks back first, and the SDK would wait
/// 10 s, with the whole session in its hands, for an answer that a closed connection never gets.
const TAKE_BACK_PAUSE: Duration = Duration::from_millis(250);

impl Peer {
    /// Waits, if the next offer only takes tracks back, until the connection is closed, something is added, or [`TAKE_BACK_PAUSE`] is
    /// over. What was taken back is not sent meanwhile. Cancel-safe.
    pub(crate) async fn settle(&self) {
        // First, so that no news between the look and the wait is missed.
        let news = self.signals.news.notified();
        if self.open().is_ok_and(|state| state.only_takes_back) {
            let _ = tokio::time::timeout(TAKE_BACK_PAUSE, news).await;
        }
    }

    pub(crate) fn create_offer(&self, options: &OfferOptions) -> Result<SessionDescription, RtcError> {
        let mut state = self.open()?;
        state.only_takes_back = false;
        state.extensions.get_or_insert_with(offered_extensions);
        if options.ice_restart {
            state.next_credentials = Some(fresh_credentials());
        }
        state.assign_sections();
        let sdp = state.describe(Setup::ActPass, None)?;
        Ok(SessionDescription::new(SdpType::Offer, sdp))
    }

    pub(crate) fn create_answer(&self) -> Result<SessionDescription, RtcError> {
        let mut state = self.open()?;
        let offer = state
            .pending_remote
            .as_ref()
            .ok_or_else(|| invalid_state("there is no offer"))?;
        let offer = parse(offer)?;
        let sdp = state.describe(Setup::Active, Some(&offer))?;
        Ok(SessionDescription::new(SdpType::Answer, sdp))
    }

    pub(crate) fn set_local_description(
        self: &Arc<Self>,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        let mut state = self.open()?;
        let mut answered = None;
        if description.sdp_type() == SdpType::Offer {
            state.expect_signaling(&[SignalingState::Stable, SignalingState::HaveLocalOffer])?;
            state.offerer |= state.current_remote.is_none();
            state.pending_local = Some(description);
            state.signaling = SignalingState::HaveLocalOffer;
        } else {
            state.expect_signaling(&[SignalingState::HaveRemoteOffer])?;
            let offer = state
                .pending_remote
                .take()
                .ok_or_else(|| invalid_state("there is no offer"))?;
            answered = Some(parse(&offer)?);
            state.current_local = Some(description);
            state.current_remote = Some(offer);
            state.signaling = SignalingState::Stable;
        }
        if let Some(credentials) = state.next_credentials.take() {
            state.credentials = credentials.clone();
            self.command(Command::LocalCredentials(credentials))?;
        }
        drop(state);
        self.start_driver()?;
        if let Some(offer) = answered {
            self.apply(&offer, true)?;
        }
        self.emit_candidate();
        Ok(())
    }

    pub(crate) fn set_remote_description(
        self: &Arc<Self>,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        let remote = parse(&description)?;
        let mut state = self.open()?;
        let answer = description.sdp_type() == SdpType::Answer;
        if answer {
            state.expect_signaling(&[SignalingState::HaveLocalOffer])?;
            state.current_local = state.pending_local.take();
            state.current_remote = Some(description);
            state.signaling = SignalingState::Stable;
        } else {
            state.expect_signaling(&[SignalingState::Stable, SignalingState::HaveRemoteOffer])?;
            state.adopt_offer(&remote)?;
            state.follow_restart(&remote);
            state.pending_remote = Some(description);
            state.signaling = SignalingState::HaveRemoteOffer;
        }
        let added = state.note_remote_tracks(&remote);
        drop(state);
        for event in added {
            if let Some(callback) = &mut self.callbacks.lock().track {
                callback(event);
            }
        }
        if answer {
            self.apply(&remote, false)?;
        }
        Ok(())
    }

    /// With the first local description.
    fn start_driver(self: &Arc<Self>) -> Result<(), RtcError> {
        let Some(commands) = self.unstarted.lock().take() else {
            return Ok(());
        };
        let socket = transport::bind().map_err(|error| internal(format!("no UDP socket: {error}")))?;
        let address = socket.local_addr().map_err(|error| internal(error.to_string()))?;
        let config = {
            let mut state = self.state.lock();
            state.address = Some(address);
            driver::Config {
                credentials: state.credentials.clone(),
                extensions: state.extensions.clone().unwrap_or_default(),
                opus_payload_types: state.opus_payload_types.clone(),
                controlling: state.offerer,
            }
        };
        self.set_connection_state(PeerConnectionState::Connecting);
        driver::start(
            Arc::downgrade(self),
            self.signals.clone(),
            config,
            socket,
            commands,
        )
    }

    /// Tells the driver what both sides agreed to.
    fn apply(&self, remote: &Sdp, we_answered: bool) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        let negotiated = state.negotiated(remote, we_answered)?;
        self.command(Command::Negotiated(Box::new(negotiated)))
    }

    fn emit_candidate(&self) {
        let (address, mid, ufrag) = {
            let state = self.state.lock();
            let (Some(address), Some(slot)) = (state.address, state.slots.first()) else {
                return;
            };
            (address, slot.mid(), state.credentials.ufrag.clone())
        };
        let candidate = host_candidate(address, &ufrag);
        if let Some(callback) = &mut self.callbacks.lock().ice_candidate {
            callback(IceCandidate::new(mid, 0, candidate));
        }
    }
}

fn parse(description: &SessionDescription) -> Result<Sdp, RtcError> {
    Sdp::parse(description.as_str()).map_err(|error| invalid_sdp(&error.to_string()))
}

fn invalid_sdp(message: &str) -> RtcError {
    RtcError {
        error_type: RtcErrorType::InvalidSdp,
        message: message.to_owned(),
    }
}
