//! One connection pool for requests, and a way to sockets.

use std::sync::Arc;

use reqwest::{
    RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};

use super::{NAME, Patience, config::DeepgramConfig, socket::Socket, wire::ErrorBody};
use crate::{
    Fault, Faults, ProviderError,
    http::{self, Answer, Timeouts},
};

/// Asks the service. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    authorization: HeaderValue,
    timeouts: Timeouts,
    patience: Patience,
}

impl Client {
    /// Connects to nothing yet. The process's TLS provider must have been installed before.
    pub fn new(config: &DeepgramConfig) -> Result<Self, Faults> {
        let (base, authorization) = config.parse()?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.clone())]);
        let http = http::client(Some(&base), headers, Some(config.timeouts.connect)).map_err(|problem| {
            let remedy =
                "install a TLS provider when the process starts, and check the system's certificates";
            Faults(vec![Fault::new("providers.deepgram", problem, remedy)])
        })?;
        Ok(Self {
            http,
            base: base.as_str().trim_end_matches('/').into(),
            authorization,
            timeouts: config.timeouts,
            patience: config.patience,
        })
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// A request to `path`, which begins with a slash.
    pub(super) fn post(&self, path: &str, query: &[(&str, &str)]) -> Result<RequestBuilder, ProviderError> {
        Ok(self.http.post(self.place(path, query)?))
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
            return Ok(answer);
        }
        let code = ErrorBody::code(&answer.error_body().await);
        Err(http::refusal(NAME, status, code.as_deref()))
    }

    /// Opens a socket at `path`, within the time for it.
    pub(super) async fn open(&self, path: &str, query: &[(&str, &str)]) -> Result<Socket, ProviderError> {
        let mut place = self.place(path, query)?;
        let scheme = if place.scheme() == "https" { "wss" } else { "ws" };
        // Both schemes are special ones, which a URL may change between.
        let _ = place.set_scheme(scheme);
        Socket::open(place.as_str(), &self.authorization, self.timeouts.connect).await
    }

    fn place(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, ProviderError> {
        Url::parse_with_params(&format!("{}{path}", self.base), query).map_err(|_| ProviderError::Refused {
            provider: NAME,
            reason: "its base URL cannot be asked".to_owned(),
        })
    }
}
