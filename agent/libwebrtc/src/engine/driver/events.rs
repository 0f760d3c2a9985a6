//! What the session says.

use str0m::{
    Event, IceConnectionState,
    channel::{ChannelData, ChannelId},
};

use super::{Driver, now};
use crate::{
    data_channel::{DataChannelInit, DataChannelState},
    engine::channel::Channel,
    peer_connection::PeerConnectionState,
};

impl Driver {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.report(PeerConnectionState::Connected);
            }
            Event::IceConnectionStateChange(state) => self.ice_changed(state),
            Event::RtpPacket(packet) => self.receive_media(&packet),
            Event::ChannelOpen(id, label) => self.channel_opened(id, label),
            Event::ChannelData(ChannelData { id, binary, data }) => {
                if let Some(channel) = self.channels.find(id) {
                    channel.receive(data, binary);
                }
            }
            Event::ChannelClose(id) => {
                if let Some(channel) = self.channels.remove(id) {
                    channel.set_state(DataChannelState::Closed);
                }
            }
            // The peer's DTLS close_notify. The signalling's "leave" usually follows; were it Failed here, the SDK would try to
            // resume a room that is gone.
            Event::Closed => {
                self.lost_at.get_or_insert_with(now);
                self.report(PeerConnectionState::Disconnected);
            }
            _ => {}
        }
    }

    fn ice_changed(&mut self, state: IceConnectionState) {
        log::debug!("ICE is {state:?}");
        match state {
            IceConnectionState::Disconnected => {
                self.lost_at = Some(now());
                self.report(PeerConnectionState::Disconnected);
            }
            // An ICE restart. It must be seen to leave Connected and to come back: the SDK counts the transitions, and else waits
            // out three seconds in every resume.
            IceConnectionState::Checking if self.connected => {
                self.lost_at.get_or_insert_with(now);
                self.report(PeerConnectionState::Connecting);
            }
            IceConnectionState::Connected | IceConnectionState::Completed => {
                self.transport.tcp.set_connected(true);
                self.lost_at = None;
                if self.connected {
                    self.report(PeerConnectionState::Connected);
                }
            }
            _ => {}
        }
    }

    fn channel_opened(&mut self, id: ChannelId, label: String) {
        let stream = self.rtc.direct_api().sctp_stream_id_by_channel_id(id);
        let stream = stream.map_or(-1, i32::from);
        if let Some(channel) = self.channels.find(id) {
            channel.opened(stream);
            return;
        }
        let channel = Channel::new(label, DataChannelInit::default(), self.signals.channels.clone());
        self.channels.add(id, channel.clone());
        channel.opened(stream);
        if let Some(peer) = self.peer.upgrade() {
            peer.data_channel_opened(channel);
        }
    }
}
