use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use events::Region;

use super::{SECOND, not_empty, placed, registrations::registrations};
use crate::config::{
    fault::Place,
    reader::{Context, Found, Section, by, parsed, scalar},
    types::{PortRange, Sip, SipCodec, SipLadder, SipNoAgent, SipSounds, SipTls, SipTlsServer},
    values::{
        NoAgent, Wrong, codec, duration, flag, ladder, no_agent_policy, parse_as, port_range, whole_number,
        wrong,
    },
};

/// `config` is `None` when a required key is missing; what other sections are checked against is always there.
pub(super) struct SipSection {
    pub(super) config: Option<Sip>,
    pub(super) rtp_ports: PortRange,
    pub(super) ports_place: Place,
    pub(super) agent_gone_grace: Duration,
    pub(super) grace_place: Place,
}

/// The least that may ring by default: where a worker has few slots, a few callers may wait for them all the same.
const LEAST_RINGING: usize = 8;

/// Many NATs forget what says nothing over UDP for 30 s (RFC 4787 §4.3 has two minutes as the least, and not all keep to it).
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Servers of DNS.
const MAX_DNS: usize = 3;

/// `slots`: of the worker. `base`: where relative paths begin.
pub(super) fn sip(cx: &Context<'_>, mut section: Section<'_>, slots: usize, base: &Path) -> SipSection {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060));
    let listen = section.or("listen", listen, parse_as("address with a port", "0.0.0.0:5060"));
    let advertised_address = advertised_address(cx, &mut section, listen);
    let tcp = address(cx, &mut section, "tcp", "0.0.0.0:5060");
    let tls = tls(cx, section.section("tls"), base);
    let (max_connections, max_connections_per_source) = connections(cx, &mut section);
    let (rtp_ports, ports_place) = media_ports(cx, &mut section, listen);
    let default_region = region(cx, &mut section);
    let no_agent_timeout = section.or(
        "no_agent_timeout",
        Duration::from_secs(10),
        duration(SECOND..=SECOND * 180),
    );
    let (agent_gone_grace, grace_place) = placed(
        cx,
        &mut section,
        "agent_gone_grace",
        SECOND * 15,
        duration(SECOND..=SECOND * 120),
    );
    let (max_ringing, max_ringing_per_source) = ringing(cx, &mut section, slots);
    let codecs = codecs(cx, &mut section);
    let registrations = registrations(cx, &mut section);
    let keep_alive = section.or("keep_alive", Some(KEEP_ALIVE), keep_alive);
    let dns = dns(cx, &mut section);
    let info_dtmf = section.or("info_dtmf", false, flag);
    let sounds = sounds(cx, section.section("sounds"), base);
    let no_agent = no_agent(cx, &mut section, &sounds);
    let refer_trunk = maybe(cx, &mut section, "refer_trunk", outbound_trunk);
    let records = maybe(cx, &mut section, "records", flag);
    let ladder = section.or("ladder", SipLadder::Off, ladder);
    section.finish();
    let config = advertised_address
        .zip(default_region)
        .map(|(advertised_address, default_region)| Sip {
            listen,
            tcp,
            tls,
            max_connections,
            max_connections_per_source,
            advertised_address,
            rtp_ports,
            default_region,
            no_agent_timeout,
            agent_gone_grace,
            max_ringing,
            max_ringing_per_source,
            codecs,
            registrations,
            keep_alive,
            dns,
            info_dtmf,
            no_agent,
            refer_trunk,
            sounds,
            records,
            ladder,
        });
    SipSection {
        config,
        rtp_ports,
        ports_place,
        agent_gone_grace,
        grace_place,
    }
}

/// The ports for RTP, and where they are written. The SIP port is none of them.
fn media_ports(cx: &Context<'_>, section: &mut Section<'_>, listen: SocketAddr) -> (PortRange, Place) {
    let default = PortRange {
        first: 20_000,
        last: 20_999,
    };
    let (ports, place) = placed(cx, section, "rtp_ports", default, port_range);
    if listen.port() != 0 && ports.contains(listen.port()) {
        cx.fault(
            section.path("rtp_ports"),
            place.clone(),
            format!("the range holds port {}, which sip.listen takes", listen.port()),
            "move one of them away",
        );
    }
    (ports, place)
}

