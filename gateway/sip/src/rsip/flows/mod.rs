//! Connections by TCP and TLS, theirs and ours. The stack's own would read without bounds, so it never sees a socket: each connection is
//! a task of ours ([`connection`]), and a channel to the stack.

mod connection;
mod listener;
mod slots;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rsipstack::sip::{Host, Param, Request, Scheme, Transport as WireTransport, Uri};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::socket::AdmittedSocket;
use crate::locate::Locator;
use crate::stream::{StreamTimes, Vigil};
use crate::tls::Authorities;
use crate::{Destination, Transport};
use connection::Connection;
use slots::Slot;
pub(crate) use slots::Slots;

/// To connect, and for the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// All connections.
pub(super) struct Flows {
    pub(super) shared: Arc<Shared>,
    /// What is not sent by a connection.
    pub(super) udp: Arc<AdmittedSocket>,
    pub(super) locator: Arc<Locator>,
    pub(super) times: StreamTimes,
    pub(super) authorities: Authorities,
    /// The ports that are listened on, by which others reach us.
    pub(super) tcp_port: Option<u16>,
    pub(super) tls_port: Option<u16>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) open: Mutex<Vec<(Destination, Flow)>>,
    pub(super) numbers: AtomicU64,
}

/// A connection that requests can be sent on for as long as it stands. Whoever holds one keeps it from being closed as idle.
#[derive(Clone)]
pub(super) struct Flow {
    number: u64,
    connection: SipConnection,
    transport: Transport,
    /// Whom we have opened it to, over TLS.
    name: String,
    local_port: u16,
    closed: CancellationToken,
    in_use: Arc<()>,
}

/// How a request travels.
#[derive(Clone)]
pub(super) enum Path {
    /// By UDP; without an address to where its Route or its URI says.
    Udp(Option<SipAddr>),
    Flow(Flow),
}

/// How the requests of one dialog travel: on the connection that it began on, or on another one if that is gone.
#[derive(Clone)]
pub(super) struct Line {
    flows: Arc<Flows>,
    flow: Option<Flow>,
}

impl Flow {
    /// Resolves when the connection is gone. Cancel-safe.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }
}

impl Path {
    pub(super) fn udp(address: SocketAddr) -> Self {
        Self::Udp(Some(SipAddr::new(WireTransport::Udp, address.into())))
    }

    /// Resolves when nothing more can come of what was sent. Cancel-safe.
    pub(super) async fn closed(&self) {
        match self {
            Self::Udp(_) => std::future::pending().await,
            Self::Flow(flow) => flow.closed().await,
        }
    }

    pub(super) fn transaction(&self, endpoint: &EndpointInnerRef, request: Request) -> Option<Transaction> {
        let key = TransactionKey::from_request(&request, TransactionRole::Client).ok()?;
        let (connection, destination) = match self {
            Self::Udp(destination) => (None, destination.clone()),
            Self::Flow(flow) => (
                Some(flow.connection.clone()),
                flow.connection.get_remote_addr().cloned(),
            ),
        };
        let mut transaction = Transaction::new_client(key, request, endpoint.clone(), connection);
        transaction.destination = destination;
        Some(transaction)
    }
}

impl Line {
    pub(super) fn new(flows: &Arc<Flows>, flow: Option<Flow>) -> Self {
        let flows = Arc::clone(flows);
        Self { flows, flow }
    }

    /// The line of what came by this connection.
    pub(super) fn of(flows: &Arc<Flows>, connection: Option<&SipConnection>) -> Self {
        Self::new(flows, connection.and_then(|connection| flows.of(connection)))
    }

    pub(super) fn flow(&self) -> Option<&Flow> {
        self.flow.as_ref()
    }

    pub(super) fn flows(&self) -> &Arc<Flows> {
        &self.flows
    }

