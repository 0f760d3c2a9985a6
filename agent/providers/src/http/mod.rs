//! What every client of HTTP here shares.

mod answer;

use std::{error::Error, net::IpAddr, time::Duration};

pub(crate) use answer::Answer;

use reqwest::{StatusCode, Url, header::HeaderMap, redirect::Policy};

use crate::ProviderError;

const MAX_CODE_CHARS: usize = 64;

/// How long a service may take. A caller waits meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To the open connection. Default 3 s.
    pub connect: Duration,
    /// From the request to the first piece of the answer, and between two pieces. Default 10 s.
    pub first_byte: Duration,
    /// From the request to the end of the answer. Default 60 s.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(10),
            total: Duration::from_mins(1),
        }
    }
}

/// A client that asks `base`, or what is below it, with `headers`. The process's TLS provider must have been installed before.
pub(crate) fn client(
    base: Option<&Url>,
    headers: HeaderMap,
    connect: Option<Duration>,
) -> Result<reqwest::Client, String> {
    // The builder panics without one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err("cannot be used: the process has no TLS provider".to_owned());
    }
    let mut builder = reqwest::Client::builder()
        // A redirected request would carry secrets and the call's words to a place that nobody configured.
        .redirect(Policy::none())
        .default_headers(headers)
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")));
    if let Some(connect) = connect {
        builder = builder.connect_timeout(connect);
    }
    if base.is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| format!("cannot be used: {error}"))
}

/// Proxies are for the outside, and plain HTTP is for the inside.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A service's base: a place and nothing more, that is spoken to in private.
pub(crate) fn base(url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(url.trim_end_matches('/')).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("holds more than a place: a user, a password or a query");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("would send the key and the call unencrypted; http is for loopback only"),
        _ => Err("is neither https nor http"),
    }
}

/// No answer, or half of one.
pub(crate) fn transport(provider: &'static str, error: reqwest::Error, limit: Duration) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::Timeout {
            provider,
            after: limit,
        };
    }
    let error = error.without_url();
    let doing = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    ProviderError::Unavailable {
        provider,
        reason: format!("{doing}: {}", innermost(&error)),
    }
}

/// The outer errors of a client say no more than what it was doing.
pub(crate) fn innermost(error: &dyn Error) -> &dyn Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// An answer that is no success, and the code that its body told.
pub(crate) fn refusal(provider: &'static str, status: StatusCode, code: Option<&str>) -> ProviderError {
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": check the key",
        StatusCode::NOT_FOUND => ": check the base URL and the model",
        _ if status.is_redirection() => ": it redirects; check the base URL",
        _ => "",
    };
    let reason = format!("HTTP {}{code}{hint}", status.as_u16());
    if is_temporary(status.as_u16()) {
        ProviderError::Unavailable { provider, reason }
    } else {
        ProviderError::Refused { provider, reason }
    }
}

/// Request timeout, too early, too many requests, and whatever is the server's own fault.
pub(crate) fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// Whether a code looks like one: an identifier, and no sentence, which might quote the key or the call.
pub(crate) fn is_code(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=MAX_CODE_CHARS).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with("sk-")
}
