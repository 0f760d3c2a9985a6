//! An answer to a request, within its limits on time and size.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, timeout};

use super::{Timeouts, transport};
use crate::ProviderError;

/// The body of an answer, piece by piece, within its limits.
pub(crate) struct Answer {
    provider: &'static str,
    response: Response,
    left_bytes: usize,
    patience: Duration,
    deadline: Instant,
    total: Duration,
}

impl Answer {
    /// Sends a request of `provider`. The answer's body is not read yet and will be of at most `max_bytes`.
    pub(crate) async fn to(
        request: RequestBuilder,
        provider: &'static str,
        timeouts: Timeouts,
        max_bytes: usize,
    ) -> Result<Self, ProviderError> {
        let sent = Instant::now();
        let Timeouts {
            connect,
            first_byte,
            total,
        } = timeouts;
        let limit = first_byte.min(total);
        let response = timeout(limit, request.send())
            .await
            .map_err(|_| ProviderError::Timeout {
                provider,
                after: limit,
            })?
            .map_err(|error| transport(provider, error, connect))?;
        Ok(Self {
            provider,
            response,
            left_bytes: max_bytes,
            patience: first_byte,
            deadline: sent + total,
            total,
        })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The media type, in lower case and without parameters.
    pub(crate) fn media_type(&self) -> String {
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
    pub(crate) fn end_within(&mut self, grace: Duration) {
        self.deadline = self.deadline.min(Instant::now() + grace);
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, ProviderError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let piece = timeout(self.patience.min(left), self.response.chunk())
            .await
            .map_err(|_| {
                let is_over = left < self.patience;
                ProviderError::Timeout {
                    provider: self.provider,
                    after: if is_over { self.total } else { self.patience },
                }
            })?
            .map_err(|error| transport(self.provider, error, self.patience))?;
        let length = piece.as_ref().map_or(0, Bytes::len);
        self.left_bytes = self
            .left_bytes
            .checked_sub(length)
            .ok_or_else(|| ProviderError::Protocol {
                provider: self.provider,
                reason: "a longer answer than any of use".to_owned(),
            })?;
        Ok(piece)
    }

    /// The whole body.
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// What a failure says about itself; nothing, rather than another failure, when that cannot be read.
    pub(crate) async fn error_body(mut self) -> Vec<u8> {
        const MAX_BYTES: usize = 64 << 10;
        const PATIENCE: Duration = Duration::from_secs(1);
        self.left_bytes = MAX_BYTES;
        self.end_within(PATIENCE);
        self.whole().await.unwrap_or_default()
    }
}
