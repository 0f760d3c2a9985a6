//! Video sources: placeholders, frames are discarded.

#[derive(Default, Debug, Clone)]
pub struct VideoResolution {
    pub width: u32,
    pub height: u32,
}

#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcVideoSource {
    Native(native::NativeVideoSource),
}

impl RtcVideoSource {
    pub fn video_resolution(&self) -> VideoResolution {
        VideoResolution::default()
    }
}

pub mod native {
    use super::VideoResolution;
    use crate::{
        native::packet_trailer::PacketTrailerHandler,
        video_frame::{VideoBuffer, VideoFrame},
    };

    #[derive(Clone, Debug)]
    pub struct NativeVideoSource;

    impl NativeVideoSource {
        pub fn new(_resolution: VideoResolution, _is_screencast: bool) -> Self {
            Self
        }

        /// Always false: the frame is not sent.
        pub fn capture_frame<T: AsRef<dyn VideoBuffer>>(&self, _frame: &VideoFrame<T>) -> bool {
            false
        }

        pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}
    }
}
