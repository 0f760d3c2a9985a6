//! URLs that LiveKit's services are made to fetch from or push to: not a way into the network that they stand in (SSRF).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use reqwest::Url;
use tokio::time::timeout;

use crate::Fail;

const MAX_BYTES: usize = 2_048;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// A URL whose host is, as far as one can tell from here, on the public internet.
///
/// Names are resolved once, here; the service that uses the URL resolves them again. A name whose owner changes its address in between
/// gets through: let a firewall keep egress and ingress off internal networks.
///
/// `Debug` shows scheme and host only: paths carry stream keys.
#[derive(Clone)]
pub struct OutsideUrl(Url);

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError {
    /// No URL, too long, or of another scheme.
    #[error("it is no URL of the kinds {0}")]
    Invalid(String),
    /// The host is this machine, or in a private or reserved network.
    #[error("its host is not on the public internet")]
    Private,
    /// The name has no address.
    #[error("its host has no address")]
    Unknown,
}

impl OutsideError {
    /// As an answer to whoever put it into `field`.
    pub fn fail(&self, field: &str) -> Fail {
        match self {
            Self::Invalid(_) => Fail::invalid(field, self.to_string(), "write a whole URL"),
            Self::Private => Fail::refused(
                "private_url",
                field,
                self.to_string(),
                "use a public host, or list this one in the configuration's private_hosts",
            ),
            Self::Unknown => Fail::invalid(field, self.to_string(), "check the host's name"),
        }
    }
}

impl OutsideUrl {
    /// Checks the URL. `private_hosts` are hosts, as they stand in the URL, that are taken although they are private.
    ///
    /// # Errors
    /// As [`OutsideError`] says.
    pub async fn parse(text: &str, schemes: &[&str], private_hosts: &[String]) -> Result<Self, OutsideError> {
        let invalid = || OutsideError::Invalid(schemes.join(", "));
        // What parsers read differently: to some a backslash ends the host, and white space is dropped.
        let is_ambiguous = |c: char| c == '\\' || c.is_whitespace() || c.is_control();
        if text.len() > MAX_BYTES || text.contains(is_ambiguous) {
            return Err(invalid());
        }
        let url = Url::parse(text).map_err(|_| invalid())?;
        if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
            return Err(invalid());
        }
        // Only for the web's own schemes does the parser read 2130706433 and 0x7f.1 as the addresses that they are.
        let (_, rest) = text.split_once(':').ok_or_else(invalid)?;
        // To some ? and # do not end the host either, and what stands before an @ is its.
        let authority = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
        if authority.contains(['@', '?', '#']) {
            return Err(invalid());
        }
        let web = Url::parse(&format!("http:{rest}")).map_err(|_| invalid())?;
        let host = web.host().ok_or_else(invalid)?;
        let name = host.to_string();
        if private_hosts
            .iter()
            .any(|private| private.eq_ignore_ascii_case(&name))
        {
            return Ok(Self(url));
        }
        // By its form: the crate of the enumeration is not ours to name.
        let literal = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match literal {
            Ok(address) if is_public(address) => Ok(Self(url)),
            Ok(_) => Err(OutsideError::Private),
            Err(_) => resolve(&name).await.map(|()| Self(url)),
        }
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for OutsideUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}/…",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )
    }
}

async fn resolve(name: &str) -> Result<(), OutsideError> {
    let name = name.trim_end_matches('.');
    let inner = ["localhost", "local", "internal", "intranet", "lan", "home.arpa"];
    if !name.contains('.')
        || inner
            .iter()
            .any(|inner| name == *inner || name.ends_with(&format!(".{inner}")))
    {
        return Err(OutsideError::Private);
    }
    let found = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, 443)))
        .await
        .map_err(|_| OutsideError::Unknown)?
        .map_err(|_| OutsideError::Unknown)?;
    let mut any = false;
    for address in found {
        any = true;
        if !is_public(address.ip()) {
            return Err(OutsideError::Private);
        }
    }
    if any { Ok(()) } else { Err(OutsideError::Unknown) }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Everything but the special-purpose blocks of RFC 6890 and its registry.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

/// Global unicast (`2000::/3`) without the blocks that stand for IPv4 or for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    // Teredo and its kin (2001::/23), 6to4, documentation.
    let special = (a == 0x2001 && b < 0x200) || a == 0x2002 || (a == 0x2001 && b == 0xdb8) || a == 0x3fff;
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn verdict(text: &str) -> Result<(), OutsideError> {
        let schemes = ["https", "http", "rtmp", "srt"];
        OutsideUrl::parse(text, &schemes, &["media.lan".into()])
            .await
            .map(|_| ())
    }

    #[tokio::test]
    async fn hosts_inside_are_refused_however_they_are_written() {
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "rtmp://127.0.0.1/live",
            "rtmp://0x7f000001/live",
            "srt://2130706433:9000",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[fc00::1]/",
            "http://[2002:7f00:1::]/",
            "http://[64:ff9b::7f00:1]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://printer.local/",
            "http://metadata.google.internal/",
            "http://redis:6379/",
            "https://198.18.0.1/",
            "http://①②⑦.⓪.⓪.①/",
        ] {
            assert_eq!(verdict(text).await, Err(OutsideError::Private), "{text}");
        }
    }

    #[tokio::test]
    async fn public_addresses_and_listed_hosts_are_taken() {
        for text in [
            "https://93.184.216.34/a.m3u8",
            "rtmp://93.184.216.34/live/key",
            "http://93.184.216.34/a?b=c@d#e",
            "https://[2606:2800:220:1::1]/x",
            "http://media.lan/a.mp3",
        ] {
            assert_eq!(verdict(text).await, Ok(()), "{text}");
        }
    }

    #[tokio::test]
    async fn other_schemes_and_no_urls_are_refused() {
        let long = format!("https://93.184.216.34/{}", "a".repeat(3_000));
        for text in [
            "",
            "file:///etc/passwd",
            "gopher://93.184.216.34/",
            "ftp://93.184.216.34/",
            "https://",
            "https:",
            "/a/b",
            "javascript:alert(1)",
            "rtmp:",
            r"rtmp://93.184.216.34\@127.0.0.1/live/key",
            "http://user@127.0.0.1/",
            "http://user:word@93.184.216.34/",
            "http://8.8.8.8#@127.0.0.1/",
            "http://8.8.8.8?@127.0.0.1/",
            "http:///8.8.8.8#@127.0.0.1/",
            "rtmp://8.8.8.8?@127.0.0.1/live/key",
            "http://8.8.8.8#a",
            "http://93.184.216.34/a b",
            " http://93.184.216.34/",
            "http://93.184.\n216.34/",
            &long,
        ] {
            assert!(
                matches!(verdict(text).await, Err(OutsideError::Invalid(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn debug_shows_no_path() {
        let url = OutsideUrl(Url::parse("rtmp://93.184.216.34/live/canary").unwrap());
        assert_eq!(format!("{url:?}"), "rtmp://93.184.216.34/…");
    }
}
