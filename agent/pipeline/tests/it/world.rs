//! One call: a caller who sends a frame every 20 ms, a conversation, a far end that hears 16 samples a millisecond.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pipeline::{
    AudioOut, AudioOutError, Control, Conversation, ConversationEvent, ConversationReport, FRAME_SAMPLES,
    Phrases, Profile, Said, Setup, Slot, SpokenTurn, Tap,
};
use providers::{
    Chain, ChatRequest, Llm, Message, Stt, Tts,
    tools::{Tool, Toolbox},
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::fakes::{Alive, Answer, FakeLlm, FakeStt, FakeTts, Hears, LoudnessDetector, Script};

/// Six words: 1.2 s.
pub(crate) const GREETING: &str = "Hello, this call will be recorded.";

/// What a call is made of, before it begins.
pub(crate) struct Cast {
    pub(crate) profile: String,
    pub(crate) stt: Vec<Answer>,
    /// What the recogniser hears while it is spoken; none: it only transcribes.
    pub(crate) hears: Option<Vec<Hears>>,
    pub(crate) llm: Vec<Answer>,
    pub(crate) tts: Vec<Answer>,
    /// Of the provider called `other` that is asked when the first one, `fake`, fails; none: there is none.
    pub(crate) other_stt: Vec<Answer>,
    pub(crate) other_llm: Vec<Answer>,
    pub(crate) other_tts: Vec<Answer>,
    pub(crate) sample_rate_hz: u32,
    pub(crate) events: usize,
    pub(crate) phrases: Phrases,
    pub(crate) earlier: Option<Vec<Said>>,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    /// What the caller said before.
    pub(crate) pre_roll: Vec<Vec<i16>>,
}

impl Default for Cast {
    fn default() -> Self {
        Self {
            profile: "prompt: You sell pizza.\nrecording: off\n".into(),
            stt: vec![Answer::Says("a large pizza please")],
            hears: None,
            llm: vec![Answer::Says(
                "It will be with you in one hour. |Anything else that I can do for you today?",
            )],
            tts: vec![Answer::Says("")],
            other_stt: Vec::new(),
            other_llm: Vec::new(),
            other_tts: Vec::new(),
            sample_rate_hz: 16_000,
            events: 1024,
            phrases: Phrases::new(),
            earlier: None,
            tools: Vec::new(),
            pre_roll: Vec::new(),
        }
    }
}

impl Cast {
    /// With the greeting of this house, and more lines of profile.
    pub(crate) fn greeting(more: &str) -> Self {
        let profile = format!("prompt: You sell pizza.\ngreeting: {GREETING}\n{more}");
        Self {
            profile,
            ..Self::default()
        }
    }
}

/// The far end's line: one sample for each 1/16 ms since the beginning, zero where there was nothing.
#[derive(Clone)]
pub(crate) struct FarEnd(Arc<Mutex<Line>>);

struct Line {
    started: Instant,
    rate: u32,
    queue: VecDeque<i16>,
    heard: Vec<i16>,
    broken: bool,
}

impl Line {
    fn run(&mut self) {
        let elapsed = self.started.elapsed().as_micros() * u128::from(self.rate) / 1_000_000;
        let elapsed = usize::try_from(elapsed).unwrap();
        let new = elapsed - self.heard.len();
        let count = new.min(self.queue.len());
        self.heard.extend(self.queue.drain(..count));
        self.heard.resize(elapsed, 0);
    }
}

#[async_trait]
impl AudioOut for FarEnd {
    fn sample_rate_hz(&self) -> u32 {
        self.0.lock().unwrap().rate
    }

    async fn write(&mut self, frame: &[i16]) -> Result<(), AudioOutError> {
        let mut line = self.0.lock().unwrap();
        if line.broken {
            return Err(AudioOutError {
                reason: "scripted".into(),
            });
        }
        line.run();
        line.queue.extend(frame);
        Ok(())
    }

    fn clear(&mut self) {
        let mut line = self.0.lock().unwrap();
        line.run();
        line.queue.clear();
    }
}

/// The slots of the recording.
#[derive(Clone, Default)]
pub(crate) struct Slots(pub(crate) Arc<Mutex<Vec<Slot>>>);

impl Tap for Slots {
    fn slot(&mut self, slot: &Slot) {
        self.0.lock().unwrap().push(slot.clone());
    }
}

pub(crate) struct Call {
    pub(crate) cancel: CancellationToken,
    pub(crate) far_end: FarEnd,
    pub(crate) slots: Slots,
    pub(crate) alive: Alive,
    pub(crate) utterances: Arc<Mutex<Vec<usize>>>,
    pub(crate) listened: Arc<Mutex<Vec<usize>>>,
    pub(crate) controls: mpsc::Sender<Control>,
    pub(crate) requests: Arc<Mutex<Vec<ChatRequest>>>,
    pub(crate) sentences: Arc<Mutex<Vec<String>>>,
    events: mpsc::Receiver<ConversationEvent>,
    seen: Vec<ConversationEvent>,
    frames: Option<mpsc::Sender<Vec<i16>>>,
    started: Instant,
    next_frame: Instant,
    running: JoinSet<ConversationReport>,
}

impl Call {
    pub(crate) fn start(cast: Cast) -> Self {
        let started = Instant::now();
        let alive = Alive::default();
        let line = Line {
            started,
            rate: cast.sample_rate_hz,
            queue: VecDeque::new(),
            heard: Vec::new(),
            broken: false,
        };
        let far_end = FarEnd(Arc::new(Mutex::new(line)));
        let slots = Slots::default();
        let stt = FakeStt {
            name: "fake",
            script: Script::new(&cast.stt),
            alive: alive.clone(),
            utterances: Arc::default(),
            hears: cast.hears.map(|hears| Arc::new(Mutex::new(hears.into()))),
            listened: Arc::default(),
        };
        let llm = FakeLlm {
            name: "fake",
            script: Script::new(&cast.llm),
            alive: alive.clone(),
            requests: Arc::default(),
        };
        let tts = FakeTts::new("fake", &cast.tts, alive.clone());
        let (stts, llms, ttss) = others(
            [&cast.other_stt, &cast.other_llm, &cast.other_tts],
            &stt,
            &llm,
            &tts,
        );
        let (frames, heard) = mpsc::channel(50);
        let (told, events) = mpsc::channel(cast.events);
        let (controls, controlled) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let listened = stt.listened.clone();
        let (utterances, requests, sentences) = (
            stt.utterances.clone(),
            llm.requests.clone(),
            tts.sentences.clone(),
        );
        let conversation = Conversation::new(Setup {
            profile: Arc::new(profile(cast.profile)),
            earlier: cast.earlier,
            stt: Chain::new(Arc::new(stt), stts),
            llm: Chain::new(Arc::new(llm), llms),
            tts: Chain::new(Arc::new(tts), ttss),
            tools: Toolbox::new(cast.tools).expect("good tools"),
            phrases: cast.phrases,
            detector: Box::new(LoudnessDetector),
            turn_hint: None,
            pre_roll: cast.pre_roll,
            controls: Some(controlled),
            heard,
            audio_out: Box::new(far_end.clone()),
            tap: Some(Box::new(slots.clone())),
            events: told,
            cancel: cancel.clone(),
        })
        .expect("a good set-up");
        let mut running = JoinSet::new();
        running.spawn(Box::pin(conversation.run()));
        Self {
            cancel,
            far_end,
            slots,
            alive,
            utterances,
            listened,
            controls,
            requests,
            sentences,
            events,
            seen: Vec::new(),
            frames: Some(frames),
            started,
            next_frame: started,
            running,
        }
    }

    pub(crate) async fn voice(&mut self, ms: u64) -> &mut Self {
        self.send(ms, 5000).await
    }

    pub(crate) async fn silence(&mut self, ms: u64) -> &mut Self {
        self.send(ms, 0).await
    }

    /// A frame every 20 ms, each at the end of its time.
    async fn send(&mut self, ms: u64, level: i16) -> &mut Self {
        for _ in 0..ms / 20 {
            self.next_frame = self.next_frame.max(Instant::now()) + Duration::from_millis(20);
            sleep_until(self.next_frame).await;
            if let Some(frames) = &self.frames {
                let _ = frames.send(vec![level; FRAME_SAMPLES]).await;
            }
        }
        self
    }

    /// The network says nothing.
    pub(crate) async fn nothing(&mut self, ms: u64) -> &mut Self {
        sleep_until(Instant::now() + Duration::from_millis(ms)).await;
        self
    }

    /// Silence until `is_it` is seen among the events; returns it. At most 60 s.
    pub(crate) async fn until<T>(&mut self, is_it: impl Fn(&ConversationEvent) -> Option<T>) -> T {
        for _ in 0..3000 {
            let from = self.seen.len();
            self.look();
            if let Some(found) = self.seen.iter().skip(from).find_map(&is_it) {
                return found;
            }
            self.silence(20).await;
        }
        panic!("it did not come; there was: {:#?}", self.seen);
    }

    /// Silence until the agent's next utterance begins; returns its millisecond.
    pub(crate) async fn until_agent_speaks(&mut self) -> u64 {
        self.until(|event| match event {
            ConversationEvent::AgentStarted { at, .. } => Some(millis(*at)),
            _ => None,
        })
        .await
    }

    /// Silence until the agent's turn is over; returns that.
    pub(crate) async fn until_agent_is_done(&mut self) -> SpokenTurn {
        self.until(|event| match event {
            ConversationEvent::Turn(turn) if turn.speaker == pipeline::Speaker::Agent => Some(turn.clone()),
            _ => None,
        })
        .await
    }

    /// All events so far.
    pub(crate) fn seen(&mut self) -> &[ConversationEvent] {
        self.look();
        &self.seen
    }

    fn look(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push(event);
        }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.look();
        matches!(self.seen.last(), Some(ConversationEvent::Ended { .. }))
    }

    /// The caller hangs up.
    pub(crate) fn hang_up(&mut self) {
        self.frames = None;
    }

    /// What is left of the conversation, which must end within a second.
    pub(crate) async fn report(&mut self) -> ConversationReport {
        let ended = timeout(Duration::from_secs(1), self.running.join_next());
        ended
            .await
            .expect("the conversation did not end")
            .expect("it was started")
            .expect("it did not panic")
    }

    /// The caller hangs up, and what is left.
    pub(crate) async fn end(&mut self) -> ConversationReport {
        self.hang_up();
        self.report().await
    }

    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// What the far end has heard: a sample for each 1/16 ms.
    pub(crate) fn line(&self) -> Vec<i16> {
        let mut line = self.far_end.0.lock().unwrap();
        line.run();
        line.heard.clone()
    }

    /// The samples that are not silence.
    pub(crate) fn sounds(&self) -> Vec<i16> {
        self.line().into_iter().filter(|sample| *sample != 0).collect()
    }

    /// When the far end heard the agent last, in milliseconds.
    pub(crate) fn last_sound_ms(&self) -> u64 {
        let last = self
            .line()
            .iter()
            .rposition(|sample| *sample != 0)
            .map_or(0, |last| last + 1);
        u64::try_from(last).unwrap() / 16
    }

    /// The far end can no longer be reached.
    pub(crate) fn cut_the_line(&self) {
        self.far_end.0.lock().unwrap().broken = true;
    }

    /// The words of each message of the last request.
    pub(crate) fn last_request(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let last = requests.last().expect("a request");
        let words = |message: &Message| match message {
            Message::User(text) | Message::Assistant(text) => text.clone(),
            Message::Calls(calls) => {
                let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
                format!("→ {}", names.join(", "))
            }
            Message::Result(result) => format!("← {}", result.content),
        };
        last.messages.iter().map(words).collect()
    }

    /// Nothing is left of the conversation: no request, no task.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.alive.count(), 0, "requests are left");
        assert_eq!(
            tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            0,
            "tasks are left"
        );
    }
}

