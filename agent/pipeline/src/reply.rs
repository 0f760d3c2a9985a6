//! One utterance in the making: the model's text is cut into sentences, and each is spoken while the next is written.

use std::sync::Arc;

use futures_util::StreamExt;
use providers::{
    ChatRequest, Llm, LlmEvent, Message, ProviderError,
    tools::{ToolCall, Toolbox},
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use turns::UtteranceId;

use crate::playout::Piece;
use crate::speech::{Broken, Mouth, Speech};
use crate::stages::{Stage, StageEvent, Troubled};
use crate::text::Chunker;
use crate::tools::{Calls, MAX_STEPS};
use crate::usage::Meter;

/// Sentences that may wait for the synthesis; then the model's stream waits.
const WAITING_SENTENCES: usize = 8;
/// A reply that is longer than this is cut off: nobody listens for an hour.
const MAX_REPLY_CHARS: usize = 20_000;

/// How often a sentence that breaks off is begun again.
const MAX_REPEATS: usize = 3;

/// Where the words come from.
pub(crate) enum Script {
    Phrase(String),
    Chat(ChatRequest),
}

/// What is said when a stage fails, and what is done then.
#[derive(Clone)]
pub(crate) struct OnFailure {
    pub(crate) phrase: String,
    pub(crate) ends_call: bool,
    /// Hands the caller to somebody else.
    pub(crate) transfer: Option<ToolCall>,
}

/// One sentence for the synthesis.
pub(crate) struct Line {
    pub(crate) text: String,
    /// A fixed phrase: it may be kept, and found, among the [`crate::Phrases`].
    pub(crate) is_fixed: bool,
}

/// The task that makes one utterance. Dropping it cancels the providers' requests.
pub(crate) struct Reply {
    pub(crate) utterance: UtteranceId,
    pub(crate) script: Script,
    pub(crate) llm: Arc<dyn Llm>,
    pub(crate) toolbox: Toolbox,
    pub(crate) usage: Meter,
    /// Said while a tool takes long.
    pub(crate) hold: String,
    pub(crate) speech: Speech,
    pub(crate) on_failure: OnFailure,
    pub(crate) pieces: mpsc::Sender<Piece>,
    pub(crate) events: mpsc::Sender<StageEvent>,
}

impl Reply {
    pub(crate) async fn run(self) {
        let Self {
            utterance,
            script,
            llm,
            toolbox,
            usage,
            hold,
            speech,
            on_failure,
            pieces,
            events,
        } = self;
        let mouth = Mouth {
            utterance,
            pieces,
            events: events.clone(),
            has_audio: false,
        };
        let (lines, waiting) = mpsc::channel(WAITING_SENTENCES);
        let teller = Teller {
            utterance,
            events,
            on_failure,
        };
        let think = async {
            match script {
                Script::Phrase(text) => {
                    let _ = lines.send(Line { text, is_fixed: true }).await;
                }
                Script::Chat(request) => {
                    let thinker = Thinker {
                        llm,
                        toolbox,
                        usage,
                        hold,
                        lines: &lines,
                        teller: &teller,
                    };
                    thinker.think(request).await;
                }
            }
            drop(lines);
        };
        let (has_audio, ()) = tokio::join!(speak(speech, waiting, mouth, &teller), think);
        teller.tell(StageEvent::Done { utterance, has_audio }).await;
    }
}

/// Tells the conversation what happens.
pub(crate) struct Teller {
    pub(crate) utterance: UtteranceId,
    events: mpsc::Sender<StageEvent>,
    on_failure: OnFailure,
}

impl Teller {
    /// The conversation always listens, and when it does not any more the call is over.
    pub(crate) async fn tell(&self, event: StageEvent) {
        let _ = self.events.send(event).await;
    }

    /// A failure that somebody else makes up for.
    async fn troubled(&self, stage: Stage, error: &ProviderError) {
        self.tell(StageEvent::Troubled(Troubled::broke_off(stage, error)))
            .await;
    }

    async fn failed(&self, stage: Stage, error: ProviderError) {
        let utterance = self.utterance;
        self.tell(StageEvent::Failed {
            utterance,
            stage,
            error,
        })
        .await;
        if self.on_failure.ends_call {
            self.tell(StageEvent::EndCall { utterance }).await;
        }
        if let Some(transfer) = &self.on_failure.transfer {
            let calls = vec![transfer.clone()];
            let after = calls.clone();
            self.tell(StageEvent::Called {
                utterance,
                calls,
                after,
            })
            .await;
        }
    }
}

/// The model's part of one utterance.
struct Thinker<'a> {
    llm: Arc<dyn Llm>,
    toolbox: Toolbox,
    usage: Meter,
    hold: String,
    lines: &'a mpsc::Sender<Line>,
    teller: &'a Teller,
}

/// What a model said and wants done.
struct Answer {
    text: String,
    calls: Vec<ToolCall>,
}

/// Nobody listens any more.
struct Unheard;

