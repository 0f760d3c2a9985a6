//! `trunks`: whose calls are let in, and where calls go out.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use livekit_protocol as proto;
use pbjson_types::Duration as ProtoDuration;

use super::{
    HOUR, SECOND, listed, not_empty, placed,
    providers::{Provider, provider},
    registrations::{address, plain, sip_user, transport},
};
use crate::{
    Secret,
    config::{
        fault::Place,
        reader::{Context, Section},
        registrations::SipTransport,
        telephony::{InboundTrunk, OutboundTrunk, Telephony},
        types::SipCodec,
        values::{Wrong, codec, duration, flag, wrong},
    },
};

/// Networks with fewer bits than these let in who is nobody's provider.
const LEAST_BITS_V4: u8 = 8;
const LEAST_BITS_V6: u8 = 16;
/// The longest name, in bytes.
const MAX_NAME: usize = 128;

pub(super) fn trunks(cx: &Context<'_>, mut section: Section<'_>) -> Telephony {
    let items = section.list("inbound").unwrap_or_default();
    let inbound: Vec<(Place, InboundTrunk)> = items
        .into_iter()
        .filter_map(|(path, item)| inbound(cx, Section::of(cx, path, item)))
        .collect();
    let items = section.list("outbound").unwrap_or_default();
    let outbound: Vec<(Place, OutboundTrunk)> = items
        .into_iter()
        .filter_map(|(path, item)| outbound(cx, Section::of(cx, path, item)))
        .collect();
    let names = inbound.iter().map(|(place, trunk)| (place, trunk.name()));
    names_differ(cx, &section.path("inbound"), names);
    let names = outbound.iter().map(|(place, trunk)| (place, trunk.name()));
    names_differ(cx, &section.path("outbound"), names);
    section.finish();
    Telephony {
        inbound: inbound.into_iter().map(|(_, trunk)| trunk).collect(),
        outbound: outbound.into_iter().map(|(_, trunk)| trunk).collect(),
        rules: Vec::new(),
    }
}

fn inbound(cx: &Context<'_>, mut section: Section<'_>) -> Option<(Place, InboundTrunk)> {
    let place = section.place();
    let name = name(&mut section, "give the trunk a name: it is known by it");
    let preset = section.or("provider", None, |text| provider(text).map(Some));
    let numbers = listed(cx, &mut section, "numbers", sip_user);
    let has_addresses = section.has("allowed_addresses");
    let addresses = listed(cx, &mut section, "allowed_addresses", network);
    let addresses = addresses.map(|own| match preset {
        Some(Provider { signalling, .. }) if !has_addresses => {
            signalling.iter().map(|&text| text.to_owned()).collect()
        }
        _ => own,
    });
    let allowed_numbers = listed(cx, &mut section, "allowed_numbers", sip_user);
    let has_auth = section.has("auth");
    let auth = credentials(has_auth, section.section("auth"));
    let ringing_timeout = timeout(&mut section, "ringing_timeout", SECOND * 180);
    let shared = Shared::of(cx, &mut section);
    let max_call_duration = timeout(&mut section, "max_call_duration", HOUR * 24);
    let (is_open, _) = placed(cx, &mut section, "open", false, flag);
    let (numbers, addresses, allowed_numbers) = (numbers?, addresses?, allowed_numbers?);
    not_open(cx, &section, &addresses, has_auth, is_open);
    if numbers.is_empty() && addresses.is_empty() && !has_auth {
        cx.fault(
            section.path("numbers"),
            place.clone(),
            "the trunk has no numbers, no addresses and no password: LiveKit refuses it",
            "name the numbers that it serves",
        );
    }
    section.finish();
    let Credentials {
        username,
        password,
        realm,
    } = auth?;
    let info = proto::SipInboundTrunkInfo {
        name: name?,
        metadata: shared.metadata,
        numbers,
        allowed_addresses: addresses,
        allowed_numbers,
        auth_username: username,
        auth_realm: realm,
        headers: shared.headers,
        headers_to_attributes: shared.headers_to_attributes,
        attributes_to_headers: shared.attributes_to_headers,
        include_headers: shared.include_headers,
        ringing_timeout,
        max_call_duration,
        media: shared.media,
        ..Default::default()
    };
    Some((place, InboundTrunk { info, password }))
}

