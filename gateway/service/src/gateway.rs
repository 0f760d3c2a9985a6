//! The gateway as a whole: start, calls, shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use media::PortPool;
use platform::clock::{Clock as _, SystemClock};
use platform::config::LiveKitConfig;
use platform::config::SipLadder;
use platform::livekit::{LiveKit, LiveKitError};
use platform::store::Store;
use sip::digest::Authenticator;
use sip::{
    Authorities, Certificates, IncomingCall, Rejection, RsipStack, SipConfig, SipStack, StackStats,
    StreamTimes, TlsError, TlsListen,
};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::outgoing::caps::Caps;
use crate::call::{self, Context};
use crate::edge::EdgeLog;
use crate::records::Records;
use crate::registrations::{self, ByContact, RegistrationHealth, Registrations};
use crate::sounds::Sounds;
use crate::{ConfigError, GatewayConfig, SoundError, certificate};

const BUS_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls may take to say good-bye at a shutdown.
const CALLS_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the gateway did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("sip.{0}")]
    Config(#[from] ConfigError),
    #[error("livekit: {0}")]
    LiveKit(#[from] LiveKitError),
    /// Redis is not there (yet). A later attempt may succeed.
    #[error("the bus is not reachable: is Redis running at redis.url?")]
    Bus(#[from] bus::BusError),
    /// A recording. Needs an operator.
    #[error("sip.sounds.{0}")]
    Sounds(#[from] SoundError),
    /// A certificate, its key, or the list of authorities. Needs an operator.
    #[error("sip.tls: {0}")]
    Tls(#[from] TlsError),
    /// The port is taken, or the system refuses. Needs an operator.
    #[error("SIP cannot be served")]
    Sip(#[from] sip::StartError),
}

/// What the gateway holds at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayStats {
    /// Calls with a task of their own.
    pub calls: usize,
    /// RTP ports in use.
    pub rtp_ports: usize,
    /// Whether Redis is connected.
    pub bus_connected: bool,
    pub sip: StackStats,
}

/// A running gateway. Dropping it ends all calls, without waiting for it; [`Gateway::shutdown`] waits.
#[derive(Debug)]
pub struct Gateway {
    local: SocketAddr,
    streams: (Option<SocketAddr>, Option<SocketAddr>),
    registrations: Registrations,
    bus: bus::Client,
    server: bus::Server,
    ports: PortPool,
    calls: TaskTracker,
    acceptor: TaskTracker,
    sip_stats: watch::Receiver<StackStats>,
    drain: CancellationToken,
    stop: CancellationToken,
    failed: CancellationToken,
}

impl Gateway {
    /// Connects to the bus, binds the SIP port and serves. Calls are recorded in `store`, if there is one.
    ///
    /// # Errors
    /// [`StartError`]; its variants say whether a later attempt may succeed.
    pub async fn start(config: GatewayConfig, store: Option<Arc<dyn Store>>) -> Result<Self, StartError> {
        config.check()?;
        let livekit = LiveKit::new(&LiveKitConfig {
            url: config.livekit_url.clone(),
            api_key: config.api_key.clone(),
            api_secret: config.api_secret.clone(),
            webhook_keys: Vec::new(),
        })?;
        let (targets, elsewhere) = config.targets()?;
        let sounds = Sounds::read(&config.sounds)?;
        let sip = sip_config(&config)?;
        let certificates = sip.tls.as_ref().map(|tls| Arc::clone(&tls.certificates));
        let (bus, server) = join_bus(&config).await?;
        let stack = RsipStack::start(sip).await?;
        let local = stack.local_addr();
        let streams = stack.stream_addrs();
        let registrations = Registrations::new(stack.registrations());
        tracing::info!(address = %local, tcp = ?streams.0, tls = ?streams.1, "SIP is served");
        let ports = PortPool::new(config.rtp_ports, rand::random());
        let (stats, sip_stats) = watch::channel(StackStats::default());
        let (calls, acceptor) = (TaskTracker::new(), TaskTracker::new());
        let [drain, stop, failed] = std::array::from_fn(|_| CancellationToken::new());
        let (max_calls, certificate_every) = (config.max_calls, config.certificate_every);
        let context = Context {
            targets,
            elsewhere,
            sounds,
            caps: Caps::new(config.calls.per_trunk, config.calls.per_number),
            dialer: stack.dialer(),
            registered: ByContact::new(&config.registrations),
            server: server.clone(),
            records: Records::new(store, config.ladder),
            pins: Arc::new(Semaphore::new(config.limits.ringing)),
            config,
            livekit,
            bus: bus.clone(),
            ports: ports.clone(),
            authenticator: Authenticator::new(rand::random()),
            started: Instant::now(),
            stop: stop.clone(),
        };
        let requests = {
            let (calls, drain) = (calls.clone(), drain.clone());
            // What is left to another gateway rings there at once; what is refused does not ring at all.
            let gate = move || calls.len() < max_calls && !drain.is_cancelled();
            server.serve(CREATE, Arc::new(gate))
        };
        let task = Acceptor {
            requests: Some(requests),
            stack: Box::new(stack),
            context: Arc::new(context),
            calls: calls.clone(),
            stats,
            edge: EdgeLog::default(),
            drain: drain.clone(),
            stop: stop.clone(),
            failed: failed.clone(),
        };
        acceptor.spawn(Box::pin(task.run()));
        if let Some(certificates) = certificates {
            acceptor.spawn(certificate::watch(certificates, certificate_every, stop.clone()));
        }
        for teller in registrations.tellers(&stop) {
            acceptor.spawn(teller);
        }
        acceptor.close();
        Ok(Self {
            local,
            streams,
            registrations,
            bus,
            server,
            ports,
            calls,
            acceptor,
            sip_stats,
            drain,
            stop,
            failed,
        })
    }

    /// The address that SIP over UDP is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The addresses that SIP over TCP and over TLS is listened on.
    pub fn stream_addrs(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.streams
    }

    /// What the gateway holds. The part about SIP is at most 100 ms old.
    pub fn stats(&self) -> GatewayStats {
        GatewayStats {
            calls: self.calls.len(),
            rtp_ports: self.ports.in_use(),
            bus_connected: self.bus.is_connected() && self.server.is_connected(),
            sip: *self.sip_stats.borrow(),
        }
    }

    /// How the registrations stand, in the order of the configuration.
    pub fn registrations(&self) -> Vec<RegistrationHealth> {
        self.registrations.health()
    }

    /// Refuses new calls with 503 from now on, and takes no requests to dial; calls under way go on.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Resolves when there is no call; [`drain`](Self::drain) comes before. Cancel-safe.
    pub async fn idle(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Resolves when the SIP stack has died: the gateway serves no more, and its process should end.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Hangs up all calls, leaves their rooms and stops. Takes at most about ten seconds. Idempotent.
    pub async fn shutdown(&self) {
        self.drain.cancel();
        self.stop.cancel();
        self.acceptor.wait().await;
        self.bus.shutdown().await;
        self.server.shutdown().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn sip_config(config: &GatewayConfig) -> Result<SipConfig, TlsError> {
    Ok(SipConfig {
        listen: config.listen,
        tcp: config.tcp,
        tls: tls_listen(config)?,
        authorities: Authorities::load(config.tls.authorities.as_deref())?,
        times: StreamTimes::default(),
        registrations: config.registrations.iter().map(registrations::account).collect(),
        keep_alive: config.keep_alive,
        dns: config.dns.clone(),
        advertised: advertised(config),
        max_calls: config.max_calls,
        limits: config.limits,
        t1: SipConfig::T1,
        user_agent: concat!("Trunkline/", env!("CARGO_PKG_VERSION")).to_owned(),
        session: config.session,
        ladders: config.ladder != SipLadder::Off,
    })
}

fn tls_listen(config: &GatewayConfig) -> Result<Option<TlsListen>, TlsError> {
    let server = config.tls.server.as_ref();
    let listen = server.map(|server| {
        Ok(TlsListen {
            listen: server.listen,
            certificates: Arc::new(Certificates::load(&server.certificate, &server.key)?),
        })
    });
    listen.transpose()
}

/// To ask LiveKit, and to be asked.
async fn join_bus(config: &GatewayConfig) -> Result<(bus::Client, bus::Server), bus::BusError> {
    let bus = bus::Client::connect(bus::Options {
        redis_url: config.redis_url.expose().to_owned(),
        services: vec![bus::ioinfo::SERVICE.to_owned()],
        connect_timeout: BUS_CONNECT_TIMEOUT,
        now: Arc::new(|| SystemClock.now().into()),
    })
    .await?;
    let server = bus::Server::connect(bus::ServerOptions {
        redis_url: config.redis_url.expose().to_owned(),
        connect_timeout: BUS_CONNECT_TIMEOUT,
        now: Arc::new(|| SystemClock.now().into()),
    })
    .await?;
    Ok((bus, server))
}

fn advertised(config: &GatewayConfig) -> Option<SocketAddr> {
    // With a free port the outer port is known only once bound; both are then the same host's.
    let differs = config.advertised_address != config.listen.ip() && config.listen.port() != 0;
    differs.then(|| SocketAddr::new(config.advertised_address, config.listen.port()))
}

/// What LiveKit asks of gateways that serve no cluster of their own.
const CREATE: bus::Method<'static> = bus::Method {
    service: bus::sipinternal::SERVICE,
    method: bus::sipinternal::CREATE_PARTICIPANT,
    topic: "",
};

/// Takes calls from the stack and from LiveKit and gives each a task.
struct Acceptor {
    /// Until nothing more comes.
    requests: Option<bus::Requests>,
    stack: Box<dyn SipStack>,
    context: Arc<Context>,
    calls: TaskTracker,
    stats: watch::Sender<StackStats>,
    edge: EdgeLog,
    drain: CancellationToken,
    stop: CancellationToken,
    failed: CancellationToken,
}

impl Acceptor {
    const STATS_EVERY: Duration = Duration::from_millis(100);

    async fn run(mut self) {
        let mut ticks = tokio::time::interval(Self::STATS_EVERY);
        let mut withdrawn = false;
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => self.look(),
                () = self.drain.cancelled(), if !withdrawn => {
                    withdrawn = true;
                    if let Some(requests) = &self.requests {
                        requests.withdraw();
                    }
                }
                request = next_request(&mut self.requests) => match request {
                    Some(request) => {
                        self.calls.spawn(call::outgoing::run(Arc::clone(&self.context), request));
                    }
                    None => self.requests = None,
                },
                call = self.stack.next_call() => if let Some(call) = call {
                    self.take(call);
                } else {
                    tracing::error!("the SIP stack has died; no call is served any more");
                    self.failed.cancel();
                    break;
                },
            }
        }
        self.stop.cancel();
        self.requests = None;
        self.calls.close();
        if timeout(CALLS_STOP_TIMEOUT, self.calls.wait()).await.is_err() {
            tracing::warn!(left = self.calls.len(), "calls did not end in time");
        }
        self.stack.shutdown().await;
        self.stats.send_replace(self.stack.stats());
    }

    fn look(&mut self) {
        let stats = self.stack.stats();
        self.edge.tell(&stats.refusals, Instant::now().into_std());
        self.stats.send_replace(stats);
    }

    fn take(&self, call: IncomingCall) {
        if self.drain.is_cancelled() {
            self.calls.spawn(async move {
                let mut rejection = Rejection::with_reason(503, "shutting down");
                rejection
                    .headers
                    .push(("Retry-After".to_owned(), "10".to_owned()));
                // The caller may have given up.
                let _ = call.control.reject(rejection).await;
            });
        } else {
            self.calls.spawn(call::run(Arc::clone(&self.context), call));
        }
    }
}

async fn next_request(requests: &mut Option<bus::Requests>) -> Option<bus::Incoming> {
    match requests {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}
