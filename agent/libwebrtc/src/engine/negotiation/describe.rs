//! Our side in words: the sections of a local description.

use std::net::SocketAddr;

use crate::{
    MediaType, RtcError,
    engine::{
        identity::identity,
        peer::{PeerState, Slot},
        sdp::{
            Extmap, Msid, Sdp, Section,
            write::{Description, LocalMedia, LocalSection, LocalStream, Setup},
        },
        transceiver::{OPUS_PAYLOAD_TYPE, TransceiverState, VP8_PAYLOAD_TYPE},
    },
    rtp_transceiver::RtpTransceiverDirection,
};

/// The header extensions that we offer for audio: level (RFC 6464), transport-wide congestion control, mid (RFC 9143 §15.1).
const AUDIO_EXTENSIONS: [(u8, &str); 3] = [
    (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (
        3,
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    ),
    (4, "urn:ietf:params:rtp-hdrext:sdes:mid"),
];
pub(super) const OPUS: &str = "opus/48000";
const VP8: &str = "VP8/90000";

/// Host candidates over UDP, the preferred kind (RFC 8445 §5.1.2.1: type 126, local 65535, component 1).
const HOST_PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

impl PeerState {
    /// Our description; `offer` is the one that it answers.
    pub(super) fn describe(&mut self, setup: Setup, offer: Option<&Sdp>) -> Result<String, RtcError> {
        let extensions = self.extensions.clone().unwrap_or_default();
        let sections = self
            .slots
            .iter()
            .map(|slot| slot.describe(&extensions, offer))
            .collect();
        let description = Description {
            session_id: self.session_id,
            version: self.version,
            credentials: self.next_credentials.as_ref().unwrap_or(&self.credentials),
            fingerprint: &identity()?.fingerprint,
            setup,
            cname: &self.cname,
            sections,
        };
        let sdp = description.write();
        self.version += 1;
        Ok(sdp)
    }
}

impl Slot {
    pub(in crate::engine) fn mid(&self) -> String {
        match self {
            Self::Media(transceiver) => transceiver.state.lock().mid.clone().unwrap_or_default(),
            Self::Application { mid } => mid.clone(),
        }
    }

    pub(super) fn describe(&self, extensions: &[Extmap], offer: Option<&Sdp>) -> LocalSection {
        let mid = self.mid();
        let Self::Media(transceiver) = self else {
            return LocalSection {
                mid,
                media: LocalMedia::Application,
            };
        };
        let offered = offer.and_then(|offer| offer.sections.iter().find(|section| section.mid() == mid));
        let audio = transceiver.kind == MediaType::Audio;
        let state = transceiver.state.lock();
        let direction = match offered {
            Some(section) => state.agreed(section.direction()).into(),
            None => state.direction,
        };
        let stream = LocalStream {
            direction: direction_attribute(direction),
            payload_type: payload_type(audio, offered),
            extensions: if audio {
                answered_extensions(extensions, offered)
            } else {
                Vec::new()
            },
            sending: state.sending(direction),
        };
        LocalSection {
            mid,
            media: if audio {
                LocalMedia::Audio(stream)
            } else {
                LocalMedia::Video(stream)
            },
        }
    }
}

impl TransceiverState {
    pub(super) fn sending(&self, direction: RtpTransceiverDirection) -> Option<(Msid, u32)> {
        use RtpTransceiverDirection::{SendOnly, SendRecv};
        let track = self
            .send_track
            .as_ref()
            .filter(|_| matches!(direction, SendRecv | SendOnly))?;
        let msid = Msid {
            stream: self.stream_ids.first().map_or("-", String::as_str).to_owned(),
            track: track.id(),
        };
        Some((msid, self.ssrc))
    }
}

/// Every packet to the peer carries the number that the peer gave to the codec (RFC 3264 §5.1).
pub(super) fn payload_type(audio: bool, remote: Option<&Section>) -> u8 {
    let (codec, ours) = if audio {
        (OPUS, OPUS_PAYLOAD_TYPE)
    } else {
        (VP8, VP8_PAYLOAD_TYPE)
    };
    remote
        .and_then(|section| section.payload_type(codec))
        .unwrap_or(ours)
}

/// An answer has only what the offer has (RFC 8285 §5).
pub(super) fn answered_extensions(extensions: &[Extmap], offered: Option<&Section>) -> Vec<Extmap> {
    let offers =
        |extmap: &&Extmap| offered.is_none_or(|section| section.extmaps().any(|other| other == **extmap));
    extensions.iter().filter(offers).cloned().collect()
}

pub(super) fn offered_extensions() -> Vec<Extmap> {
    let extmap = |(id, uri): (u8, &str)| Extmap {
        id,
        uri: uri.to_owned(),
    };
    AUDIO_EXTENSIONS.into_iter().map(extmap).collect()
}

pub(super) fn direction_attribute(direction: RtpTransceiverDirection) -> &'static str {
    match direction {
        RtpTransceiverDirection::SendRecv => "sendrecv",
        RtpTransceiverDirection::SendOnly => "sendonly",
        RtpTransceiverDirection::RecvOnly => "recvonly",
        RtpTransceiverDirection::Inactive | RtpTransceiverDirection::Stopped => "inactive",
    }
}

pub(super) fn host_candidate(address: SocketAddr, ufrag: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("candidate:1 1 udp {HOST_PRIORITY} {ip} {port} typ host generation 0 ufrag {ufrag}")
}