fn outbound(cx: &Context<'_>, mut section: Section<'_>) -> Option<(Place, OutboundTrunk)> {
    let place = section.place();
    let name = name(&mut section, "give the trunk a name: it is known by it");
    let preset = section.or("provider", None, |text| provider(text).map(Some));
    let known = preset.and_then(|preset| preset.address);
    let address = if let Some(known) = known.filter(|_| !section.has("address")) {
        Some(known.to_owned())
    } else {
        let remedy = preset
            .map(|preset| preset.address_remedy)
            .filter(|remedy| !remedy.is_empty());
        let remedy = remedy.unwrap_or("set it to the provider's SIP server, host[:port], or name a provider");
        section.required("address", &[], remedy, host)
    };
    let transport = section.raw("transport", &[]);
    let transport = transport.and_then(|found| section.parse(&found, transport_of));
    let numbers = listed(cx, &mut section, "numbers", sip_user);
    if numbers.as_ref().is_some_and(Vec::is_empty) {
        cx.fault(
            section.path("numbers"),
            section.place(),
            "the trunk has no numbers to call from: LiveKit refuses it",
            "name yours, or \"*\" for any",
        );
    }
    let has_auth = section.has("auth");
    let auth = credentials(has_auth, section.section("auth"));
    let country = section.or("destination_country", String::new(), country);
    let from_host = section.or("from_host", String::new(), host);
    let shared = Shared::of(cx, &mut section);
    section.finish();
    let Credentials {
        username, password, ..
    } = auth?;
    let info = proto::SipOutboundTrunkInfo {
        name: name?,
        metadata: shared.metadata,
        address: address?,
        destination_country: country,
        transport: transport.unwrap_or(proto::SipTransport::Auto) as i32,
        numbers: numbers?,
        auth_username: username,
        headers: shared.headers,
        headers_to_attributes: shared.headers_to_attributes,
        attributes_to_headers: shared.attributes_to_headers,
        include_headers: shared.include_headers,
        media: shared.media,
        from_host,
        ..Default::default()
    };
    Some((place, OutboundTrunk { info, password }))
}

/// An open trunk lets in whoever finds the port: that must be said.
fn not_open(cx: &Context<'_>, section: &Section<'_>, addresses: &[String], has_auth: bool, is_said: bool) {
    let lets_all_in = addresses.is_empty() || addresses.iter().any(|network| is_wide(network));
    if lets_all_in && !has_auth && !is_said {
        cx.fault(
            section.path("allowed_addresses"),
            section.place(),
            "the trunk is open: whoever reaches the SIP port can call in by it",
            "name the provider's addresses, or a provider whose addresses are known, or set auth; open: true if that is wanted",
        );
    }
}

/// What both kinds of trunk have.
struct Shared {
    metadata: String,
    headers: HashMap<String, String>,
    headers_to_attributes: HashMap<String, String>,
    attributes_to_headers: HashMap<String, String>,
    include_headers: i32,
    media: Option<proto::SipMediaConfig>,
}

impl Shared {
    fn of(cx: &Context<'_>, section: &mut Section<'_>) -> Self {
        let include = proto::SipHeaderOptions::SipNoHeaders;
        Self {
            metadata: section.or("metadata", String::new(), not_empty),
            headers: section.texts("headers").into_iter().collect(),
            headers_to_attributes: section.texts("headers_to_attributes").into_iter().collect(),
            attributes_to_headers: section.texts("attributes_to_headers").into_iter().collect(),
            include_headers: section.or("include_headers", include, included_headers) as i32,
            media: media(cx, section),
        }
    }
}

/// `media` of a trunk or of a rule.
pub(super) fn media(cx: &Context<'_>, section: &mut Section<'_>) -> Option<proto::SipMediaConfig> {
    let is_there = section.has("media");
    let mut section = section.section("media");
    let codecs = listed(cx, &mut section, "codecs", codec);
    let only_listed = section.or("only_listed_codecs", false, flag);
    let encryption = section.raw("encryption", &[]);
    let encryption = encryption.and_then(|found| section.parse(&found, encryption_of));
    let media_timeout = timeout(&mut section, "timeout", HOUR);
    section.finish();
    is_there.then(|| proto::SipMediaConfig {
        only_listed_codecs: only_listed,
        codecs: codecs.unwrap_or_default().into_iter().map(offered).collect(),
        encryption: encryption.map(|encryption| encryption as i32),
        media_timeout,
    })
}

fn offered(codec: SipCodec) -> proto::SipCodec {
    // The rate is that of the RTP clock, which is 8 kHz for G.722 too (RFC 3551 §4.5.2).
    let (name, rate) = match codec {
        SipCodec::Opus => ("opus", 48_000),
        SipCodec::G722 => ("G722", 8_000),
        SipCodec::Pcmu => ("PCMU", 8_000),
        SipCodec::Pcma => ("PCMA", 8_000),
    };
    proto::SipCodec {
        name: name.to_owned(),
        rate,
    }
}

#[derive(Default)]
struct Credentials {
    username: String,
    password: Option<Secret>,
    realm: String,
}

