//! One connection, from its first byte to its end.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use platform::lifecycle::Lifecycle;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use crate::{Limits, answer::Answers, door::Seat, stream::Watched};

/// A request's line and headers, in bytes. LiveKit's have some 700.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// What may wait unread or unwritten for one connection, in bytes.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

pub(crate) struct Connection {
    pub(crate) seat: Arc<Seat>,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) life: Lifecycle,
}

impl Connection {
    /// Serves requests until the sender goes, is asked to go, or has outstayed a limit.
    pub(crate) async fn run(self, stream: TcpStream) {
        // Without it an answer could wait for the sender's acknowledgement; a stream that cannot have it still works.
        let _ = stream.set_nodelay(true);
        let pulse = self.seat.pulse.clone();
        let answers = Answers {
            router: self.router,
            life: self.life.clone(),
            seat: self.seat.clone(),
            limit: self.limits.request,
        };
        let io = TokioIo::new(Watched {
            stream,
            pulse: pulse.clone(),
        });
        let mut served = std::pin::pin!(
            http1::Builder::new()
                .max_header_size(MAX_HEAD_BYTES)
                .max_headers(MAX_HEADERS)
                .max_buf_size(MAX_BUFFER_BYTES)
                // It would also end connections that are idle between two requests; the pulse tells those apart.
                .header_read_timeout(None)
                .serve_connection(io, answers)
        );
        let mut timer = std::pin::pin!(sleep_until(pulse.deadline()));
        let mut drained_by: Option<Instant> = None;
        loop {
            let ends = poll_fn(|cx| {
                if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                // Only what was just polled moves the pulse, so that no change of the deadline is missed.
                let deadline = pulse.deadline();
                let deadline = drained_by.map_or(deadline, |by| deadline.min(by));
                if timer.deadline() != deadline {
                    timer.as_mut().reset(deadline);
                }
                timer.as_mut().poll(cx).map(|()| None)
            });
            tokio::select! {
                biased;
                // The first three only wait. What is being handled is a task of its own; its answer is dropped with the connection.
                () = self.life.hard.cancelled() => return,
                () = self.seat.close.cancelled() => return,
                () = self.life.soft.cancelled(), if drained_by.is_none() => {}
                // Cancel-safe: it keeps nothing of its own.
                ended = ends => {
                    match ended {
                        Some(Ok(())) => {}
                        Some(Err(error)) => tracing::debug!(%error, "a connection broke"),
                        None => tracing::debug!("a connection outstayed its limit"),
                    }
                    return;
                }
            }
            served.as_mut().graceful_shutdown();
            drained_by = Some(Instant::now() + self.limits.drain);
        }
    }
}
