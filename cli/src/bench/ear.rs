//! A caller's ear and mouth in a room, with a stopwatch.

use std::sync::Arc;
use std::time::Duration;

use audio::level::rms_dbfs;
use futures_util::StreamExt;
use livekit::prelude::{RemoteTrack, RoomEvent};
use livekit::webrtc::{
    audio_frame::AudioFrame, audio_source::native::NativeAudioSource, audio_stream::native::NativeAudioStream,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval, timeout};

use crate::voice::RATE_HZ;

/// Above it, 10 ms are sound.
const LOUD_DBFS: f32 = -45.0;
/// Less than so much sound in a row is a click: two pieces of 10 ms.
const ONSET: u32 = 2;
/// A shorter gap is within speech.
const GAP: Duration = Duration::from_millis(200);
/// What the SDK hands over at once.
const PIECE: Duration = Duration::from_millis(10);
/// What is said at once.
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 320;
/// How often a listener looks whether the other side has stopped sending.
const LOOK: Duration = Duration::from_millis(20);

/// What was heard so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// When each speech began.
    onsets: Vec<Instant>,
    /// The end of the last sound.
    sound_until: Option<Instant>,
    /// Sound that may be the beginning of speech: since when, and of how many pieces.
    rising: Option<(Instant, u32)>,
    is_over: bool,
}

impl Heard {
    /// Another 10 ms, which began to be heard at `at`.
    fn piece(&mut self, is_loud: bool, at: Instant) {
        if !is_loud {
            self.rising = None;
            return;
        }
        let is_within = self.sound_until.is_some_and(|until| at < until + GAP);
        if !is_within || self.rising.is_some() {
            let (since, count) = self.rising.map_or((at, 1), |(since, count)| (since, count + 1));
            self.rising = Some((since, count));
            if count < ONSET {
                return;
            }
            self.rising = None;
            self.onsets.push(since);
        }
        self.sound_until = Some(at + PIECE);
    }

    fn onset_after(&self, after: Instant) -> Option<Instant> {
        self.onsets.iter().copied().find(|onset| *onset > after)
    }
}

/// Nothing was heard in time, or the room is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unheard;

/// Waits for sound and for silence.
pub(super) struct Ear(pub(super) watch::Receiver<Heard>);

impl Ear {
    /// When the first speech begins that begins after `after`.
    pub(super) async fn speech_after(
        &mut self,
        after: Instant,
        within: Duration,
    ) -> Result<Instant, Unheard> {
        let heard = self
            .0
            .wait_for(|heard| heard.is_over || heard.onset_after(after).is_some());
        let heard = timeout(within, heard).await.map_err(|_| Unheard)?;
        heard.map_err(|_| Unheard)?.onset_after(after).ok_or(Unheard)
    }

    /// Waits until nothing was heard for `hold`; when the last sound ended.
    pub(super) async fn silence(&mut self, hold: Duration, within: Duration) -> Result<Instant, Unheard> {
        let begun = Instant::now();
        loop {
            let until = self.0.borrow_and_update().sound_until.unwrap_or(begun);
            if until.elapsed() >= hold {
                return Ok(until);
            }
            if begun.elapsed() >= within || self.0.borrow().is_over {
                return Err(Unheard);
            }
            // A piece, or time to look whether pieces have stopped.
            let _ = timeout(LOOK, self.0.changed()).await;
        }
    }
}

/// Listens to the first audio track of the room, until the room or the listener is gone.
pub(super) async fn listen(mut events: mpsc::UnboundedReceiver<RoomEvent>, heard: watch::Sender<Heard>) {
    let rate = i32::try_from(RATE_HZ).unwrap_or(i32::MAX);
    let mut stream: Option<NativeAudioStream> = None;
    loop {
        tokio::select! {
            // Both are cancel-safe: what is not taken stays in its queue.
            event = events.recv() => match event {
                Some(RoomEvent::TrackSubscribed { track: RemoteTrack::Audio(track), .. }) if stream.is_none() => {
                    stream = Some(NativeAudioStream::new(track.rtc_track(), rate, 1));
                }
                None | Some(RoomEvent::Disconnected { .. }) => break,
                Some(_) => {}
            },
            Some(piece) = next(stream.as_mut()) => {
                let is_loud = rms_dbfs(&piece.data) > LOUD_DBFS;
                heard.send_modify(|heard| heard.piece(is_loud, Instant::now()));
            }
        }
    }
    heard.send_modify(|heard| heard.is_over = true);
}

