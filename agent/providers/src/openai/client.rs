//! One connection pool for the three adapters; bounded requests and answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    RequestBuilder, Response,
    header::{AUTHORIZATION, HeaderMap},
};
use tokio::time::{Instant, timeout};

use super::{
    NAME,
    config::{OpenAiConfig, Timeouts},
    failure,
};
use crate::{Fault, Faults, ProviderError, http};

/// Asks the service. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    timeouts: Timeouts,
}

impl Client {
    /// Connects to nothing yet. The process's TLS provider must have been installed before.
    pub fn new(config: &OpenAiConfig) -> Result<Self, Faults> {
        let (base, authorization) = config.parse()?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization)]);
        let http = http::client(Some(&base), headers, Some(config.timeouts.connect)).map_err(|problem| {
            let remedy =
                "install a TLS provider when the process starts, and check the system's certificates";
            Faults(vec![Fault::new("providers.openai", problem, remedy)])
        })?;
        let base = base.as_str().trim_end_matches('/').into();
        Ok(Self {
            http,
            base,
            timeouts: config.timeouts,
        })
    }

    /// Whether the service is OpenAI's own, not a compatible one.
    pub(super) fn is_openai(&self) -> bool {
        self.base.starts_with("https://api.openai.com/")
    }

    /// A request to `path`, which begins with a slash.
    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// Sends a request. The answer is a success; its body is not read yet and will be of at most `max_bytes`.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        max_bytes: usize,
    ) -> Result<Answer, ProviderError> {
        let sent = Instant::now();
        let Timeouts {
            first_byte, total, ..
        } = self.timeouts;
        let response = timeout(first_byte.min(total), request.send())
            .await
            .map_err(|_| failure::timeout(first_byte.min(total)))?
            .map_err(|error| failure::transport(error, self.timeouts.connect))?;
        let answer = Answer {
            response,
            left_bytes: max_bytes,
            patience: first_byte,
            deadline: sent + total,
            total,
        };
        let status = answer.response.status();
        if status.is_success() {
            Ok(answer)
        } else {
            Err(failure::status(status, &answer.error_body().await))
        }
    }
}

/// The body of an answer, piece by piece, within its limits.
pub(super) struct Answer {
    response: Response,
    left_bytes: usize,
    patience: Duration,
    deadline: Instant,
    total: Duration,
}

impl Answer {
    /// The media type, in lower case and without parameters.
    pub(super) fn media_type(&self) -> String {
        let value = self.response.headers().get(reqwest::header::CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    }

    /// Waits no longer than that for the rest, counted from the first time this is called with it.
    pub(super) fn end_within(&mut self, grace: Duration) {
        self.deadline = self.deadline.min(Instant::now() + grace);
    }

    /// The next piece; `None` at the end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, ProviderError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let piece = timeout(self.patience.min(left), self.response.chunk())
            .await
            .map_err(|_| {
                failure::timeout(if left < self.patience {
                    self.total
                } else {
                    self.patience
                })
            })?
            .map_err(|error| failure::transport(error, self.patience))?;
        let length = piece.as_ref().map_or(0, Bytes::len);
        self.left_bytes = self
            .left_bytes
            .checked_sub(length)
            .ok_or_else(|| ProviderError::Protocol {
                provider: NAME,
                reason: "a longer answer than any of use".to_owned(),
            })?;
        Ok(piece)
    }

    /// The whole body.
    pub(super) async fn whole(mut self) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// What a failure says about itself; nothing, rather than another failure, when that cannot be read.
    async fn error_body(mut self) -> Vec<u8> {
        const MAX_BYTES: usize = 64 << 10;
        const PATIENCE: Duration = Duration::from_secs(1);
        self.left_bytes = MAX_BYTES;
        self.end_within(PATIENCE);
        self.whole().await.unwrap_or_default()
    }
}