    /// How a request to `target`, its Route or its URI, travels. `None`: nobody is there.
    pub(super) async fn path(&self, target: &Uri) -> Option<Path> {
        if let Some(flow) = self.flow.as_ref().filter(|flow| flow.is_open()) {
            return Some(Path::Flow(flow.clone()));
        }
        let began_on = self.flow.as_ref().map(|flow| flow.transport);
        let transport = transport_of(target).or(began_on).unwrap_or_default();
        let is_address = matches!(target.host_with_port.host, Host::IpAddr(_));
        if transport == Transport::Udp && is_address {
            return Some(Path::Udp(SipAddr::try_from(target).ok()));
        }
        let dialled = self.flow.as_ref().map_or("", |flow| flow.name.as_str());
        let destination = self.flows.resolved(target, transport, dialled).await?;
        match transport {
            Transport::Udp => Some(Path::udp(destination.address)),
            Transport::Tcp | Transport::Tls => self.flows.to(&destination).await.map(Path::Flow),
        }
    }
}

impl Flows {
    /// A connection to there: one that stands, or a new one. `None`: nobody is there, or nobody who can show who they are.
    pub(super) async fn to(self: &Arc<Self>, destination: &Destination) -> Option<Flow> {
        if let Some(flow) = self.find(|known| known == destination) {
            return Some(flow);
        }
        timeout(CONNECT_TIMEOUT, self.connect(destination)).await.ok()?
    }

    async fn connect(self: &Arc<Self>, destination: &Destination) -> Option<Flow> {
        let slot = Slot::ours(&self.shared);
        let stream = TcpStream::connect(destination.address).await.ok()?;
        let local = stream.local_addr().ok()?;
        stream.set_nodelay(true).ok()?;
        if destination.transport == Transport::Tcp {
            return self.serve(stream, destination.clone(), local, slot);
        }
        let host = destination.name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let connector = TlsConnector::from(self.authorities.client());
        let stream = connector.connect(name, stream).await.ok()?;
        self.serve(stream, destination.clone(), local, slot)
    }

    /// Hands a connection to its task, and to the stack.
    fn serve<S>(self: &Arc<Self>, stream: S, peer: Destination, local: SocketAddr, slot: Slot) -> Option<Flow>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let endpoint = self.shared.endpoint.get().and_then(Weak::upgrade)?;
        let (to_stack, incoming) = unbounded();
        let (outgoing, from_stack) = unbounded();
        let remote = SipAddr::new(wire(peer.transport), peer.address.into());
        let closed = self.stop.child_token();
        let channel = channel(incoming, outgoing, remote, closed.clone())?;
        let flow = Flow {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            connection: channel.clone(),
            transport: peer.transport,
            name: peer.name.clone(),
            local_port: local.port(),
            closed: closed.clone(),
            in_use: Arc::new(()),
        };
        let task = Connection {
            peer: peer.address,
            shared: Arc::clone(&self.shared),
            channel: channel.clone(),
            to_stack,
            from_stack,
            closed,
            in_use: Arc::downgrade(&flow.in_use),
            vigil: Vigil::new(self.times, slot.is_ours(), connection::now()),
        };
        self.open.lock().push((peer, flow.clone()));
        endpoint.transport_layer.add_connection(channel);
        let (flows, number) = (Arc::clone(self), flow.number);
        self.tasks.spawn(async move {
            task.run(stream).await;
            flows.open.lock().retain(|(_, flow)| flow.number != number);
            drop(slot);
        });
        Some(flow)
    }

    /// The connection that the stack knows by this handle.
    fn of(&self, connection: &SipConnection) -> Option<Flow> {
        let remote = connection.get_remote_addr()?;
        let address = remote.get_socketaddr().ok()?;
        let transport = remote.r#type.and_then(transport)?;
        self.find(|peer| peer.address == address && peer.transport == transport)
    }

    fn find(&self, wanted: impl Fn(&Destination) -> bool) -> Option<Flow> {
        let open = self.open.lock();
        let mut found = open.iter().filter(|(peer, flow)| flow.is_open() && wanted(peer));
        found.next_back().map(|(_, flow)| flow.clone())
    }

    /// Where we are to be reached from the other end of this path: for Via and Contact.
    pub(super) fn here(&self, endpoint: &EndpointInnerRef, path: &Path) -> Option<SipAddr> {
        let mut here = endpoint.transport_layer.get_listen_addrs().into_iter().next()?;
        if let Path::Flow(flow) = path {
            let listening = match flow.transport {
                Transport::Tls => self.tls_port,
                _ => self.tcp_port,
            };
            here.r#type = Some(wire(flow.transport));
            // Where nobody listens the connection itself is the only way back.
            here.addr.port = Some(listening.unwrap_or(flow.local_port).into());
        }
        Some(here)
    }

    /// `dialled`: the name that the other side has shown a certificate for, which is still its own where its URI has an address only.
    async fn resolved(&self, target: &Uri, transport: Transport, dialled: &str) -> Option<Destination> {
        let port = target
            .host_with_port
            .port
            .as_ref()
            .map(|port| port.value().to_owned());
        match &target.host_with_port.host {
            Host::IpAddr(address) => Some(Destination {
                address: SocketAddr::new(*address, port.unwrap_or(transport.default_port())),
                transport,
                name: match transport {
                    Transport::Tls if dialled.is_empty() => address.to_string(),
                    Transport::Tls => dialled.to_owned(),
                    Transport::Udp | Transport::Tcp => String::new(),
                },
            }),
            Host::Domain(name) => {
                let hosts = self.locator.locate(&name.to_string(), port, transport).await;
                hosts.ok()?.into_iter().next()
            }
        }
    }
}

