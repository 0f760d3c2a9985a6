//! Twirp over HTTP: one request, its repeats, and what its answers mean.

use std::{collections::HashMap, time::Duration};

use prost::Message;
use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE},
};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::LiveKitError;
use crate::{
    Secret,
    clock::{Clock, SystemClock},
};

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// That are kept for the next calls.
const IDLE_CONNECTIONS: usize = 4;
const MAX_ATTEMPTS: u32 = 4;

/// One call of LiveKit's API.
pub(super) struct Method {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) repeat: Repeat,
}

/// When a call may be made again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as doing it once.
    Safe,
    /// Doing it twice does harm: only when no connection came about.
    IfUnsent,
}

#[derive(Clone)]
pub(super) struct Twirp {
    http: Client,
    base: String,
    pub(super) limits: Limits,
}

/// How long and how often.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Of a whole call.
    pub(super) deadline: Duration,
    /// Of one attempt that may be repeated.
    pub(super) attempt: Duration,
    /// The longest pause before the first repeat; it doubles with each one, up to `pause_cap`.
    pub(super) first_pause: Duration,
    pub(super) pause_cap: Duration,
}

impl Limits {
    pub(super) fn within(deadline: Duration) -> Self {
        Self {
            deadline,
            attempt: deadline.mul_f64(0.4),
            first_pause: Duration::from_millis(100),
            pause_cap: Duration::from_secs(1),
        }
    }
}

impl Twirp {
    pub(super) fn new(url: &str, deadline: Duration) -> Result<Self, LiveKitError> {
        crate::install_providers();
        let base = api_base(url)?;
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .redirect(reqwest::redirect::Policy::none());
        if base.starts_with("http://") {
            // No TLS to come: do not read the machine's certificates, and do not fail where there are none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|e| LiveKitError::Setup { reason: sources(&e) })?;
        let limits = Limits::within(deadline);
        Ok(Self { http, base, limits })
    }

    pub(super) async fn call<Q: Message, R: Message + Default>(
        &self,
        method: &'static Method,
        token: &Secret,
        request: &Q,
    ) -> Result<R, LiveKitError> {
        let body = bytes::Bytes::from(request.encode_to_vec());
        let deadline = Instant::now() + self.limits.deadline;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(method, token, body.clone(), deadline).await {
                Ok(answer) => return decode(method, &answer),
                Err(error) => error,
            };
            let pause = self.pause(attempt);
            if attempt >= MAX_ATTEMPTS
                || !may_repeat(method.repeat, &error)
                || Instant::now() + pause >= deadline
            {
                return Err(error);
            }
            tracing::debug!(method = method.name, attempt, %error, "LiveKit call fails, repeating it");
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        method: &'static Method,
        token: &Secret,
        body: bytes::Bytes,
        deadline: Instant,
    ) -> Result<bytes::Bytes, LiveKitError> {
        let started = Instant::now();
        let until = match method.repeat {
            Repeat::Safe => (started + self.limits.attempt).min(deadline),
            Repeat::IfUnsent => deadline,
        };
        let url = format!("{}/twirp/livekit.{}/{}", self.base, method.service, method.name);
        let request = self
            .http
            .post(url)
            .header(AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(CONTENT_TYPE, "application/protobuf")
            .body(body);
        let exchange = async {
            let response = request.send().await.map_err(|e| broken(method, e))?;
            let (status, date) = (response.status(), date_of(&response));
            let answer = read(method, response).await?;
            if status == StatusCode::OK {
                Ok(answer)
            } else {
                Err(refusal(method, status, date, &answer))
            }
        };
        timeout_at(until, exchange).await.unwrap_or_else(|_| {
            Err(LiveKitError::Deadline {
                method: method.name,
                after: until - started,
            })
        })
    }

    /// Full jitter: anything between nothing and twice the pause before, so that many clients do not come back at once.
    fn pause(&self, attempt: u32) -> Duration {
        let longest = self
            .limits
            .first_pause
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(self.limits.pause_cap);
        longest.mul_f64(rand::random::<f64>())
    }
}

fn may_repeat(repeat: Repeat, error: &LiveKitError) -> bool {
    match repeat {
        Repeat::Safe => error.is_retryable(),
        Repeat::IfUnsent => matches!(error, LiveKitError::Unreachable { .. }),
    }
}

/// The API speaks HTTP where participants speak WebSocket, on the same port.
fn api_base(url: &str) -> Result<String, LiveKitError> {
    let url = url.trim_end_matches('/');
    match url.split_once("://") {
        Some(("ws" | "http", rest)) => Ok(format!("http://{rest}")),
        Some(("wss" | "https", rest)) => Ok(format!("https://{rest}")),
        _ => Err(LiveKitError::Setup {
            reason: "livekit.url must begin with wss:// or ws://".into(),
        }),
    }
}

fn broken(method: &'static Method, error: reqwest::Error) -> LiveKitError {
    let (unsent, source) = (error.is_connect(), error.without_url());
    if unsent {
        LiveKitError::Unreachable {
            method: method.name,
            source,
        }
    } else {
        LiveKitError::Interrupted {
            method: method.name,
            source,
        }
    }
}

async fn read(method: &'static Method, mut response: Response) -> Result<bytes::Bytes, LiveKitError> {
    let mut answer = bytes::BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(method, e))? {
        if answer.len() + chunk.len() > MAX_ANSWER {
            return Err(LiveKitError::Unreadable {
                method: method.name,
                reason: "above 16 MiB".into(),
            });
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer.freeze())
}

fn decode<R: Message + Default>(method: &'static Method, answer: &[u8]) -> Result<R, LiveKitError> {
    R::decode(answer).map_err(|e| LiveKitError::Unreadable {
        method: method.name,
        reason: e.to_string(),
    })
}

/// `Date` of RFC 9110 §6.6.1.
fn date_of(response: &Response) -> Option<OffsetDateTime> {
    let text = response.headers().get(DATE)?.to_str().ok()?;
    // RFC 9110's "GMT" is an obsolete zone of RFC 2822.
    OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()
}

fn refusal(
    method: &'static Method,
    status: StatusCode,
    date: Option<OffsetDateTime>,
    body: &[u8],
) -> LiveKitError {
    #[derive(Deserialize)]
    struct TwirpError {
        code: String,
        #[serde(default)]
        msg: String,
        #[serde(default)]
        meta: HashMap<String, String>,
    }
    let asked = (method.name, matches!(method.repeat, Repeat::Safe));
    if let Ok(TwirpError { code, msg, meta }) = serde_json::from_slice(body) {
        return LiveKitError::answered(asked, &code, &msg, meta);
    }
    let text = String::from_utf8_lossy(body);
    if status == StatusCode::UNAUTHORIZED {
        let server_ahead_s = date.map(|date| (date - SystemClock.now()).whole_seconds());
        return LiveKitError::unauthenticated(method.name, &text, server_ahead_s);
    }
    LiveKitError::answered(asked, status.as_str(), &text, HashMap::new())
}

fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
