//! Where each request of the stack goes: to a new call, to its call, or back with a refusal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rsipstack::dialog::dialog::Dialog;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{Header, HeadersExt as _, Method, StatusCode};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::{CallTask, EVENT_QUEUE};
use super::{Shared, convert};
use crate::{ALLOW, CallControl, IncomingCall, Refusal};

/// When to try again after 503, in seconds.
const RETRY_AFTER_S: &str = "10";

pub(super) struct Dispatcher {
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) shared: Arc<Shared>,
    pub(super) calls: mpsc::Sender<IncomingCall>,
    pub(super) tasks: TaskTracker,
    pub(super) max_calls: usize,
    pub(super) cancel: CancellationToken,
}

impl Dispatcher {
    /// Runs until cancelled, or until the stack ends.
    pub(super) async fn run(self, mut incoming: TransactionReceiver) {
        loop {
            // Both arms are cancel-safe.
            let transaction = tokio::select! {
                () = self.cancel.cancelled() => return,
                transaction = incoming.recv() => transaction,
            };
            let Some(transaction) = transaction else { return };
            self.dispatch(transaction);
            self.shared.dialogs.store(self.dialogs.len(), Ordering::Relaxed);
        }
    }

    fn dispatch(&self, transaction: Transaction) {
        let within_dialog = transaction
            .original
            .to_header()
            .is_ok_and(|to| to.tag().is_ok_and(|tag| tag.is_some()));
        match transaction.original.method {
            _ if within_dialog => self.in_dialog(transaction),
            Method::Invite => self.new_call(transaction),
            Method::Options => {
                let headers = vec![
                    Header::Allow(ALLOW.into()),
                    Header::Accept("application/sdp".into()),
                ];
                self.answer(transaction, StatusCode::OK, headers);
            }
            Method::Bye | Method::Info | Method::Update => {
                self.answer(transaction, StatusCode::CallTransactionDoesNotExist, Vec::new());
            }
            _ => {
                self.shared.refusals.lock().add(Refusal::NotServed);
                let allow = vec![Header::Allow(ALLOW.into())];
                self.answer(transaction, StatusCode::MethodNotAllowed, allow);
            }
        }
    }

    fn in_dialog(&self, mut transaction: Transaction) {
        let Some(Dialog::Invite(mut dialog)) = self.dialogs.match_dialog(&transaction) else {
            return self.answer(transaction, StatusCode::CallTransactionDoesNotExist, Vec::new());
        };
        let is_invite = transaction.original.method == Method::Invite;
        if is_invite && dialog.state().can_cancel() {
            // RFC 3261 §14.2: a second INVITE before the first is answered.
            let retry = vec![Header::RetryAfter("1".into())];
            return self.answer(transaction, StatusCode::ServerInternalError, retry);
        }
        self.tasks.spawn(async move {
            // Its errors say that the request was refused or that nobody answered: both show in the response below.
            let _ = dialog.handle(&mut transaction).await;
            if transaction.last_response.is_none() && transaction.original.method != Method::Ack {
                // RFC 3261 §12.2.2: a CSeq below the last one; also requests that come before the ACK.
                let _ = transaction.reply(StatusCode::ServerInternalError).await;
            }
            absorb(transaction).await;
        });
    }

    fn new_call(&self, transaction: Transaction) {
        if self.shared.calls.load(Ordering::Relaxed) >= self.max_calls {
            return self.busy(transaction);
        }
        let source = source(&transaction);
        let invite = source.and_then(|source| convert::invite(&transaction.original, source).ok());
        let (states_tx, states) = self.dialogs.new_dialog_state_channel();
        let dialog = self
            .dialogs
            .get_or_create_server_invite(&transaction, states_tx, None, None);
        let (Some(invite), Ok(dialog)) = (invite, dialog) else {
            self.shared.refusals.lock().add(Refusal::BadRequest);
            return self.answer(transaction, StatusCode::BadRequest, Vec::new());
        };
        let (commands_tx, commands) = mpsc::channel(CallControl::QUEUE);
        let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
        let call = IncomingCall {
            invite,
            control: CallControl::new(commands_tx),
            events,
        };
        if self.calls.try_send(call).is_err() {
            self.dialogs.remove_dialog(&dialog.id());
            return self.busy(transaction);
        }
        let task = CallTask {
            invite: transaction.original.clone(),
            responses: transaction.tu_sender.clone(),
            dialog: dialog.clone(),
            states,
            commands,
            events: events_tx,
            dialogs: Arc::clone(&self.dialogs),
            shared: Arc::clone(&self.shared),
            tasks: self.tasks.clone(),
            cancel: self.cancel.clone(),
        };
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(task.run());
        self.tasks.spawn(drive_invite(dialog, transaction));
    }

    fn busy(&self, transaction: Transaction) {
        self.shared.refusals.lock().add(Refusal::Busy);
        let retry = vec![Header::RetryAfter(RETRY_AFTER_S.into())];
        self.answer(transaction, StatusCode::ServiceUnavailable, retry);
    }

    fn answer(&self, mut transaction: Transaction, status: StatusCode, headers: Vec<Header>) {
        self.tasks.spawn(async move {
            // A response that cannot be sent is one lost on the way: the peer repeats its request.
            let _ = transaction.reply_with(status, headers, None).await;
            absorb(transaction).await;
        });
    }
}

/// Drives the INVITE's transaction: 100, the responses that the call queues, CANCEL, ACK.
async fn drive_invite(mut dialog: InviteDialog, mut transaction: Transaction) {
    // Its outcome reaches the call as a state of the dialog.
    let _ = dialog.handle(&mut transaction).await;
    absorb(transaction).await;
}

/// Keeps a transaction until its own timers end it, so that it repeats its response and absorbs the ACK.
async fn absorb(mut transaction: Transaction) {
    while !transaction.is_terminated() && transaction.receive().await.is_some() {}
}

fn source(transaction: &Transaction) -> Option<SocketAddr> {
    transaction
        .connection
        .as_ref()?
        .get_remote_addr()?
        .get_socketaddr()
        .ok()
}
