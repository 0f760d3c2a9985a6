//! Single values: text → type, or what is wrong with it.

use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use reqwest::Url;

use super::{
    Environment, aws,
    types::{LogFormat, PortRange, QueueConfig, SipCodec, SipLadder, StoreConfig},
};

/// Why a text is no such value, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

pub(super) fn wrong<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        problem: problem.into(),
        remedy: remedy.into(),
    })
}

/// A number with `ms`, `s`, `m` or `h`, inside `bounds`.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl FnOnce(&str) -> Result<Duration, Wrong> {
    move |text| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        let whole = number
            .parse::<u64>()
            .ok()
            .filter(|_| unit_ms > 0)
            .and_then(|n| n.checked_mul(unit_ms));
        let between = format!("{} to {}", human(*bounds.start()), human(*bounds.end()));
        match whole.map(Duration::from_millis) {
            None => wrong(
                format!("\"{text}\" is no duration"),
                format!("write a whole number with ms, s, m or h; {between}"),
            ),
            Some(value) if !bounds.contains(&value) => wrong(
                format!("{} is out of bounds", human(value)),
                format!("set it to {between}"),
            ),
            Some(value) => Ok(value),
        }
    }
}

/// As it is written in the file.
pub(super) fn human(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        _ if ms == 0 || !ms.is_multiple_of(1_000) => format!("{ms}ms"),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ => format!("{}s", ms / 1_000),
    }
}

pub(super) fn whole_number(bounds: RangeInclusive<usize>) -> impl FnOnce(&str) -> Result<usize, Wrong> {
    move |text| match text.trim().parse::<usize>() {
        Ok(value) if bounds.contains(&value) => Ok(value),
        _ => wrong(
            format!("\"{text}\" is no whole number in bounds"),
            format!("set it to {} to {}", bounds.start(), bounds.end()),
        ),
    }
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, Wrong> {
    match text.trim() {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => wrong(
            format!("\"{text}\" is neither true nor false"),
            "set it to true or false",
        ),
    }
}

/// The origin of a page (RFC 6454 §6.2) as browsers send it: scheme and host, and the port when it is not the usual one.
pub(super) fn origin(text: &str) -> Result<String, Wrong> {
    let remedy = "write it as browsers send it, like https://app.example.com; http:// is for loopback only";
    let text = text.trim();
    let parsed = Url::parse(text)
        .ok()
        .filter(|url| url.origin().ascii_serialization() == text);
    match parsed {
        Some(url) if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) => {
            Ok(text.to_owned())
        }
        _ => wrong(format!("\"{text}\" is no origin"), remedy),
    }
}

pub(super) fn parse_as<T: FromStr>(
    what: &'static str,
    example: &'static str,
) -> impl FnOnce(&str) -> Result<T, Wrong> {
    move |text| match text.trim().parse() {
        Ok(value) => Ok(value),
        Err(_) => wrong(
            format!("\"{text}\" is no {what}"),
            format!("write it like {example}"),
        ),
    }
}

pub(super) fn port_range(text: &str) -> Result<PortRange, Wrong> {
    let parsed = text.split_once('-').and_then(|(first, last)| {
        Some(PortRange {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
        })
    });
    match parsed {
        None => wrong(
            format!("\"{text}\" is no range of ports"),
            "write it like 20000-20999",
        ),
        Some(PortRange { first, last }) if first >= last => wrong(
            format!("{first}-{last} ends where it begins, or before"),
            "write the lower port first, and the highest last",
        ),
        Some(PortRange { first, .. }) if first < 1024 => wrong(
            format!("port {first} is one that only root may open"),
            "begin at 1024 or above; 20000-20999 is usual",
        ),
        Some(range) => Ok(range),
    }
}

/// A URL that is encrypted, or stays on this machine.
pub(super) fn url(
    encrypted: &'static str,
    plain: &'static str,
) -> impl FnOnce(&str) -> Result<String, Wrong> {
    move |text| {
        let example = format!("write it like {encrypted}://host");
        let Ok(url) = Url::parse(text.trim()) else {
            return wrong("it is no URL", example);
        };
        if url.host_str().is_none_or(str::is_empty) || ![encrypted, plain].contains(&url.scheme()) {
            return wrong(format!("{}:// is not what is spoken here", url.scheme()), example);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "it holds a user or password",
                "keys and secrets have settings of their own",
            );
        }
        if url.scheme() == plain && !is_loopback(&url) {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            return wrong(
                format!("{plain}:// is not encrypted, and {host} is another machine"),
                format!(
                    "use {encrypted}://{host}{port}; {plain}:// is for loopback only (127.0.0.1, [::1], localhost)"
                ),
            );
        }
        Ok(text.trim().trim_end_matches('/').to_owned())
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Nothing of the URL goes into the fault: it may hold a password.
pub(super) fn redis_url(text: &str) -> Result<crate::Secret, Wrong> {
    let remedy = "write it like redis://[user:password@]host:6379[/0]";
    match Url::parse(text.trim()) {
        Ok(url) if url.scheme() == "rediss" => wrong(
            "rediss:// (TLS) is not supported",
            "use redis:// over a private network or a tunnel",
        ),
        Ok(url) if url.scheme() == "redis" && url.host_str().is_some_and(|host| !host.is_empty()) => {
            Ok(crate::Secret::new(text.trim()))
        }
        _ => wrong("it is no redis:// URL", remedy),
    }
}

pub(super) fn codec(text: &str) -> Result<SipCodec, Wrong> {
    match text.to_ascii_uppercase().replace('.', "").as_str() {
        "OPUS" => Ok(SipCodec::Opus),
        "G722" => Ok(SipCodec::G722),
        "PCMU" => Ok(SipCodec::Pcmu),
        "PCMA" => Ok(SipCodec::Pcma),
        _ => wrong(
            format!("\"{text}\" is no codec that is known here"),
            "use OPUS, G722, PCMU, PCMA",
        ),
    }
}

pub(super) fn ladder(text: &str) -> Result<SipLadder, Wrong> {
    match text.trim() {
        // YAML reads a bare `off` as a text, and JSON has `false` for it.
        "off" | "false" => Ok(SipLadder::Off),
        "masked" => Ok(SipLadder::Masked),
        "whole" => Ok(SipLadder::Whole),
        other => wrong(
            format!("\"{other}\" is none of off, masked, whole"),
            "write masked while you look for a fault, and off afterwards",
        ),
    }
}

/// `sip.no_agent`.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoAgent {
    Refuse,
    Prompt,
    Transfer,
}

