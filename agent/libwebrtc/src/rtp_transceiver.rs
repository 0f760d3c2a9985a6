//! A media section of the session: one sender and one receiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError,
    engine::transceiver::Transceiver,
    rtp_parameters::{RtpCodecCapability, RtpEncodingParameters},
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

#[derive(Debug, Clone)]
pub struct RtpTransceiverInit {
    pub direction: RtpTransceiverDirection,
    pub stream_ids: Vec<String>,
    pub send_encodings: Vec<RtpEncodingParameters>,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtpTransceiverDirection {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
    Stopped,
}

#[derive(Clone)]
pub struct RtpTransceiver(pub(crate) Arc<Transceiver>);

impl fmt::Debug for RtpTransceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpTransceiver")
            .field("mid", &self.mid())
            .finish_non_exhaustive()
    }
}

impl RtpTransceiver {
    pub fn mid(&self) -> Option<String> {
        self.0.state.lock().mid.clone()
    }

    pub fn current_direction(&self) -> Option<RtpTransceiverDirection> {
        self.0.state.lock().current_direction
    }

    pub fn direction(&self) -> RtpTransceiverDirection {
        self.0.state.lock().direction
    }

    pub fn sender(&self) -> RtpSender {
        RtpSender(self.0.clone())
    }

    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver(self.0.clone())
    }

    /// Of no effect: there is one codec for each kind of media.
    pub fn set_codec_preferences(&self, _codecs: Vec<RtpCodecCapability>) -> Result<(), RtcError> {
        Ok(())
    }
}
