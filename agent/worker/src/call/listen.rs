//! The caller's audio as 20 ms frames: kept until the conversation begins, then passed on.

use std::{collections::VecDeque, sync::Arc};

use futures_util::StreamExt;
use livekit::{prelude::RemoteAudioTrack, webrtc::audio_stream::native::NativeAudioStream};
use parking_lot::Mutex;
use pipeline::{FRAME_SAMPLES, SAMPLE_RATE_HZ};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Frames that may wait between the room and the conversation: one second.
const HEARD_FRAMES: usize = 50;
/// Frames that are kept from before the conversation begins: the last three seconds.
const PRE_ROLL_FRAMES: usize = 150;

/// 20 ms at [`SAMPLE_RATE_HZ`].
type Frame = Vec<i16>;

/// What comes from the caller, and where it goes. Clones are the same.
#[derive(Clone)]
pub(super) struct Heard(Arc<Mutex<Inner>>);

struct Inner {
    state: State,
    /// Frames so far.
    frames: u64,
}

enum State {
    /// The conversation has not begun: the end of what was heard.
    Waiting(VecDeque<Frame>),
    /// It has: where it hears, and how many frames it was too busy to take.
    Talking { to: mpsc::Sender<Frame>, dropped: u64 },
}

impl Heard {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            state: State::Waiting(VecDeque::new()),
            frames: 0,
        })))
    }

    /// Whether the conversation has begun.
    pub(super) fn talks(&self) -> bool {
        matches!(self.0.lock().state, State::Talking { .. })
    }

    /// The conversation begins: what was heard before it, and what will be. No frame is lost or doubled in between. None when
    /// it has begun already.
    pub(super) fn begin(&self) -> Option<(Vec<Frame>, mpsc::Receiver<Frame>)> {
        let state = &mut self.0.lock().state;
        let State::Waiting(pre_roll) = state else {
            return None;
        };
        let pre_roll = std::mem::take(pre_roll);
        let (to, heard) = mpsc::channel(HEARD_FRAMES);
        *state = State::Talking { to, dropped: 0 };
        Some((pre_roll.into(), heard))
    }

    /// Another frame; false when nobody will ever listen again. A frame that the conversation is too busy to take is dropped,
    /// and counted: late sound is worth less than none.
    fn push(&self, frame: Frame) -> bool {
        let mut inner = self.0.lock();
        inner.frames += 1;
        match &mut inner.state {
            State::Waiting(pre_roll) => {
                if pre_roll.len() >= PRE_ROLL_FRAMES {
                    pre_roll.pop_front();
                }
                pre_roll.push_back(frame);
            }
            State::Talking { to, dropped } => match to.try_send(frame) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => *dropped += 1,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            },
        }
        true
    }

    fn dropped(&self) -> u64 {
        match &self.0.lock().state {
            State::Waiting(_) => 0,
            State::Talking { dropped, .. } => *dropped,
        }
    }

    /// How many frames have come, silence included: far less than the call lasted means that the sound went one way only.
    pub(super) fn frames(&self) -> u64 {
        self.0.lock().frames
    }
}

/// Listens to the caller's track: 20 ms frames at [`SAMPLE_RATE_HZ`], until the track, the conversation or the call ends.
/// `flows` is cancelled by the first sound, silence included, that comes from the caller.
pub(super) async fn listen(
    track: RemoteAudioTrack,
    heard: Heard,
    flows: CancellationToken,
    stop: CancellationToken,
) {
    let rate = i32::try_from(SAMPLE_RATE_HZ).unwrap_or(i32::MAX);
    let mut stream = NativeAudioStream::new(track.rtc_track(), rate, 1);
    let mut frame = Vec::with_capacity(FRAME_SAMPLES);
    loop {
        let piece = tokio::select! {
            // Both are cancel-safe: a frame that is not taken stays in the stream's queue.
            () = stop.cancelled() => break,
            piece = stream.next() => piece,
        };
        let Some(piece) = piece else { break };
        flows.cancel();
        for sample in piece.data.iter() {
            frame.push(*sample);
            if frame.len() == FRAME_SAMPLES {
                let full = std::mem::replace(&mut frame, Vec::with_capacity(FRAME_SAMPLES));
                if !heard.push(full) {
                    return;
                }
            }
        }
    }
    let dropped = heard.dropped();
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "frames of the caller were dropped: the conversation did not keep up"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(frames: &[Frame]) -> Vec<i16> {
        frames.iter().map(|frame| frame[0]).collect()
    }

    #[test]
    fn the_last_three_seconds_before_the_conversation_are_kept_and_nothing_is_lost_after() {
        let heard = Heard::new();
        for number in 0..200 {
            assert!(heard.push(vec![number]));
        }
        let (pre_roll, mut live) = heard.begin().expect("it has not begun");
        assert_eq!(numbers(&pre_roll), (50..200).collect::<Vec<_>>());
        heard.push(vec![200]);
        assert_eq!(live.try_recv(), Ok(vec![200]));
        assert!(heard.talks() && heard.begin().is_none());
    }

    #[test]
    fn a_conversation_that_does_not_keep_up_loses_frames_and_one_that_is_over_ends_the_listening() {
        let heard = Heard::new();
        let (_, live) = heard.begin().expect("it has not begun");
        for number in 0..60 {
            assert!(heard.push(vec![number]));
        }
        assert_eq!(heard.dropped(), 10);
        drop(live);
        assert!(!heard.push(vec![60]));
    }
}
