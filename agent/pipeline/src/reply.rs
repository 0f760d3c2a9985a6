//! One utterance in the making: the model's text is cut into sentences, and each is spoken while the next is written.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use providers::{Action, ChatRequest, Llm, LlmEvent, ProviderError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use turns::UtteranceId;

use crate::playout::Piece;
use crate::speech::{Broken, Mouth, Speech};
use crate::stages::{Stage, StageEvent};
use crate::text::Chunker;

/// Sentences that may wait for the synthesis; then the model's stream waits.
const WAITING_SENTENCES: usize = 8;
/// A reply that is longer than this is cut off: nobody listens for an hour.
const MAX_REPLY_CHARS: usize = 20_000;

/// Where the words come from.
pub(crate) enum Script {
    Phrase(String),
    Chat(ChatRequest),
}

/// What is said when a stage fails, and whether the call ends with it.
#[derive(Clone)]
pub(crate) struct OnFailure {
    pub(crate) phrase: String,
    pub(crate) ends_call: bool,
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
    pub(crate) llm_timeout: Duration,
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
            llm_timeout,
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
                Script::Chat(request) => think(llm, request, llm_timeout, &lines, &teller).await,
            }
            drop(lines);
        };
        let (has_audio, ()) = tokio::join!(speak(speech, waiting, mouth, &teller), think);
        teller.tell(StageEvent::Done { utterance, has_audio }).await;
    }
}

/// Tells the conversation what happens.
struct Teller {
    utterance: UtteranceId,
    events: mpsc::Sender<StageEvent>,
    on_failure: OnFailure,
}

impl Teller {
    /// The conversation always listens, and when it does not any more the call is over.
    async fn tell(&self, event: StageEvent) {
        let _ = self.events.send(event).await;
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
    }
}

/// Asks the model and passes on whole sentences; after a failure, the apology.
async fn think(
    llm: Arc<dyn Llm>,
    request: ChatRequest,
    limit: Duration,
    lines: &mpsc::Sender<Line>,
    teller: &Teller,
) {
    if let Err(error) = answer(llm, request, limit, lines, teller).await {
        teller.failed(Stage::Llm, error).await;
        let text = teller.on_failure.phrase.clone();
        let _ = lines.send(Line { text, is_fixed: true }).await;
    }
}

async fn answer(
    llm: Arc<dyn Llm>,
    request: ChatRequest,
    limit: Duration,
    lines: &mpsc::Sender<Line>,
    teller: &Teller,
) -> Result<(), ProviderError> {
    let provider = llm.name();
    let asked = Instant::now();
    let mut stream = llm.chat(request);
    let mut chunker = Chunker::default();
    let (mut chars, mut has_action) = (0, false);
    while chars < MAX_REPLY_CHARS {
        let next = timeout(limit, stream.next()).await;
        let Some(event) = next.map_err(|_| ProviderError::Timeout {
            provider,
            after: limit,
        })?
        else {
            break;
        };
        match event? {
            LlmEvent::Text(text) => {
                if chars == 0 && !text.is_empty() {
                    let ttft = asked.elapsed();
                    teller
                        .tell(StageEvent::FirstToken {
                            utterance: teller.utterance,
                            ttft,
                        })
                        .await;
                }
                chars += text.chars().count();
                chunker.push(&text);
            }
            LlmEvent::Action(Action::EndCall) => {
                has_action = true;
                teller
                    .tell(StageEvent::EndCall {
                        utterance: teller.utterance,
                    })
                    .await;
            }
        }
        while let Some(text) = chunker.next() {
            if lines
                .send(Line {
                    text,
                    is_fixed: false,
                })
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    }
    if let Some(text) = chunker.finish() {
        let _ = lines
            .send(Line {
                text,
                is_fixed: false,
            })
            .await;
    }
    if chars == 0 && !has_action {
        return Err(ProviderError::Protocol {
            provider,
            reason: "an empty answer".into(),
        });
    }
    Ok(())
}

/// Speaks the lines one after the other; returns whether anything can be heard.
async fn speak(speech: Speech, mut lines: mpsc::Receiver<Line>, mut mouth: Mouth, teller: &Teller) -> bool {
    while let Some(line) = lines.recv().await {
        match speech.say(&line, &mut mouth).await {
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
