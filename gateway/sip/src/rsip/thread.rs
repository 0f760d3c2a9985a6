//! The stack's thread: a runtime of its own, and no `tracing` subscriber.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::Method;
use rsipstack::transaction::endpoint::EndpointOption;
use rsipstack::transport::TransportLayer;
use rsipstack::transport::udp::UdpConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::subscriber::NoSubscriber;

use super::dispatcher::Dispatcher;
use super::socket::AdmittedSocket;
use super::{STOP_TIMEOUT, Shared, SipConfig};
use crate::IncomingCall;
use crate::outgoing::Placement;

/// All that moves into the thread.
pub(super) struct Setup {
    pub(super) config: SipConfig,
    pub(super) socket: std::net::UdpSocket,
    pub(super) shared: Arc<Shared>,
    pub(super) calls: mpsc::Sender<IncomingCall>,
    pub(super) placements: mpsc::Receiver<Placement>,
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
    let Setup {
        config,
        socket,
        shared,
        calls,
        placements,
        cancel,
        started,
    } = setup;
    // The stack outlives `cancel` by as long as its last BYEs take.
    let stop = CancellationToken::new();
    let socket = match AdmittedSocket::new(socket, Arc::clone(&shared)) {
        Ok(socket) => Arc::new(socket),
        Err(error) => {
            let _ = started.send(Err(error.to_string()));
            return;
        }
    };
    let udp = UdpConnection::from_socket(socket, advertised(&config), Some(stop.child_token())).await;
    let udp = match udp {
        Ok(udp) => udp,
        Err(error) => {
            let _ = started.send(Err(error.to_string()));
            return;
        }
    };
    let transport = TransportLayer::new(stop.clone());
    transport.add_transport(udp.into());
    let endpoint = EndpointBuilder::new()
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
        ])
        .build();
    let incoming = match endpoint.incoming_transactions() {
        Ok(incoming) => incoming,
        Err(error) => {
            let _ = started.send(Err(error.to_string()));
            return;
        }
    };
    let _ = shared.endpoint.set(Arc::downgrade(&endpoint.inner));
    let tasks = TaskTracker::new();
    let dispatcher = Dispatcher {
        dialogs: Arc::new(DialogLayer::new(endpoint.inner.clone())),
        shared,
        calls,
        placements,
        tasks: tasks.clone(),
        max_calls: config.max_calls,
        t1: config.t1,
        cancel: cancel.clone(),
    };
    let _ = started.send(Ok(()));
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
}

fn advertised(config: &SipConfig) -> Option<SocketAddr> {
    config.advertised
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