/// Our URI as others may call it.
pub(super) fn contact(here: &SipAddr) -> Uri {
    Uri {
        scheme: Some(Scheme::Sip),
        host_with_port: here.addr.clone(),
        params: here
            .r#type
            .and_then(transport)
            .and_then(param)
            .into_iter()
            .collect(),
        ..Uri::default()
    }
}

/// The parameter by which a URI names its transport, in lower case as everybody has it. UDP needs none.
pub(super) fn param(transport: Transport) -> Option<Param> {
    let named = (transport != Transport::Udp).then(|| transport.as_str().to_owned());
    named.map(|name| Param::Other("transport".into(), Some(name.into())))
}

/// The stack takes no other kind of queue. What is sent waits in the connection's own buffer, which has a bound, and what is received
/// is bounded by admission.
fn unbounded() -> (
    mpsc::UnboundedSender<TransportEvent>,
    mpsc::UnboundedReceiver<TransportEvent>,
) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the stack's API; see above for the bounds"
    )]
    mpsc::unbounded_channel()
}

fn channel(
    incoming: mpsc::UnboundedReceiver<TransportEvent>,
    outgoing: mpsc::UnboundedSender<TransportEvent>,
    remote: SipAddr,
    closed: CancellationToken,
) -> Option<SipConnection> {
    use futures_util::FutureExt as _;
    // It awaits nothing.
    let made = ChannelConnection::create_connection(incoming, outgoing, remote, Some(closed)).now_or_never();
    Some(made?.ok()?.into())
}

fn wire(transport: Transport) -> WireTransport {
    match transport {
        Transport::Udp => WireTransport::Udp,
        Transport::Tcp => WireTransport::Tcp,
        Transport::Tls => WireTransport::Tls,
    }
}

fn transport(wire: WireTransport) -> Option<Transport> {
    match wire {
        WireTransport::Udp => Some(Transport::Udp),
        WireTransport::Tcp => Some(Transport::Tcp),
        WireTransport::Tls => Some(Transport::Tls),
        _ => None,
    }
}

/// What a URI says of its transport.
fn transport_of(uri: &Uri) -> Option<Transport> {
    let named = uri.params.iter().find_map(|param| match param {
        Param::Transport(wire) => transport(*wire),
        _ => None,
    });
    // RFC 3261 §26.2.2; `transport=tcp` in such a URI means TLS over it.
    if uri.scheme == Some(Scheme::Sips) {
        return Some(Transport::Tls);
    }
    named
}
