//! Tracks of either kind.

use crate::{audio_track::RtcAudioTrack, video_track::RtcVideoTrack};

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcTrackState {
    Live,
    Ended,
}

#[derive(Debug, Clone)]
pub enum MediaStreamTrack {
    Video(RtcVideoTrack),
    Audio(RtcAudioTrack),
}

impl MediaStreamTrack {
    enum_dispatch!(
        [Video, Audio];
        pub fn id(self: &Self) -> String;
        pub fn enabled(self: &Self) -> bool;
        pub fn set_enabled(self: &Self, enabled: bool) -> bool;
        pub fn state(self: &Self) -> RtcTrackState;
    );
}

/// What audio and video tracks have in common.
macro_rules! media_stream_track {
    ($track:ident, $variant:ident) => {
        #[derive(Clone)]
        pub struct $track(pub(crate) std::sync::Arc<crate::engine::track::Track>);

        impl std::fmt::Debug for $track {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($track))
                    .field("id", &self.id())
                    .finish_non_exhaustive()
            }
        }

        impl $track {
            pub fn id(&self) -> String {
                self.0.id.clone()
            }

            /// Whether it is not muted.
            pub fn enabled(&self) -> bool {
                self.0.enabled()
            }

            pub fn set_enabled(&self, enabled: bool) -> bool {
                self.0.set_enabled(enabled);
                true
            }

            pub fn state(&self) -> crate::media_stream_track::RtcTrackState {
                crate::media_stream_track::RtcTrackState::Live
            }
        }

        impl From<$track> for crate::media_stream_track::MediaStreamTrack {
            fn from(track: $track) -> Self {
                Self::$variant(track)
            }
        }
    };
}
pub(crate) use media_stream_track;
