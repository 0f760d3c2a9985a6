//! What is known of telephone providers. A provider's own pages are the authority; what stands here is the usual case.

use std::time::Duration;

use crate::config::values::{Wrong, wrong};

/// One provider.
pub(super) struct Provider {
    name: &'static str,
    /// For providers that call accounts.
    registrar: Option<Registrar>,
    /// Where calls out go; `None` where every customer has a host of their own.
    pub(super) address: Option<&'static str>,
    /// What to write into `address` then.
    pub(super) address_remedy: &'static str,
    /// Whose calls are let in; empty where the provider does not publish it.
    pub(super) signalling: &'static [&'static str],
}

/// Where an account is registered.
#[derive(Clone, Copy)]
pub(super) struct Registrar {
    pub(super) host: &'static str,
    /// What is asked for.
    pub(super) expires: Duration,
}

const PROVIDERS: [Provider; 4] = [
    Provider {
        name: "novofon",
        // The server is the one that Novofon's personal account names beside user and password.
        // Two minutes keep the way through most NATs open.
        registrar: Some(Registrar {
            host: "sip.novofon.ru",
            expires: Duration::from_mins(2),
        }),
        address: Some("sip.novofon.ru"),
        address_remedy: "",
        // No list is published: its support names the addresses, and `getent ahosts sip.novofon.ru` what the name stands for at the moment.
        signalling: &[],
    },
    Provider {
        name: "twilio",
        registrar: None,
        address: None,
        address_remedy: "set it to the trunk's termination URI, like <your trunk>.pstn.twilio.com",
        // https://www.twilio.com/docs/sip-trunking/ip-addresses, as of March 2026, "Regional signaling IP gateways": Virginia, Oregon,
        // Ireland, Frankfurt, Tokyo, Singapore, Sydney, São Paulo. A call may come from any of them.
        signalling: &[
            "54.172.60.0/30",
            "54.244.51.0/30",
            "54.171.127.192/30",
            "35.156.191.128/30",
            "54.65.63.192/30",
            "54.169.127.128/30",
            "54.252.254.64/30",
            "177.71.206.192/30",
        ],
    },
    Provider {
        name: "telnyx",
        registrar: None,
        address: Some("sip.telnyx.com"),
        address_remedy: "",
        // https://sip.telnyx.com, "SIP Signaling Addresses", which Telnyx's page on allow lists names as the authority: US, Europe,
        // Australia, Canada, Asia.
        signalling: &[
            "192.76.120.10",
            "64.16.250.10",
            "185.246.41.140",
            "185.246.41.141",
            "103.115.244.145",
            "103.115.244.146",
            "192.76.120.31",
            "64.16.250.13",
            "103.115.244.158",
            "103.115.244.159",
        ],
    },
    Provider {
        name: "generic",
        registrar: None,
        address: None,
        address_remedy: "set it to the provider's SIP server, host[:port]",
        signalling: &[],
    },
];

/// The provider of that name. `generic` is one that nothing is known of.
pub(super) fn provider(text: &str) -> Result<&'static Provider, Wrong> {
    let found = PROVIDERS.iter().find(|provider| provider.name == text.trim());
    let unknown = Wrong {
        problem: format!("nothing is known of the provider \"{}\"", text.trim()),
        remedy: "write novofon, twilio, telnyx or generic, or leave it out".to_owned(),
    };
    found.ok_or(unknown)
}

/// Where accounts at the provider of that name are registered.
pub(super) fn registrar(text: &str) -> Result<Registrar, Wrong> {
    let known = PROVIDERS.iter().find(|provider| provider.name == text.trim());
    match known.and_then(|provider| provider.registrar) {
        Some(registrar) => Ok(registrar),
        None => wrong(
            format!("nothing is known of a registrar of \"{}\"", text.trim()),
            "write novofon, or leave it out and set server, transport and expires",
        ),
    }
}
