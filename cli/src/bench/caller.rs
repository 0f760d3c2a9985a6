//! One synthetic caller: a participant of kind SIP that talks with the agent of its room.

use std::sync::Arc;
use std::time::Duration;

use livekit::options::TrackPublishOptions;
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, RoomOptions, TrackSource};
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource};
use platform::Secret;
use platform::clock::{Clock, SystemClock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::ear::{self, Ear, Heard, Line};
use crate::voice::RATE_HZ;

/// How long the room may take.
const JOIN_LIMIT: Duration = Duration::from_secs(15);
/// How long the agent may take to be heard.
const SPEECH_LIMIT: Duration = Duration::from_secs(20);
/// A pause that ends the agent's turn.
const PAUSE: Duration = Duration::from_millis(800);
/// How long the agent speaks before it is interrupted.
const BEFORE_BARGE_IN: Duration = Duration::from_secs(1);
/// A silence that is none between two words.
const SILENT: Duration = Duration::from_millis(250);
/// An agent that is still heard then was not interrupted: the answer of the stubs goes on for a second more.
const BARGE_IN_LIMIT: Duration = Duration::from_millis(2_500);
/// How long the caller may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

/// What a caller does.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) url: String,
    pub(super) room: String,
    pub(super) token: Secret,
    /// What it asks, at [`RATE_HZ`], without silence at either end.
    pub(super) question: Arc<[i16]>,
    /// What it says into the last answer.
    pub(super) interjection: Arc<[i16]>,
    pub(super) turns: u16,
    /// How long it waits before it calls.
    pub(super) delay: Duration,
}

/// An answer as the caller heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// From the last sample of the question to the first sound of the answer.
    pub(super) waited: Duration,
    /// When the question was over, in milliseconds since 1970.
    pub(super) asked_ms: i64,
    /// When the answer began.
    pub(super) heard_ms: i64,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) room: String,
    /// From the caller's being in the room to the agent's first sound.
    pub(super) greeting: Duration,
    pub(super) answers: Vec<Answer>,
    /// From the caller's first sample over the agent's speech to the agent's last sound.
    pub(super) barge_in: Duration,
    /// How long it was in the room.
    pub(super) lasted: Duration,
}

/// Why a call is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failed {
    #[error("the caller could not join its room: {0}")]
    Join(String),
    #[error("no greeting was heard within {SPEECH_LIMIT:?}")]
    NoGreeting,
    #[error("question {0} was not answered within {SPEECH_LIMIT:?}")]
    NoAnswer(u16),
    #[error("question {0} was answered before it was over")]
    TooEarly(u16),
    #[error("the agent did not stop speaking within {SPEECH_LIMIT:?}")]
    Endless,
    #[error("the agent spoke on for {BARGE_IN_LIMIT:?} while it was spoken over")]
    NotInterrupted,
    #[error("the caller's own voice has ended")]
    Mute,
}

/// Calls, listens to the greeting, asks, interrupts, leaves.
pub(super) async fn call(plan: Plan) -> Result<Called, Failed> {
    sleep(plan.delay).await;
    let connect = Box::pin(Room::connect(
        &plan.url,
        plan.token.expose(),
        RoomOptions::default(),
    ));
    let (room, events) = match timeout(JOIN_LIMIT, connect).await {
        Ok(Ok(joined)) => joined,
        Ok(Err(error)) => return Err(Failed::Join(error.to_string())),
        Err(_) => return Err(Failed::Join(format!("no answer within {JOIN_LIMIT:?}"))),
    };
    let joined = Instant::now();
    // Their tasks end with the call.
    let mut tasks = JoinSet::new();
    let (told, heard) = watch::channel(Heard::default());
    tasks.spawn(ear::listen(events, told));
    let talked = match publish(&room).await {
        Ok(source) => {
            let (say, lines) = mpsc::channel(1);
            tasks.spawn(ear::speak(source, lines));
            talk(&plan, joined, Ear(heard), say).await
        }
        Err(failed) => Err(failed),
    };
    let lasted = joined.elapsed();
    // Whoever does not get out in time is thrown out by the server.
    let _ = timeout(LEAVE_LIMIT, room.close()).await;
    tasks.shutdown().await;
    talked.map(|talked| Called { lasted, ..talked })
}

