//! Where a request to a host goes (RFC 3263), and which hosts have failed lately.

mod order;
mod setbacks;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use rand::Rng as _;
use thiserror::Error;
use tokio::time::{Instant, timeout};

use crate::dns::{Dns, Kind, Names, Service, Unanswered, hosts};
use crate::{Destination, Transport};
use setbacks::Setbacks;

/// For all questions together.
const LIMIT: Duration = Duration::from_secs(8);
/// Hosts that are tried for one request.
const MAX_HOSTS: usize = 8;

/// Why nobody knows where a request could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LocateError {
    /// There is no such name, or it has no address of the family that we listen with.
    #[error("DNS knows no address of it")]
    Unknown,
    /// Its SRV record says that it offers nothing over this transport (RFC 2782, a target of `.`).
    #[error("DNS says that it does not offer this transport")]
    NotOffered,
    /// No server of DNS has answered in time, or none that knows.
    #[error("DNS does not answer")]
    Unanswered,
}

impl From<Unanswered> for LocateError {
    fn from(_: Unanswered) -> Self {
        Self::Unanswered
    }
}

/// Finds hosts.
pub(crate) struct Locator {
    dns: Dns,
    is_v4: bool,
    setbacks: Mutex<Setbacks>,
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locator").finish_non_exhaustive()
    }
}

/// Whom a request is for.
#[derive(Clone, Copy)]
struct Target<'a> {
    host: &'a str,
    port: Option<u16>,
    transport: Transport,
}

impl Target<'_> {
    fn at(&self, address: IpAddr, port: Option<u16>) -> Destination {
        let port = port.or(self.port).unwrap_or(self.transport.default_port());
        Destination {
            address: SocketAddr::new(address, port),
            transport: self.transport,
            // RFC 5922 §4: the certificate is for whom was dialled, and not for where DNS has sent us.
            name: match self.transport {
                Transport::Tls => self.host.to_owned(),
                Transport::Udp | Transport::Tcp => String::new(),
            },
        }
    }

    /// RFC 3263 §4.1.
    fn service(&self) -> &'static str {
        match self.transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        }
    }
}

impl Locator {
    /// `servers`: of DNS; without any, the system's. `local`: what we listen on, which says of what family addresses are.
    pub(crate) fn new(servers: Vec<SocketAddr>, local: SocketAddr) -> Self {
        Self {
            dns: Dns::new(servers),
            is_v4: local.is_ipv4(),
            setbacks: Mutex::default(),
        }
    }

    /// The hosts for a request, in the order in which they are to be tried (RFC 3263 §4.2); at least one.
    pub(crate) async fn locate(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
    ) -> Result<Vec<Destination>, LocateError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let target = Target {
            host,
            port,
            transport,
        };
        let found = match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![target.at(address, None)]),
            Err(_) => timeout(LIMIT, self.by_name(target))
                .await
                .unwrap_or(Err(LocateError::Unanswered)),
        };
        let mut hosts: Vec<Destination> = Vec::new();
        for host in found? {
            if host.address.is_ipv4() == self.is_v4 && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        // By order of DNS first: of very many the best are kept.
        hosts.truncate(MAX_HOSTS);
        self.setbacks.lock().sort(&mut hosts, Instant::now().into_std());
        if hosts.is_empty() {
            return Err(LocateError::Unknown);
        }
        Ok(hosts)
    }

    /// A host has not answered, or has said 503, perhaps with the time when it wants to be asked again.
    pub(crate) fn failed(&self, host: &Destination, retry_after: Option<Duration>) {
        let now = Instant::now().into_std();
        self.setbacks.lock().failed(host, retry_after, now);
    }

    /// A host has answered something else.
    pub(crate) fn answered(&self, host: &Destination) {
        self.setbacks.lock().answered(host);
    }

    async fn by_name(&self, target: Target<'_>) -> Result<Vec<Destination>, LocateError> {
        let own = hosts(target.host, self.is_v4).await;
        if !own.is_empty() {
            return Ok(own.into_iter().map(|address| target.at(address, None)).collect());
        }
        let names = self.dns.names().await;
        let mut error = LocateError::Unknown;
        for name in names.candidates(target.host) {
            match self.by_dns(target, &name, &names).await {
                Err(LocateError::Unknown) => {}
                Err(LocateError::Unanswered) => error = LocateError::Unanswered,
                decided => return decided,
            }
        }
        Err(error)
    }

    /// By SRV records, and where there are none by the name's own addresses.
    async fn by_dns(
        &self,
        target: Target<'_>,
        name: &str,
        names: &Names,
    ) -> Result<Vec<Destination>, LocateError> {
        let addresses = self.addresses(name, names);
        if target.port.is_some() {
            let addresses = addresses.await?;
            return found(addresses.into_iter().map(|address| target.at(address, None)));
        }
        let service = format!("{}.{name}", target.service());
        // Together: most names have no SRV records, and nobody is to wait twice.
        let (services, addresses) = tokio::join!(self.dns.services(&names.servers, &service), addresses);
        match services {
            // Some routers answer no question of this kind.
            Err(Unanswered) => match addresses {
                Ok(addresses) if addresses.is_empty() => Err(LocateError::Unanswered),
                addresses => found(addresses?.into_iter().map(|address| target.at(address, None))),
            },
            Ok(services) if services.is_empty() => {
                found(addresses?.into_iter().map(|address| target.at(address, None)))
            }
            Ok(services) => self.by_services(target, services, names).await,
        }
    }

    async fn by_services(
        &self,
        target: Target<'_>,
        services: Vec<Service>,
        names: &Names,
    ) -> Result<Vec<Destination>, LocateError> {
        let offered = services.into_iter().filter(|service| !service.target.is_empty());
        let offered: Vec<Service> = offered.collect();
        if offered.is_empty() {
            return Err(LocateError::NotOffered);
        }
        let mut ordered = order::ordered(offered, |most| rand::rng().random_range(0..=most));
        ordered.truncate(MAX_HOSTS);
        let questions = ordered
            .iter()
            .map(|service| self.addresses(&service.target, names));
        let answers = join_all(questions).await;
        let is_unanswered = answers.iter().any(Result::is_err);
        let hosts = ordered.iter().zip(answers).flat_map(|(service, addresses)| {
            let addresses = addresses.unwrap_or_default().into_iter();
            addresses.map(|address| target.at(address, Some(service.port)))
        });
        match found(hosts) {
            Err(LocateError::Unknown) if is_unanswered => Err(LocateError::Unanswered),
            decided => decided,
        }
    }

    async fn addresses(&self, name: &str, names: &Names) -> Result<Vec<IpAddr>, Unanswered> {
        let kind = if self.is_v4 { Kind::A } else { Kind::Aaaa };
        self.dns.addresses(&names.servers, name, kind).await
    }
}

fn found(hosts: impl Iterator<Item = Destination>) -> Result<Vec<Destination>, LocateError> {
    let hosts: Vec<Destination> = hosts.collect();
    if hosts.is_empty() {
        return Err(LocateError::Unknown);
    }
    Ok(hosts)
}
