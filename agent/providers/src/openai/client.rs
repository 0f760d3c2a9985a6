//! One connection pool for the three adapters; bounded requests and answers.

use std::sync::Arc;

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderMap},
};

use super::{
    NAME,
    config::{OpenAiConfig, Timeouts},
    failure,
};
use crate::{
    Fault, Faults, ProviderError,
    http::{self, Answer},
};

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
        let answer = Answer::to(request, NAME, self.timeouts, max_bytes).await?;
        let status = answer.status();
        if status.is_success() {
            Ok(answer)
        } else {
            Err(failure::status(status, &answer.error_body().await))
        }
    }
}
