//! Where each request of the stack goes: to a new call, to its call, or back with a refusal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rsipstack::dialog::dialog::Dialog;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{Header, HeadersExt as _, Method, Request, SipMessage, StatusCode, Uri};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transaction::{TransactionReceiver, TransactionState};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::CallTask;
use super::dial::DialTask;
use super::flows::{self, Flows, Line, Path};
use super::open::OpenInvite;
use super::reliable::{Awaited, Reliable};
use super::requests::Requests;
use super::timing::{Said, Timing, has_token};
use super::within::Within;
use super::{Shared, convert};
use crate::admission::{Kind, RETRY_AFTER_S};
use crate::outgoing::Placement;
use crate::stack::reason;
use crate::{ALLOW, CallControl, CallEvent, IncomingCall, InviteError, Refusal, SessionTimes};

pub(super) struct Dispatcher {
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) flows: Arc<Flows>,
    pub(super) shared: Arc<Shared>,
    pub(super) calls: mpsc::Sender<IncomingCall>,
    pub(super) placements: mpsc::Receiver<Placement>,
    pub(super) tasks: TaskTracker,
    pub(super) max_calls: usize,
    pub(super) t1: Duration,
    pub(super) session: SessionTimes,
    /// Acknowledgements of our reliable answers.
    pub(super) awaited: Arc<Awaited>,
    pub(super) cancel: CancellationToken,
}

