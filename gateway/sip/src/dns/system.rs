//! What the system says of names: `/etc/resolv.conf` and `/etc/hosts`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const PORT: u16 = 53;
const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Of a search list: each may cost a question.
const MAX_SEARCH: usize = 6;

/// Who is asked, and for which names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is looked for in the search list first.
    dots: usize,
}

impl Names {
    /// Each name is what it is.
    pub(super) fn absolute(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            search: Vec::new(),
            dots: 0,
        }
    }

    pub(super) async fn of_system() -> Self {
        Self::parse(&tokio::fs::read(RESOLV_CONF).await.unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        // Lines that make no sense are passed over, as the C library does.
        let (config, _) = resolv_conf::Config::parse_with_errors(text);
        let servers = config.get_nameservers_or_local();
        let servers = servers
            .iter()
            .map(|server| SocketAddr::new(IpAddr::from(server), PORT));
        let search = config.get_last_search_or_domain();
        Self {
            servers: servers.collect(),
            search: search
                .filter(|domain| *domain != ".")
                .take(MAX_SEARCH)
                .cloned()
                .collect(),
            dots: usize::try_from(config.ndots).unwrap_or(1),
        }
    }

    /// What a name may stand for, fully qualified, in the order in which they are tried.
    pub(crate) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|domain| {
            let domain = domain.trim_end_matches('.');
            format!("{name}.{domain}")
        });
        let itself = || std::iter::once(name.to_owned());
        if name.matches('.').count() >= self.dots {
            itself().chain(searched).collect()
        } else {
            searched.chain(itself()).collect()
        }
    }
}

/// The addresses that the host itself gives a name.
pub(crate) async fn hosts(name: &str, is_v4: bool) -> Vec<IpAddr> {
    let text = tokio::fs::read_to_string(HOSTS).await.unwrap_or_default();
    of_hosts(&text, name, is_v4)
}

fn of_hosts(text: &str, name: &str, is_v4: bool) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let is_named = words.any(|word| word.eq_ignore_ascii_case(name));
        (is_named && address.is_ipv4() == is_v4).then_some(address)
    });
    let found: Vec<IpAddr> = lines.collect();
    // RFC 6761 §6.3.
    if found.is_empty() && name.eq_ignore_ascii_case("localhost") {
        return vec![if is_v4 {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        }];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_as_the_system_says() {
        let names = Names::parse(
            b"nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example.\noptions ndots:2\nnonsense\n",
        );
        let servers =
            ["192.0.2.53:53", "[2001:db8::53]:53"].map(|server| server.parse().expect("an address"));
        assert_eq!(names.servers, servers);
        assert_eq!(
            names.candidates("pbx.x"),
            ["pbx.x.a.example", "pbx.x.b.example", "pbx.x"]
        );
        assert_eq!(
            names.candidates("a.pbx.x"),
            ["a.pbx.x", "a.pbx.x.a.example", "a.pbx.x.b.example"]
        );
        assert_eq!(names.candidates("pbx."), ["pbx"]);
        assert_eq!(Names::absolute(Vec::new()).candidates("pbx"), ["pbx"]);
        let own = ["127.0.0.1:53", "[::1]:53"].map(|server| server.parse().expect("an address"));
        assert_eq!(Names::parse(b"").servers, own);
    }

    #[test]
    fn what_the_host_says_itself_is_read_by_family() {
        let text = "127.0.0.1 localhost\n::1 ip6-localhost # localhost\n192.0.2.7\tPBX pbx.example # old\n2001:db8::7 pbx\nx pbx\n";
        let v4 = |name| of_hosts(text, name, true);
        assert_eq!(v4("pbx"), [IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(v4("pbx.EXAMPLE."), [IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(v4("old"), [] as [IpAddr; 0]);
        assert_eq!(
            of_hosts(text, "pbx", false),
            ["2001:db8::7".parse::<IpAddr>().expect("an address")]
        );
        assert_eq!(
            of_hosts(text, "localhost", false),
            [IpAddr::V6(Ipv6Addr::LOCALHOST)]
        );
    }
}