impl Thinker<'_> {
    /// Asks the model and passes on whole sentences; after a failure, the apology.
    async fn think(self, request: ChatRequest) {
        if let Err(error) = self.answer(request).await {
            self.teller.failed(Stage::Llm, error).await;
            let text = self.teller.on_failure.phrase.clone();
            let _ = self.lines.send(Line { text, is_fixed: true }).await;
        }
    }

    /// Asks the model, and again with the results of the tools that it called; the last time without any tools.
    async fn answer(&self, mut request: ChatRequest) -> Result<(), ProviderError> {
        let mut has_said = false;
        for step in 0..=MAX_STEPS {
            if step == MAX_STEPS {
                request.tools.clear();
            }
            let Ok(Answer { text, calls }) = self.ask(request.clone(), step).await? else {
                return Ok(());
            };
            has_said |= !text.trim().is_empty();
            // An answer in words was asked for.
            let calls = if request.tools.is_empty() {
                Vec::new()
            } else {
                calls
            };
            // Silence is an answer only to a tool that was announced.
            if calls.is_empty() && !has_said {
                return Err(ProviderError::Protocol {
                    provider: self.llm.name(),
                    reason: "an empty answer".into(),
                });
            }
            let calls = Calls::new(calls, &self.toolbox);
            let (ends_call, has_results) = (calls.ends_call, calls.has_results());
            let (calls, results) = calls
                .run(&self.toolbox, self.teller, self.hold_the_line(has_said))
                .await;
            if ends_call {
                let utterance = self.teller.utterance;
                self.teller.tell(StageEvent::EndCall { utterance }).await;
            }
            if ends_call || !has_results {
                return Ok(());
            }
            let said = (!text.is_empty()).then_some(Message::Assistant(text));
            request.messages.extend(said);
            request.messages.push(Message::Calls(calls));
            request.messages.extend(results.into_iter().map(Message::Result));
        }
        Ok(())
    }

    /// What a caller hears who waits for a tool, unless something was said already.
    async fn hold_the_line(&self, has_said: bool) {
        if !has_said {
            let text = self.hold.clone();
            let _ = self.lines.send(Line { text, is_fixed: true }).await;
        }
    }

    /// One request. Its sentences are passed on as they come.
    async fn ask(&self, request: ChatRequest, step: usize) -> Result<Result<Answer, Unheard>, ProviderError> {
        let asked = Instant::now();
        self.usage.asked();
        let mut stream = self.llm.chat(request);
        let mut chunker = Chunker::default();
        let (mut chars, mut said, mut calls) = (0, String::new(), Vec::new());
        while chars < MAX_REPLY_CHARS {
            match stream.next().await.transpose()? {
                None => break,
                Some(LlmEvent::Text(text)) => {
                    if step == 0 && chars == 0 && !text.is_empty() {
                        let (utterance, ttft) = (self.teller.utterance, asked.elapsed());
                        self.teller.tell(StageEvent::FirstToken { utterance, ttft }).await;
                    }
                    chars += text.chars().count();
                    said.push_str(&text);
                    chunker.push(&text);
                }
                Some(LlmEvent::Call(call)) => calls.push(call),
                Some(LlmEvent::Usage {
                    prompt,
                    cached,
                    completion,
                }) => self.usage.tokens(prompt, cached, completion),
            }
            while let Some(text) = chunker.next() {
                if self.line(text).await.is_err() {
                    return Ok(Err(Unheard));
                }
            }
        }
        if let Some(text) = chunker.finish()
            && self.line(text).await.is_err()
        {
            return Ok(Err(Unheard));
        }
        Ok(Ok(Answer { text: said, calls }))
    }

    async fn line(&self, text: String) -> Result<(), Unheard> {
        let is_fixed = false;
        let sent = self.lines.send(Line { text, is_fixed }).await;
        sent.map_err(|_| Unheard)
    }
}

/// Speaks the lines one after the other; returns whether anything can be heard. A line that breaks off is said again as long as there is
/// somebody else to say it.
async fn speak(speech: Speech, mut lines: mpsc::Receiver<Line>, mut mouth: Mouth, teller: &Teller) -> bool {
    while let Some(line) = lines.recv().await {
        let mut said = speech.say(&line, &mut mouth).await;
        for _ in 0..MAX_REPEATS {
            match &said {
                Err(Broken::Provider(error)) if speech.can_go_on() => {
                    teller.troubled(Stage::Tts, error).await;
                }
                _ => break,
            }
            said = speech.say(&line, &mut mouth).await;
        }
        match said {
            Ok(()) => {}
            Err(Broken::NobodyListens) => break,
            Err(Broken::Provider(error)) => {
                teller.failed(Stage::Tts, error).await;
                // The synthesis is down: only what was synthesised before can be said.
                let _ = speech.say_kept(&teller.on_failure.phrase, &mut mouth).await;
                break;
            }
        }
    }
    mouth.has_audio
}
