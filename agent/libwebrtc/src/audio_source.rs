//! Where the sound of a local track comes from.

/// Wishes for the processing of captured sound. The engine does none of it.
#[derive(Default, Debug, Clone)]
pub struct AudioSourceOptions {
    pub echo_cancellation: bool,
    pub noise_suppression: bool,
    pub auto_gain_control: bool,
}

#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcAudioSource {
    Native(native::NativeAudioSource),
    /// A device of the platform: silent here.
    Device,
}

pub mod native {
    use std::{fmt, sync::Arc, time::Duration};

    use super::AudioSourceOptions;
    use crate::{
        RtcError, RtcErrorType,
        audio_frame::AudioFrame,
        engine::audio::{SEND_DELAY, SourceQueue},
    };

    /// Sound pushed by the program, sent at the pace of the wire.
    #[derive(Clone)]
    pub struct NativeAudioSource(pub(crate) Arc<SourceQueue>);

    impl fmt::Debug for NativeAudioSource {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioSource")
                .field("sample_rate", &self.sample_rate())
                .field("num_channels", &self.num_channels())
                .finish_non_exhaustive()
        }
    }

    impl NativeAudioSource {
        /// `queue_size_ms` is how much sound may wait when [`capture_frame`](Self::capture_frame) returns. With 0 it never waits, for
        /// callers that are paced themselves; more than 60 ms is then dropped, the oldest first.
        ///
        /// Rates of 8, 12, 16, 24 and 48 kHz are encoded as they are, others are resampled to 48 kHz.
        pub fn new(
            _options: AudioSourceOptions,
            sample_rate: u32,
            num_channels: u32,
            queue_size_ms: u32,
        ) -> Self {
            Self(Arc::new(SourceQueue::new(
                sample_rate,
                num_channels,
                queue_size_ms,
            )))
        }

        /// Of no effect: there is no processing.
        pub fn set_audio_options(&self, _options: AudioSourceOptions) {}

        pub fn audio_options(&self) -> AudioSourceOptions {
            AudioSourceOptions::default()
        }

        pub fn sample_rate(&self) -> u32 {
            self.0.sample_rate()
        }

        pub fn num_channels(&self) -> u32 {
            self.0.channels()
        }

        /// From a sample's being captured, while nothing is queued, to its packet being sent, on average. Not in the original.
        pub const DELAY: Duration = SEND_DELAY;

        /// Drops all that is queued, at once. A `capture_frame` that waits returns.
        pub fn clear_buffer(&self) {
            self.0.clear();
        }

        /// Queues a frame of any length and waits until at most `queue_size_ms` is queued.
        ///
        /// While no connection takes the sound (the track is not published, or its transport is down) the queue drains into nothing in
        /// real time, as in the original.
        ///
        /// Not cancel-safe: when the future is dropped, the frame may or may not have been queued.
        ///
        /// # Errors
        /// `InvalidState` when the frame's rate or channels are not the source's.
        pub async fn capture_frame(&self, frame: &AudioFrame<'_>) -> Result<(), RtcError> {
            if frame.sample_rate != self.sample_rate() || frame.num_channels != self.num_channels() {
                return Err(RtcError {
                    error_type: RtcErrorType::InvalidState,
                    message: "sample_rate and num_channels don't match".to_owned(),
                });
            }
            self.0.capture(&frame.data).await;
            Ok(())
        }
    }
}
