//! A request that this server alone has to answer.

use std::fmt;
use std::time::SystemTime;

use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::link::Outgoing;
use crate::wire::{Any, Framed as _, Response};
use crate::{Channel, Code};

/// An error as the other side gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub code: Code,
    pub message: String,
    /// Typed details, such as `livekit.SIPStatus`.
    pub details: Vec<Any>,
}

impl Fault {
    /// An error without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }
}

/// A request. Dropping it answers `internal`, so that nobody waits for nothing.
pub struct Incoming {
    request: Vec<u8>,
    deadline: Instant,
    reply: Option<Reply>,
}

/// Where its answer goes.
pub(super) struct Reply {
    pub(super) service: String,
    pub(super) client_id: String,
    pub(super) request_id: String,
    pub(super) server_id: String,
    pub(super) sent_at: SystemTime,
    pub(super) answers: mpsc::Sender<Outgoing>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl Incoming {
    pub(super) fn new(request: Vec<u8>, deadline: Instant, reply: Reply) -> Self {
        Self {
            request,
            deadline,
            reply: Some(reply),
        }
    }

    /// When the other side stops waiting.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The request's message.
    ///
    /// # Errors
    /// `malformed_request`, to be answered with.
    pub fn message<Req: Message + Default>(&self) -> Result<Req, Fault> {
        Req::decode(self.request.as_slice())
            .map_err(|_| Fault::new(Code::MalformedRequest, "malformed request"))
    }

    /// Answers. An answer beyond the deadline, or one too many while Redis is away, is lost.
    pub fn answer<Res: Message>(mut self, answer: Result<Res, Fault>) {
        self.send(answer.map(|response| response.encode_to_vec()));
    }

    fn send(&mut self, answer: Result<Vec<u8>, Fault>) {
        let Some(reply) = self.reply.take() else { return };
        let mut response = Response {
            request_id: reply.request_id,
            server_id: reply.server_id,
            sent_at: crate::wire::nanos_of(reply.sent_at),
            ..Response::default()
        };
        match answer {
            Ok(raw_response) => response.raw_response = raw_response,
            Err(fault) => {
                response.error = fault.message;
                fault.code.as_str().clone_into(&mut response.code);
                response.error_details = fault.details;
            }
        }
        let channel = Channel::Response {
            service: &reply.service,
            client: &reply.client_id,
        };
        let outgoing = Outgoing {
            channel: channel.name(),
            payload: response.frame(),
            deadline: self.deadline,
        };
        if reply.answers.try_send(outgoing).is_err() {
            tracing::warn!("an answer was lost: too many wait, or the bus is closed");
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.send(Err(Fault::new(Code::Internal, "not answered")));
    }
}
