//! The conversation: one actor that hears frames, timers, providers and playout, and does what the turn machine says.

mod acts;
mod ears;
mod errands;
mod guesses;
mod hears;
mod replies;

use std::sync::Arc;
use std::time::Duration;

use providers::{
    Chain, Llm, ProviderError, Stt, Tts,
    tools::{ToolCall, Toolbox},
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use turns::{FRAME, Input, OptionsError, RuleHint, TurnHint, TurnId, TurnMachine, UtteranceId, VoiceGate};

use ears::Ears;
use guesses::Guess;
use hears::exact;

use crate::audio_in::Clarity;
use crate::hearing::Hearing;
use crate::ledger::Ledger;
use crate::playout::{Command, News, Piece, Playout, Wiring};
use crate::quality::Gauge;
use crate::report::Latency;
use crate::stages::{Stage, StageEvent, Troubled};
use crate::tap::Slots;
use crate::usage::Meter;
use crate::{
    AudioOut, ConversationEvent, ConversationReport, EndReason, FRAME_SAMPLES, Phrases, Profile,
    SAMPLE_RATE_HZ, Said, SpeechDetector, Tap,
};

/// When no frame has come for so long, silence is heard instead, so that a turn ends though the network does not say so.
const STARVED_AFTER: Duration = Duration::from_millis(60);
/// How long the end of a conversation may take: the playout's last word, and its task.
const END_TIMEOUT: Duration = Duration::from_millis(500);
/// Commands, and news of playout and providers, that may wait.
const WAITING: usize = 64;

/// What a conversation is made of.
pub struct Setup {
    /// What the agent is.
    pub profile: Arc<Profile>,
    /// What was said so far, oldest first, when the conversation is taken over from a worker that died: it then begins with the
    /// profile's bridge. `None`: it begins with the greeting, if the profile has one.
    pub earlier: Option<Vec<Said>>,
    /// Speech to text. It, and the two that follow, are asked on the profile's terms.
    pub stt: Chain<dyn Stt>,
    /// The language model.
    pub llm: Chain<dyn Llm>,
    /// Text to speech.
    pub tts: Chain<dyn Tts>,
    /// What the model may do besides speaking and ending the call.
    pub tools: Toolbox,
    /// Phrases that were synthesised before; to be shared by all conversations of a process.
    pub phrases: Phrases,
    /// Finds voice in the caller's frames.
    pub detector: Box<dyn SpeechDetector>,
    /// Judges whether a turn is over by its words; none: the rules, if the profile wants them.
    pub turn_hint: Option<Box<dyn TurnHint>>,
    /// What somebody wants of the conversation while it goes on, if anybody does.
    pub controls: Option<mpsc::Receiver<Control>>,
    /// The caller's audio in frames of 20 ms at 16 kHz (320 samples; other lengths are cut or padded). When its sender
    /// is dropped the caller is gone.
    pub heard: mpsc::Receiver<Vec<i16>>,
    /// What the caller said before the conversation could begin, as frames of the same kind, oldest first; it is heard first
    /// and at once. The recording does not get it.
    pub pre_roll: Vec<Vec<i16>>,
    /// The agent's voice.
    pub audio_out: Box<dyn AudioOut>,
    /// The recording, if the profile allows one.
    pub tap: Option<Box<dyn Tap>>,
    /// Who wants to know. Events that do not fit are lost and counted.
    pub events: mpsc::Sender<ConversationEvent>,
    /// Ends the conversation at once.
    pub cancel: CancellationToken,
}

/// What somebody beside the caller's voice wants, as the button of a page does.
#[derive(Clone, PartialEq, Eq)]
pub enum Control {
    /// The caller's turn is over.
    EndTurn,
    /// The caller's turn is to be forgotten.
    CancelTurn,
    /// The agent is to stop speaking.
    Interrupt,
    /// The caller has pressed a key of the telephone. It counts while no recogniser can be had, if the profile says what for
    /// ([`Profile::keypad`]).
    Key(char),
    /// The caller has written this instead of saying it.
    Text(String),
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EndTurn => f.write_str("EndTurn"),
            Self::CancelTurn => f.write_str("CancelTurn"),
            Self::Interrupt => f.write_str("Interrupt"),
            // Neither digits nor words.
            Self::Key(_) => f.write_str("Key(..)"),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

/// A conversation cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The rate of the audio out is not supported.
    #[error("the audio out takes {0} Hz; it must be a multiple of 1,000 from 8,000 to 48,000")]
    SampleRate(u32),
    /// The profile's turn options contradict each other.
    #[error("turns: {0}")]
    Turns(#[from] OptionsError),
}

/// One conversation between a caller and an agent.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Conversation {
    profile: Arc<Profile>,
    stt: Arc<dyn Stt>,
    llm: Arc<dyn Llm>,
    tts: Chain<dyn Tts>,
    tools: Toolbox,
    phrases: Phrases,
    /// Said first.
    opening: Option<Opening>,
    clarity: Clarity,
    detector: Box<dyn SpeechDetector>,
    turn_hint: Option<Box<dyn TurnHint>>,
    controls: Option<mpsc::Receiver<Control>>,
    heard: mpsc::Receiver<Vec<i16>>,
    pre_roll: Vec<Vec<i16>>,
    cancel: CancellationToken,

    machine: TurnMachine,
    gate: VoiceGate,
    hearing: Hearing,
    /// The voice that has just begun is at least so long.
    begun_voice: Duration,
    ledger: Ledger,
    usage: Meter,
    gauge: Gauge,
    slots: Option<Slots>,
    to_tap: audio::Resampler,

    started: Instant,
    starved_at: Instant,
    user: Option<UserTurn>,
    /// Whether the greeting, or the bridge, is over or was never to come.
    has_opened: bool,
    /// Whether a tool has come back of which the model does not know yet.
    has_news: bool,
    /// How often the agent has spoken of itself since the caller's last turn.
    spoke_up: usize,
    /// Tools that run beside the conversation.
    errands: usize,
    ears: Ears,
    guess: Guess,
    preparing: Option<Preparing>,
    playing: Option<Playing>,
    /// Whether the caller, whom nobody could hear, was told what to type.
    takes_keys: bool,
    /// Whether the caller was to be transferred since the agent can no longer serve them.
    was_handed_over: bool,
    /// Failed replies in a row.
    errors: u32,
    end: Option<EndReason>,

    sample_rate_hz: u32,
    commands: mpsc::Sender<Command>,
    news: mpsc::Receiver<News>,
    stage_events: (mpsc::Sender<StageEvent>, mpsc::Receiver<StageEvent>),
    /// The providers' tasks.
    tasks: JoinSet<()>,
    playout: Option<Playout>,
    playout_cancel: CancellationToken,
}

/// How a conversation begins.
enum Opening {
    Greeting(String),
    /// After a takeover.
    Bridge(String),
}

/// The caller's turn that goes on, or is answered and may still go on.
struct UserTurn {
    id: TurnId,
    take: u32,
    started_at: Duration,
    last_voice: Duration,
    transcript: Option<Result<String, ProviderError>>,
    latency: Latency,
    /// Cancels the transcription under way.
    transcribing: CancellationToken,
}

/// The agent's utterance of which nothing was played.
struct Preparing {
    utterance: UtteranceId,
    is_opening: bool,
    answers: Option<TurnId>,
    /// Tools that run when it has been heard.
    after: Vec<ToolCall>,
    last_voice: Option<Duration>,
    latency: Latency,
    token: CancellationToken,
    has_failed: bool,
    /// None until its task was started.
    pieces: Option<mpsc::Receiver<Piece>>,
}

/// The agent's utterance that is played, or paused, or stopping.
struct Playing {
    utterance: UtteranceId,
    is_opening: bool,
    after: Vec<ToolCall>,
    started_at: Option<Duration>,
    last_voice: Option<Duration>,
    latency: Latency,
    token: CancellationToken,
    has_failed: bool,
}

impl Preparing {
    fn new(utterance: UtteranceId, token: CancellationToken) -> Self {
        Self {
            utterance,
            is_opening: false,
            answers: None,
            after: Vec::new(),
            last_voice: None,
            latency: Latency::default(),
            token,
            has_failed: false,
            pieces: None,
        }
    }
}

impl Conversation {
    /// A conversation that begins with [`Conversation::run`].
    pub fn new(setup: Setup) -> Result<Self, SetupError> {
        let sample_rate_hz = setup.audio_out.sample_rate_hz();
        let to_tap = audio::Resampler::new(sample_rate_hz, SAMPLE_RATE_HZ)
            .ok()
            .filter(|_| sample_rate_hz.is_multiple_of(1000) && (8000..=48_000).contains(&sample_rate_hz))
            .ok_or(SetupError::SampleRate(sample_rate_hz))?;
        let profile = setup.profile;
        let opening = match &setup.earlier {
            Some(_) => Some(Opening::Bridge(profile.bridge.clone())),
            None => profile.greeting.clone().map(Opening::Greeting),
        };
        let has_opened = opening.is_none();
        let earlier = setup.earlier.unwrap_or_default();
        let (commands, obeyed) = mpsc::channel(WAITING);
        let (told, news) = mpsc::channel(WAITING);
        let playout_cancel = setup.cancel.child_token();
        let clarity = Clarity::new(profile.audio_in);
        let tells_heard = setup.tap.is_some() || clarity.needs_agent();
        let wiring = Wiring {
            commands: obeyed,
            news: told,
            cancel: playout_cancel.clone(),
            tells_heard,
        };
        let now = Instant::now();
        let stage_events = mpsc::channel(WAITING);
        let stt = engage(setup.stt, Stage::Stt, &profile, &stage_events.0);
        let llm = engage(setup.llm, Stage::Llm, &profile, &stage_events.0);
        let tts = engage(setup.tts, Stage::Tts, &profile, &stage_events.0);
        let mut options = profile.turns;
        options.has_interim = stt.streaming().is_some();
        let rules = || profile.turn_hint.then(|| Box::new(RuleHint) as Box<dyn TurnHint>);
        Ok(Self {
            machine: TurnMachine::new(options)?,
            turn_hint: setup.turn_hint.or_else(rules),
            controls: setup.controls,
            gate: VoiceGate::new(profile.turns.vad),
            hearing: Hearing::new(profile.prefix_padding),
            begun_voice: Duration::ZERO,
            ledger: Ledger::new(setup.events, profile.recording, earlier),
            usage: Meter::default(),
            gauge: Gauge::default(),
            slots: setup.tap.map(Slots::new),
            to_tap,
            profile,
            stt: Arc::new(stt),
            llm: Arc::new(llm),
            tts,
            tools: setup.tools,
            phrases: setup.phrases,
            opening,
            clarity,
            detector: setup.detector,
            heard: setup.heard,
            pre_roll: setup.pre_roll,
            cancel: setup.cancel,
            started: now,
            starved_at: now,
            user: None,
            has_opened,
            has_news: false,
            spoke_up: 0,
            errands: 0,
            ears: Ears::default(),
            guess: Guess::default(),
            preparing: None,
            playing: None,
            takes_keys: false,
            was_handed_over: false,
            errors: 0,
            end: None,
            sample_rate_hz,
            commands,
            news,
            stage_events,
            tasks: JoinSet::new(),
            playout: Some(Playout::new(setup.audio_out, wiring)),
            playout_cancel,
        })
    }

    /// Holds the conversation to its end. Nothing of it is left when this returns: no task, no request, no sound.
    /// Dropping the future ends it too, without a report.
    pub async fn run(mut self) -> ConversationReport {
        let mut voice = JoinSet::new();
        if let Some(playout) = self.playout.take() {
            voice.spawn(playout.run());
        }
        self.begin();
        let reason = loop {
            if let Some(reason) = self.end {
                break reason;
            }
            self.step().await;
        };
        self.finish(reason, voice).await
    }

    fn begin(&mut self) {
        self.started = Instant::now();
        self.starved_at = self.started + STARVED_AFTER;
        if self.cancel.is_cancelled() {
            self.end = Some(EndReason::Cancelled);
            return;
        }
        if self.heard.is_closed() && self.heard.is_empty() {
            self.end = Some(EndReason::CallerGone);
            return;
        }
        if self.ledger.begin(Duration::ZERO) {
            self.open_tap();
        }
        if self.opening.is_some() {
            self.input(Input::Say);
        } else {
            self.input(Input::Listen);
            self.prepare_phrases();
        }
        for frame in std::mem::take(&mut self.pre_roll) {
            self.hear(&exact(&frame));
        }
    }

    /// Takes one thing that happens.
    async fn step(&mut self) {
        let timer = self
            .machine
            .poll_timeout()
            .map_or(self.starved_at, |at| self.starved_at.min(self.started + at));
        // Every arm is cancel-safe: receiving, joining and sleeping lose nothing when another arm wins.
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => self.end = Some(EndReason::Cancelled),
            Some(news) = self.news.recv() => self.playout_news(news),
            Some(event) = self.stage_events.1.recv() => self.stage_event(event),
            Some(control) = next_control(self.controls.as_mut()) => self.control(control),
            frame = self.heard.recv() => match frame {
                Some(frame) => {
                    self.starved_at = Instant::now() + STARVED_AFTER;
                    self.frame(&frame);
                }
                None => self.end = Some(EndReason::CallerGone),
            },
            Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                if let Err(error) = joined && error.is_panic() {
                    tracing::error!("a provider's task has panicked");
                }
            }
            () = sleep_until(timer) => self.timer(),
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::EndTurn => self.input(Input::Commit),
            Control::CancelTurn => self.input(Input::Clear),
            Control::Interrupt => self.input(Input::Interrupt),
            Control::Key(key) => self.key(key),
            Control::Text(words) => self.wrote(words),
        }
    }

    fn timer(&mut self) {
        let now = Instant::now();
        self.machine
            .handle_timeout(now.saturating_duration_since(self.started));
        self.act();
        if self.starved_at <= now {
            self.starved_at += FRAME;
            self.hear(&[0; FRAME_SAMPLES]);
        }
    }

    /// Silence first, then everything else: the caller may be somebody else by now.
    async fn finish(mut self, reason: EndReason, mut voice: JoinSet<()>) -> ConversationReport {
        self.input(Input::HangUp);
        self.tasks.abort_all();
        let deadline = Instant::now() + END_TIMEOUT;
        while self.playing.is_some() {
            match tokio::time::timeout_at(deadline, self.news.recv()).await {
                Ok(Some(news)) => self.playout_news(news),
                Ok(None) | Err(_) => break,
            }
        }
        self.playout_cancel.cancel();
        let ended = timeout(END_TIMEOUT, async {
            loop {
                tokio::select! {
                    Some(news) = self.news.recv() => self.playout_news(news),
                    _ = voice.join_next() => break,
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("the playout did not end in time and was aborted");
        }
        voice.shutdown().await;
        self.tasks.shutdown().await;
        self.commit_user_turn();
        self.forget_guess();
        let now = self.now();
        if let Some(slots) = &mut self.slots {
            slots.finish(now);
        }
        let took = (self.usage.read(), self.gauge.read());
        self.ledger.close(reason, took, now)
    }

    /// A bridge is no greeting, and no notice of the recording.
    fn opens_with_greeting(&self) -> bool {
        matches!(self.opening, Some(Opening::Greeting(_)))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(input, self.now());
        self.act();
    }
}

/// The providers of `stage`, on the profile's terms, whose troubles `events` tell. One that does not fit is lost, and the log has it.
fn engage<P: ?Sized>(
    providers: Chain<P>,
    stage: Stage,
    profile: &Profile,
    events: &mpsc::Sender<StageEvent>,
) -> Chain<P> {
    let events = events.clone();
    let limit = match stage {
        Stage::Stt => profile.timeouts.stt,
        Stage::Llm => profile.timeouts.llm,
        Stage::Tts => profile.timeouts.tts,
    };
    providers
        .on(profile.terms(limit))
        .telling(Arc::new(move |trouble| {
            let troubled = Troubled::new(stage, &trouble);
            if let Err(error) = events.try_send(StageEvent::Troubled(troubled)) {
                tracing::warn!(stage = stage.name(), %error, "a provider's failure is not in the report");
            }
        }))
}

async fn next_control(controls: Option<&mut mpsc::Receiver<Control>>) -> Option<Control> {
    match controls {
        Some(controls) => controls.recv().await,
        None => std::future::pending().await,
    }
}
