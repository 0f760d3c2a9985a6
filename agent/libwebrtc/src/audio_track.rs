//! Audio tracks.

crate::media_stream_track::media_stream_track!(RtcAudioTrack, Audio);
