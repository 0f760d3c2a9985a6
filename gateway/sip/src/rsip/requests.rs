//! Requests of ours within a dialog. `rsipstack` would end the dialog at the first challenge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::headers::typed::CSeq;
use rsipstack::sip::{Header, Method, Request, Response, SipMessage, ToTypedHeader as _, Version};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::key::TransactionRole;
use rsipstack::transaction::transaction::Transaction;
use tokio_util::task::TaskTracker;

use super::convert;
use super::flows::{Line, Path};
use crate::digest::client::Login;

/// A dialog's requests, in the order of their numbers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Requests {
    endpoint: EndpointInnerRef,
    dialog: InviteDialog,
    /// The last one's number.
    cseq: Arc<AtomicU32>,
    /// For a server that challenges.
    login: Option<Login>,
    line: Line,
    tasks: TaskTracker,
}

impl Requests {
    pub(super) fn new(
        endpoint: &EndpointInnerRef,
        dialog: &InviteDialog,
        login: Option<Login>,
        line: Line,
        tasks: &TaskTracker,
    ) -> Self {
        Self {
            endpoint: endpoint.clone(),
            dialog: dialog.clone(),
            cseq: Arc::new(AtomicU32::new(dialog.snapshot().local_cseq)),
            login,
            line,
            tasks: tasks.clone(),
        }
    }

    /// The last ACK of the other side.
    pub(super) fn last_ack(&self) -> Option<Request> {
        self.dialog.last_remote_ack()
    }

    /// Sends a request, once more with credentials when the other side wants them. `None`: no answer.
    pub(super) async fn ask(&self, method: Method, headers: Vec<Header>, body: Vec<u8>) -> Option<Response> {
        let path = self.path().await?;
        let request = self.request(method, headers.clone(), body.clone(), &path)?;
        let uri = request.uri.to_string();
        let response = send(&self.endpoint, request, &path, &self.tasks).await?;
        let login = self.login.as_ref();
        let Some(answer) =
            login.and_then(|login| convert::authorization(&response, login, method, &uri, &body))
        else {
            return Some(response);
        };
        let mut headers = headers;
        headers.push(answer);
        let request = self.request(method, headers, body, &path)?;
        send(&self.endpoint, request, &path, &self.tasks).await
    }

    /// By the first Route, or the remote target (RFC 3261 §12.2.1.1).
    async fn path(&self) -> Option<Path> {
        let dialog = self.dialog.snapshot();
        let route = dialog.route_set.first().and_then(|route| route.typed().ok());
        let target = route.map_or(dialog.remote_uri, |route| route.uri);
        self.line.path(&target).await
    }

    /// RFC 3261 §12.2.1.1.
    fn request(&self, method: Method, extra: Vec<Header>, body: Vec<u8>, path: &Path) -> Option<Request> {
        let dialog = self.dialog.snapshot();
        let here = self.line.flows().here(&self.endpoint, path);
        let (from, to) = match dialog.role {
            TransactionRole::Client => (dialog.from.to_string(), dialog.to.to_string()),
            TransactionRole::Server => (dialog.to.to_string(), dialog.from.to_string()),
        };
        let seq = self.cseq.fetch_add(1, Ordering::Relaxed) + 1;
        let mut headers = vec![
            Header::Via(self.endpoint.get_via(here, None).ok()?.into()),
            Header::MaxForwards(70.into()),
            Header::From(from.into()),
            Header::To(to.into()),
            Header::CallId(dialog.id.call_id.into()),
            Header::CSeq(CSeq { seq, method }.into()),
            Header::UserAgent(self.endpoint.user_agent.clone().into()),
        ];
        headers.extend(
            dialog
                .local_contact
                .map(|uri| Header::Contact(format!("<{uri}>").into())),
        );
        headers.extend(dialog.route_set.into_iter().map(Header::Route));
        headers.extend(extra);
        headers.push(Header::ContentLength(u32::try_from(body.len()).ok()?.into()));
        Some(Request {
            method,
            uri: dialog.remote_uri,
            headers: headers.into(),
            body,
            version: Version::V2,
        })
    }
}

/// Sends a request and waits for its final answer. `None`: there is none.
pub(super) async fn send(
    endpoint: &EndpointInnerRef,
    request: Request,
    path: &Path,
    tasks: &TaskTracker,
) -> Option<Response> {
    let mut transaction = path.transaction(endpoint, request)?;
    transaction.send().await.ok()?;
    loop {
        // A connection that ends takes the transaction with it, so that it is not polled again.
        let message = tokio::select! {
            biased;
            message = transaction.receive() => message?,
            () = path.closed() => return None,
        };
        if let SipMessage::Response(response) = message
            && response.status_code.code() >= 200
        {
            if transaction.original.method == Method::Invite {
                keep(transaction, path.clone(), tasks);
            }
            return (!convert::is_local(&response)).then_some(response);
        }
    }
}

/// An INVITE's transaction acknowledges its answer as often as that is repeated, until it ends by itself.
fn keep(mut transaction: Transaction, path: Path, tasks: &TaskTracker) {
    tasks.spawn(async move {
        // Neither arm is polled again.
        tokio::select! {
            () = async { while transaction.receive().await.is_some() {} } => {}
            () = path.closed() => {}
        }
    });
}