impl Dispatcher {
    /// Runs until cancelled, or until the stack ends.
    pub(super) async fn run(mut self, mut incoming: TransactionReceiver) {
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = self.cancel.cancelled() => return,
                transaction = incoming.recv() => match transaction {
                    Some(transaction) => self.dispatch(transaction),
                    None => return,
                },
                Some(placement) = self.placements.recv() => self.place(placement),
            }
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
                self.answer(transaction, StatusCode::OK, headers, None);
            }
            Method::Bye | Method::Info | Method::Update | Method::Notify | Method::PRack => {
                self.answer(
                    transaction,
                    StatusCode::CallTransactionDoesNotExist,
                    Vec::new(),
                    None,
                );
            }
            _ => {
                self.shared.refusals.lock().add(Refusal::NotServed);
                let allow = vec![Header::Allow(ALLOW.into())];
                self.answer(transaction, StatusCode::MethodNotAllowed, allow, None);
            }
        }
    }

    fn place(&self, placement: Placement) {
        if self.shared.calls.load(Ordering::Relaxed) >= self.max_calls {
            let _ = placement.events.try_send(CallEvent::Unreachable);
            return;
        }
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let task = DialTask {
            placement,
            dialogs: Arc::clone(&self.dialogs),
            flows: Arc::clone(&self.flows),
            shared: Arc::clone(&self.shared),
            tasks: self.tasks.clone(),
            session: self.session,
            t1: self.t1,
            cancel: self.cancel.clone(),
        };
        self.tasks.spawn(task.run());
    }

    fn in_dialog(&self, mut transaction: Transaction) {
        let is_invite = transaction.original.method == Method::Invite;
        let open = is_invite.then(|| self.open(&transaction, Kind::WithinDialog));
        let open = match open.transpose() {
            Ok(open) => open,
            Err(refusal) => return self.unavailable(transaction, refusal, None),
        };
        if transaction.original.method == Method::PRack && !self.awaited.take(&transaction.original) {
            // RFC 3262 §3.
            let status = StatusCode::CallTransactionDoesNotExist;
            return self.answer(transaction, status, Vec::new(), open);
        }
        let Some(Dialog::Invite(mut dialog)) = self.dialogs.match_dialog(&transaction) else {
            let status = StatusCode::CallTransactionDoesNotExist;
            return self.answer(transaction, status, Vec::new(), open);
        };
        if is_invite && dialog.state().can_cancel() {
            // RFC 3261 §14.2: a second INVITE before the first is answered.
            let retry = vec![Header::RetryAfter("1".into())];
            return self.answer(transaction, StatusCode::ServerInternalError, retry, open);
        }
        let limit = self.t1 * 64 * 3;
        self.tasks.spawn(async move {
            // Its errors say that the request was refused or that nobody answered: both show in the response below. It answers within
            // 64·T1 and waits as long for an ACK; beyond that its response could not be sent.
            let _ = timeout(limit, dialog.handle(&mut transaction)).await;
            if transaction.last_response.is_none() && transaction.original.method != Method::Ack {
                // RFC 3261 §12.2.2: a CSeq below the last one; also requests that come before the ACK.
                let _ = transaction.reply(StatusCode::ServerInternalError).await;
            }
            absorb(transaction, open).await;
        });
    }

    fn new_call(&self, transaction: Transaction) {
        let open = match self.open(&transaction, Kind::Initial) {
            Ok(open) => open,
            Err(refusal) => return self.unavailable(transaction, refusal, None),
        };
        if self.shared.calls.load(Ordering::Relaxed) >= self.max_calls {
            return self.unavailable(transaction, Refusal::Busy, Some(open));
        }
        let source = source(&transaction).ok_or(InviteError::Via);
        let invite = match source.and_then(|source| convert::invite(&transaction.original, source)) {
            Ok(invite) => invite,
            Err(error) => return self.bad_request(transaction, error, open),
        };
        let timing = Timing::new(self.session);
        let (session, agreed) = match timing.answer(&transaction.original) {
            Said::Agreed(headers, agreed) => (headers, agreed),
            Said::TooBrief(min_se) => {
                let status = StatusCode::SessionIntervalTooSmall;
                return self.answer(transaction, status, vec![min_se], Some(open));
            }
        };
        let (states_tx, states) = self.dialogs.new_dialog_state_channel();
        let line = Line::of(&self.flows, transaction.connection.as_ref());
        let dialog =
            self.dialogs
                .get_or_create_server_invite(&transaction, states_tx, None, self.contact(&line));
        let Ok(dialog) = dialog else {
            return self.bad_request(transaction, InviteError::Contact, open);
        };
        let (commands_tx, commands) = mpsc::channel(CallControl::QUEUE);
        let (events_tx, events) = mpsc::channel(CallEvent::QUEUE);
        let ladder = self.shared.ladders.begin(&invite.call_id);
        ladder.note(Instant::now().into_std(), false, || {
            transaction.original.to_string()
        });
        let call = IncomingCall {
            ladder,
            invite,
            control: CallControl::ringing_in(open.ringing(), commands_tx),
            events,
        };
        if self.calls.try_send(call).is_err() {
            self.dialogs.remove_dialog(&dialog.id());
            return self.unavailable(transaction, Refusal::Busy, Some(open));
        }
        let (hung_up, over) = (CancellationToken::new(), CancellationToken::new());
        let takes_update = has_token(&transaction.original.headers, &["Allow"], "UPDATE");
        let task = CallTask {
            session,
            agreed,
            reliable: self.reliable(&transaction.original, &dialog),
            invite: transaction.original.clone(),
            responses: transaction.tu_sender.clone(),
            dialog: dialog.clone(),
            states,
            commands,
            within: Within::new(
                Requests::new(&self.dialogs.endpoint, &dialog, None, line, &self.tasks),
                events_tx.clone(),
                self.tasks.clone(),
                timing,
                takes_update,
            ),
            events: events_tx,
            place: open.place(),
            dialogs: Arc::clone(&self.dialogs),
            shared: Arc::clone(&self.shared),
            tasks: self.tasks.clone(),
            cancel: self.cancel.clone(),
            hung_up: hung_up.clone(),
            over: over.clone().drop_guard(),
        };
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(task.run());
        // The last timer of a call that is over: that of an ACK (Timer H), or of a BYE for want of one (Timer F).
        let linger = self.t1 * 64 + self.t1 * 4;
        self.tasks
            .spawn(drive_invite(dialog, transaction, open, (hung_up, over), linger));
    }

    /// Ours, for peers that came by a connection.
    fn contact(&self, line: &Line) -> Option<Uri> {
        let path = Path::Flow(line.flow()?.clone());
        let here = self.flows.here(&self.dialogs.endpoint, &path);
        here.as_ref().map(flows::contact)
    }

    /// For callers that require it.
    fn reliable(&self, invite: &Request, dialog: &InviteDialog) -> Option<Reliable> {
        let is_required = has_token(&invite.headers, &["Require"], "100rel");
        let tag = dialog.id().local_tag;
        is_required
            .then(|| Reliable::new(&self.awaited, invite, &tag, self.t1))
            .flatten()
    }

    fn open(&self, transaction: &Transaction, kind: Kind) -> Result<OpenInvite, Refusal> {
        let source = source(transaction).ok_or(Refusal::Busy)?;
        OpenInvite::take(&self.shared, &transaction.original, source.ip(), kind)
    }

    fn bad_request(&self, transaction: Transaction, error: InviteError, open: OpenInvite) {
        self.shared.refusals.lock().add(Refusal::BadRequest);
        let reason = vec![Header::Reason(reason(400, &error.to_string()).into())];
        self.answer(transaction, StatusCode::BadRequest, reason, Some(open));
    }

    fn unavailable(&self, transaction: Transaction, refusal: Refusal, open: Option<OpenInvite>) {
        self.shared.refusals.lock().add(refusal);
        let headers = vec![
            Header::RetryAfter(RETRY_AFTER_S.into()),
            Header::Reason(refusal.unavailable().into()),
        ];
        self.answer(transaction, StatusCode::ServiceUnavailable, headers, open);
    }

    /// Answers and keeps the transaction as long as its timers want, but not an INVITE's that has no place.
    fn answer(
        &self,
        mut transaction: Transaction,
        status: StatusCode,
        headers: Vec<Header>,
        open: Option<OpenInvite>,
    ) {
        if let Some(open) = &open {
            open.place().settle();
        }
        let is_kept = open.is_some() || transaction.original.method != Method::Invite;
        self.tasks.spawn(async move {
            // A response that cannot be sent is one lost on the way: the peer repeats its request.
            let _ = transaction.reply_with(status, headers, None).await;
            if is_kept {
                absorb(transaction, open).await;
            }
        });
    }
}

