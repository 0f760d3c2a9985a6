//! A service on HTTP as a tool.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::{MAX_RESULT_BYTES, Tool, ToolError, ToolSpec};
use crate::{
    Fault, Faults,
    http::{self, is_loopback},
    template,
};

/// What is told of an answer that is no success.
const MAX_ERROR_CHARS: usize = 500;
/// Between two attempts.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// What remains of the tool's limit when the last attempt gives up.
const MARGIN: Duration = Duration::from_millis(50);

/// Secrets by their names, as `tools.secrets` of the configuration has them.
pub type Secrets = BTreeMap<String, SecretString>;

/// How a tool's service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// Arguments that the URL does not name become its query. May be asked again.
    Get,
    /// Arguments that the URL does not name become a JSON body.
    Post,
    /// As `Post`, and may be asked again.
    Put,
    /// As `Post`.
    Patch,
    /// As `Get`.
    Delete,
}

/// What a header holds. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderValueSource {
    /// This.
    Text(String),
    /// The secret of that name, behind a prefix such as `Bearer `.
    Secret {
        /// In front of the secret.
        prefix: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Debug for HeaderValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(redacted)"),
            Self::Secret { name, .. } => write!(f, "Secret({name})"),
        }
    }
}

/// A tool as a profile describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpToolConfig {
    /// What the model is told.
    pub spec: ToolSpec,
    /// How the service is asked.
    pub method: HttpMethod,
    /// `https://`, or `http://` on loopback. `{name}` in its path or query stands for an argument, escaped.
    pub url: String,
    /// Sent with each request.
    pub headers: Vec<(String, HeaderValueSource)>,
    /// For all attempts together. 100 ms to 10 s.
    pub timeout: Duration,
    /// Further attempts when the service cannot be reached or answers 429, 502, 503 or 504; with `Post` and `Patch` only when it cannot
    /// be reached, since nothing is done twice. 0 to 3.
    pub retries: u32,
}

/// See [`HttpToolConfig`].
pub struct HttpTool {
    config: HttpToolConfig,
    client: reqwest::Client,
    /// Which segments the URL's path has: the empty ones are `false`.
    segments: Vec<bool>,
}

impl HttpTool {
    /// Connects to nothing yet. The process's TLS provider must have been installed before.
    ///
    /// # Errors
    /// All that is wrong, under the keys that the profile has below the tool's.
    pub fn new(config: HttpToolConfig, secrets: &Secrets) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let url = template(&config.url, &config.spec.parameters, &mut faults);
        let headers = headers(&config.headers, secrets, &mut faults);
        let client = http::client(url.as_ref(), headers, None).map_err(|problem| {
            let remedy =
                "install a TLS provider when the process starts, and check the system's certificates";
            faults.push(Fault::new("url", problem, remedy));
        });
        let segments = url.as_ref().map(segments).unwrap_or_default();
        match client {
            Ok(client) => Faults::or(
                faults,
                Self {
                    config,
                    client,
                    segments,
                },
            ),
            Err(()) => Err(Faults(faults)),
        }
    }

    fn url(&self, arguments: &mut Map<String, Value>) -> Result<Url, ToolError> {
        let mut used = Vec::new();
        let filled = fill(&self.config.url, |name| {
            used.push(name.to_owned());
            arguments.get(name).and_then(scalar)
        });
        let filled = filled.map_err(|name| ToolError(format!("the argument `{name}` is missing")))?;
        for name in used {
            arguments.remove(&name);
        }
        // `.`, `..` and nothing lead to another path than the profile allows, such as from one order to all; also when they are escaped.
        let mut url = Url::parse(&filled)
            .ok()
            .filter(|url| segments(url) == self.segments)
            .ok_or_else(|| ToolError("the arguments do not fit into the URL".to_owned()))?;
        if self.config.method.has_body() {
            return Ok(url);
        }
        for (name, value) in std::mem::take(arguments) {
            if !value.is_null() {
                let value = scalar(&value).unwrap_or_else(|| value.to_string());
                url.query_pairs_mut().append_pair(&name, &value);
            }
        }
        Ok(url)
    }

    async fn attempt(&self, url: Url, body: Option<&Map<String, Value>>) -> Result<String, Attempt> {
        let mut request = self.client.request(self.config.method.into(), url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| Attempt {
            error: ToolError("the service cannot be reached".to_owned()),
            may_repeat: error.is_connect() || self.config.method.is_idempotent(),
        })?;
        let status = response.status();
        let text = text(response).await.map_err(|error| Attempt {
            error,
            may_repeat: false,
        })?;
        if status.is_success() {
            return Ok(text);
        }
        let busy = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let said: String = text.chars().take(MAX_ERROR_CHARS).collect();
        Err(Attempt {
            error: ToolError(format!("the service answered {}: {said}", status.as_u16())),
            may_repeat: busy && self.config.method.is_idempotent(),
        })
    }
}

struct Attempt {
    error: ToolError,
    may_repeat: bool,
}

