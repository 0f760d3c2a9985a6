//! The seam between a SIP stack and what answers its calls.

use std::net::SocketAddr;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::Invite;

/// A SIP endpoint that receives calls.
#[async_trait]
pub trait SipStack: Send {
    /// The next call. `None` when the stack has stopped, by [`SipStack::shutdown`] or by a fault. Cancel-safe.
    async fn next_call(&mut self) -> Option<IncomingCall>;

    /// The address that is listened on.
    fn local_addr(&self) -> SocketAddr;

    /// What the stack holds at this moment.
    fn stats(&self) -> StackStats;

    /// Ends the calls that are left and stops. Idempotent.
    async fn shutdown(&mut self);
}

/// A call that has been offered, and answered by nothing but 100.
#[derive(Debug)]
pub struct IncomingCall {
    pub invite: Invite,
    pub control: CallControl,
    pub events: mpsc::Receiver<CallEvent>,
}

/// What a stack holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StackStats {
    /// Calls between INVITE and the end of their dialog.
    pub calls: usize,
    /// Dialogs in the stack's table.
    pub dialogs: usize,
    /// Datagrams that admission dropped since the start.
    pub dropped: u64,
    /// Datagrams that admission answered by itself since the start.
    pub refused: u64,
}

/// What happens to a call from the other side.
#[derive(Debug)]
pub enum CallEvent {
    /// The caller sent CANCEL and got its 487. The last event.
    Cancelled,
    /// The caller acknowledged the 200.
    Acknowledged,
    /// The caller sent BYE. The last event.
    HungUp,
    /// The 200 was never acknowledged (64·T1 = 32 s); a BYE was sent. The last event.
    NotAcknowledged,
    /// The dialog ended for another reason, our own rejection or BYE included. The last event.
    Ended,
    /// A re-INVITE or UPDATE; it waits for an answer.
    Renegotiation(Renegotiation),
    /// An INFO, already answered with 200.
    Info { content_type: String, body: Vec<u8> },
}

/// An offer within the call, or, without a body, the request for one.
#[derive(Debug)]
pub struct Renegotiation {
    pub offer: Option<Vec<u8>>,
    /// The SDP for the 200; `None` rejects the offer with 488 and leaves the session as it was. Dropping it rejects likewise.
    pub answer: oneshot::Sender<Option<Vec<u8>>>,
}

/// What the owner of a call can ask for.
#[derive(Debug)]
pub enum Command {
    Ringing,
    Accept {
        answer: Vec<u8>,
        headers: Vec<(String, String)>,
    },
    Reject(Rejection),
    Bye {
        reason: Option<String>,
    },
}

/// A final answer other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// 300–699.
    pub code: u16,
    /// The value of a `Reason` header (RFC 3326), such as `SIP;cause=480;text="no agent"`.
    pub reason: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Rejection {
    /// A bare status.
    pub fn code(code: u16) -> Self {
        Self {
            code,
            reason: None,
            headers: Vec::new(),
        }
    }

    /// A status with a Reason header, whose text must hold no quote.
    pub fn with_reason(code: u16, text: &str) -> Self {
        Self {
            code,
            reason: Some(format!("SIP;cause={code};text=\"{text}\"")),
            headers: Vec::new(),
        }
    }
}

/// The call has ended; there is nothing left to do to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the call has ended")]
pub struct CallClosed;

/// The owner's handle on a call. Dropping it rejects the call with 500, or hangs it up.
#[derive(Debug)]
pub struct CallControl {
    commands: mpsc::Sender<Command>,
}

impl CallControl {
    /// Commands that may wait.
    pub const QUEUE: usize = 8;

    /// A handle that feeds `commands`, for stacks and for scripted fakes of them.
    pub fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Sends 180.
    ///
    /// # Errors
    /// [`CallClosed`], as for every method here.
    pub async fn ringing(&self) -> Result<(), CallClosed> {
        self.send(Command::Ringing).await
    }

    /// Sends 200 with `answer` as its SDP.
    pub async fn accept(&self, answer: Vec<u8>, headers: Vec<(String, String)>) -> Result<(), CallClosed> {
        self.send(Command::Accept { answer, headers }).await
    }

    /// Sends a final answer. No effect after [`CallControl::accept`].
    pub async fn reject(&self, rejection: Rejection) -> Result<(), CallClosed> {
        self.send(Command::Reject(rejection)).await
    }

    /// Sends BYE, after the ACK if that is still to come (RFC 3261 §15). `reason` is the value of a `Reason` header.
    pub async fn bye(&self, reason: Option<String>) -> Result<(), CallClosed> {
        self.send(Command::Bye { reason }).await
    }

    async fn send(&self, command: Command) -> Result<(), CallClosed> {
        self.commands.send(command).await.map_err(|_| CallClosed)
    }
}
