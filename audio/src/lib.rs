//! Frames, codecs, resampling, jitter buffer, voice activity, mixing, levels, OGG.
