use std::time::Duration;

use super::{
    HOUR, SECOND,
    access::{items, number},
    not_empty,
};
use crate::config::{
    access::NumberPrefix,
    calls::{CallsConfig, Targets},
    reader::{Context, Section, by},
    values::{Wrong, duration, wrong},
};

pub(super) fn calls(cx: &Context<'_>, mut section: Section<'_>) -> CallsConfig {
    let default = CallsConfig::default();
    let targets = targets(cx, section.section("targets"));
    let trunks = items(cx, &mut section, "trunks", not_empty).unwrap_or_default();
    let from = items(cx, &mut section, "from", caller_id).unwrap_or_default();
    let config = CallsConfig {
        targets,
        trunks,
        from,
        per_trunk: section.or("per_trunk", default.per_trunk, number(1..=1_000)),
        per_number: section.or("per_number", default.per_number, number(1..=100)),
        max_duration: section.or(
            "max_duration",
            default.max_duration,
            duration(Duration::from_mins(1)..=HOUR * 24),
        ),
        ringing_timeout: section.or(
            "ringing_timeout",
            default.ringing_timeout,
            duration(SECOND * 5..=SECOND * 80),
        ),
    };
    section.finish();
    config
}

fn targets(cx: &Context<'_>, mut section: Section<'_>) -> Targets {
    let remedy = "write the beginning of numbers like \"+4930\"";
    let numbers = items(cx, &mut section, "numbers", |text| {
        by(str::parse::<NumberPrefix>, remedy)(text)
    });
    let sip_hosts = items(cx, &mut section, "sip_hosts", sip_host);
    let special = items(cx, &mut section, "special", special);
    section.finish();
    Targets {
        numbers: numbers.unwrap_or_default(),
        sip_hosts: sip_hosts.unwrap_or_default(),
        special: special.unwrap_or_default(),
    }
}

fn caller_id(text: &str) -> Result<String, Wrong> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    if text == "*" || ((1..=64).contains(&text.len()) && text.bytes().all(plain)) {
        Ok(text.to_owned())
    } else {
        wrong(
            "it is no caller id of 1 to 64 letters, digits or +-._",
            "write a number like \"+15550100\", or \"*\" for any",
        )
    }
}

fn sip_host(text: &str) -> Result<String, Wrong> {
    let host = text.trim().to_ascii_lowercase();
    let fits = !host.is_empty()
        && host.len() <= 255
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
    if fits {
        Ok(host)
    } else {
        wrong(
            format!("\"{text}\" is no host"),
            "write a host name, with :port when it is not 5060",
        )
    }
}

fn special(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        wrong(
            "it is no number of 2 to 15 digits",
            "write it as it would be dialled, like \"112\" or \"+1900\"",
        )
    }
}
