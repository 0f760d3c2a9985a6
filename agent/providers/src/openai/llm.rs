//! `POST /chat/completions`, streamed.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use serde_json::json;

use super::{
    Client, NAME,
    reply::Reply,
    sse::Decoder,
    wire::{ChatBody, ChatMessage, messages, tool},
};
use crate::{ChatRequest, Llm, LlmEvent, ProviderError, http::Answer};

/// A reply on the phone has a few hundred pieces of some 300 bytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// How long the stream may stay open after the model has finished. Waiting for its proper end keeps the connection
/// usable for the next turn; some servers never end it.
const GRACE: Duration = Duration::from_millis(250);

/// A language model.
///
/// Understood beside the reference: events without `choices`, `delta` or `role`; a `content` that is null or a list of
/// parts; tool calls without an index or an id, whose name comes in pieces, or whose arguments are an object; `function_call`; comments, pings, CR LF, no blank
/// lines; a stream without `[DONE]`, without `finish_reason`, or that stays open after it; an error object within the
/// stream; a reply that is not streamed at all; thoughts in `<think>`, which are not passed on.
#[derive(Debug, Clone)]
pub struct OpenAiLlm {
    client: Client,
    model: String,
}

impl OpenAiLlm {
    /// Asks `model`.
    pub fn new(client: Client, model: impl Into<String>) -> Self {
        Self {
            client,
            model: model.into(),
        }
    }

    async fn ask(self, request: ChatRequest) -> Result<Reading, ProviderError> {
        let system = ChatMessage {
            role: "system",
            content: Some(&request.system),
            ..ChatMessage::default()
        };
        let mut messages = messages(&request.messages);
        if !request.system.is_empty() {
            messages.insert(0, system);
        }
        let body = ChatBody {
            model: &self.model,
            messages,
            stream: true,
            // Others tell it unasked, or refuse to be asked.
            stream_options: self.client.is_openai().then(|| json!({"include_usage": true})),
            tools: request.tools.iter().map(tool).collect(),
        };
        let request = self.client.post("/chat/completions").json(&body);
        let answer = self.client.send(request, MAX_ANSWER_BYTES).await?;
        Ok(Reading {
            // Streams of servers that forget their media type begin like streams all the same.
            is_streamed: answer.media_type() != "application/json",
            answer,
            decoder: Decoder::default(),
            reply: Reply::default(),
            ready: VecDeque::new(),
            is_over: false,
        })
    }
}

impl Llm for OpenAiLlm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, ProviderError>> {
        let asked = self.clone().ask(request);
        stream::once(asked)
            .flat_map(|asked| match asked {
                Ok(reading) => stream::try_unfold(reading, Reading::next).boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }
}

struct Reading {
    is_streamed: bool,
    answer: Answer,
    decoder: Decoder,
    reply: Reply,
    ready: VecDeque<LlmEvent>,
    is_over: bool,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(LlmEvent, Self)>, ProviderError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some((event, self)));
            }
            if self.is_over {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// Reads on until there may be something to pass on.
    async fn read(&mut self) -> Result<(), ProviderError> {
        let mut data = Vec::new();
        let piece = match self.answer.piece().await {
            // Whatever happens to the stream now, the reply is whole.
            Err(_) if self.reply.is_finished() => None,
            piece => piece?,
        };
        match piece {
            Some(bytes) if self.is_streamed => {
                self.decoder.push(&bytes, &mut data).map_err(|_| too_long())?;
            }
            Some(bytes) => self.decoder.hold(&bytes).map_err(|_| too_long())?,
            None => {
                self.is_over = true;
                let rest = if self.is_streamed {
                    self.decoder.finish()
                } else {
                    self.decoder.held()
                };
                data.extend(rest);
            }
        }
        for data in data {
            self.reply.take(&data, &mut self.ready)?;
        }
        if self.reply.is_finished() {
            self.answer.end_within(GRACE);
        }
        if self.is_over {
            self.reply.finish(&mut self.ready)?;
        }
        Ok(())
    }
}

fn too_long() -> ProviderError {
    ProviderError::Protocol {
        provider: NAME,
        reason: "an event longer than any of use".to_owned(),
    }
}
