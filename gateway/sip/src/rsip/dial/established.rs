//! The dialog that the answer to our INVITE made.

use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog::{
    Dialog, DialogSnapshot, DialogSnapshotState, DialogState, DialogStateReceiver, TerminatedReason,
};
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::headers::Route;
use rsipstack::sip::{Header, HeadersExt as _, Method, Request, Response, ToTypedHeader as _};
use rsipstack::transaction::key::TransactionRole;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::flows::Line;
use super::super::requests::Requests;
use super::super::timing::{Timing, has_token};
use super::super::within::{Within, extra};
use crate::outgoing::Placement;
use crate::session::{self, Due};
use crate::{CallEvent, Command};

pub(super) struct Established {
    dialog: InviteDialog,
    states: DialogStateReceiver,
    line: Line,
    takes_update: bool,
}

impl Established {
    /// Puts the dialog into the stack's table (RFC 3261 §12.1.2). `cseq`: of our last request. `None` when the answer makes none.
    pub(super) fn new(
        dialogs: &DialogLayer,
        request: &Request,
        response: &Response,
        line: Line,
        cseq: u32,
    ) -> Option<Self> {
        let id = DialogId::try_from((response, TransactionRole::Client)).ok()?;
        let contact = response.contact_header().ok();
        let target = response.typed_contact_headers().ok();
        let target = target.and_then(|contacts| contacts.first().map(|contact| contact.uri.clone()));
        let local = request.typed_contact_headers().ok();
        let local = local.and_then(|contacts| contacts.first().map(|contact| contact.uri.clone()));
        let snapshot = DialogSnapshot {
            state: DialogSnapshotState::Confirmed,
            role: TransactionRole::Client,
            id: id.clone(),
            from: request.from_header().ok()?.typed().ok()?,
            to: response.to_header().ok()?.typed().ok()?,
            local_cseq: cseq,
            remote_cseq: 0,
            local_contact: local,
            // A peer without Contact is asked where it was found.
            remote_uri: target.unwrap_or_else(|| request.uri.clone()),
            remote_contact: contact.cloned(),
            route_set: route_set(response),
            supports_100rel: false,
            session_id: None,
        };
        let (states_tx, states) = dialogs.new_dialog_state_channel();
        if !dialogs.restore_from_snapshot(snapshot, states_tx).ok()? {
            return None;
        }
        match dialogs.get_dialog(&id) {
            Some(Dialog::Invite(dialog)) => Some(Self {
                dialog,
                states,
                line,
                takes_update: has_token(&response.headers, &["Allow"], "UPDATE"),
            }),
            _ => None,
        }
    }

    pub(super) fn remote_tag(&self) -> String {
        self.dialog.id().remote_tag
    }

    /// Carries the call to its end; returns the last event.
    pub(super) async fn serve(
        mut self,
        placement: &mut Placement,
        dialogs: &DialogLayer,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
        timing: Timing,
    ) -> CallEvent {
        let login = placement.outgoing.login.clone();
        let ours = Requests::new(&dialogs.endpoint, &self.dialog, login, self.line.clone(), tasks);
        let events = placement.events.clone();
        let within = Within::new(ours, events, tasks.clone(), timing, self.takes_update);
        let last = loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = cancel.cancelled() => break hang_up(&within, Vec::new()).await,
                command = placement.commands.recv() => match command {
                    Some(Command::Bye { reason, headers }) => {
                        let mut all: Vec<_> = extra(headers).collect();
                        all.extend(reason.map(|reason| Header::Reason(reason.into())));
                        break hang_up(&within, all).await;
                    }
                    Some(Command::Refer { to, headers }) => within.refer(&to, headers),
                    Some(Command::Notify { code, phrase, is_final }) => within.notify(code, &phrase, is_final),
                    // Nothing that an answered call can do.
                    Some(_) => {}
                    None => break hang_up(&within, Vec::new()).await,
                },
                due = within.due() => match due {
                    Due::Refresh => within.refresh(),
                    Due::Expired => {
                        within.bye(vec![Header::Reason(session::expired().into())]).await;
                        break CallEvent::SessionExpired;
                    }
                },
                change = self.states.recv() => match change {
                    Some(DialogState::Terminated(_, TerminatedReason::UasBye | TerminatedReason::UacBye)) => {
                        break CallEvent::HungUp;
                    }
                    Some(DialogState::Terminated(..)) | None => break CallEvent::Ended,
                    Some(change) => within.changed(change),
                },
            }
        };
        dialogs.remove_dialog(&self.dialog.id());
        last
    }

    /// Ends a dialog that nobody wants.
    pub(super) async fn end(self, dialogs: &DialogLayer, tasks: &TaskTracker) {
        let ours = Requests::new(&dialogs.endpoint, &self.dialog, None, self.line.clone(), tasks);
        drop(ours.ask(Method::Bye, Vec::new(), Vec::new()).await);
        dialogs.remove_dialog(&self.dialog.id());
    }
}

async fn hang_up(within: &Within, headers: Vec<Header>) -> CallEvent {
    within.bye(headers).await;
    CallEvent::Ended
}

/// The answer's Record-Route, in reverse (RFC 3261 §12.1.2).
pub(super) fn route_set(response: &Response) -> Vec<Route> {
    let lines = response.headers.iter().filter_map(|header| match header {
        Header::RecordRoute(route) => Some(route.value().to_owned()),
        _ => None,
    });
    let mut routes: Vec<Route> = lines.flat_map(|line| split(&line)).map(Route::from).collect();
    routes.reverse();
    routes
}

/// Splits at the commas that stand between values and not within their brackets.
fn split(line: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let at_comma = |c: char| {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    let values = line.split(at_comma).map(|value| value.trim().to_owned());
    values.filter(|value| !value.is_empty()).collect()
}
