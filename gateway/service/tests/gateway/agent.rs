//! A participant of the room that says back what it hears.

use std::borrow::Cow;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::prelude::*;
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::diary::Diary;
use crate::fixture::{Fixture, ROOM, SOON};

pub(crate) const RATE: u32 = 48_000;
/// What an agent remembers of what it heard: half a minute.
const MEMORY: usize = 30 * RATE as usize;

/// What the agent noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Noticed {
    Status(String),
    /// Why the call ended, as the caller's participant says.
    End(String),
    Digit(String),
    CallerLeft,
}

pub(crate) struct Agent {
    pub(crate) room: Room,
    pub(crate) diary: Diary,
    source: NativeAudioSource,
    noticed: mpsc::Receiver<Noticed>,
    heard: Arc<Mutex<Vec<i16>>>,
    echoes: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Agent {
    pub(crate) async fn join(fixture: &Fixture) -> Self {
        Self::named(fixture, "agent").await
    }

    /// Joins, publishes a track and echoes.
    pub(crate) async fn named(fixture: &Fixture, identity: &str) -> Self {
        let token = fixture.api.agent_token(ROOM, identity).expect("token");
        Self::connect(&fixture.stack.ws_url(), token.expose()).await
    }

    /// Joins and says nothing, so that the phone rings on.
    pub(crate) async fn mute(fixture: &Fixture) -> Self {
        let token = fixture.api.agent_token(ROOM, "mute").expect("token");
        Self::enter(&fixture.stack.ws_url(), token.expose()).await
    }

    pub(crate) async fn connect(url: &str, token: &str) -> Self {
        let agent = Self::enter(url, token).await;
        agent.publish().await;
        agent
    }

    /// Publishes its track: from then on it can be heard.
    pub(crate) async fn publish(&self) {
        let source = RtcAudioSource::Native(self.source.clone());
        let track = LocalAudioTrack::create_audio_track("voice", source);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        let participant = self.room.local_participant();
        let publishing = participant.publish_track(LocalTrack::Audio(track), options);
        publishing.await.expect("published");
    }

    async fn enter(url: &str, token: &str) -> Self {
        let connect = Room::connect(url, token, RoomOptions::default());
        let (room, events) = Box::pin(connect).await.expect("joined");
        let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, 200);
        let (notice, noticed) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        let diary = Diary::default();
        diary.found(&room);
        let (heard, echoes) = (Arc::default(), Arc::new(AtomicBool::new(true)));
        let ears = Ears {
            heard: Arc::clone(&heard),
            echoes: Arc::clone(&echoes),
            source: source.clone(),
        };
        tasks.spawn(listen(events, ears, diary.clone(), notice));
        Self {
            room,
            diary,
            source,
            noticed,
            heard,
            echoes,
            _tasks: tasks,
        }
    }

    pub(crate) async fn wait_for(&mut self, wanted: Noticed) {
        self.until(wanted).await;
    }

    /// The same; what came before it.
    pub(crate) async fn until(&mut self, wanted: Noticed) -> Vec<Noticed> {
        let search = async {
            let mut before = Vec::new();
            while let Some(noticed) = self.noticed.recv().await {
                if noticed == wanted {
                    return before;
                }
                before.push(noticed);
            }
            panic!("the agent is out of the room");
        };
        timeout(Duration::from_secs(10), search)
            .await
            .unwrap_or_else(|_| panic!("{wanted:?} not noticed; {}", crate::logs::last(90)))
    }

    /// Waits for all of them, in whatever order they come: what the server says and what the phone presses take different ways.
    pub(crate) async fn wait_for_all(&mut self, mut wanted: Vec<Noticed>) {
        let search = async {
            while !wanted.is_empty() {
                let noticed = self.noticed.recv().await.expect("the agent is in the room");
                if let Some(at) = wanted.iter().position(|it| *it == noticed) {
                    wanted.remove(at);
                }
            }
        };
        let found = timeout(Duration::from_secs(10), search).await;
        assert!(found.is_ok(), "not noticed: {wanted:?}");
    }

    /// What it heard of callers so far, at [`RATE`].
    pub(crate) fn heard(&self) -> Vec<i16> {
        self.heard.lock().expect("lock").clone()
    }

    /// Says a tone, and echoes nothing any more: frames of both would take turns, and the tone would be in shreds.
    pub(crate) async fn say(&self, frequency_hz: f64, length: Duration) {
        let mut tone = audio::tone::Tone::new(frequency_hz, RATE, 8_000);
        let frames = usize::try_from(length.as_millis() / 20).expect("short");
        let mut samples = Vec::new();
        tone.fill(frames * audio::frame_samples(RATE), &mut samples);
        self.utter(&samples).await;
    }

    /// Says this, at [`RATE`], and echoes nothing any more.
    pub(crate) async fn utter(&self, samples: &[i16]) {
        self.echoes.store(false, Ordering::Relaxed);
        for frame in samples.chunks(audio::frame_samples(RATE)) {
            let samples_per_channel = u32::try_from(frame.len()).expect("short");
            let said = AudioFrame {
                data: Cow::Owned(frame.to_vec()),
                sample_rate: RATE,
                num_channels: 1,
                samples_per_channel,
            };
            let _ = self.source.capture_frame(&said).await;
        }
    }

