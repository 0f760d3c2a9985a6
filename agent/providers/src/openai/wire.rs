//! What goes over the wire, as the service's reference describes it and as other servers bend it: a field that is
//! missing, null or of another type counts as its default.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error},
};
use serde_json::{Value, json};

use crate::{
    Message,
    tools::{self, ToolSpec},
};

#[derive(Serialize)]
pub(super) struct ChatBody<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<ChatMessage<'a>>,
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Value>,
}

#[derive(Default, Serialize)]
pub(super) struct ChatMessage<'a> {
    pub(super) role: &'static str,
    /// Null only beside `tool_calls`.
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<CallMade<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct CallMade<'a> {
    id: &'a str,
    r#type: &'static str,
    function: FunctionMade<'a>,
}

#[derive(Serialize)]
struct FunctionMade<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// The history as the service takes it: what the agent said before it called tools, and the calls, are one message.
pub(super) fn messages(history: &[Message]) -> Vec<ChatMessage<'_>> {
    let mut messages: Vec<ChatMessage<'_>> = Vec::with_capacity(history.len() + 1);
    for message in history {
        let (role, content) = match message {
            Message::User(text) => ("user", text),
            Message::Assistant(text) => ("assistant", text),
            Message::Calls(calls) => {
                let tool_calls = calls.iter().map(made).collect();
                match messages.last_mut().filter(|last| last.can_take_calls()) {
                    Some(said) => said.tool_calls = tool_calls,
                    None => messages.push(ChatMessage {
                        role: "assistant",
                        tool_calls,
                        ..ChatMessage::default()
                    }),
                }
                continue;
            }
            Message::Result(result) => {
                messages.push(ChatMessage {
                    role: "tool",
                    content: Some(&result.content),
                    tool_call_id: Some(&result.id),
                    ..ChatMessage::default()
                });
                continue;
            }
        };
        messages.push(ChatMessage {
            role,
            content: Some(content),
            ..ChatMessage::default()
        });
    }
    messages
}

impl ChatMessage<'_> {
    fn can_take_calls(&self) -> bool {
        self.role == "assistant" && self.tool_calls.is_empty()
    }
}

fn made(call: &tools::ToolCall) -> CallMade<'_> {
    // Models write nothing where there are no arguments; services want an object back.
    let arguments = if call.arguments.trim().is_empty() {
        "{}"
    } else {
        &call.arguments
    };
    CallMade {
        id: &call.id,
        r#type: "function",
        function: FunctionMade {
            name: &call.name,
            arguments,
        },
    }
}

pub(super) fn tool(spec: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.parameters,
        },
    })
}

#[derive(Serialize)]
pub(super) struct SpeechBody<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a str,
    pub(super) voice: &'a str,
    pub(super) response_format: &'static str,
}

/// One event of a streamed reply, or a whole reply of a server that does not stream.
#[derive(Default, Deserialize)]
pub(super) struct ChatChunk {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) choices: Vec<Choice>,
    /// In the last event, beside no choice or beside the last one; from some servers in every event, so far.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) usage: Option<TokenUsage>,
    #[serde(flatten)]
    pub(super) error: ErrorEnvelope,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct TokenUsage {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) prompt_tokens: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) completion_tokens: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) prompt_tokens_details: PromptTokens,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct PromptTokens {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) cached_tokens: u64,
}

#[derive(Default, Deserialize)]
pub(super) struct Choice {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) delta: Option<Delta>,
    /// In place of `delta` where nothing is streamed.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) message: Option<Delta>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default, deserialize_with = "content")]
    pub(super) content: String,
    /// The model's own words where it declines to answer.
    #[serde(default, deserialize_with = "content")]
    pub(super) refusal: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) tool_calls: Vec<ToolCall>,
    /// The older form of a tool call.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) function_call: Option<Function>,
}

#[derive(Default, Deserialize)]
pub(super) struct ToolCall {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) index: u32,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) function: Function,
}

#[derive(Default, Deserialize)]
pub(super) struct Function {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "arguments")]
    pub(super) arguments: String,
}

#[derive(Deserialize)]
pub(super) struct TranscriptionBody {
    pub(super) text: String,
}

/// An error stands under `error`, or is the object itself (`"object": "error"`).
#[derive(Default, Deserialize)]
pub(super) struct ErrorEnvelope {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    object: String,
    #[serde(default)]
    code: Option<Value>,
    #[serde(default, rename = "type")]
    kind: Option<Value>,
}

/// What is kept of an error: no sentence.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    pub(super) code: Option<String>,
    pub(super) kind: Option<String>,
}

impl ErrorEnvelope {
    pub(super) fn into_error(self) -> Option<ErrorBody> {
        let body = |code, kind| ErrorBody {
            code: scalar(code),
            kind: scalar(kind),
        };
        match self.error {
            Some(Value::Object(mut error)) => Some(body(error.remove("code"), error.remove("type"))),
            Some(Value::Null) | None if self.object == "error" => Some(body(self.code, self.kind)),
            Some(Value::Null) | None => None,
            // A sentence.
            Some(_) => Some(ErrorBody::default()),
        }
    }
}

fn scalar(value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    let value = Value::deserialize(from).map_err(D::Error::custom)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A text, or a list of parts that have one each.
fn content<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from).map_err(D::Error::custom)? {
        Value::String(text) => text,
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text").unwrap_or(part).as_str())
            .collect(),
        _ => String::new(),
    })
}

/// A piece of JSON text; some servers send the object itself.
fn arguments<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from).map_err(D::Error::custom)? {
        Value::String(text) => text,
        object @ Value::Object(_) => object.to_string(),
        _ => String::new(),
    })
}