/// A key that has no default.
fn maybe<T>(
    cx: &Context<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<T> {
    let found = section.raw(key, &[])?;
    parsed(cx, &found, parse)
}

fn advertised_address(cx: &Context<'_>, section: &mut Section<'_>, listen: SocketAddr) -> Option<IpAddr> {
    match section.raw("advertised_address", &[]) {
        Some(found) => parsed(cx, &found, advertised),
        None if listen.ip().is_unspecified() && !section.is_faulty() => {
            cx.fault(
                section.path("advertised_address"),
                section.place(),
                format!("it is missing, and listen ({listen}) stands for every address"),
                "set it to the IP address that callers reach this host at, or let sip.listen name one",
            );
            None
        }
        None => Some(listen.ip()),
    }
}

fn address(
    cx: &Context<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    example: &'static str,
) -> Option<SocketAddr> {
    let found = section.raw(key, &[])?;
    parsed(cx, &found, parse_as("address with a port", example))
}

fn tls(cx: &Context<'_>, mut section: Section<'_>, base: &Path) -> SipTls {
    let mut file = |key| {
        let found = section.raw(key, &[])?;
        let path = parsed(cx, &found, not_empty)?;
        Some(base.join(path))
    };
    let authorities: Option<PathBuf> = file("authorities");
    let (certificate, key) = (file("certificate"), file("key"));
    let is_served = section.has("listen");
    let listen = address(cx, &mut section, "listen", "0.0.0.0:5061");
    if is_served != certificate.is_some() || is_served != key.is_some() {
        cx.fault(
            section.path("listen"),
            section.place(),
            "listen, certificate and key go together, and one of them is missing",
            "set all three, or none of them: connections to others need only authorities",
        );
    }
    section.finish();
    let server = listen.zip(certificate.zip(key));
    SipTls {
        server: server.map(|(listen, (certificate, key))| SipTlsServer {
            listen,
            certificate,
            key,
        }),
        authorities,
    }
}

fn outbound_trunk(text: &str) -> Result<String, Wrong> {
    match text.trim() {
        id if id.starts_with("ST_") => Ok(id.to_owned()),
        other => wrong(
            format!("\"{other}\" is no id of a trunk"),
            "write the outbound trunk's id, ST_ and letters, which `trunkline apply` and LiveKit's API tell",
        ),
    }
}

fn sounds(cx: &Context<'_>, mut section: Section<'_>, base: &Path) -> SipSounds {
    let mut file = |key| {
        let found = section.raw(key, &[])?;
        let path = parsed(cx, &found, not_empty)?;
        Some(base.join(path))
    };
    let sounds = SipSounds {
        pin: file("pin"),
        wrong_pin: file("wrong_pin"),
        right_pin: file("right_pin"),
        no_agent: file("no_agent"),
        hold: file("hold"),
    };
    section.finish();
    sounds
}

/// What becomes of callers without an agent.
fn no_agent(cx: &Context<'_>, section: &mut Section<'_>, sounds: &SipSounds) -> SipNoAgent {
    let (policy, place) = placed(cx, section, "no_agent", NoAgent::Refuse, no_agent_policy);
    let target = section.raw("no_agent_target", &[]);
    let target = target.and_then(|found| parsed(cx, &found, not_empty));
    match (policy, target) {
        (NoAgent::Refuse, None) => SipNoAgent::Refuse,
        (NoAgent::Prompt, None) if sounds.no_agent.is_some() => SipNoAgent::Prompt,
        (NoAgent::Transfer, Some(target)) => SipNoAgent::Transfer(target),
        (NoAgent::Prompt, None) => {
            cx.fault(
                section.path("no_agent"),
                place,
                "it is prompt, and sip.sounds.no_agent is missing",
                "name a WAV file there, or write refuse",
            );
            SipNoAgent::Refuse
        }
        (NoAgent::Transfer, None) => {
            cx.fault(
                section.path("no_agent"),
                place,
                "it is transfer, and sip.no_agent_target is missing or unusable",
                "name a number or SIP URI there that calls.targets lists, or write refuse",
            );
            SipNoAgent::Refuse
        }
        (NoAgent::Refuse | NoAgent::Prompt, Some(_)) => {
            cx.fault(
                section.path("no_agent_target"),
                place,
                "it has no effect: sip.no_agent is not transfer",
                "write no_agent: transfer, or leave it out",
            );
            SipNoAgent::Refuse
        }
    }
}

/// How many connections others may have open, in all and from one source.
fn connections(cx: &Context<'_>, section: &mut Section<'_>) -> (usize, usize) {
    let all = section.or("max_connections", 256, whole_number(1..=10_000));
    let key = "max_connections_per_source";
    let (per_source, place) = placed(cx, section, key, all.div_ceil(4), whole_number(1..=10_000));
    if per_source > all {
        cx.fault(
            section.path(key),
            place,
            format!("{per_source} is more than sip.max_connections ({all})"),
            format!("set it to {all} or less"),
        );
    }
    (all, per_source)
}

fn region(cx: &Context<'_>, section: &mut Section<'_>) -> Option<Region> {
    let found = section.raw("default_region", &[]).unwrap_or_else(|| Found {
        text: "US".to_owned(),
        path: section.path("default_region"),
        place: Place::Nowhere,
    });
    parsed(
        cx,
        &found,
        by(
            str::parse::<Region>,
            "write the country's two letters of ISO 3166-1, like US",
        ),
    )
}

/// How many calls may ring, in all and from one source. By default, all slots can be filled at once and as many callers again may wait;
/// one source may fill all slots and half of that.
fn ringing(cx: &Context<'_>, section: &mut Section<'_>, slots: usize) -> (usize, usize) {
    let default = (slots * 2).max(LEAST_RINGING);
    let all = section.or("max_ringing", default, whole_number(1..=10_000));
    // One that is not set leaves room for others, whatever the key above is set to.
    let share = (all * 3).div_ceil(4).min(all - 1).max(1);
    let key = "max_ringing_per_source";
    let (per_source, place) = placed(cx, section, key, share, whole_number(1..=10_000));
    if per_source > all {
        cx.fault(
            section.path(key),
            place,
            format!("{per_source} is more than sip.max_ringing ({all})"),
            format!("set it to {all} or less; less, if callers have more than one address"),
        );
    }
    (all, per_source)
}

fn keep_alive(text: &str) -> Result<Option<Duration>, Wrong> {
    // As with `ladder`.
    if matches!(text.trim(), "off" | "false") {
        return Ok(None);
    }
    duration(SECOND * 5..=SECOND * 600)(text).map(Some)
}

/// Servers of DNS, each an address, with its port where that is not 53.
fn dns(cx: &Context<'_>, section: &mut Section<'_>) -> Vec<SocketAddr> {
    let items = section.list("dns").unwrap_or_default();
    let path = section.path("dns");
    if items.len() > MAX_DNS {
        cx.fault(
            path,
            section.place(),
            format!("{} servers are more than {MAX_DNS}", items.len()),
            "name the best of them",
        );
    }
    let servers = items
        .into_iter()
        .filter_map(|(path, item)| scalar(cx, path, item).and_then(|found| parsed(cx, &found, name_server)));
    servers.collect()
}

fn name_server(text: &str) -> Result<SocketAddr, Wrong> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    match address.or_else(|_| text.parse()) {
        Ok(address) => Ok(address),
        Err(_) => wrong(
            format!("\"{text}\" is no address"),
            "write the server's IP address, like 192.0.2.53, with :port when it is not 53",
        ),
    }
}

fn advertised(text: &str) -> Result<IpAddr, Wrong> {
    let remedy = "write the IP address that callers reach this host at; names are not resolved";
    match text.trim().parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => {
            wrong(format!("{address} stands for every address"), remedy)
        }
        Ok(address) => Ok(address),
        Err(_) => wrong(format!("\"{text}\" is no IP address"), remedy),
    }
}

fn codecs(cx: &Context<'_>, section: &mut Section<'_>) -> Vec<SipCodec> {
    let all = vec![SipCodec::Opus, SipCodec::G722, SipCodec::Pcmu, SipCodec::Pcma];
    let Some(items) = section.list("codecs") else {
        return all;
    };
    let mut codecs: Vec<SipCodec> = Vec::new();
    for (path, item) in items {
        let found = scalar(cx, path, item).and_then(|found| parsed(cx, &found, codec));
        codecs.extend(found.filter(|codec| !codecs.contains(codec)));
    }
    if codecs.is_empty() { all } else { codecs }
}
