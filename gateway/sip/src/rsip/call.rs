//! One call's task: commands to the dialog, the dialog's states to events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TerminatedReason, TransactionHandle};
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::{Header, Method, Request, Response, StatusCode};
use rsipstack::transaction::transaction::{TransactionEvent, TransactionEventSender};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Shared;
use super::open::Place;
use crate::{ALLOW, CallEvent, Command, Rejection, Renegotiation};

/// Events that may wait for the call's owner.
pub(super) const EVENT_QUEUE: usize = 16;
/// How long the owner may take over a renegotiation.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an ending call waits for the answer to its BYE. The transaction repeats the BYE for 64·T1 all the same.
const BYE_TIMEOUT: Duration = Duration::from_secs(4);

pub(super) struct CallTask {
    pub(super) invite: Request,
    /// The INVITE's transaction, for responses.
    pub(super) responses: TransactionEventSender,
    pub(super) dialog: InviteDialog,
    pub(super) states: DialogStateReceiver,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<CallEvent>,
    pub(super) place: Place,
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
    /// Tells the INVITE's transaction that the call has ended.
    pub(super) over: DropGuard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ringing,
    /// 200 sent, ACK to come.
    Answered,
    Confirmed,
    /// BYE or a refusal is on its way.
    Ending,
}

/// A BYE that waits for the ACK (RFC 3261 §15).
struct HangUp {
    reason: Option<String>,
}

/// The call as the loop knows it.
struct State {
    phase: Phase,
    bye_after_ack: Option<HangUp>,
    forget_at: Option<Instant>,
}

impl CallTask {
    pub(super) async fn run(mut self) {
        let last = self.serve().await;
        // The owner may be gone.
        let _ = self.events.try_send(last);
        self.dialogs.remove_dialog(&self.dialog.id());
        self.shared.dialogs.store(self.dialogs.len(), Ordering::Relaxed);
        self.shared.calls.fetch_sub(1, Ordering::Relaxed);
        drop(self.over);
    }

