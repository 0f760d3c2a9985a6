//! dnsmasq as a name server on loopback, for the tests: what it is told, and nothing of the world's.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::files::StackDir;
use crate::ports::TcpReservation;
use crate::server::Server;
use crate::{StackError, probe};

const NAME: &str = "dnsmasq";
const START: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
const PORT_ATTEMPTS: usize = 5;

/// A running name server. Dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    // Declared before its folder, so that it ends first.
    _server: Server,
    address: SocketAddr,
    log: PathBuf,
    _dir: StackDir,
}

impl NameServer {
    /// Starts it with these lines of its configuration, such as `srv-host=_sip._udp.pbx.test,a.pbx.test,5070,10,60` and
    /// `host-record=a.pbx.test,127.0.0.1`. Names under `.test` that no line has do not exist. Answers hold for `ttl`.
    ///
    /// # Errors
    ///
    /// It is missing, exits, or is not ready within 10 s.
    pub async fn start(records: &[String], ttl: Duration) -> Result<Self, StackError> {
        let program = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"];
        let program = program.map(PathBuf::from).into_iter().find(|path| path.is_file());
        let program = program.ok_or_else(|| StackError::Missing {
            program: NAME,
            looked: "not in /usr/sbin".to_owned(),
            remedy: "run `make setup` in the repository, or install the Debian package dnsmasq-base",
        })?;
        let mut attempt = 1;
        loop {
            let dir = StackDir::new(None)?;
            let reserved = TcpReservation::new()?;
            let address = probe::loopback(reserved.port());
            let log = dir.path().join("dnsmasq.log");
            let config = dir.path().join("dnsmasq.conf");
            fs::write(&config, text(address, records, ttl)).map_err(|source| StackError::Write {
                path: config.clone(),
                source,
            })?;
            reserved.release();
            let args = [format!("--conf-file={}", config.display())];
            let mut server = Server::spawn(NAME, &program, &args, &log)?;
            match ready(&mut server, address, &log).await {
                Ok(()) => {
                    return Ok(Self {
                        _server: server,
                        address,
                        log,
                        _dir: dir,
                    });
                }
                // Somebody else may have taken the port meanwhile.
                Err(error @ StackError::Exited { .. }) if attempt < PORT_ATTEMPTS => {
                    tracing::debug!(%error, "another port for the name server");
                }
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Where it answers, by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked for records of this type (`SRV`, `A`) of this name.
    pub fn asked(&self, record: &str, name: &str) -> usize {
        let question = format!("query[{record}] {name} from ");
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains(&question)).count()
    }
}

async fn ready(server: &mut Server, address: SocketAddr, log: &std::path::Path) -> Result<(), StackError> {
    let deadline = Instant::now() + START;
    while TcpStream::connect(address).await.is_err() {
        server.still_runs()?;
        if Instant::now() >= deadline {
            return Err(StackError::NotReady {
                program: NAME,
                waited: START,
                log: log.to_owned(),
            });
        }
        sleep(POLL).await;
    }
    server.still_runs()
}

fn text(address: SocketAddr, records: &[String], ttl: Duration) -> String {
    let (port, ttl) = (address.port(), ttl.as_secs());
    // Started by root it would become somebody whom the log's folder is closed to.
    let mut text = format!(
        "keep-in-foreground\nuser=root\npid-file=\nlisten-address=127.0.0.1\nbind-interfaces\nport={port}\nno-resolv\nno-hosts\n\
         no-poll\nlocal=/test/\nlocal-ttl={ttl}\nlog-queries\nlog-facility=-\ncache-size=0\n"
    );
    for record in records {
        text.push_str(record);
        text.push('\n');
    }
    text
}
