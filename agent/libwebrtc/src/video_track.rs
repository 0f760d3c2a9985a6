//! Video tracks: placeholders, since no picture is encoded or decoded.

use crate::native::packet_trailer::PacketTrailerHandler;

crate::media_stream_track::media_stream_track!(RtcVideoTrack, Video);

impl RtcVideoTrack {
    pub fn packet_trailer_handler(&self) -> Option<PacketTrailerHandler> {
        None
    }

    pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}
}
