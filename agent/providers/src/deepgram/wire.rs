//! What goes over the wire. See the reference of `/v1/listen` and `/v1/speak`.

use serde::{Deserialize, Serialize};

use crate::http::is_code;

/// Control messages of a client, as the texts that they are.
pub(super) const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
pub(super) const FINALIZE: &str = r#"{"type":"Finalize"}"#;
pub(super) const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;

/// A message of the server's, while it listens.
#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum Heard {
    Results(Results),
    /// No word for `utterance_end_ms`.
    UtteranceEnd {},
    /// The stream is over and nothing more comes.
    Metadata {},
    Error(ErrorBody),
    #[serde(other)]
    Other,
}

/// A piece of sound and its words. A piece is told again and again until it is final.
#[derive(Deserialize)]
pub(super) struct Results {
    /// Seconds since the connection's first sample.
    #[serde(default)]
    pub(super) start: f64,
    /// In seconds.
    #[serde(default)]
    pub(super) duration: f64,
    #[serde(default)]
    pub(super) is_final: bool,
    #[serde(default)]
    pub(super) speech_final: bool,
    #[serde(default)]
    pub(super) from_finalize: bool,
    pub(super) channel: Channel,
}

/// The answer to a whole recording.
#[derive(Deserialize)]
pub(super) struct Recording {
    pub(super) results: Channels,
}

#[derive(Deserialize)]
pub(super) struct Channels {
    pub(super) channels: Vec<Channel>,
}

#[derive(Deserialize, Default)]
pub(super) struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

impl Channel {
    /// The best of the alternatives.
    pub(super) fn best(self) -> Alternative {
        self.alternatives.into_iter().next().unwrap_or_default()
    }
}

#[derive(Deserialize, Default)]
pub(super) struct Alternative {
    #[serde(default)]
    pub(super) transcript: String,
    #[serde(default)]
    pub(super) confidence: Option<f32>,
}

#[derive(Serialize)]
pub(super) struct SpeakBody<'a> {
    pub(super) text: &'a str,
}

/// A failure, of either generation, in an answer or in a socket.
#[derive(Deserialize, Default)]
pub(super) struct ErrorBody {
    #[serde(default)]
    err_code: Option<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    variant: Option<String>,
}

impl ErrorBody {
    /// The code in a body, if there is one that looks like one.
    pub(super) fn code(body: &[u8]) -> Option<String> {
        serde_json::from_slice::<Self>(body).ok()?.into_code()
    }

    pub(super) fn into_code(self) -> Option<String> {
        let codes = [self.err_code, self.category, self.code, self.variant];
        codes.into_iter().flatten().find(|code| is_code(code))
    }
}
