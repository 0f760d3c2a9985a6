//! The receiving half of a transceiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError, engine::transceiver::Transceiver, media_stream::MediaStream,
    media_stream_track::MediaStreamTrack, rtp_parameters::RtpParameters, stats::RtcStats,
};

#[derive(Clone)]
pub struct RtpReceiver(pub(crate) Arc<Transceiver>);

impl fmt::Debug for RtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpReceiver").finish_non_exhaustive()
    }
}

impl RtpReceiver {
    pub fn track(&self) -> Option<MediaStreamTrack> {
        Some(self.0.state.lock().receive_track.clone())
    }

    /// The streams of the latest remote description; they change when the peer reuses the section for another track.
    pub fn streams(&self) -> Vec<MediaStream> {
        let state = self.0.state.lock();
        state.receive_streams.iter().cloned().map(MediaStream).collect()
    }

    pub fn parameters(&self) -> RtpParameters {
        self.0.state.lock().parameters.clone()
    }

    #[allow(clippy::unused_async, reason = "the original's signature")]
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(Vec::new())
    }
}
