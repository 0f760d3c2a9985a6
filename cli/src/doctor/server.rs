//! livekit-server: its API, its clock, its Redis.

use std::{sync::Arc, time::Duration};

use bus::{
    BusError,
    ioinfo::{SERVICE, SipCall, SipUri},
};
use platform::{
    clock::{Clock as _, SystemClock},
    config::Config,
    livekit::LiveKit,
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{Area, Finding, edge::client};

/// Clocks that are further apart are told.
const NOTABLE: i64 = 10;
/// LiveKit takes tokens that are early or late by a minute.
const TOO_FAR: i64 = 60;
/// How long Redis may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// An address for documentation (RFC 5737): no trunk's.
const NOBODY: &str = "192.0.2.1";

/// The key is taken, and the server says that it is well.
pub(super) async fn livekit(livekit: &LiveKit) -> Vec<Finding> {
    let asked = health::livekit(livekit).await;
    let url = http_url(livekit.url());
    let root = match client(&url).map(|client| client.get(&url)) {
        Ok(request) => request.send().await,
        Err(error) => return vec![asked.into(), no_client(&error)],
    };
    match root.map(|answer| answer.status().as_u16()) {
        // The API has said why.
        Ok(200) | Err(_) => vec![asked.into()],
        Ok(406) => vec![
            asked.into(),
            Finding::error(
                Area::Livekit,
                "the server calls itself unwell (406): its own statistics are old",
                "look at its Redis, and at the load of its machine",
            ),
        ],
        Ok(status) => vec![
            asked.into(),
            Finding::warning(
                Area::Livekit,
                format!("GET {url} is answered with {status}, and livekit-server answers 200"),
                "check livekit.url: is it a LiveKit server's, and does a proxy pass everything on?",
            ),
        ],
    }
}

/// By the `Date` of an answer (RFC 9110 §6.6.1), which is in whole seconds.
pub(super) async fn clock(config: &Config) -> Vec<Finding> {
    let url = http_url(&config.livekit.url);
    let answer = match client(&url).map(|client| client.get(&url)) {
        Ok(request) => request.send().await,
        Err(error) => return vec![no_client(&error)],
    };
    let now = SystemClock.now();
    let Ok(answer) = answer else {
        let says = "the server cannot be asked for its time";
        return vec![Finding::error(
            Area::Clock,
            says,
            "check livekit.url and that livekit-server runs",
        )];
    };
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    let date = date.and_then(|text| OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok());
    let Some(date) = date else {
        let says = "the server does not tell its time";
        return vec![Finding::note(
            Area::Clock,
            says,
            "compare the clocks of both machines by hand",
        )];
    };
    vec![judged((date - now).whole_seconds())]
}

fn judged(ahead_s: i64) -> Finding {
    let apart = ahead_s.abs();
    let which = if ahead_s > 0 { "ahead" } else { "behind" };
    let says = format!("the server's clock is {apart} s {which}");
    let remedy = "set the clocks of both machines by NTP";
    match apart {
        0..=NOTABLE => Finding::well(Area::Clock, "the server's clock and ours agree"),
        11..=TOO_FAR => Finding::warning(Area::Clock, says, remedy),
        _ => Finding::error(Area::Clock, format!("{says}: tokens are refused"), remedy),
    }
}

/// What a gateway asks before it answers a call, asked of nobody's call: whoever answers shares our Redis.
pub(super) async fn bus(config: &Config) -> Vec<Finding> {
    let bus = match connect(config).await {
        Ok(bus) => bus,
        Err(error) => {
            return vec![Finding::error(
                Area::Bus,
                error.to_string(),
                "check redis.url, its password and database, and that Redis runs",
            )];
        }
    };
    let uri = |user: &str| {
        Some(SipUri {
            user: user.to_owned(),
            host: NOBODY.to_owned(),
            ip: NOBODY.to_owned(),
            ..SipUri::default()
        })
    };
    let asked = bus.trunk_authentication(SipCall {
        lk_call_id: "SCL_doctor".to_owned(),
        source_ip: NOBODY.to_owned(),
        address: uri("doctor"),
        from: uri("doctor"),
        to: uri("doctor"),
        ..SipCall::default()
    });
    let answer = asked.await;
    bus.shutdown().await;
    vec![match answer {
        // A refusal is an answer too.
        Ok(_) | Err(BusError::Remote { .. }) => Finding::well(Area::Bus, "livekit-server answers over Redis"),
        Err(BusError::NoServer) => Finding::error(
            Area::Bus,
            "Redis is there, and no livekit-server answers over it",
            "redis.address in livekit-server's configuration and redis.url must name one server and one database (`db`)",
        ),
        Err(error) => Finding::error(
            Area::Bus,
            format!("livekit-server does not answer over Redis as it should: {error}"),
            "look at the log of livekit-server, and at its version: 1.13 is supported",
        ),
    }]
}

/// To whom the gateway asks of calls.
pub(super) async fn connect(config: &Config) -> Result<bus::Client, BusError> {
    let connecting = bus::Client::connect(bus::Options {
        redis_url: config.redis.url.expose().to_owned(),
        services: vec![SERVICE.to_owned()],
        connect_timeout: CONNECT_LIMIT,
        now: Arc::new(|| SystemClock.now().into()),
    });
    connecting.await
}

fn no_client(error: &reqwest::Error) -> Finding {
    Finding::error(
        Area::Livekit,
        format!("no HTTP client can be made: {error}"),
        "look at the certificates of this machine",
    )
}

/// The API's address: `ws://host` is `http://host`.
fn http_url(url: &str) -> String {
    match url.strip_prefix("ws") {
        Some(rest) => format!("http{}/", rest.trim_end_matches('/')),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn clocks_are_judged_by_what_livekit_takes() {
        for (ahead_s, severity) in [
            (0, Severity::Well),
            (-10, Severity::Well),
            (11, Severity::Warning),
            (-60, Severity::Warning),
            (120, Severity::Error),
            (i64::MIN + 1, Severity::Error),
        ] {
            assert_eq!(judged(ahead_s).severity, severity, "{ahead_s}");
        }
    }
}
