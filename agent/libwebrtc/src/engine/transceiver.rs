//! Transceivers: what the API and the negotiation know of a media section.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use super::{ident, sdp, track::Track};
use crate::{
    MediaType,
    audio_track::RtcAudioTrack,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::{RtpCodecParameters, RtpParameters},
    rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit},
    video_track::RtcVideoTrack,
};

/// The payload types that we offer: those of the browsers.
pub(crate) const OPUS_PAYLOAD_TYPE: u8 = 111;
pub(crate) const VP8_PAYLOAD_TYPE: u8 = 96;

pub(crate) struct Transceiver {
    pub(crate) kind: MediaType,
    /// No media may pass in clear.
    seal: Arc<AtomicBool>,
    pub(crate) state: Mutex<TransceiverState>,
}

pub(crate) struct TransceiverState {
    pub(crate) mid: Option<String>,
    pub(crate) direction: RtpTransceiverDirection,
    pub(crate) current_direction: Option<RtpTransceiverDirection>,
    /// Whether it was made to send. `send_track` is taken away when the track is removed.
    pub(crate) has_sender: bool,
    pub(crate) send_track: Option<MediaStreamTrack>,
    pub(crate) stream_ids: Vec<String>,
    pub(crate) ssrc: u32,
    pub(crate) receive_track: MediaStreamTrack,
    /// Of the latest remote description; empty while the peer does not send.
    pub(crate) receive_streams: Vec<String>,
    pub(crate) parameters: RtpParameters,
}

impl Transceiver {
    pub(crate) fn new(
        kind: MediaType,
        track: Option<MediaStreamTrack>,
        init: RtpTransceiverInit,
    ) -> Arc<Self> {
        let codec = RtpCodecParameters {
            payload_type: OPUS_PAYLOAD_TYPE,
            mime_type: "audio/opus".into(),
            clock_rate: Some(48_000),
            channels: Some(2),
        };
        Arc::new(Self {
            kind,
            seal: Arc::default(),
            state: Mutex::new(TransceiverState {
                mid: None,
                direction: init.direction,
                current_direction: None,
                has_sender: track.is_some(),
                send_track: track,
                stream_ids: init.stream_ids,
                ssrc: rand::random::<u32>() | 1,
                receive_track: remote_track(kind, ident::uuid()),
                receive_streams: Vec::new(),
                parameters: RtpParameters {
                    encodings: init.send_encodings,
                    codecs: vec![codec],
                },
            }),
        })
    }

    /// One that only receives, for a section that the peer offers.
    pub(crate) fn receiving(kind: MediaType) -> Arc<Self> {
        let init = RtpTransceiverInit {
            direction: RtpTransceiverDirection::RecvOnly,
            stream_ids: Vec::new(),
            send_encodings: Vec::new(),
        };
        Self::new(kind, None, init)
    }

    pub(crate) fn has_mid(&self, mid: &str) -> bool {
        self.state.lock().mid.as_deref() == Some(mid)
    }

    pub(crate) fn seal(&self) -> Arc<AtomicBool> {
        self.seal.clone()
    }

    pub(crate) fn sealed(&self) -> bool {
        self.seal.load(Ordering::Acquire)
    }

    pub(crate) fn set_sealed(&self, sealed: bool) {
        self.seal.store(sealed, Ordering::Release);
    }
}

impl TransceiverState {
    pub(crate) fn wants_to_send(&self) -> bool {
        use RtpTransceiverDirection::{SendOnly, SendRecv};
        matches!(self.direction, SendRecv | SendOnly)
    }

    pub(crate) fn wants_to_receive(&self) -> bool {
        use RtpTransceiverDirection::{RecvOnly, SendRecv};
        matches!(self.direction, SendRecv | RecvOnly)
    }

    /// What both sides agree to, seen from here.
    pub(crate) fn agreed(&self, remote: sdp::Direction) -> sdp::Direction {
        sdp::Direction {
            sends: self.has_sender && self.wants_to_send() && remote.receives,
            receives: self.wants_to_receive() && remote.sends,
        }
    }

    /// Takes the track away: the section stops sending.
    pub(crate) fn stop_sending(&mut self) {
        use RtpTransceiverDirection::{Inactive, RecvOnly, SendOnly, SendRecv};
        self.send_track = None;
        self.direction = match self.direction {
            SendRecv => RecvOnly,
            SendOnly => Inactive,
            unchanged => unchanged,
        };
    }
}

pub(crate) fn remote_track(kind: MediaType, id: String) -> MediaStreamTrack {
    let track = Track::remote(id);
    if kind == MediaType::Audio {
        MediaStreamTrack::Audio(RtcAudioTrack(track))
    } else {
        MediaStreamTrack::Video(RtcVideoTrack(track))
    }
}

impl From<sdp::Direction> for RtpTransceiverDirection {
    fn from(direction: sdp::Direction) -> Self {
        match (direction.sends, direction.receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}
