//! How long sound takes through the gateway, by its own buffers, and how agents learn of it.

use std::time::Duration;

use livekit::webrtc::{audio_source::native::NativeAudioSource, audio_stream::native::NativeAudioStream};
use media::SessionOptions;

use super::playout;

/// From a packet of the caller's to its sound leaving for the room, on average: jitter buffer, frame in hand, engine.
pub(crate) const UPLINK: Duration = SessionOptions::RECEIVE_DELAY
    .saturating_add(audio::FRAME)
    .saturating_add(NativeAudioSource::DELAY);
/// From a packet of the room's to its sound leaving for the phone, on average: engine, playout.
const DOWNLINK: Duration = NativeAudioStream::DELAY.saturating_add(playout::DELAY);

/// Attributes of the caller's participant, in whole milliseconds: an agent that records puts both sides on the phone's clock by them.
pub(crate) fn attributes() -> [(String, String); 2] {
    [
        ("trunkline.uplink_ms", UPLINK),
        ("trunkline.downlink_ms", DOWNLINK),
    ]
    .map(|(name, delay)| (name.to_owned(), delay.as_millis().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_what_the_buffers_add_up_to() {
        let expected = [("trunkline.uplink_ms", "86"), ("trunkline.downlink_ms", "75")];
        assert_eq!(
            attributes(),
            expected.map(|(name, ms)| (name.to_owned(), ms.to_owned()))
        );
    }
}