async fn next(stream: Option<&mut NativeAudioStream>) -> Option<AudioFrame<'static>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// Something to be said.
pub(super) struct Line {
    pub(super) samples: Arc<[i16]>,
    /// Told when its first sample is spoken.
    pub(super) began: oneshot::Sender<Instant>,
    /// Told when its last one is.
    pub(super) ended: oneshot::Sender<Instant>,
}

/// Speaks as a microphone does: 20 ms at a time, silence included. A line's times are those at which a microphone would
/// have heard its first and its last sample.
pub(super) async fn speak(source: NativeAudioSource, mut lines: mpsc::Receiver<Line>) {
    let mut ticks = interval(FRAME);
    loop {
        ticks.tick().await;
        let Ok(line) = lines.try_recv() else {
            if lines.is_closed() {
                return;
            }
            say(&source, &[0; FRAME_SAMPLES]).await;
            continue;
        };
        let mut begins = Some(line.began);
        for piece in line.samples.chunks(FRAME_SAMPLES) {
            let mut frame = [0; FRAME_SAMPLES];
            for (to, from) in frame.iter_mut().zip(piece) {
                *to = *from;
            }
            say(&source, &frame).await;
            if let Some(began) = begins.take() {
                let now = Instant::now();
                let _ = began.send(now.checked_sub(FRAME).unwrap_or(now));
            }
            ticks.tick().await;
        }
        // The tick after the last frame is one frame later.
        let now = Instant::now();
        let _ = line.ended.send(now.checked_sub(FRAME).unwrap_or(now));
        say(&source, &[0; FRAME_SAMPLES]).await;
    }
}

async fn say(source: &NativeAudioSource, frame: &[i16; FRAME_SAMPLES]) {
    let frame = AudioFrame {
        data: frame.as_slice().into(),
        sample_rate: RATE_HZ,
        num_channels: 1,
        samples_per_channel: u32::try_from(FRAME_SAMPLES).unwrap_or(0),
    };
    // It refuses other rates only.
    let _ = source.capture_frame(&frame).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(heard: &mut Heard, begun: Instant, sound: &str) {
        for (at, piece) in (0..).zip(sound.chars()) {
            heard.piece(piece == '#', begun + PIECE * at);
        }
    }

    #[test]
    fn speech_begins_with_its_first_sound_and_a_click_or_a_short_gap_begins_none() {
        let (mut heard, begun) = (Heard::default(), Instant::now());
        // A click at 20 ms, speech at 50 ms with a gap in it, silence of 210 ms, speech at 340 ms.
        hear(&mut heard, begun, "..#..####....###.....................##");
        let after = |ms| begun + Duration::from_millis(ms);
        assert_eq!(heard.onset_after(begun), Some(after(50)));
        assert_eq!(heard.onset_after(after(50)), Some(after(370)));
        assert_eq!(heard.onsets.len(), 2);
        assert_eq!(heard.sound_until, Some(after(390)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_by_its_length_also_when_nothing_comes_any_more() {
        let (told, heard) = watch::channel(Heard::default());
        let mut ear = Ear(heard);
        let begun = Instant::now();
        told.send_modify(|heard| hear(heard, begun, "####"));
        let hold = Duration::from_millis(300);
        let until = ear.silence(hold, hold * 2).await.unwrap();
        assert_eq!(until, begun + PIECE * 4);
        assert_eq!(ear.speech_after(begun, hold).await, Err(Unheard));
        told.send_modify(|heard| heard.is_over = true);
        assert_eq!(ear.speech_after(begun, hold).await, Err(Unheard));
    }
}