/// The caller's microphone. It is paced by the caller, so that the moment at which a sample is spoken is known.
async fn publish(room: &Room) -> Result<NativeAudioSource, Failed> {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE_HZ, 1, 0);
    let track = LocalAudioTrack::create_audio_track("caller", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        ..TrackPublishOptions::default()
    };
    let us = room.local_participant();
    let publishing = Box::pin(us.publish_track(LocalTrack::Audio(track), options));
    match timeout(JOIN_LIMIT, publishing).await {
        Ok(Ok(_)) => Ok(source),
        Ok(Err(error)) => Err(Failed::Join(error.to_string())),
        Err(_) => Err(Failed::Join("its track could not be published".to_owned())),
    }
}

async fn talk(
    plan: &Plan,
    joined: Instant,
    mut ear: Ear,
    mouth: mpsc::Sender<Line>,
) -> Result<Called, Failed> {
    let greeted = ear.speech_after(joined, SPEECH_LIMIT).await;
    let greeting = greeted.map_err(|_| Failed::NoGreeting)? - joined;
    let mut answers = Vec::new();
    for turn in 1..=plan.turns {
        answers.push(ask(plan, turn, &mut ear, &mouth).await?.1);
    }
    // One more, which is interrupted; an answer like the others until then.
    let (answered, answer) = ask(plan, plan.turns + 1, &mut ear, &mouth).await?;
    answers.push(answer);
    sleep_until(answered + BEFORE_BARGE_IN).await;
    let (began, _) = say(&mouth, &plan.interjection).await?;
    let onset = began.await.map_err(|_| Failed::Mute)?;
    let silent = ear.silence(SILENT, BARGE_IN_LIMIT).await;
    let silent = silent.map_err(|_| Failed::NotInterrupted)?;
    Ok(Called {
        room: plan.room.clone(),
        greeting,
        answers,
        barge_in: silent.saturating_duration_since(onset),
        lasted: Duration::ZERO,
    })
}

/// Waits until the agent is silent and asks; when the answer began.
async fn ask(
    plan: &Plan,
    turn: u16,
    ear: &mut Ear,
    mouth: &mpsc::Sender<Line>,
) -> Result<(Instant, Answer), Failed> {
    ear.silence(PAUSE, SPEECH_LIMIT)
        .await
        .map_err(|_| Failed::Endless)?;
    let (began, ended) = say(mouth, &plan.question).await?;
    let began = began.await.map_err(|_| Failed::Mute)?;
    let ended = ended.await.map_err(|_| Failed::Mute)?;
    let answered = ear.speech_after(began, SPEECH_LIMIT).await;
    let answered = answered.map_err(|_| Failed::NoAnswer(turn))?;
    if answered < ended {
        return Err(Failed::TooEarly(turn));
    }
    let answer = Answer {
        waited: answered - ended,
        asked_ms: unix_ms(ended),
        heard_ms: unix_ms(answered),
    };
    Ok((answered, answer))
}

/// A moment that was just now, in milliseconds since 1970.
fn unix_ms(at: Instant) -> i64 {
    let ago = i64::try_from(at.elapsed().as_millis()).unwrap_or(0);
    SystemClock.now_ms() - ago
}

type Moments = (oneshot::Receiver<Instant>, oneshot::Receiver<Instant>);

async fn say(mouth: &mpsc::Sender<Line>, samples: &Arc<[i16]>) -> Result<Moments, Failed> {
    let ((began, begins), (ended, ends)) = (oneshot::channel(), oneshot::channel());
    let line = Line {
        samples: Arc::clone(samples),
        began,
        ended,
    };
    mouth.send(line).await.map_err(|_| Failed::Mute)?;
    Ok((begins, ends))
}
