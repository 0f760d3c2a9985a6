//! The three ports of a conversation. An adapter implements one of them in a file of its own and keeps its wire
//! types to itself; the pipeline knows nothing else of a provider.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::tools::{ToolCall, ToolResult, ToolSpec};

/// What went wrong at a provider, and whether asking again can help.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Network trouble, a 429 or a 5xx: the same request may succeed later.
    #[error("{provider}: {reason} (may succeed later)")]
    Unavailable {
        /// The adapter's name.
        provider: &'static str,
        /// What happened. Holds no key and no word of the call.
        reason: String,
    },
    /// The provider understood and refused: wrong key, unknown model or voice. Asking again cannot help.
    #[error("{provider}: {reason} (refused; check the profile's providers and their keys)")]
    Refused {
        /// The adapter's name.
        provider: &'static str,
        /// What was refused and, where it is known, the cure. Holds no key and no word of the call.
        reason: String,
    },
    /// The answer could not be read.
    #[error("{provider}: unreadable answer: {reason}")]
    Protocol {
        /// The adapter's name.
        provider: &'static str,
        /// What was not understood. Holds no key and no word of the call.
        reason: String,
    },
    /// Nothing came within the provider's time limit.
    #[error("{provider}: no answer within {after:?}")]
    Timeout {
        /// The adapter's name.
        provider: &'static str,
        /// The limit that was reached.
        after: std::time::Duration,
    },
}

impl ProviderError {
    /// The adapter's name.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Unavailable { provider, .. }
            | Self::Refused { provider, .. }
            | Self::Protocol { provider, .. }
            | Self::Timeout { provider, .. } => provider,
        }
    }

    /// Whether the same request may succeed when it is made again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }
}

/// Words that a recogniser heard in one utterance. Redacted in `Debug`.
#[derive(Clone, PartialEq)]
pub struct Transcript {
    /// Plain text; empty when nothing intelligible was said.
    pub text: String,
    /// 0.0 to 1.0 where the provider gives one.
    pub confidence: Option<f32>,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transcript({} chars)", self.text.chars().count())
    }
}

/// Speech to text, one utterance at a time.
#[async_trait]
pub trait Stt: Send + Sync {
    /// The adapter's name, as it stands in metrics and reports.
    fn name(&self) -> &'static str;

    /// The rate of the samples that [`Stt::transcribe`] wants, in hertz.
    fn sample_rate_hz(&self) -> u32;

    /// Recognises one utterance: mono samples at [`Stt::sample_rate_hz`], prefix padding included.
    /// `language` is a BCP 47 tag (`en`, `en-US`, `ru`). Dropping the future cancels the request.
    async fn transcribe(&self, speech: &[i16], language: &str) -> Result<Transcript, ProviderError>;

    /// The same recogniser, listening while the caller speaks; none when it cannot.
    fn streaming(&self) -> Option<&dyn StreamingStt> {
        None
    }
}

/// What a recogniser tells of an utterance that it listens to. Redacted in `Debug`.
#[derive(Debug, Clone, PartialEq)]
pub enum SttEvent {
    /// All that was made out so far; it replaces what was told before.
    Interim(Transcript),
    /// By the recogniser's own judgement the utterance is over; it listens on.
    EndOfUtterance,
    /// All that was said, after the last sample.
    Final(Transcript),
}

/// Speech to text while it is spoken.
pub trait StreamingStt: Send + Sync {
    /// Listens to one utterance: `speech` yields mono samples at [`Stt::sample_rate_hz`], first and at once those that were
    /// spoken before it was asked (prefix padding included). When `speech` ends, [`SttEvent::Final`] comes, and the stream
    /// ends. Dropping the stream cancels the request. After an error the utterance is recognised by [`Stt::transcribe`].
    fn listen(
        &self,
        speech: BoxStream<'static, Vec<i16>>,
        language: &str,
    ) -> BoxStream<'static, Result<SttEvent, ProviderError>>;
}

/// One message of the history: what was heard from, or played to, the caller, and what tools did meanwhile. Redacted in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// The caller's words.
    User(String),
    /// The agent's words.
    Assistant(String),
    /// Tools that the model called at once. As many results follow, in any order.
    Calls(Vec<ToolCall>),
    /// What became of one of them.
    Result(ToolResult),
}

impl Message {
    /// Whether it has neither words nor calls.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::User(text) | Self::Assistant(text) => text.is_empty(),
            Self::Calls(calls) => calls.is_empty(),
            Self::Result(_) => false,
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(text) => write!(f, "User({} chars)", text.chars().count()),
            Self::Assistant(text) => write!(f, "Assistant({} chars)", text.chars().count()),
            Self::Calls(calls) => f.debug_tuple("Calls").field(calls).finish(),
            Self::Result(result) => f.debug_tuple("Result").field(result).finish(),
        }
    }
}

/// What a language model is asked. Redacted in `Debug`.
#[derive(Clone)]
pub struct ChatRequest {
    /// The profile's prompt.
    pub system: String,
    /// Oldest first; ends with the caller's words, or with the results of tools.
    pub messages: Vec<Message>,
    /// What it may call. None: it has to answer in words.
    pub tools: Vec<ToolSpec>,
    /// BCP 47 tag.
    pub language: String,
}

impl std::fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatRequest")
            .field("messages", &self.messages)
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

/// One piece of a streamed reply. Redacted in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum LlmEvent {
    /// The next piece of text, as it came; sentences are cut by the pipeline.
    Text(String),
    /// A tool is to be called, [`END_CALL`](crate::tools::END_CALL) among them.
    Call(ToolCall),
    /// Tokens that the request and the reply have taken, by the model's own account; at most once, and not from every model.
    Usage {
        /// Read.
        prompt: u64,
        /// Of those, the ones that it had read before and kept.
        cached: u64,
        /// Written.
        completion: u64,
    },
}

impl std::fmt::Debug for LlmEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} chars)", text.chars().count()),
            Self::Call(call) => call.fmt(f),
            Self::Usage {
                prompt,
                cached,
                completion,
            } => write!(f, "Usage({prompt}, {cached} cached, {completion})"),
        }
    }
}

/// A language model.
pub trait Llm: Send + Sync {
    /// The adapter's name, as it stands in metrics and reports.
    fn name(&self) -> &'static str;

    /// Streams a reply. The stream ends after the last piece; dropping it cancels the request.
    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, ProviderError>>;
}

/// One sentence to be spoken. Redacted in `Debug`.
#[derive(Clone)]
pub struct SpeechRequest {
    /// The words.
    pub text: String,
    /// The provider's own name of a voice; empty: its default for the language.
    pub voice: String,
    /// BCP 47 tag.
    pub language: String,
}

impl std::fmt::Debug for SpeechRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeechRequest")
            .field("chars", &self.text.chars().count())
            .field("voice", &self.voice)
            .field("language", &self.language)
            .finish()
    }
}

/// Text to speech.
pub trait Tts: Send + Sync {
    /// The adapter's name, as it stands in metrics and reports.
    fn name(&self) -> &'static str;

    /// The rate of the samples that [`Tts::synthesize`] yields, in hertz.
    fn sample_rate_hz(&self) -> u32;

    /// Streams mono samples in pieces of any length. The stream ends after the last piece; dropping it cancels.
    fn synthesize(&self, request: SpeechRequest) -> BoxStream<'static, Result<Vec<i16>, ProviderError>>;
}
