//! [`SipStack`] on `rsipstack`. All that knows `rsipstack` is in this folder; its faults are worked around from outside:
//!
//! | fault | answer |
//! |---|---|
//! | logs whole messages | its thread has no subscriber ([`thread`]) |
//! | no limits, unbounded queues | admission at the socket ([`socket`]), a bound on calls ([`dispatcher`]) and on INVITEs ([`open`]) |
//! | connections as long, as many and as slow as the peer likes, certificates read once | connections are ours ([`flows`]) |
//! | a response that cannot be sent leaves its transaction for ever | such a transaction is dropped ([`dispatcher`]) |
//! | does not hear that nobody listens at a UDP port | we do ([`icmp`]) |
//! | unknown methods and `Require` are not answered | admission answers them |
//! | lower CSeq within a dialog, requests before the ACK: no answer | whatever its dialog leaves unanswered gets 500 ([`dispatcher`]) |
//! | a re-INVITE before the 200 starts a second answer loop | refused with 500 ([`dispatcher`]) |
//! | a BYE before the 200 leaves the INVITE unanswered | 487 ([`call`]) |
//! | ended dialogs stay in its table | removed ([`call`]) |
//! | digests: the verifier is wrong; as a client it knows no SHA-256, no list of qop, one challenge | [`crate::digest`] |
//! | its client for INVITEs takes no tag of ours and leaves fork and CANCEL to luck | INVITEs that we send are ours ([`dial`]), on its transactions |
//! | it ends a dialog whose request is challenged | our requests within dialogs are ours ([`requests`]) |

mod call;
mod convert;
mod dial;
mod dispatcher;
mod flows;
pub mod fuzz;
mod icmp;
mod observer;
mod open;
mod register;
mod reliable;
mod requests;
mod socket;
mod thread;
mod timing;
mod within;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rsipstack::transaction::endpoint::EndpointInner;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Limits};
use crate::ladder::Ladders;
use crate::locate::Locator;
use crate::{
    Account, Authorities, Certificates, Dialer, IncomingCall, Refusals, RegistrationStatus, SessionTimes,
    SipStack, StackStats, StreamTimes, TlsError, Transport,
};
use flows::Slots;
pub(crate) use open::RingingCall;

/// Calls that may wait for the gateway to take them, and calls that may wait to be placed.
const CALL_QUEUE: usize = 64;
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the stack may take to stop: its BYEs are sent once and not waited for beyond this.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What the stack needs.
#[derive(Debug, Clone)]
pub struct SipConfig {
    /// The UDP address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The TCP address to listen on, if any.
    pub tcp: Option<SocketAddr>,
    /// Where TLS is listened for, if it is.
    pub tls: Option<TlsListen>,
    /// Whom connections by TLS are opened to.
    pub authorities: Authorities,
    /// How long connections may take.
    pub times: StreamTimes,
    /// What is kept registered.
    pub registrations: Vec<Account>,
    /// How often something is sent to the registrars of accounts over UDP, so that a NAT on the way does not forget us; `None`: never.
    pub keep_alive: Option<Duration>,
    /// Servers of DNS; without any, the system's.
    pub dns: Vec<SocketAddr>,
    /// The address that peers reach us by, when it differs: for Via and Contact.
    pub advertised: Option<SocketAddr>,
    /// Calls at once; the next gets 503 with Retry-After.
    pub max_calls: usize,
    pub limits: Limits,
    /// T1, of which the other times are multiples (RFC 3261 §17.1.1.1): [`SipConfig::T1`], unless a test cannot wait.
    pub t1: Duration,
    /// How long a session may go unrefreshed.
    pub session: SessionTimes,
    /// For the User-Agent header.
    pub user_agent: String,
    /// Whether the messages of calls are kept while they go on, for [`crate::Ladder`].
    pub ladders: bool,
}

/// TLS for those who connect to us.
#[derive(Debug, Clone)]
pub struct TlsListen {
    pub listen: SocketAddr,
    pub certificates: Arc<Certificates>,
}

impl SipConfig {
    /// RFC 3261's.
    pub const T1: Duration = Duration::from_millis(500);
}

