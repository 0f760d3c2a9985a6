//! Per-frame metadata of video: carried by no frame here.

use std::sync::Arc;

use crate::{
    peer_connection_factory::PeerConnectionFactory, rtp_receiver::RtpReceiver, rtp_sender::RtpSender,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishTimingStage {
    EncoderUpload,
    EncoderOutput,
    WebrtcPacketize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeTimingStage {
    WebrtcReceive,
    DecoderUpload,
    DecoderOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishTimingEvent {
    pub stage: PublishTimingStage,
    pub timestamp_us: u64,
    pub capture_timestamp_us: u64,
    pub frame_id: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeTimingEvent {
    pub stage: SubscribeTimingStage,
    pub timestamp_us: u64,
    pub capture_timestamp_us: u64,
    pub frame_id: Option<u32>,
}

pub type PublishTimingObserver = Arc<dyn Fn(PublishTimingEvent) + Send + Sync + 'static>;
pub type SubscribeTimingObserver = Arc<dyn Fn(SubscribeTimingEvent) + Send + Sync + 'static>;

#[derive(Debug, Clone)]
pub struct PacketTrailerHandler;

impl PacketTrailerHandler {
    pub fn set_enabled(&self, _enabled: bool) {}

    pub fn set_publish_timing_observer(&self, _observer: Option<PublishTimingObserver>) {}

    pub fn set_subscribe_timing_observer(&self, _observer: Option<SubscribeTimingObserver>) {}
}

pub fn create_sender_handler(_factory: &PeerConnectionFactory, _sender: &RtpSender) -> PacketTrailerHandler {
    PacketTrailerHandler
}

pub fn create_receiver_handler(
    _factory: &PeerConnectionFactory,
    _receiver: &RtpReceiver,
) -> PacketTrailerHandler {
    PacketTrailerHandler
}
