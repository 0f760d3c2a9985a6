//! Functions that a language model may call: the port, and what makes sure that each call gets one answer.
//!
//! # Calling contract
//!
//! - A [`Tool`] says what it is ([`ToolSpec`]), when it runs ([`Timing`]) and how long it may take. Its arguments have been held against
//!   its JSON Schema before it runs.
//! - [`Toolbox::call`] always comes back with a [`ToolResult`]: an unknown name, arguments that do not fit, a failure and a timeout are
//!   results as well, in words that a model can go on with.
//! - Dropping the future of a call cancels it, as far as the tool can be cancelled.

mod function;
mod http;
mod toolbox;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

pub use function::{FunctionTool, function};
pub use http::{HeaderValueSource, HttpMethod, HttpTool, HttpToolConfig, Secrets};
pub use toolbox::Toolbox;

/// The name of the tool by which a model hangs up; the conversation itself does it.
pub const END_CALL: &str = "end_call";

/// The longest text that a tool may give back, in bytes; what is longer costs seconds of reading with each turn.
pub const MAX_RESULT_BYTES: usize = 16 << 10;

/// How long a tool may take that says nothing else.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// What a tool is, as a model is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// 1–64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// When to call it, and what for.
    pub description: String,
    /// A JSON Schema of an object.
    pub parameters: Value,
}

/// A model's wish to call a tool. `Debug` shows no argument.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What the result is told by.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// The arguments' JSON, as the model wrote it; empty stands for none.
    pub arguments: String,
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({}, {} bytes)", self.name, self.arguments.len())
    }
}

/// What became of a call. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// The call's.
    pub id: String,
    /// What the model is told.
    pub content: String,
    /// Whether it is told of a failure.
    pub is_error: bool,
}

impl fmt::Debug for ToolResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            content, is_error, ..
        } = self;
        write!(f, "ToolResult({} bytes, is_error: {is_error})", content.len())
    }
}

/// When a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// As soon as it is called; the model goes on with the result within the same utterance.
    Now,
    /// When what the agent said before has been heard, and not at all when that was interrupted; the conversation goes on meanwhile,
    /// and the agent speaks up with the result.
    AfterSpeech,
}

/// Why a tool did not do what it was asked: what the model is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(pub String);

/// A function that a model may call.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What it is.
    fn spec(&self) -> &ToolSpec;

    /// When it runs. Default: at once.
    fn timing(&self) -> Timing {
        Timing::Now
    }

    /// How long it may take.
    fn limit(&self) -> Duration {
        DEFAULT_LIMIT
    }

    /// Does it. `arguments` is an object that fits the schema.
    ///
    /// # Errors
    /// [`ToolError`], in words for the model.
    async fn call(&self, arguments: Value) -> Result<String, ToolError>;
}