fn profile(mut yaml: String) -> Profile {
    if !yaml.contains("preemptive_generation") {
        // What is asked on a guess would take answers out of the scripts; it has tests of its own.
        yaml.push_str("\npreemptive_generation: false\n");
    }
    if !yaml.contains("audio_in") {
        // Its frames are numbers, of which the canceller would make others.
        yaml.push_str("\naudio_in: {echo_cancellation: false}\n");
    }
    Profile::parse(yaml.as_bytes()).expect("a good profile")
}

type Others = (Vec<Arc<dyn Stt>>, Vec<Arc<dyn Llm>>, Vec<Arc<dyn Tts>>);

/// Those that are asked when the first ones fail; they share everything with them but the name and the script.
fn others(scripts: [&[Answer]; 3], stt: &FakeStt, llm: &FakeLlm, tts: &FakeTts) -> Others {
    let name = "other";
    let [hears, thinks, speaks] = scripts.map(|script| (!script.is_empty()).then(|| Script::new(script)));
    let stt = hears.map(|script| FakeStt {
        name,
        script,
        ..stt.clone()
    });
    let llm = thinks.map(|script| FakeLlm {
        name,
        script,
        ..llm.clone()
    });
    let tts = speaks.map(|script| FakeTts {
        name,
        script,
        ..tts.clone()
    });
    (
        stt.map(|it| Arc::new(it) as Arc<dyn Stt>).into_iter().collect(),
        llm.map(|it| Arc::new(it) as Arc<dyn Llm>).into_iter().collect(),
        tts.map(|it| Arc::new(it) as Arc<dyn Tts>).into_iter().collect(),
    )
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
