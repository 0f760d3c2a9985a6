//! What a driver starts with and what it is told.

use std::sync::{Arc, atomic::AtomicBool};

use str0m::ice::IceCreds;

use crate::{
    MediaType,
    engine::{channel::Channel, sdp::Extmap},
    media_stream_track::MediaStreamTrack,
};

/// What a driver starts with.
pub(in crate::engine) struct Config {
    pub(in crate::engine) credentials: IceCreds,
    pub(in crate::engine) extensions: Vec<Extmap>,
    pub(in crate::engine) opus_payload_types: Vec<u8>,
    pub(in crate::engine) controlling: bool,
}

/// What a driver is told.
pub(in crate::engine) enum Command {
    Negotiated(Box<Negotiated>),
    RemoteCandidate(String),
    /// For an ICE restart of ours.
    LocalCredentials(IceCreds),
    OpenChannel(Arc<Channel>),
    StopSending {
        ssrc: u32,
    },
    #[cfg(test)]
    Panic,
}

/// What both descriptions together say.
pub(in crate::engine) struct Negotiated {
    pub(in crate::engine) credentials: IceCreds,
    pub(in crate::engine) fingerprint: String,
    pub(in crate::engine) dtls_active: bool,
    pub(in crate::engine) controlling: bool,
    pub(in crate::engine) sctp: bool,
    pub(in crate::engine) candidates: Vec<String>,
    pub(in crate::engine) media: Vec<MediaPlan>,
    pub(in crate::engine) channels: Vec<Arc<Channel>>,
}

pub(in crate::engine) struct MediaPlan {
    pub(in crate::engine) mid: String,
    pub(in crate::engine) kind: MediaType,
    pub(in crate::engine) send: Option<SendPlan>,
    pub(in crate::engine) receive: Option<ReceivePlan>,
}

pub(in crate::engine) struct SendPlan {
    pub(in crate::engine) ssrc: u32,
    pub(in crate::engine) payload_type: u8,
    pub(in crate::engine) track: MediaStreamTrack,
    pub(in crate::engine) seal: Arc<AtomicBool>,
}

pub(in crate::engine) struct ReceivePlan {
    /// Not always in the description; then the first packet of the section tells.
    pub(in crate::engine) ssrc: Option<u32>,
    pub(in crate::engine) track: MediaStreamTrack,
    pub(in crate::engine) seal: Arc<AtomicBool>,
}
