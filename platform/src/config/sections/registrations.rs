use std::time::Duration;

use events::ProfileName;

use super::{
    HOUR, SECOND, not_empty,
    providers::{Registrar, registrar},
};
use crate::{
    Secret,
    config::{
        fault::Place,
        reader::{Context, Section, by},
        registrations::{Registration, SipTransport},
        values::{Wrong, duration, wrong},
    },
};

/// What is asked for where nothing is known of the provider.
const EXPIRES: Duration = Duration::from_mins(5);

pub(super) fn registrations(cx: &Context<'_>, section: &mut Section<'_>) -> Vec<Registration> {
    let items = section.list("registrations").unwrap_or_default();
    let read: Vec<(Place, Registration)> = items
        .into_iter()
        .filter_map(|(path, item)| {
            let section = Section::of(cx, path, item);
            let place = section.place();
            Some((place, registration(section)?))
        })
        .collect();
    for (at, (place, registration)) in read.iter().enumerate() {
        let mut earlier = read.iter().take(at);
        if earlier.any(|(_, earlier)| earlier.name == registration.name) {
            cx.fault(
                format!("{}[{at}].name", section.path("registrations")),
                place.clone(),
                format!("another registration is called {}", registration.name),
                "give each a name of its own",
            );
        }
    }
    read.into_iter().map(|(_, registration)| registration).collect()
}

fn registration(mut section: Section<'_>) -> Option<Registration> {
    let remedy = "give the account a name for the logs, of letters, digits, _ and -";
    let name = by(|text: &str| ProfileName::new(text).map(String::from), remedy);
    let name = section.required("name", &[], remedy, name);
    let preset = section.or("provider", None, |text| registrar(text).map(Some));
    let known = preset.filter(|_| !section.has("server"));
    let server = if let Some(Registrar { host, .. }) = known {
        Some((host.to_owned(), None))
    } else {
        let remedy = "set it to the provider's SIP server, or name a provider";
        section.required("server", &[], remedy, address)
    };
    let transport = section.or("transport", SipTransport::Udp, transport);
    let user = section.required("user", &[], "set it to the account's user", sip_user);
    let auth_user = section.raw("auth_user", &[]);
    let auth_user = auth_user.and_then(|found| section.parse(&found, plain));
    let password = section.required("password", &[], "set it to the account's password", plain);
    let domain = section.raw("domain", &[]);
    let domain = domain.and_then(|found| section.parse(&found, address));
    let usual = preset.map_or(EXPIRES, |preset| preset.expires);
    let expires = section.or("expires", usual, duration(SECOND * 60..=HOUR * 24));
    let number = section.raw("number", &[]);
    let number = number.and_then(|found| section.parse(&found, sip_user));
    section.finish();
    let (host, port) = server?;
    let user = user?;
    Some(Registration {
        name: name?,
        domain: domain.map_or_else(|| host.clone(), |(domain, _)| domain),
        host,
        port,
        transport,
        auth_user: auth_user.unwrap_or_else(|| user.clone()),
        user,
        password: Secret::new(password?),
        expires,
        number,
    })
}

pub(super) fn transport(text: &str) -> Result<SipTransport, Wrong> {
    match text.trim().to_ascii_lowercase().as_str() {
        "udp" => Ok(SipTransport::Udp),
        "tcp" => Ok(SipTransport::Tcp),
        "tls" => Ok(SipTransport::Tls),
        _ => wrong(format!("\"{text}\" is no transport"), "write udp, tcp or tls"),
    }
}

/// `host[:port]`, the host a name, an IPv4 address, or an IPv6 one in brackets.
pub(super) fn address(text: &str) -> Result<(String, Option<u16>), Wrong> {
    let text = text.trim();
    let remedy = "write a host name or an address, with :port when it is not the usual one";
    let no_server = || wrong(format!("\"{text}\" is no host"), remedy);
    let port_at = text
        .rfind(':')
        .filter(|at| !text.get(*at..).is_some_and(|rest| rest.contains(']')));
    let (host, port) = match port_at.and_then(|at| text.split_at_checked(at)) {
        Some((host, port)) => match port.trim_start_matches(':').parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => return no_server(),
        },
        None => (text, None),
    };
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty()
        || host.len() > 255
        || !host.bytes().all(is_of_host)
        || (host.contains([':', '[', ']']) && !is_bracketed)
    {
        return no_server();
    }
    Ok((host.to_owned(), port))
}

/// The user part of a SIP URI, which a number is too.
pub(super) fn sip_user(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let is_of_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()+&=$".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(is_of_user) {
        Ok(text.to_owned())
    } else {
        wrong(
            "it is no user or number of a SIP address",
            "write it in quotes, like \"+15550100\" or \"12345\"",
        )
    }
}

pub(super) fn plain(text: &str) -> Result<String, Wrong> {
    let text = not_empty(text)?;
    if text.contains(['"', '\\']) || text.chars().any(char::is_control) || text.len() > 256 {
        return wrong(
            "it has quotes, backslashes or control characters, or more than 256 bytes",
            "choose another at the provider",
        );
    }
    Ok(text)
}