    /// Returns the last event.
    async fn serve(&mut self) -> CallEvent {
        let mut state = State {
            phase: Phase::Ringing,
            bye_after_ack: None,
            forget_at: None,
        };
        let mut stopping = false;
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = self.cancel.cancelled(), if !stopping => {
                    stopping = true;
                    self.end(&mut state, None);
                }
                command = self.commands.recv(), if state.phase != Phase::Ending => match command {
                    Some(command) => self.obey(command, &mut state),
                    None => self.end(&mut state, None),
                },
                change = self.states.recv() => match change {
                    Some(DialogState::Terminated(_, reason)) => return self.ended(&reason, state.phase),
                    Some(change) => self.changed(change, &mut state),
                    None => return CallEvent::Ended,
                },
                () = sleep_until(state.forget_at.unwrap_or_else(Instant::now)), if state.forget_at.is_some() => {
                    return CallEvent::Ended;
                }
            }
        }
    }

    fn obey(&self, command: Command, state: &mut State) {
        match command {
            Command::Ringing if state.phase == Phase::Ringing => {
                let _ = self.dialog.ringing(Some(vec![Header::Allow(ALLOW.into())]), None);
            }
            Command::Accept { answer, headers } if state.phase == Phase::Ringing => {
                let mut all = vec![
                    Header::ContentType("application/sdp".into()),
                    Header::Allow(ALLOW.into()),
                ];
                all.extend(headers.into_iter().map(|(name, value)| make_header(&name, value)));
                if self.dialog.accept(Some(all), Some(answer)).is_ok() {
                    state.phase = Phase::Answered;
                    self.place.settle();
                }
            }
            Command::Reject(rejection) if state.phase == Phase::Ringing => self.reject(rejection, state),
            Command::Bye { reason } => self.end(state, reason),
            _ => {}
        }
    }

    fn changed(&self, change: DialogState, state: &mut State) {
        match change {
            DialogState::Confirmed(..) if state.phase == Phase::Answered => {
                state.phase = Phase::Confirmed;
                let _ = self.events.try_send(CallEvent::Acknowledged);
                if let Some(HangUp { reason }) = state.bye_after_ack.take() {
                    self.end(state, reason);
                }
            }
            DialogState::Updated(_, request, handle) => self.renegotiate(request, handle),
            DialogState::Info(_, request, handle) => {
                let content_type = request
                    .headers
                    .iter()
                    .find(|h| matches!(h, Header::ContentType(_)))
                    .map(Header::value);
                let content_type = content_type.unwrap_or_default().to_owned();
                // A full queue loses the event: an INFO is a hint, never the state of the call.
                let _ = self.events.try_send(CallEvent::Info {
                    content_type,
                    body: request.body,
                });
                self.reply(handle, StatusCode::OK);
            }
            DialogState::Options(_, _, handle) => self.reply(handle, StatusCode::OK),
            DialogState::Publish(_, _, handle)
            | DialogState::Notify(_, _, handle)
            | DialogState::Refer(_, _, handle)
            | DialogState::Message(_, _, handle) => self.reply(handle, StatusCode::MethodNotAllowed),
            _ => {}
        }
    }

    fn reply(&self, handle: TransactionHandle, status: StatusCode) {
        self.tasks.spawn(async move {
            // The transaction may be gone.
            let _ = handle
                .respond(status, Some(vec![Header::Allow(ALLOW.into())]), None)
                .await;
        });
    }

    fn renegotiate(&self, request: Request, handle: TransactionHandle) {
        let refresh_only = request.body.is_empty() && request.method == Method::Update;
        if refresh_only {
            return self.reply(handle, StatusCode::OK);
        }
        let offer = (!request.body.is_empty()).then_some(request.body);
        let (answer, answered) = oneshot::channel();
        if self
            .events
            .try_send(CallEvent::Renegotiation(Renegotiation { offer, answer }))
            .is_err()
        {
            return self.reply(handle, StatusCode::ServerInternalError);
        }
        self.tasks.spawn(async move {
            let body = match timeout(ANSWER_TIMEOUT, answered).await {
                Ok(Ok(body)) => body,
                _ => None,
            };
            let _ = match body {
                Some(body) => {
                    let headers = vec![
                        Header::ContentType("application/sdp".into()),
                        Header::Allow(ALLOW.into()),
                    ];
                    handle.respond(StatusCode::OK, Some(headers), Some(body)).await
                }
                None => handle.respond(StatusCode::NotAcceptableHere, None, None).await,
            };
        });
    }

    /// Ends the call in the way that its phase demands.
    fn end(&self, state: &mut State, reason: Option<String>) {
        match state.phase {
            Phase::Ringing => self.reject(
                Rejection {
                    reason,
                    ..Rejection::code(500)
                },
                state,
            ),
            Phase::Answered => state.bye_after_ack = Some(HangUp { reason }),
            Phase::Confirmed => {
                state.phase = Phase::Ending;
                state.forget_at = Some(Instant::now() + BYE_TIMEOUT);
                let dialog = self.dialog.clone();
                self.tasks.spawn(async move {
                    let headers = reason.map(|reason| vec![Header::Reason(reason.into())]);
                    // Whatever comes of it, the dialog is over (RFC 3261 §15.1.1): its state says so to the loop.
                    let _ = dialog.bye_with_headers(headers).await;
                });
            }
            Phase::Ending => {}
        }
    }

    fn reject(&self, rejection: Rejection, state: &mut State) {
        state.phase = Phase::Ending;
        let mut headers: Vec<Header> = rejection
            .headers
            .into_iter()
            .map(|(name, value)| make_header(&name, value))
            .collect();
        headers.extend(rejection.reason.map(|reason| Header::Reason(reason.into())));
        let status = StatusCode::from(rejection.code);
        self.respond(status.clone(), headers);
        // Its own response is the second to be queued, so the transaction ignores it; what counts is that the dialog ends.
        let _ = self.dialog.reject(Some(status), None);
    }

    /// Queues a final response to the INVITE. The dialog's own way has no room for headers.
    fn respond(&self, status: StatusCode, headers: Vec<Header>) {
        let mut response: Response = self.dialogs.endpoint.make_response(&self.invite, status, None);
        let tag = self.dialog.id().local_tag;
        for header in response.headers.iter_mut() {
            if let Header::To(to) = header {
                *to = to.with_tag(tag.clone().into());
            }
        }
        response.headers.extend(headers);
        // The transaction may be over.
        let _ = self.responses.send(TransactionEvent::Respond(response));
    }

    fn ended(&self, reason: &TerminatedReason, phase: Phase) -> CallEvent {
        match reason {
            TerminatedReason::UacCancel => CallEvent::Cancelled,
            TerminatedReason::UacBye if phase == Phase::Ringing => {
                // A BYE in the early dialog ends the INVITE as a CANCEL does (RFC 3261 §15.1.2).
                self.respond(StatusCode::RequestTerminated, Vec::new());
                CallEvent::Cancelled
            }
            TerminatedReason::UacBye => CallEvent::HungUp,
            TerminatedReason::Timeout => CallEvent::NotAcknowledged,
            _ => CallEvent::Ended,
        }
    }
}