/// Drives the INVITE's transaction: 100, the responses that the call queues, CANCEL, ACK. Ends `linger` after the call at the latest:
/// a transaction whose response could not be sent has no timer of its own.
async fn drive_invite(
    mut dialog: InviteDialog,
    mut transaction: Transaction,
    open: OpenInvite,
    (hung_up, over): (CancellationToken, CancellationToken),
    linger: Duration,
) {
    let given_up = async {
        over.cancelled().await;
        sleep(linger).await;
    };
    tokio::select! {
        // Its outcome reaches the call as a state of the dialog. No arm is polled again.
        _ = dialog.handle(&mut transaction) => {}
        // It has had its 200, whether it has acknowledged it or not: no repeats go to a port that may be another's by now.
        () = hung_up.cancelled() => return,
        () = given_up => return,
    }
    absorb(transaction, Some(open)).await;
}

/// Keeps an answered transaction until its own timers end it, so that it repeats its response and absorbs the ACK. Until then it is
/// open.
async fn absorb(mut transaction: Transaction, open: Option<OpenInvite>) {
    let mut open = open.filter(|_| transaction.state == TransactionState::Completed);
    while matches!(
        transaction.state,
        TransactionState::Completed | TransactionState::Confirmed | TransactionState::Accepted
    ) {
        match transaction.receive().await {
            Some(SipMessage::Request(request)) if request.method == Method::Ack => drop(open.take()),
            Some(_) => {}
            None => return,
        }
    }
}

fn source(transaction: &Transaction) -> Option<SocketAddr> {
    transaction
        .connection
        .as_ref()?
        .get_remote_addr()?
        .get_socketaddr()
        .ok()
}