#[async_trait]
impl Tool for HttpTool {
    fn spec(&self) -> &ToolSpec {
        &self.config.spec
    }

    fn limit(&self) -> Duration {
        self.config.timeout
    }

    async fn call(&self, arguments: Value) -> Result<String, ToolError> {
        let Value::Object(mut arguments) = arguments else {
            return Err(ToolError("the arguments are not a JSON object".to_owned()));
        };
        let deadline = Instant::now() + self.config.timeout.saturating_sub(MARGIN);
        keep_declared(&self.config.spec.parameters, &mut arguments);
        let url = self.url(&mut arguments)?;
        let body = self.config.method.has_body().then_some(&arguments);
        let mut left = self.config.retries;
        loop {
            let attempt = timeout_at(deadline, self.attempt(url.clone(), body)).await;
            let limit = self.config.timeout;
            let failed = match attempt {
                Ok(Ok(text)) => return Ok(text),
                Ok(Err(failed)) => failed,
                Err(_) => return Err(ToolError(format!("no answer within {limit:?}"))),
            };
            if left == 0 || !failed.may_repeat || Instant::now() + RETRY_AFTER >= deadline {
                return Err(failed.error);
            }
            left -= 1;
            sleep(RETRY_AFTER).await;
        }
    }
}

impl HttpMethod {
    fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Put | Self::Delete)
    }
}

impl From<HttpMethod> for Method {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::GET,
            HttpMethod::Post => Self::POST,
            HttpMethod::Put => Self::PUT,
            HttpMethod::Patch => Self::PATCH,
            HttpMethod::Delete => Self::DELETE,
        }
    }
}

/// The URL with every argument filled in by a letter; `None` with a fault.
fn template(url: &str, parameters: &Value, faults: &mut Vec<Fault>) -> Option<Url> {
    let mut fault = |problem: String, remedy: &str| faults.push(Fault::new("url", problem, remedy));
    let properties = parameters.get("properties");
    let mut unknown = None;
    let filled = fill(url, |name| {
        if properties.and_then(|all| all.get(name)).is_none() {
            unknown = Some(name.to_owned());
        }
        Some("a".to_owned())
    });
    if let Some(name) = unknown {
        let problem = format!("uses `{{{name}}}`, which is not among the parameters");
        fault(problem, "define it under `parameters`, or take the braces out");
    }
    let authority = url
        .split_once("://")
        .map_or(url, |(_, rest)| rest)
        .split(['/', '?'])
        .next();
    if authority.is_some_and(|authority| authority.contains(['{', '@'])) {
        fault(
            "takes its host from an argument, or holds a password".into(),
            "write the host out; a secret belongs into `headers`",
        );
    }
    let parsed = filled.ok().and_then(|filled| Url::parse(&filled).ok());
    let is_safe = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    if !parsed.as_ref().is_some_and(is_safe) {
        fault(
            "is not an https URL".into(),
            "write https://…; http:// is for loopback only",
        );
    }
    parsed
}

/// `text` with each `{name}` replaced, escaped; the first name that has no value.
fn fill(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, String> {
    template::fill(text, |name| {
        let value = value(name).ok_or_else(|| name.to_owned())?;
        Ok(utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string())
    })
}

fn segments(url: &Url) -> Vec<bool> {
    url.path().split('/').map(|segment| !segment.is_empty()).collect()
}

/// What the parameters do not name is not sent: neither the model nor whoever talks to it chooses further fields. A schema that says
/// `additionalProperties` means what it says.
fn keep_declared(parameters: &Value, arguments: &mut Map<String, Value>) {
    if parameters.get("additionalProperties").is_none()
        && let Some(Value::Object(properties)) = parameters.get("properties")
    {
        arguments.retain(|name, _| properties.contains_key(name));
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn headers(wanted: &[(String, HeaderValueSource)], secrets: &Secrets, faults: &mut Vec<Fault>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, source) in wanted {
        let mut fault = |problem: &str, remedy: &str| {
            faults.push(Fault::new(format!("headers.{name}"), problem, remedy));
        };
        let value = match source {
            HeaderValueSource::Text(text) => text.clone(),
            HeaderValueSource::Secret { prefix, name } => {
                let Some(secret) = secrets.get(name) else {
                    fault(
                        "names a secret that is not configured",
                        "add it to `tools.secrets` in trunkline.yaml",
                    );
                    continue;
                };
                format!("{prefix}{}", secret.expose_secret())
            }
        };
        match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            _ => fault("is not a header", "write a name, and a value of one line"),
        }
    }
    headers
}

/// The body; what is longer than a result may be is a failure, since half of a list is worse than none.
async fn text(mut response: Response) -> Result<String, ToolError> {
    let mut body = Vec::new();
    let broke_off = |_| ToolError("the service's answer broke off".to_owned());
    while let Some(piece) = response.chunk().await.map_err(broke_off)? {
        if body.len() + piece.len() > MAX_RESULT_BYTES {
            return Err(ToolError(format!(
                "the service's answer is longer than {MAX_RESULT_BYTES} bytes; ask for less"
            )));
        }
        body.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}
