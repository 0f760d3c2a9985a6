//! A reply that is begun before the caller's turn is over, on the guess that nothing more will be said.
//!
//! Only the model is asked: nothing is spoken and no tool is run before the turn is over, and words that turn out different cancel it.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use providers::{ChatRequest, Llm, LlmEvent, Message, ProviderError};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Events that may wait for the end of the turn; then the model's stream waits.
const WAITING: usize = 256;

/// A model that has been asked. Dropping it cancels the request.
pub(crate) struct Primed {
    request: ChatRequest,
    events: mpsc::Receiver<Result<LlmEvent, ProviderError>>,
    _asking: DropGuard,
}

impl Primed {
    /// Asks `llm`, by a task that is to be spawned.
    pub(crate) fn ask(
        llm: &dyn Llm,
        request: ChatRequest,
        token: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (told, events) = mpsc::channel(WAITING);
        let mut reply = llm.chat(request.clone());
        let cancelled = token.clone();
        let asking = async move {
            let pass_on = async {
                while let Some(event) = reply.next().await {
                    if told.send(event).await.is_err() {
                        break;
                    }
                }
            };
            cancelled.run_until_cancelled(pass_on).await;
        };
        let primed = Self {
            request,
            events,
            _asking: token.drop_guard(),
        };
        (primed, asking)
    }

    /// Whether it is an answer to `request`: whatever the recogniser has changed of case and punctuation is the same to a model.
    pub(crate) fn answers(&self, request: &ChatRequest) -> bool {
        let (Some((own, before)), Some((words, history))) =
            (self.request.messages.split_last(), request.messages.split_last())
        else {
            return false;
        };
        let tools = |request: &ChatRequest| request.tools.len();
        before == history && is_same(own, words) && tools(&self.request) == tools(request)
    }

    /// `llm`, whose first answer is this one.
    pub(crate) fn then(self, llm: Arc<dyn Llm>) -> Arc<dyn Llm> {
        Arc::new(Begun {
            first: Mutex::new(Some(self)),
            llm,
        })
    }
}

fn is_same(one: &Message, other: &Message) -> bool {
    match (one, other) {
        (Message::User(one), Message::User(other)) => letters(one).eq(letters(other)),
        _ => one == other,
    }
}

/// Of words, what is heard of them.
pub(crate) fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
}

struct Begun {
    first: Mutex<Option<Primed>>,
    llm: Arc<dyn Llm>,
}

impl Llm for Begun {
    fn name(&self) -> &'static str {
        self.llm.name()
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, ProviderError>> {
        match self.first.lock().take() {
            Some(primed) => stream::unfold(primed, |mut primed| async move {
                let event = primed.events.recv().await?;
                Some((event, primed))
            })
            .boxed(),
            None => self.llm.chat(request),
        }
    }
}
