//! How far the caller's phone is from the agent, for the recording's clock.

use std::{collections::HashMap, time::Duration};

use livekit::webrtc::{audio_source::native::NativeAudioSource, audio_stream::native::NativeAudioStream};
use pipeline::Delays;

/// What the gateway says of itself: whole milliseconds from the phone's wire to the room's, and back.
const UPLINK_ATTRIBUTE: &str = "trunkline.uplink_ms";
const DOWNLINK_ATTRIBUTE: &str = "trunkline.downlink_ms";
/// What is taken for either where nobody says it (livekit-sip, browsers): a jitter buffer of two packets and one packet in the making.
const DEFAULT: Duration = Duration::from_millis(60);
/// The engine hands out 10 ms at a time, and a frame is complete one such piece after its first.
const SECOND_PIECE: Duration = Duration::from_millis(10);

/// By the attributes of the caller's participant; what they cannot know is the network in between.
pub(super) fn delays(attributes: &HashMap<String, String>) -> Delays {
    let told = |name: &str| {
        let ms = attributes.get(name).and_then(|ms| ms.parse().ok());
        ms.map_or(DEFAULT, Duration::from_millis).min(Delays::MOST)
    };
    Delays {
        caller: told(UPLINK_ATTRIBUTE) + NativeAudioStream::DELAY + SECOND_PIECE,
        agent: NativeAudioSource::DELAY + told(DOWNLINK_ATTRIBUTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_tells_its_delays_is_believed_within_bounds() {
        let base = delays(&HashMap::new());
        let told = |value: &str| {
            let attribute = |name: &str| (name.to_owned(), value.to_owned());
            delays(&[UPLINK_ATTRIBUTE, DOWNLINK_ATTRIBUTE].map(attribute).into())
        };
        assert_eq!(told("80").caller, base.caller + Duration::from_millis(20));
        assert_eq!(told("80").agent, base.agent + Duration::from_millis(20));
        assert_eq!(told("soon"), base);
        assert!(told("18446744073709551615").agent < Duration::from_millis(250));
    }
}
