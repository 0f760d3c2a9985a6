//! Language models, one after the other.

use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::timeout;

use super::{Attempts, Chain};
use crate::{ChatRequest, Llm, LlmEvent, Message, ProviderError};

impl Llm for Chain<dyn Llm> {
    fn name(&self) -> &'static str {
        self.head().name()
    }

    /// A reply that breaks off when a part of it was passed on ends in an error: half of one and the whole of another would be heard
    /// together.
    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, ProviderError>> {
        let asking = Asking {
            attempts: self.attempts(),
            may_be_silent: matches!(request.messages.last(), Some(Message::Result(_))),
            request,
            reply: None,
            has_begun: false,
        };
        stream::try_unfold(asking, Asking::next).boxed()
    }
}

struct Asking {
    attempts: Attempts<dyn Llm>,
    request: ChatRequest,
    /// After tools, an empty answer is one.
    may_be_silent: bool,
    reply: Option<BoxStream<'static, Result<LlmEvent, ProviderError>>>,
    has_begun: bool,
}

impl Asking {
    async fn next(mut self) -> Result<Option<(LlmEvent, Self)>, ProviderError> {
        loop {
            let provider = self.attempts.provider();
            let name = provider.name();
            let reply = self
                .reply
                .get_or_insert_with(|| provider.chat(self.request.clone()));
            let limit = self.attempts.limit();
            let next = timeout(limit, reply.next()).await;
            let error = match next {
                Ok(Some(Ok(event))) => {
                    let is_reply = match &event {
                        LlmEvent::Text(text) => !text.is_empty(),
                        LlmEvent::Call(_) => true,
                        LlmEvent::Usage { .. } => false,
                    };
                    if is_reply && !self.has_begun {
                        self.has_begun = true;
                        self.attempts.succeeded();
                    }
                    return Ok(Some((event, self)));
                }
                Ok(None) if self.has_begun || self.may_be_silent => return Ok(None),
                Ok(None) => ProviderError::Protocol {
                    provider: name,
                    reason: "an empty answer".to_owned(),
                },
                Ok(Some(Err(error))) => error,
                Err(_) => ProviderError::Timeout {
                    provider: name,
                    after: limit,
                },
            };
            // Drops the request.
            self.reply = None;
            if self.has_begun {
                self.attempts.broke();
                return Err(error);
            }
            self.attempts.failed(error).await?;
        }
    }
}
