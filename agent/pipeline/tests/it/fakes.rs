//! Scripted providers. Each counts the requests that are alive, so that a test can tell whether one was left behind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use pipeline::SpeechDetector;
use providers::{
    ChatRequest, Llm, LlmEvent, ProviderError, SpeechRequest, StreamingStt, Stt, SttEvent, Transcript, Tts,
    tools::{END_CALL, ToolCall},
};
use tokio::time::sleep;

/// The sound of a word at 16 kHz: 200 ms.
pub(crate) const WORD_SAMPLES: usize = 3200;

/// Requests alive.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn guard(&self) -> Guard {
        self.0.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }
}

struct Guard(Alive);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a provider does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The words, or the pieces of a reply; `|` parts pieces that come 20 ms apart.
    Says(&'static str),
    /// Says that, and wants to hang up.
    SaysAndHangsUp(&'static str),
    /// Says that, and calls these tools with these arguments.
    SaysAndCalls(&'static str, &'static [(&'static str, &'static str)]),
    /// Refuses: asking again cannot help.
    Fails,
    /// Cannot be reached: asking again may help.
    Drops,
    /// Says that and fails; the synthesis: half of the sentence.
    SaysAndFails(&'static str),
    Hangs,
}

fn failure(provider: &'static str) -> ProviderError {
    ProviderError::Refused {
        provider,
        reason: "scripted".into(),
    }
}

fn unreachable(provider: &'static str) -> ProviderError {
    ProviderError::Unavailable {
        provider,
        reason: "scripted".into(),
    }
}

fn calls(
    mut events: Vec<Result<LlmEvent, ProviderError>>,
    tools: &[(&str, &str)],
) -> Vec<Result<LlmEvent, ProviderError>> {
    for (at, (name, arguments)) in tools.iter().enumerate() {
        events.push(Ok(LlmEvent::Call(ToolCall {
            id: format!("c{at}"),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        })));
    }
    events
}

/// One provider's answers, in order; then the last one for ever.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<VecDeque<Answer>>>);

impl Script {
    pub(crate) fn new(answers: &[Answer]) -> Self {
        Self(Arc::new(Mutex::new(answers.iter().cloned().collect())))
    }

    fn next(&self) -> Answer {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers.front().unwrap().clone()
        }
    }
}

/// What a recogniser that listens makes of one utterance.
#[derive(Clone, Debug)]
pub(crate) struct Hears {
    /// Words, and how many milliseconds after it was asked it tells them.
    pub(crate) interim: Vec<(u64, &'static str)>,
    /// What it answers 100 ms after the last sample.
    pub(crate) last: Answer,
}

/// Answers after 100 ms.
#[derive(Clone)]
pub(crate) struct FakeStt {
    pub(crate) name: &'static str,
    pub(crate) script: Script,
    pub(crate) alive: Alive,
    /// Samples of each utterance.
    pub(crate) utterances: Arc<Mutex<Vec<usize>>>,
    /// Of each utterance that is listened to, in order; none: it cannot listen.
    pub(crate) hears: Option<Arc<Mutex<VecDeque<Hears>>>>,
    /// Samples of each utterance that was listened to, to its end.
    pub(crate) listened: Arc<Mutex<Vec<usize>>>,
}

#[async_trait::async_trait]
impl Stt for FakeStt {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sample_rate_hz(&self) -> u32 {
        16_000
    }

    async fn transcribe(&self, speech: &[i16], _: &str) -> Result<Transcript, ProviderError> {
        let _guard = self.alive.guard();
        self.utterances.lock().unwrap().push(speech.len());
        let answer = self.script.next();
        sleep(Duration::from_millis(100)).await;
        match answer {
            Answer::Says(text) => Ok(Transcript {
                text: text.into(),
                confidence: None,
            }),
            Answer::Hangs => std::future::pending().await,
            Answer::Drops => Err(unreachable(self.name)),
            Answer::Fails
            | Answer::SaysAndFails(_)
            | Answer::SaysAndHangsUp(_)
            | Answer::SaysAndCalls(..) => Err(failure(self.name)),
        }
    }

    fn streaming(&self) -> Option<&dyn StreamingStt> {
        self.hears.as_ref().map(|_| self as &dyn StreamingStt)
    }
}

fn said(text: &str) -> Transcript {
    Transcript {
        text: text.into(),
        confidence: None,
    }
}

impl StreamingStt for FakeStt {
    fn listen(
        &self,
        mut speech: BoxStream<'static, Vec<i16>>,
        _: &str,
    ) -> BoxStream<'static, Result<SttEvent, ProviderError>> {
        let hears = self.hears.as_ref().unwrap();
        let Hears { interim, last } = hears.lock().unwrap().pop_front().expect("another utterance");
        let (guard, listened, name) = (self.alive.guard(), self.listened.clone(), self.name);
        let interim = futures_util::stream::iter(interim).then(|(at, text)| async move {
            sleep(Duration::from_millis(at)).await;
            Ok(SttEvent::Interim(said(text)))
        });
        let last = futures_util::stream::once(async move {
            let _guard = guard;
            if matches!(last, Answer::Fails) {
                speech.next().await;
                return Err(failure(name));
            }
            let mut samples = 0;
            while let Some(piece) = speech.next().await {
                samples += piece.len();
            }
            listened.lock().unwrap().push(samples);
            sleep(Duration::from_millis(100)).await;
            match last {
                Answer::Says(text) => Ok(SttEvent::Final(said(text))),
                _ => std::future::pending().await,
            }
        });
        futures_util::stream::select(interim, last).boxed()
    }
}

/// What every reply takes.
pub(crate) const TOKENS: LlmEvent = LlmEvent::Usage {
    prompt: 10,
    cached: 4,
    completion: 5,
};

/// The first piece after 200 ms, then one in 20 ms.
#[derive(Clone)]
pub(crate) struct FakeLlm {
    pub(crate) name: &'static str,
    pub(crate) script: Script,
    pub(crate) alive: Alive,
    pub(crate) requests: Arc<Mutex<Vec<ChatRequest>>>,
}

impl Llm for FakeLlm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, ProviderError>> {
        self.requests.lock().unwrap().push(request);
        let text = |text: &str| {
            text.split('|')
                .filter(|piece| !piece.is_empty())
                .map(|piece| Ok(LlmEvent::Text(piece.into())))
                .collect::<Vec<_>>()
        };
        let mut hangs = false;
        let events = match self.script.next() {
            Answer::Says(words) => text(words),
            Answer::SaysAndHangsUp(words) => calls(text(words), &[(END_CALL, "")]),
            Answer::SaysAndCalls(words, tools) => calls(text(words), tools),
            Answer::Fails => vec![Err(failure(self.name))],
            Answer::Drops => vec![Err(unreachable(self.name))],
            Answer::SaysAndFails(words) => {
                let broken = Err(unreachable(self.name));
                text(words).into_iter().chain([broken]).collect()
            }
            Answer::Hangs => {
                hangs = true;
                Vec::new()
            }
        };
        let guard = self.alive.guard();
        let events =
            futures_util::stream::iter(events.into_iter().enumerate()).then(|(index, event)| async move {
                sleep(Duration::from_millis(if index == 0 { 200 } else { 20 })).await;
                event
            });
        let end = futures_util::stream::once(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            drop(guard);
            Ok(TOKENS)
        });
        events.chain(end).boxed()
    }
}

