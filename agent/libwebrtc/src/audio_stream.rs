//! Where the sound of a remote track goes.

pub mod native {
    use std::{
        fmt,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
        time::Duration,
    };

    use tokio_stream::Stream;

    use crate::{
        audio_frame::AudioFrame,
        audio_track::RtcAudioTrack,
        engine::audio::{RECEIVE_DELAY, Sink},
    };

    /// The decoded sound of a track: 10 ms frames in real time from its first packet on.
    ///
    /// The stream does not end with its track; it ends with [`close`](Self::close). It keeps the last second for a slow reader.
    pub struct NativeAudioStream {
        track: RtcAudioTrack,
        sink: Arc<Sink>,
    }

    impl fmt::Debug for NativeAudioStream {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioStream")
                .field("track", &self.track)
                .finish_non_exhaustive()
        }
    }

    impl NativeAudioStream {
        /// Rates of 8, 12, 16, 24 and 48 kHz are decoded as they are, others are resampled from 48 kHz. Channels are 1 or 2; any other
        /// number counts as 1.
        pub fn new(audio_track: RtcAudioTrack, sample_rate: i32, num_channels: i32) -> Self {
            let sink = Arc::new(Sink::new(sample_rate.unsigned_abs(), num_channels.unsigned_abs()));
            audio_track.0.add_sink(sink.clone());
            Self {
                track: audio_track,
                sink,
            }
        }

        /// From a packet's arrival to its first sample in this stream, on average, on a network without much jitter. Not in the
        /// original.
        pub const DELAY: Duration = RECEIVE_DELAY;

        pub fn track(&self) -> RtcAudioTrack {
            self.track.clone()
        }

        pub fn close(&mut self) {
            self.track.0.remove_sink(&self.sink);
            self.sink.close();
        }
    }

    impl Drop for NativeAudioStream {
        fn drop(&mut self) {
            self.close();
        }
    }

    impl Stream for NativeAudioStream {
        type Item = AudioFrame<'static>;

        fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.sink.poll(cx.waker())
        }
    }
}
