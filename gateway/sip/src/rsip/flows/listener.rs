//! Takes connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Flows;
use super::slots::Slot;
use crate::{Destination, Refusal, Transport};

/// For handles to come free, when the system has none.
const PAUSE: Duration = Duration::from_millis(100);

impl Flows {
    /// Takes connections until the stack stops. `acceptor`: of TLS.
    pub(in crate::rsip) async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        acceptor: Option<TlsAcceptor>,
    ) {
        loop {
            // Both arms are cancel-safe.
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, source)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            match Slot::theirs(&self.shared, source.ip()) {
                Ok(slot) => {
                    let flows = Arc::clone(&self);
                    self.tasks
                        .spawn(flows.take(stream, source, acceptor.clone(), slot));
                }
                Err(refusal) => self.shared.refusals.lock().add(refusal),
            }
        }
    }

    async fn take(
        self: Arc<Self>,
        stream: TcpStream,
        source: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        slot: Slot,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        // Messages are small, and answers are waited for.
        let _ = stream.set_nodelay(true);
        let peer = Destination {
            address: source,
            transport: acceptor.as_ref().map_or(Transport::Tcp, |_| Transport::Tls),
            name: String::new(),
        };
        let Some(acceptor) = acceptor else {
            self.serve(stream, peer, local, slot);
            return;
        };
        let handshake = timeout(self.times.message, acceptor.accept(stream));
        // Both arms are cancel-safe.
        let stream = tokio::select! {
            () = self.stop.cancelled() => return,
            stream = handshake => stream,
        };
        match stream {
            Ok(Ok(stream)) => drop(self.serve(stream, peer, local, slot)),
            _ => self.shared.refusals.lock().add(Refusal::Handshake),
        }
    }
}
