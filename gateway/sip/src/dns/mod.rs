//! Questions to DNS: one record type of one name at a time, each with a timeout, answers kept for as long as their TTL says.

mod cache;
mod exchange;
mod message;
mod system;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use domain::base::Name;
use parking_lot::Mutex;
use thiserror::Error;

use cache::Cache;
pub(crate) use message::Service;
use message::{Answer, Record};
pub(crate) use system::{Names, hosts};

/// Servers that are asked, at most: as many as the C library takes.
const MAX_SERVERS: usize = 3;
/// How often each of them is: UDP may lose a question.
const ROUNDS: usize = 2;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    A,
    Aaaa,
    Srv,
}

/// No server has answered, or none that knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("DNS does not answer")]
pub(crate) struct Unanswered;

/// The servers, and what they have said.
pub(crate) struct Dns {
    /// Those of the configuration; without any, the system's.
    servers: Vec<SocketAddr>,
    cache: Mutex<Cache>,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Dns {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            cache: Mutex::default(),
        }
    }

    /// Who is asked, and for which names. The system's settings are read each time, since they change with its network.
    pub(crate) async fn names(&self) -> Names {
        if self.servers.is_empty() {
            return Names::of_system().await;
        }
        Names::absolute(self.servers.clone())
    }

    /// The addresses of a fully qualified name; none when it has none.
    pub(crate) async fn addresses(
        &self,
        servers: &[SocketAddr],
        name: &str,
        kind: Kind,
    ) -> Result<Vec<IpAddr>, Unanswered> {
        let records = self.ask(servers, name, kind).await?;
        let addresses = records.iter().filter_map(|record| match record {
            Record::Address(address) => Some(*address),
            Record::Service(_) => None,
        });
        Ok(addresses.collect())
    }

    /// The SRV records of a fully qualified name.
    pub(crate) async fn services(
        &self,
        servers: &[SocketAddr],
        name: &str,
    ) -> Result<Vec<Service>, Unanswered> {
        let records = self.ask(servers, name, Kind::Srv).await?;
        let services = records.iter().filter_map(|record| match record {
            Record::Service(service) => Some(service.clone()),
            Record::Address(_) => None,
        });
        Ok(services.collect())
    }

    async fn ask(&self, servers: &[SocketAddr], name: &str, kind: Kind) -> Result<Arc<[Record]>, Unanswered> {
        let key = (name.to_ascii_lowercase(), kind);
        if let Some(known) = self.cache.lock().find(&key, now()) {
            return Ok(known);
        }
        // What cannot be a name has no records.
        let Ok(name) = name.parse::<Name<Vec<u8>>>() else {
            return Ok(Arc::default());
        };
        for _ in 0..ROUNDS {
            for server in servers.iter().take(MAX_SERVERS) {
                match exchange::ask(*server, &name, kind).await {
                    Ok(Answer::Known { records, ttl }) => {
                        let records: Arc<[Record]> = records.into();
                        self.cache.lock().keep(key, Arc::clone(&records), ttl, now());
                        return Ok(records);
                    }
                    // Another one may know.
                    Ok(Answer::Failed | Answer::Truncated) | Err(_) => {}
                }
            }
        }
        Err(Unanswered)
    }
}
