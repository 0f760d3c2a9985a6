use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use events::Region;

use super::{SECOND, placed};
use crate::config::{
    fault::Place,
    reader::{Context, Found, Section, by, parsed, scalar},
    types::{PortRange, Sip, SipCodec},
    values::{Wrong, codec, duration, parse_as, port_range, whole_number, wrong},
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

/// `slots`: of the worker.
pub(super) fn sip(cx: &Context<'_>, mut section: Section<'_>, slots: usize) -> SipSection {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060));
    let listen = section.or("listen", listen, parse_as("address with a port", "0.0.0.0:5060"));
    let advertised_address = match section.raw("advertised_address", &[]) {
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
    };
    let (rtp_ports, ports_place) = placed(
        cx,
        &mut section,
        "rtp_ports",
        PortRange {
            first: 20_000,
            last: 20_999,
        },
        port_range,
    );
    if listen.port() != 0 && rtp_ports.contains(listen.port()) {
        cx.fault(
            section.path("rtp_ports"),
            ports_place.clone(),
            format!("the range holds port {}, which sip.listen takes", listen.port()),
            "move one of them away",
        );
    }
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
    section.finish();
    let config = advertised_address
        .zip(default_region)
        .map(|(advertised_address, default_region)| Sip {
            listen,
            advertised_address,
            rtp_ports,
            default_region,
            no_agent_timeout,
            agent_gone_grace,
            max_ringing,
            max_ringing_per_source,
            codecs,
        });
    SipSection {
        config,
        rtp_ports,
        ports_place,
        agent_gone_grace,
        grace_place,
    }
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
    let all = vec![SipCodec::G722, SipCodec::Pcmu, SipCodec::Pcma];
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