    /// Waits until it hears a tone in the last second, loud enough for one that was said with [`Agent::say`] and came back.
    pub(crate) async fn hears(&self, frequency_hz: f64) {
        let deadline = Instant::now() + SOON;
        loop {
            let heard = self.heard();
            let last = heard
                .get(heard.len().saturating_sub(RATE as usize)..)
                .unwrap_or_default();
            let level = level(last, frequency_hz);
            if level > -30.0 {
                println!("said, and heard back from the phone: {level:.1} dBFS");
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{level} dBFS heard back from the phone"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn leave(self) {
        self.room.close().await.expect("left");
    }
}

/// Where what an agent hears goes.
#[derive(Clone)]
struct Ears {
    heard: Arc<Mutex<Vec<i16>>>,
    echoes: Arc<AtomicBool>,
    source: NativeAudioSource,
}

async fn listen(
    mut events: mpsc::UnboundedReceiver<RoomEvent>,
    ears: Ears,
    diary: Diary,
    notice: mpsc::Sender<Noticed>,
) {
    let mut echoes = JoinSet::new();
    while let Some(event) = events.recv().await {
        diary.note(&event);
        let noticed = match event {
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                participant,
                ..
            } => {
                if participant.kind() == livekit::participant::ParticipantKind::Sip {
                    echoes.spawn(echo(track, ears.clone()));
                }
                continue;
            }
            // Who comes and changes soon after is told of once.
            RoomEvent::ParticipantConnected(participant) => {
                let status = participant.attributes().remove("sip.callStatus");
                match status.filter(|status| status == "active") {
                    Some(status) => Noticed::Status(status),
                    None => continue,
                }
            }
            RoomEvent::ParticipantAttributesChanged {
                changed_attributes, ..
            } => {
                let status = changed_attributes.get("sip.callStatus").cloned();
                let end = changed_attributes.get("trunkline.end").cloned();
                let noticed = status
                    .map(Noticed::Status)
                    .into_iter()
                    .chain(end.map(Noticed::End));
                for noticed in noticed {
                    let _ = notice.send(noticed).await;
                }
                continue;
            }
            RoomEvent::SipDTMFReceived { digit, .. } => Noticed::Digit(digit.unwrap_or_default()),
            RoomEvent::ParticipantDisconnected(_) => Noticed::CallerLeft,
            RoomEvent::Disconnected { reason } => {
                println!("an agent is out of its room: {reason:?}");
                continue;
            }
            _ => continue,
        };
        let _ = notice.send(noticed).await;
    }
}

/// How loud a tone is, in dBFS: of its power in each tenth of a second, for what slips in between turns its phase.
fn level(samples: &[i16], frequency_hz: f64) -> f64 {
    let parts = samples.chunks_exact(RATE as usize / 10);
    let count = f64::from(u32::try_from(parts.len().max(1)).expect("few"));
    let powers =
        parts.map(|part| 10_f64.powf(f64::from(audio::tone::tone_dbfs(part, frequency_hz, RATE)) / 10.0));
    10.0 * (powers.sum::<f64>() / count).log10()
}

async fn echo(track: RemoteAudioTrack, ears: Ears) {
    let Ears {
        heard,
        echoes,
        source,
    } = ears;
    // 40 ms in hand: what is measured is the gateway, not how this task is scheduled.
    let ahead = vec![0; 2 * audio::frame_samples(RATE)];
    let samples_per_channel = u32::try_from(ahead.len()).expect("short");
    let silence = AudioFrame {
        data: Cow::Owned(ahead),
        sample_rate: RATE,
        num_channels: 1,
        samples_per_channel,
    };
    let _ = source.capture_frame(&silence).await;
    let mut stream = NativeAudioStream::new(track.rtc_track(), RATE.cast_signed(), 1);
    while let Some(frame) = stream.next().await {
        {
            let mut heard = heard.lock().expect("lock");
            let left = MEMORY - heard.len();
            heard.extend(frame.data.iter().take(left));
        }
        if !echoes.load(Ordering::Relaxed) {
            continue;
        }
        let samples_per_channel = u32::try_from(frame.data.len()).expect("short");
        let data = Cow::Owned(frame.data.to_vec());
        let frame = AudioFrame {
            data,
            sample_rate: RATE,
            num_channels: 1,
            samples_per_channel,
        };
        let _ = source.capture_frame(&frame).await;
    }
}

/// An agent in a process of its own, for ending it as a crash would: nothing but SIGKILL breaks a connection without a word.
pub(crate) struct AgentProcess(Child);

impl AgentProcess {
    /// Runs this very test binary with [`agent_process`] alone, and waits until the agent has published.
    pub(crate) async fn join(fixture: &Fixture, identity: &str) -> Self {
        let token = fixture.api.agent_token(ROOM, identity).expect("token");
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["agent::agent_process", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let invitation = format!("{} {}\n", fixture.stack.ws_url(), token.expose());
        child
            .stdin
            .as_mut()
            .expect("piped")
            .write_all(invitation.as_bytes())
            .await
            .expect("written");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("readable") {
                if line.ends_with(READY) {
                    return;
                }
            }
            panic!("the agent's process ended");
        };
        timeout(Duration::from_secs(20), ready)
            .await
            .expect("the agent published");
        Self(child)
    }

    pub(crate) async fn kill(mut self) {
        self.0.kill().await.expect("killed");
    }
}

const READY: &str = "the agent has published";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by AgentProcess in a process of its own"]
async fn agent_process() {
    let mut line = String::new();
    BufReader::new(tokio::io::stdin())
        .read_line(&mut line)
        .await
        .expect("readable");
    let Some((url, token)) = line.trim().split_once(' ') else {
        return;
    };
    platform::install_providers();
    let _agent = Agent::connect(url, token).await;
    println!("{READY}");
    std::future::pending::<()>().await;
}
