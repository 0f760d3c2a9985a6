//! The sending half of a transceiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError, engine::transceiver::Transceiver, media_stream_track::MediaStreamTrack,
    rtp_parameters::RtpParameters, stats::RtcStats,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoEncoderBackend {
    #[default]
    Auto,
}

#[derive(Clone)]
pub struct RtpSender(pub(crate) Arc<Transceiver>);

impl fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpSender").finish_non_exhaustive()
    }
}

impl RtpSender {
    /// `None` after the track was removed or the connection closed.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.0.state.lock().send_track.clone()
    }

    #[allow(clippy::unused_async, reason = "the original's signature")]
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(Vec::new())
    }

    pub fn parameters(&self) -> RtpParameters {
        self.0.state.lock().parameters.clone()
    }

    pub fn set_parameters(&self, parameters: RtpParameters) -> Result<(), RtcError> {
        self.0.state.lock().parameters = parameters;
        Ok(())
    }

    /// Of no effect: no video is encoded.
    pub fn set_video_encoder_backend(&self, _backend: VideoEncoderBackend) {}
}