pub(super) fn no_agent_policy(text: &str) -> Result<NoAgent, Wrong> {
    match text.trim() {
        "refuse" => Ok(NoAgent::Refuse),
        "prompt" => Ok(NoAgent::Prompt),
        "transfer" => Ok(NoAgent::Transfer),
        other => wrong(
            format!("\"{other}\" is none of refuse, prompt, transfer"),
            "write refuse, and the caller gets 480",
        ),
    }
}

pub(super) fn queue(text: &str, env: &dyn Environment) -> Result<QueueConfig, Wrong> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(QueueConfig::Sqlite(path.into())),
        Some(("sqs", url)) => aws::sqs(url, env).map(QueueConfig::Sqs),
        // Nothing of it is shown: a URL may hold a password.
        _ => wrong(
            "it is no queue that is known here",
            "write it like sqlite:data/queue.sqlite, or like sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/call-jobs.fifo",
        ),
    }
}

pub(super) fn store(text: &str, env: &dyn Environment) -> Result<StoreConfig, Wrong> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(StoreConfig::Folder(path.into())),
        Some(("s3", _)) => aws::s3(text, env).map(StoreConfig::S3),
        _ => wrong(
            "it is no store that is known here",
            "write it like file:data/store, or like s3://bucket/prefix?region=eu-central-1",
        ),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => wrong(format!("\"{text}\" is no format of logs"), "use json or text"),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, Wrong> {
    match crate::telemetry::parse_level(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(reason) => wrong(
            format!("\"{text}\" is no level: {reason}"),
            "use off, error, warn, info, debug or trace, with target=level behind commas where needed",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(text: &str) -> Result<Duration, Wrong> {
        duration(Duration::ZERO..=Duration::from_hours(100))(text)
    }

    #[test]
    fn durations_need_a_unit_and_keep_their_bounds() {
        assert_eq!(any("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(any("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(any("2 m"), Ok(Duration::from_mins(2)));
        assert_eq!(any("12h"), Ok(Duration::from_hours(12)));
        for bad in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 seconds",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(any(bad).is_err(), "{bad}");
        }
        let bounded = duration(Duration::from_secs(1)..=Duration::from_mins(3))("200s");
        assert_eq!(bounded.unwrap_err().remedy, "set it to 1s to 3m");
    }

    #[test]
    fn plain_urls_are_for_loopback_only() {
        let check = |text: &str| url("wss", "ws")(text);
        for good in [
            "wss://lk.example.com",
            "ws://127.0.0.1:7880",
            "ws://[::1]:7880",
            "ws://localhost:1",
            "ws://127.8.0.1",
        ] {
            assert_eq!(check(good).as_deref(), Ok(good));
        }
        assert_eq!(
            check("wss://lk.example.com/").as_deref(),
            Ok("wss://lk.example.com")
        );
        for bad in [
            "ws://lk.example.com",
            "ws://10.0.0.1",
            "ws://localhost.evil.com",
            "http://127.0.0.1",
            "lk:7880",
            "wss://",
            "wss://u:p@h",
            "",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let remedy = check("ws://10.0.0.1:7880").unwrap_err().remedy;
        assert!(
            remedy.contains("wss://10.0.0.1:7880;") && remedy.contains("loopback"),
            "{remedy}"
        );
    }

    #[test]
    fn the_remedy_of_a_level_names_all_of_them() {
        let remedy = log_level("loud").unwrap_err().remedy;
        for level in ["off", "error", "warn", "info", "debug", "trace"] {
            assert_eq!(log_level(level).as_deref(), Ok(level));
            assert!(remedy.contains(level), "{level}: {remedy}");
        }
    }

    #[test]
    fn port_ranges_are_sane_or_refused() {
        assert_eq!(port_range("20000-20999").map(PortRange::count), Ok(1_000));
        for bad in [
            "",
            "20000",
            "20000-",
            "5-4",
            "7-7",
            "80-200",
            "1-70000",
            "a-b",
            "20999-20000",
        ] {
            assert!(port_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refused_redis_url_is_not_echoed() {
        for bad in ["rediss://:canary@h", "http://:canary@h", "canary"] {
            let Err(Wrong { problem, remedy }) = redis_url(bad) else {
                panic!("{bad}")
            };
            assert!(!problem.contains("canary") && !remedy.contains("canary"));
        }
    }
}