/// `None` when something is wrong with them. A section that is not there has none.
fn credentials(are_there: bool, mut section: Section<'_>) -> Option<Credentials> {
    if !are_there {
        return Some(Credentials::default());
    }
    let remedy = "set it to the user that the provider has given";
    let username = section.required("username", &[], remedy, plain);
    let remedy = "set it to the password that the provider has given";
    let password = section.required("password", &[], remedy, plain);
    let realm = section.or("realm", String::new(), plain);
    section.finish();
    Some(Credentials {
        username: username?,
        password: Some(Secret::new(password?)),
        realm,
    })
}

pub(super) fn name(section: &mut Section<'_>, remedy: &str) -> Option<String> {
    section.required("name", &[], remedy, |text| match not_empty(text)? {
        long if long.len() > MAX_NAME || long.chars().any(char::is_control) => wrong(
            format!("the name has control characters, or more than {MAX_NAME} bytes"),
            "give it a short name",
        ),
        name => Ok(name),
    })
}

pub(super) fn names_differ<'n>(
    cx: &Context<'_>,
    path: &str,
    names: impl Iterator<Item = (&'n Place, &'n str)>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, (place, name)) in names.enumerate() {
        if seen.contains(&name) {
            cx.fault(
                format!("{path}[{at}].name"),
                place.clone(),
                format!("another one is called {name}"),
                "give each a name of its own: they are known by them",
            );
        }
        seen.push(name);
    }
}

/// A duration that LiveKit has a default for.
pub(super) fn timeout(
    section: &mut Section<'_>,
    key: &'static str,
    longest: Duration,
) -> Option<ProtoDuration> {
    let found = section.raw(key, &[])?;
    let value = section.parse(&found, duration(SECOND..=longest))?;
    Some(ProtoDuration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or_default(),
    })
}

/// Whether the network is wider than any provider's: 0.0.0.0/1 and 128.0.0.0/1 together are everybody, too.
fn is_wide(network: &str) -> bool {
    let Some((address, bits)) = network.split_once('/') else {
        return false;
    };
    let bits: u8 = bits.parse().unwrap_or_default();
    match address.parse::<Ipv6Addr>() {
        // ::ffff:0:0/96 is IPv4 (RFC 4291 §2.5.5.2).
        Ok(address) if address.to_ipv4_mapped().is_some() => bits < 96 + LEAST_BITS_V4,
        Ok(_) => bits < LEAST_BITS_V6,
        Err(_) => bits < LEAST_BITS_V4,
    }
}

/// An address, or a network in CIDR notation (RFC 4632).
fn network(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let (address, bits) = text
        .split_once('/')
        .map_or((text, None), |(address, bits)| (address, Some(bits)));
    let widest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return no_network(text),
    };
    match bits.map(str::parse::<u8>) {
        None => Ok(text.to_owned()),
        Some(Ok(bits)) if bits <= widest => Ok(text.to_owned()),
        Some(_) => no_network(text),
    }
}

fn no_network(text: &str) -> Result<String, Wrong> {
    wrong(
        format!("\"{text}\" is neither an address nor a network"),
        "write it like 198.51.100.7 or 198.51.100.0/24; LiveKit takes no names here",
    )
}

fn host(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    if text.starts_with("sip:") || text.starts_with("sips:") {
        return wrong(
            "it is a SIP URI, and LiveKit wants the host alone",
            "leave sip: out, and write the transport into `transport`",
        );
    }
    address(text).map(|_| text.to_owned())
}

fn transport_of(text: &str) -> Result<proto::SipTransport, Wrong> {
    Ok(match transport(text)? {
        SipTransport::Udp => proto::SipTransport::Udp,
        SipTransport::Tcp => proto::SipTransport::Tcp,
        SipTransport::Tls => proto::SipTransport::Tls,
    })
}

fn country(text: &str) -> Result<String, Wrong> {
    let text = text.trim().to_ascii_uppercase();
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(text)
    } else {
        wrong("it is no country", "write its two letters (ISO 3166-1), like DE")
    }
}

fn included_headers(text: &str) -> Result<proto::SipHeaderOptions, Wrong> {
    match text.trim() {
        "none" => Ok(proto::SipHeaderOptions::SipNoHeaders),
        "x" => Ok(proto::SipHeaderOptions::SipXHeaders),
        "all" => Ok(proto::SipHeaderOptions::SipAllHeaders),
        other => wrong(
            format!("\"{other}\" is none of none, x, all"),
            "write x for all X- headers, all for all of them",
        ),
    }
}

fn encryption_of(text: &str) -> Result<proto::SipMediaEncryption, Wrong> {
    match text.trim() {
        "disable" => Ok(proto::SipMediaEncryption::SipMediaEncryptDisable),
        "allow" => Ok(proto::SipMediaEncryption::SipMediaEncryptAllow),
        "require" => Ok(proto::SipMediaEncryption::SipMediaEncryptRequire),
        other => wrong(
            format!("\"{other}\" is none of disable, allow, require"),
            "write allow to encrypt where the other side can",
        ),
    }
}
