//! The stack's thread: a runtime of its own, and no `tracing` subscriber.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::Method;
use rsipstack::transaction::endpoint::EndpointOption;
use rsipstack::transaction::random_text;
use rsipstack::transaction::{Endpoint, TransactionReceiver};
use rsipstack::transport::TransportLayer;
use rsipstack::transport::udp::UdpConnection;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::subscriber::NoSubscriber;

use super::dispatcher::Dispatcher;
use super::flows::Flows;
use super::observer::Observer;
use super::register::RegisterTask;
use super::socket::AdmittedSocket;
use super::{STOP_TIMEOUT, Shared, SipConfig, Sockets, local_of};
use crate::locate::Locator;
use crate::outgoing::Placement;
use crate::{IncomingCall, RegistrationStatus};

/// Of the Call-IDs that we draw.
const CALL_ID_LENGTH: usize = 24;

/// All that moves into the thread.
pub(super) struct Setup {
    pub(super) config: SipConfig,
    pub(super) sockets: Sockets,
    pub(super) tls_server: Option<Arc<ServerConfig>>,
    pub(super) shared: Arc<Shared>,
    pub(super) locator: Arc<Locator>,
    pub(super) calls: mpsc::Sender<IncomingCall>,
    pub(super) placements: mpsc::Receiver<Placement>,
    /// One for each account of the configuration.
    pub(super) statuses: Vec<watch::Sender<RegistrationStatus>>,
    pub(super) cancel: CancellationToken,
    pub(super) started: oneshot::Sender<Result<(), String>>,
}

/// Runs the stack to its end. Every task that `rsipstack` spawns runs on this thread too, so this one guard silences them all.
pub(super) fn run(setup: Setup) {
    let _silence = tracing::subscriber::set_default(NoSubscriber::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(setup)),
        Err(error) => {
            let _ = setup.started.send(Err(error.to_string()));
        }
    }
}

async fn serve(setup: Setup) {
    let (shared, cancel, calls) = (
        Arc::clone(&setup.shared),
        setup.cancel.clone(),
        setup.calls.clone(),
    );
    // The stack outlives `cancel` by as long as its last BYEs take.
    let stop = CancellationToken::new();
    let begun = begin(
        &setup.config,
        setup.sockets,
        setup.tls_server,
        &shared,
        setup.locator,
        &stop,
    )
    .await;
    let (endpoint, incoming, flows) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let _ = setup.started.send(Err(error.to_string()));
            return;
        }
    };
    let config = setup.config;
    let tasks = TaskTracker::new();
    for (account, status) in config.registrations.into_iter().zip(setup.statuses) {
        let task = RegisterTask {
            account,
            endpoint: endpoint.inner.clone(),
            flows: Arc::clone(&flows),
            status,
            cancel: cancel.clone(),
            call_id: random_text(CALL_ID_LENGTH),
            cseq: 0,
            path: None,
            host: None,
            t1: config.t1,
            keep_alive: config.keep_alive,
            tasks: tasks.clone(),
        };
        tasks.spawn(task.run());
    }
    let dispatcher = Dispatcher {
        dialogs: Arc::new(DialogLayer::new(endpoint.inner.clone())),
        flows: Arc::clone(&flows),
        shared,
        calls,
        placements: setup.placements,
        tasks: tasks.clone(),
        max_calls: config.max_calls,
        t1: config.t1,
        session: config.session,
        awaited: Arc::default(),
        cancel,
    };
    let _ = setup.started.send(Ok(()));
    // Either ends on `cancel`, or by a fault of the stack: the channel of calls then closes, which tells the outside.
    tokio::select! {
        () = endpoint.serve() => {}
        () = async {
            dispatcher.run(incoming).await;
            tasks.close();
            let _ = timeout(STOP_TIMEOUT, tasks.wait()).await;
        } => {}
    }
    stop.cancel();
    // What is queued for a peer goes out before its connection ends.
    flows.tasks.close();
    let _ = timeout(STOP_TIMEOUT, flows.tasks.wait()).await;
}

/// The endpoint on its sockets, what comes in, and the connections.
async fn begin(
    config: &SipConfig,
    sockets: Sockets,
    tls_server: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    locator: Arc<Locator>,
    stop: &CancellationToken,
) -> rsipstack::Result<(Endpoint, TransactionReceiver, Arc<Flows>)> {
    let socket = Arc::new(AdmittedSocket::new(sockets.udp, Arc::clone(shared))?);
    let flows = Arc::new(Flows {
        shared: Arc::clone(shared),
        udp: Arc::clone(&socket),
        locator,
        times: config.times,
        authorities: config.authorities.clone(),
        tcp_port: local_of(sockets.tcp.as_ref()).map(|local| local.port()),
        tls_port: local_of(sockets.tls.as_ref()).map(|local| local.port()),
        tasks: TaskTracker::new(),
        stop: stop.clone(),
        open: Mutex::default(),
        numbers: AtomicU64::default(),
    });
    let hearing = Arc::clone(&socket);
    let stopped = stop.clone();
    flows.tasks.spawn(async move {
        // Neither is polled again.
        tokio::select! {
            () = stopped.cancelled() => {}
            () = hearing.hear_refusals() => {}
        }
    });
    let udp = UdpConnection::from_socket(socket, config.advertised, Some(stop.child_token())).await?;
    let transport = TransportLayer::new(stop.clone());
    transport.add_transport(udp.into());
    let mut builder = EndpointBuilder::new();
    builder.with_inspector(Box::new(Observer(Arc::clone(&shared.ladders))));
    let endpoint = builder
        .with_user_agent(&config.user_agent)
        .with_option(timers(config.t1))
        .with_transport_layer(transport)
        .with_cancel_token(stop.clone())
        .with_allows(vec![
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Options,
            Method::Info,
            Method::Update,
            Method::Notify,
            Method::PRack,
        ])
        .build();
    let incoming = endpoint.incoming_transactions()?;
    let _ = shared.endpoint.set(Arc::downgrade(&endpoint.inner));
    listen(&flows, sockets.tcp, sockets.tls, tls_server)?;
    Ok((endpoint, incoming, flows))
}

fn listen(
    flows: &Arc<Flows>,
    tcp: Option<std::net::TcpListener>,
    tls: Option<std::net::TcpListener>,
    server: Option<Arc<ServerConfig>>,
) -> std::io::Result<()> {
    if let Some(listener) = tcp {
        let listener = TcpListener::from_std(listener)?;
        flows.tasks.spawn(Arc::clone(flows).listen(listener, None));
    }
    if let Some((listener, server)) = tls.zip(server) {
        let listener = TcpListener::from_std(listener)?;
        let acceptor = TlsAcceptor::from(server);
        flows
            .tasks
            .spawn(Arc::clone(flows).listen(listener, Some(acceptor)));
    }
    Ok(())
}

/// RFC 3261, table 4, by T1.
fn timers(t1: Duration) -> EndpointOption {
    EndpointOption {
        t1,
        t2: t1 * 8,
        t4: t1 * 10,
        t1x64: t1 * 64,
        ..EndpointOption::default()
    }
}
