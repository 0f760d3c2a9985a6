//! One call's task: commands to the dialog, the dialog's states to events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TerminatedReason};
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::{Header, Request, Response, StatusCode};
use rsipstack::transaction::transaction::{TransactionEvent, TransactionEventSender};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Shared;
use super::open::Place;
use super::reliable::{self, Reliable};
use super::within::{Within, extra};
use crate::session::{self, Due};
use crate::{ALLOW, CallEvent, Command, Rejection};

pub(super) struct CallTask {
    pub(super) invite: Request,
    /// The INVITE's transaction, for responses.
    pub(super) responses: TransactionEventSender,
    pub(super) dialog: InviteDialog,
    pub(super) states: DialogStateReceiver,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<CallEvent>,
    pub(super) within: Within,
    /// Headers of the 200, and what it agrees on.
    pub(super) session: Vec<Header>,
    pub(super) agreed: Option<(Duration, bool)>,
    /// For callers that want the 180 reliably.
    pub(super) reliable: Option<Reliable>,
    pub(super) place: Place,
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
    /// Tells the INVITE's transaction that the phone has hung up.
    pub(super) hung_up: CancellationToken,
    /// Tells it that the call has ended.
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

/// What is said at the end. It may have to wait for the ACK (RFC 3261 §15).
#[derive(Default)]
struct HangUp {
    reason: Option<String>,
    headers: Vec<(String, String)>,
}

/// The call as the loop knows it.
struct State {
    phase: Phase,
    bye_after_ack: Option<HangUp>,
    /// Whether the session was not refreshed in time.
    expired: bool,
    /// Cancelled when our BYE was answered, or not in time.
    said_goodbye: CancellationToken,
}

impl CallTask {
    pub(super) async fn run(mut self) {
        let last = self.serve().await;
        if matches!(last, CallEvent::HungUp) {
            self.hung_up.cancel();
        }
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
            expired: false,
            said_goodbye: CancellationToken::new(),
        };
        let mut stopping = false;
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = self.cancel.cancelled(), if !stopping => {
                    stopping = true;
                    self.end(&mut state, HangUp::default());
                }
                command = self.commands.recv(), if state.phase != Phase::Ending => match command {
                    Some(command) => self.obey(command, &mut state),
                    None => self.end(&mut state, HangUp::default()),
                },
                change = self.states.recv() => match change {
                    Some(DialogState::Terminated(_, reason)) => return self.ended(&reason, state.phase),
                    Some(change) => self.changed(change, &mut state),
                    None => return CallEvent::Ended,
                },
                due = self.within.due(), if state.phase == Phase::Confirmed => match due {
                    Due::Refresh => self.within.refresh(),
                    Due::Expired => {
                        state.expired = true;
                        self.end(&mut state, HangUp { reason: Some(session::expired()), headers: Vec::new() });
                    }
                },
                due = again(&mut self.reliable), if state.phase == Phase::Ringing => match due {
                    reliable::Due::Again => self.ring(),
                    // RFC 3262 §3.
                    reliable::Due::GivenUp => {
                        let rejection = Rejection::with_reason(504, "180 not acknowledged");
                        self.reject(rejection, &mut state);
                    }
                },
                () = state.said_goodbye.cancelled() => {
                    return if state.expired { CallEvent::SessionExpired } else { CallEvent::Ended };
                }
            }
        }
    }

    fn obey(&mut self, command: Command, state: &mut State) {
        match command {
            Command::Ringing if state.phase == Phase::Ringing => self.ring(),
            Command::Accept { answer, headers } if state.phase == Phase::Ringing => {
                let mut all = vec![
                    Header::ContentType("application/sdp".into()),
                    Header::Allow(ALLOW.into()),
                ];
                all.extend(headers.into_iter().map(|(name, value)| make_header(&name, value)));
                all.extend(std::mem::take(&mut self.session));
                if self.dialog.accept(Some(all), Some(answer)).is_ok() {
                    state.phase = Phase::Answered;
                    self.place.settle();
                    self.within.timing().agreed(self.agreed);
                }
            }
            Command::Reject(rejection) if state.phase == Phase::Ringing => self.reject(rejection, state),
            Command::Bye { reason, headers } => self.end(state, HangUp { reason, headers }),
            Command::Refer { to, headers } if state.phase == Phase::Confirmed => {
                self.within.refer(&to, headers);
            }
            Command::Notify {
                code,
                phrase,
                is_final,
            } if state.phase == Phase::Confirmed => self.within.notify(code, &phrase, is_final),
            _ => {}
        }
    }

    fn ring(&mut self) {
        let mut headers = vec![Header::Allow(ALLOW.into())];
        headers.extend(self.reliable.iter_mut().flat_map(Reliable::headers));
        let _ = self.dialog.ringing(Some(headers), None);
    }

    fn changed(&self, change: DialogState, state: &mut State) {
        match change {
            DialogState::Confirmed(..) if state.phase == Phase::Answered => {
                state.phase = Phase::Confirmed;
                if self.invite.body.is_empty() {
                    // Our 200 made the offer.
                    let answer = self.within.last_ack();
                    let _ = self.events.try_send(CallEvent::OfferAnswered(answer));
                }
                let _ = self.events.try_send(CallEvent::Acknowledged);
                if let Some(hang_up) = state.bye_after_ack.take() {
                    self.end(state, hang_up);
                }
            }
            change => self.within.changed(change),
        }
    }

    /// Ends the call in the way that its phase demands.
    fn end(&self, state: &mut State, hang_up: HangUp) {
        match state.phase {
            Phase::Ringing => self.reject(
                Rejection {
                    reason: hang_up.reason,
                    ..Rejection::code(500)
                },
                state,
            ),
            Phase::Answered => state.bye_after_ack = Some(hang_up),
            Phase::Confirmed => {
                state.phase = Phase::Ending;
                let mut headers: Vec<_> = extra(hang_up.headers).collect();
                headers.extend(hang_up.reason.map(|reason| Header::Reason(reason.into())));
                let (bye, said) = (self.within.bye(headers), state.said_goodbye.clone());
                self.tasks.spawn(async move {
                    bye.await;
                    said.cancel();
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

async fn again(reliable: &mut Option<Reliable>) -> reliable::Due {
    match reliable {
        Some(reliable) => reliable.due().await,
        None => std::future::pending().await,
    }
}