/// Why the stack did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot listen on {transport}:{listen}")]
    Bind {
        transport: Transport,
        listen: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the SIP thread")]
    Thread(#[source] std::io::Error),
    #[error("the SIP stack did not start: {0}")]
    Stack(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// SIP, by `rsipstack` on a thread of its own.
#[derive(Debug)]
pub struct RsipStack {
    local: SocketAddr,
    tcp: Option<SocketAddr>,
    tls: Option<SocketAddr>,
    calls: mpsc::Receiver<IncomingCall>,
    dialer: Dialer,
    registrations: Vec<(String, watch::Receiver<RegistrationStatus>)>,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    stopped: Option<oneshot::Receiver<()>>,
}

/// What the thread keeps and the outside reads.
pub(crate) struct Shared {
    pub(crate) calls: AtomicUsize,
    pub(crate) dialogs: AtomicUsize,
    pub(crate) refusals: Mutex<Refusals>,
    pub(crate) admission: Mutex<Admission>,
    pub(crate) connections: Mutex<Slots>,
    pub(crate) ladders: Arc<Ladders>,
    /// Once it is there. It holds the socket, and the socket holds this.
    pub(crate) endpoint: OnceLock<Weak<EndpointInner>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn new(limits: Limits, ladders: bool) -> Self {
        Self {
            calls: AtomicUsize::new(0),
            dialogs: AtomicUsize::new(0),
            refusals: Mutex::default(),
            admission: Mutex::new(Admission::new(limits)),
            connections: Mutex::new(Slots::new(limits)),
            ladders: Ladders::new(ladders),
            endpoint: OnceLock::new(),
        }
    }
}

/// All that is listened on.
struct Sockets {
    udp: std::net::UdpSocket,
    local: SocketAddr,
    tcp: Option<std::net::TcpListener>,
    tls: Option<std::net::TcpListener>,
}

impl Sockets {
    fn bind(config: &SipConfig) -> Result<Self, StartError> {
        let failed = |transport, listen| {
            move |source| StartError::Bind {
                transport,
                listen,
                source,
            }
        };
        let udp = bind_udp(config.listen).map_err(failed(Transport::Udp, config.listen))?;
        let listener = |transport, listen: Option<SocketAddr>| {
            let bound = listen.map(|listen| bind_stream(listen).map_err(failed(transport, listen)));
            bound.transpose()
        };
        Ok(Self {
            local: udp.local_addr().map_err(failed(Transport::Udp, config.listen))?,
            udp,
            tcp: listener(Transport::Tcp, config.tcp)?,
            tls: listener(Transport::Tls, config.tls.as_ref().map(|tls| tls.listen))?,
        })
    }
}

fn bind_udp(listen: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(listen)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_stream(listen: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where each account's status is written, and where it is read, by its name.
#[expect(clippy::type_complexity, reason = "two lists, side by side, once")]
fn statuses(
    accounts: &[Account],
) -> (
    Vec<watch::Sender<RegistrationStatus>>,
    Vec<(String, watch::Receiver<RegistrationStatus>)>,
) {
    let made = accounts.iter().map(|account| {
        let (status, watched) = watch::channel(RegistrationStatus::default());
        (status, (account.name.clone(), watched))
    });
    made.unzip()
}

fn local_of(listener: Option<&std::net::TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}

impl RsipStack {
    /// Binds the sockets and starts the thread.
    ///
    /// # Errors
    /// [`StartError`]: all of them need an operator, none is worth a retry.
    pub async fn start(config: SipConfig) -> Result<Self, StartError> {
        let sockets = Sockets::bind(&config)?;
        let local = sockets.local;
        let (tcp, tls) = (local_of(sockets.tcp.as_ref()), local_of(sockets.tls.as_ref()));
        let tls_server = config
            .tls
            .as_ref()
            .map(|tls| tls.certificates.server())
            .transpose()?;
        let shared = Arc::new(Shared::new(config.limits, config.ladders));
        let locator = Arc::new(Locator::new(config.dns.clone(), local));
        let cancel = CancellationToken::new();
        let (calls_tx, calls) = mpsc::channel(CALL_QUEUE);
        let (placements_tx, placements) = mpsc::channel(CALL_QUEUE);
        let (statuses, registrations) = statuses(&config.registrations);
        let (started_tx, started) = oneshot::channel();
        let (stopped_tx, stopped) = oneshot::channel();
        let setup = thread::Setup {
            config,
            sockets,
            tls_server,
            shared: Arc::clone(&shared),
            locator: Arc::clone(&locator),
            calls: calls_tx,
            placements,
            statuses,
            cancel: cancel.clone(),
            started: started_tx,
        };
        std::thread::Builder::new()
            .name("sip".to_owned())
            .spawn(move || {
                thread::run(setup);
                // Nobody may be waiting.
                let _ = stopped_tx.send(());
            })
            .map_err(StartError::Thread)?;
        match timeout(START_TIMEOUT, started).await {
            Ok(Ok(Ok(()))) => Ok(Self {
                local,
                tcp,
                tls,
                calls,
                dialer: Dialer::new(placements_tx, Arc::clone(&shared.ladders), locator),
                registrations,
                shared,
                cancel,
                stopped: Some(stopped),
            }),
            Ok(Ok(Err(reason))) => Err(StartError::Stack(reason)),
            Ok(Err(_)) => Err(StartError::Stack("its thread ended".to_owned())),
            Err(_) => Err(StartError::Stack("timed out".to_owned())),
        }
    }
}

impl Drop for RsipStack {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[async_trait]
impl SipStack for RsipStack {
    async fn next_call(&mut self) -> Option<IncomingCall> {
        self.calls.recv().await
    }

    fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn registrations(&self) -> Vec<(String, watch::Receiver<RegistrationStatus>)> {
        self.registrations.clone()
    }

    fn stream_addrs(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.tcp, self.tls)
    }

    fn stats(&self) -> StackStats {
        let transactions = self
            .shared
            .endpoint
            .get()
            .and_then(Weak::upgrade)
            .map(|endpoint| {
                let stats = endpoint.get_stats();
                stats.running_transactions + stats.finished_transactions
            });
        let invites = self.shared.admission.lock().invites.counts();
        StackStats {
            calls: self.shared.calls.load(Ordering::Relaxed),
            dialogs: self.shared.dialogs.load(Ordering::Relaxed),
            ringing: invites.ringing,
            unacknowledged: invites.unacknowledged,
            transactions: transactions.unwrap_or_default(),
            connections: self.shared.connections.lock().count(),
            refusals: *self.shared.refusals.lock(),
        }
    }

    async fn shutdown(&mut self) {
        self.cancel.cancel();
        if let Some(stopped) = self.stopped.take()
            && timeout(STOP_TIMEOUT + START_TIMEOUT, stopped).await.is_err()
        {
            tracing::warn!("the SIP thread did not stop in time");
        }
    }
}