/// The first 100 ms of sound after 100 ms, then ten times faster than it is heard. The samples of a process count
/// from 1, so that each is known by its value.
#[derive(Clone)]
pub(crate) struct FakeTts {
    pub(crate) name: &'static str,
    pub(crate) script: Script,
    pub(crate) alive: Alive,
    pub(crate) sentences: Arc<Mutex<Vec<String>>>,
    pub(crate) sample_rate_hz: u32,
    pub(crate) sample: Arc<AtomicUsize>,
}

impl FakeTts {
    pub(crate) fn new(name: &'static str, answers: &[Answer], alive: Alive) -> Self {
        Self {
            name,
            script: Script::new(answers),
            alive,
            sentences: Arc::default(),
            sample_rate_hz: 16_000,
            sample: Arc::default(),
        }
    }
}

impl Tts for FakeTts {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>> {
        let words = request.text.split_whitespace().count();
        // The fixed phrases are synthesised at any time, and are not to tear a hole into the count.
        let counts = !request.text.starts_with("Sorry");
        self.sentences.lock().unwrap().push(request.text);
        let guard = self.alive.guard();
        let answer = self.script.next();
        let samples = words * WORD_SAMPLES;
        let first = match answer {
            Answer::Says(_) if counts => self.sample.fetch_add(samples, Ordering::SeqCst),
            _ => 0,
        };
        let sound = |samples: usize| {
            let sound: Vec<_> = (first..first + samples)
                .map(|index| i16::try_from(index % 30_000 + 1).unwrap())
                .collect();
            sound.chunks(1600).map(|piece| Ok(piece.to_vec())).collect()
        };
        let pieces: Vec<_> = match answer {
            Answer::Says(_) => sound(samples),
            Answer::SaysAndFails(_) => {
                let mut pieces: Vec<_> = sound(samples / 2);
                pieces.push(Err(unreachable(self.name)));
                pieces
            }
            Answer::Hangs => Vec::new(),
            Answer::Drops => vec![Err(unreachable(self.name))],
            _ => vec![Err(failure(self.name))],
        };
        let hangs = matches!(answer, Answer::Hangs);
        let pieces =
            futures_util::stream::iter(pieces.into_iter().enumerate()).then(|(index, piece)| async move {
                sleep(Duration::from_millis(if index == 0 { 100 } else { 10 })).await;
                piece
            });
        let end = futures_util::stream::once(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            drop(guard);
        })
        .filter_map(|()| async { None });
        pieces.chain(end).boxed()
    }
}

/// Voice is whatever is loud.
pub(crate) struct LoudnessDetector;

impl SpeechDetector for LoudnessDetector {
    fn probability(&mut self, frame: &[i16]) -> f32 {
        if frame.iter().any(|sample| sample.unsigned_abs() > 1000) {
            0.9
        } else {
            0.0
        }
    }
}
