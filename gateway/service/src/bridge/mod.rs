//! Sound and digits between the phone and the room.
//!
//! The room's clock is the engine's, the phone's is ours; between them lies one small queue per track ([`playout`]). The phone gets a
//! packet every 20 ms from the answer to the end, silence included: some peers take a pause for a dead call.

mod cue;
mod delays;
mod playout;
mod ring;
mod sound;

use std::collections::HashMap;
use std::sync::Arc;

use audio::Resampler;
use futures_util::StreamExt as _;
use livekit::prelude::RemoteAudioTrack;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use media::{Digit, Frame, RtpSender};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::room::{Keypad, audio_frame};
pub(crate) use cue::Cue;
pub(crate) use delays::{UPLINK, attributes as delay_attributes};
pub(crate) use playout::Faults;
use playout::Playout;
pub(crate) use ring::ring_into;
use sound::Playing;
pub(crate) use sound::Sound;

/// From the phone's codec to the room's track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) from_hz: u32,
    pub(crate) to_hz: u32,
}

/// Carries the caller's frames into the room. Ends with the session or on `cancel`: a source whose room is gone takes nothing more.
pub(crate) async fn uplink(
    mut frames: mpsc::Receiver<Frame>,
    source: NativeAudioSource,
    rates: Rates,
    cancel: CancellationToken,
) {
    let Rates { from_hz, to_hz } = rates;
    // Telephone rates always convert; equal ones cost nothing.
    let Ok(mut resampler) = Resampler::new(from_hz, to_hz) else {
        return;
    };
    let sample_rate_hz = to_hz;
    // One frame in hand, so that two clocks of 20 ms which jitter against each other leave no gaps in the caller's speech.
    let ahead = vec![0; audio::frame_samples(sample_rate_hz)];
    let carry = async {
        let _ = source.capture_frame(&audio_frame(&ahead, sample_rate_hz)).await;
        let mut converted = Vec::new();
        while let Some(frame) = frames.recv().await {
            // The source refuses frames of another rate only, and the rate is the one that it was made with.
            if from_hz == to_hz {
                let _ = source.capture_frame(&audio_frame(&frame, sample_rate_hz)).await;
                continue;
            }
            converted.clear();
            resampler.process(&frame, &mut converted);
            let _ = source
                .capture_frame(&audio_frame(&converted, sample_rate_hz))
                .await;
        }
    };
    let _ = cancel.run_until_cancelled(carry).await;
}

/// Carries the caller's digits into the room. Ends as [`uplink`] does.
pub(crate) async fn keys(mut digits: mpsc::Receiver<Digit>, keypad: Keypad, cancel: CancellationToken) {
    let carry = async {
        while let Some(digit) = digits.recv().await {
            keypad.press(digit).await;
        }
    };
    let _ = cancel.run_until_cancelled(carry).await;
}

/// What the downlink is told.
pub(crate) enum Change {
    Add {
        sid: String,
        track: RemoteAudioTrack,
    },
    Remove {
        sid: String,
    },
    Press(Digit),
    /// What the phone hears in place of the room; `None` for nothing but the room.
    Play(Option<Sound>),
}

/// Changes that may wait.
pub(crate) const CHANGE_QUEUE: usize = 64;

/// Mixes the room's tracks and sends the mix to the phone.
pub(crate) struct Downlink {
    sender: RtpSender,
    changes: mpsc::Receiver<Change>,
    tracks: HashMap<String, Track>,
    readers: JoinSet<()>,
    playing: Option<Playing>,
    /// What comes after it.
    next: Option<Playing>,
    faults: Arc<Mutex<Faults>>,
}

struct Track {
    playout: Arc<Mutex<Playout>>,
    reader: AbortHandle,
}

impl Downlink {
    /// Adds up in `faults` what the tracks suffer.
    pub(crate) fn new(
        sender: RtpSender,
        changes: mpsc::Receiver<Change>,
        faults: Arc<Mutex<Faults>>,
    ) -> Self {
        Self {
            sender,
            changes,
            tracks: HashMap::new(),
            readers: JoinSet::new(),
            playing: None,
            next: None,
            faults,
        }
    }

    /// Sends a packet every 20 ms until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(audio::FRAME);
        // A late tick is made up for, so that the stream's time keeps up with the clock.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sum = Vec::new();
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                _ = ticks.tick() => self.send(&mut sum),
                change = self.changes.recv() => match change {
                    Some(change) => self.apply(change),
                    None => return,
                },
                Some(_) = self.readers.join_next() => {}
            }
        }
    }

    fn send(&mut self, sum: &mut Vec<i16>) {
        sum.clear();
        for track in self.tracks.values() {
            let mut playout = track.playout.lock();
            playout.mix_frame_into(sum);
            let new = playout.take_faults();
            if new != Faults::default() {
                let mut faults = self.faults.lock();
                faults.gaps += new.gaps;
                faults.samples_skipped += new.samples_skipped;
            }
        }
        // In place of the room: somebody who is being connected has left the conversation.
        if let Some(playing) = &mut self.playing {
            let mixed = sum.len();
            if playing.frame_into(sum) {
                sum.drain(..mixed);
            } else {
                self.playing = self.next.take();
            }
        }
        self.sender.send(sum);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add { sid, track } => {
                let frame_samples = self.sender.codec().frame_samples();
                let sample_rate_hz = self.sender.codec().sample_rate_hz();
                let playout = Arc::new(Mutex::new(Playout::new(frame_samples)));
                let reader = self
                    .readers
                    .spawn(read(track, sample_rate_hz, Arc::clone(&playout)));
                if let Some(replaced) = self.tracks.insert(sid, Track { playout, reader }) {
                    replaced.reader.abort();
                }
            }
            Change::Remove { sid } => {
                if let Some(track) = self.tracks.remove(&sid) {
                    track.reader.abort();
                }
            }
            Change::Play(sound) => {
                let rate = self.sender.codec().sample_rate_hz();
                let waits = matches!(sound, Some(Sound::Music(_)));
                let sound = sound.map(|sound| Playing::new(sound, rate));
                if waits && self.playing.as_ref().is_some_and(Playing::ends) {
                    // Whoever is being told something hears it out.
                    self.next = sound;
                } else {
                    (self.playing, self.next) = (sound, None);
                }
            }
            // More digits than can wait (32) are lost: nobody dials that fast.
            Change::Press(digit) => drop(self.sender.press(digit)),
        }
    }
}

async fn read(track: RemoteAudioTrack, sample_rate_hz: u32, playout: Arc<Mutex<Playout>>) {
    let rate = i32::try_from(sample_rate_hz).unwrap_or_default();
    let mut stream = NativeAudioStream::new(track.rtc_track(), rate, 1);
    while let Some(frame) = stream.next().await {
        playout.lock().push(&frame.data);
    }
}
