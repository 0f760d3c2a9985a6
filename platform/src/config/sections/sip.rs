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
    values::{Wrong, codec, duration, parse_as, port_range, wrong},
};

/// `config` is `None` when a required key is missing; what other sections are checked against is always there.
pub(super) struct SipSection {
    pub(super) config: Option<Sip>,
    pub(super) rtp_ports: PortRange,
    pub(super) ports_place: Place,
    pub(super) agent_gone_grace: Duration,
    pub(super) grace_place: Place,
}

pub(super) fn sip(cx: &Context<'_>, mut section: Section<'_>) -> SipSection {
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
    let default_region = section.raw("default_region", &[]).unwrap_or_else(|| Found {
        text: "US".to_owned(),
        path: section.path("default_region"),
        place: Place::Nowhere,
    });
    let default_region = parsed(
        cx,
        &default_region,
        by(
            str::parse::<Region>,
            "write the country's two letters of ISO 3166-1, like US",
        ),
    );
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
