//! Video streams: placeholders, they yield nothing.

pub mod native {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio_stream::Stream;

    use crate::{video_frame::BoxVideoFrame, video_track::RtcVideoTrack};

    #[derive(Debug)]
    pub struct NativeVideoStream;

    impl NativeVideoStream {
        pub fn new(_video_track: RtcVideoTrack) -> Self {
            Self
        }
    }

    impl Stream for NativeVideoStream {
        type Item = BoxVideoFrame;

        fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }
}
