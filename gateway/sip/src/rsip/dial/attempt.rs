//! One INVITE and its transaction.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::headers::make_header;
use rsipstack::sip::headers::typed::{From as TypedFrom, To as TypedTo};
use rsipstack::sip::{
    Auth, Header, HeadersExt as _, HostWithPort, Method, Param, Request, Response, Scheme, SipMessage,
    ToTypedHeader as _, Uri,
};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::make_via_branch;
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipAddr;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::super::flows::{self, Flow, Flows, Line, Path};
use super::super::timing::has_token;
use super::super::within::extra;
use super::prack::Prack;
use crate::{ALLOW, Outgoing, SUPPORTED, SessionTimes, SipUri, Transport};

/// Responses that may wait for the call.
const RESPONSE_QUEUE: usize = 16;
/// Phones of a forked INVITE whose provisional answers are acknowledged.
const MAX_EARLY_DIALOGS: usize = 16;
const EXPIRES: &str = "Session-Expires";
const MIN_SE: &str = "Min-SE";

/// An INVITE that was sent.
pub(super) struct Attempt {
    endpoint: EndpointInnerRef,
    request: Request,
    path: Path,
    responses: mpsc::Receiver<Response>,
    tasks: TaskTracker,
    /// Whether the other side has shown that it knows the INVITE: until then there is nothing to cancel (RFC 3261 §9.1).
    is_known: bool,
    cancel_wanted: bool,
    cancelled: bool,
    /// The last reliable answer of each early dialog, by its tag.
    acknowledged: Vec<(String, u32)>,
    /// PRACKs so far: each took a number of the dialog's.
    pracks: u32,
}

impl Attempt {
    pub(super) fn start(
        endpoint: &EndpointInnerRef,
        request: Request,
        path: Path,
        tasks: &TaskTracker,
    ) -> Self {
        let (responses_tx, responses) = mpsc::channel(RESPONSE_QUEUE);
        if let Some(transaction) = path.transaction(endpoint, request.clone()) {
            tasks.spawn(drive(transaction, path.clone(), responses_tx));
        }
        Self {
            endpoint: endpoint.clone(),
            request,
            path,
            responses,
            tasks: tasks.clone(),
            is_known: false,
            cancel_wanted: false,
            cancelled: false,
            acknowledged: Vec::new(),
            pracks: 0,
        }
    }

    /// The connection that the INVITE was sent on.
    pub(super) fn flow(&self) -> Option<Flow> {
        match &self.path {
            Path::Flow(flow) => Some(flow.clone()),
            Path::Udp(_) => None,
        }
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// The number of our last request.
    pub(super) fn last_cseq(&self) -> u32 {
        number(&self.request).unwrap_or_default() + self.pracks
    }

    /// Sends PRACK, where a provisional answer wants it (RFC 3262 §4).
    pub(super) fn acknowledge(&mut self, response: &Response, flows: &Arc<Flows>) {
        if !has_token(&response.headers, &["Require"], "100rel") {
            return;
        }
        let tag = response.to_header().ok().and_then(|to| to.tag().ok().flatten());
        let (Some(rseq), Some(tag)) = (response.rseq_value(), tag) else {
            return;
        };
        let known = self
            .acknowledged
            .iter_mut()
            .find(|(known, _)| known == tag.value());
        if let Some((_, last)) = known {
            // Repeated, or one before it was lost: that one will be repeated.
            if rseq != last.wrapping_add(1) {
                return;
            }
            *last = rseq;
        } else if self.acknowledged.len() < MAX_EARLY_DIALOGS {
            self.acknowledged.push((tag.value().to_owned(), rseq));
        } else {
            return;
        }
        self.pracks += 1;
        let prack = Prack {
            endpoint: self.endpoint.clone(),
            line: Line::new(flows, self.flow()),
            cseq: self.last_cseq(),
            invite: self.request.clone(),
            tasks: self.tasks.clone(),
        };
        let response = response.clone();
        // An answer that is not acknowledged after all is repeated.
        self.tasks
            .spawn(async move { drop(prack.send(&response, rseq).await) });
    }

    /// The next response; `None` when the transaction is over. Cancel-safe.
    pub(super) async fn response(&mut self) -> Option<Response> {
        let response = self.responses.recv().await?;
        self.is_known = true;
        Some(response)
    }

    /// Takes the INVITE back, as soon as it can be.
    pub(super) fn cancel(&mut self) {
        self.cancel_wanted = true;
        if self.is_known {
            self.cancel_now();
        }
    }

    /// Sends the CANCEL that is wanted, once.
    pub(super) fn cancel_now(&mut self) {
        if !self.cancel_wanted || std::mem::replace(&mut self.cancelled, true) {
            return;
        }
        let cancel = cancel_of(&self.request);
        if let Some(mut transaction) = self.path.transaction(&self.endpoint, cancel) {
            let path = self.path.clone();
            self.tasks.spawn(async move {
                let driving = async {
                    if transaction.send().await.is_ok() {
                        while transaction.receive().await.is_some() {}
                    }
                };
                // Neither arm is polled again.
                tokio::select! {
                    () = driving => {}
                    () = path.closed() => {}
                }
            });
        }
    }
}

/// Runs the transaction to its end, which a connection's end is too: repeats and ACKs are its own.
async fn drive(mut transaction: Transaction, path: Path, responses: mpsc::Sender<Response>) {
    if transaction.send().await.is_err() {
        return;
    }
    loop {
        // The transaction is not polled again once its connection is gone.
        let message = tokio::select! {
            biased;
            message = transaction.receive() => message,
            () = path.closed() => return,
        };
        let Some(message) = message else { return };
        if let SipMessage::Response(response) = message {
            // Nobody may be listening any more.
            let _ = responses.send(response).await;
        }
    }
}

/// The first INVITE of a call to a host.
pub(super) fn invite(
    endpoint: &EndpointInnerRef,
    outgoing: &Outgoing,
    transport: Transport,
    cseq: u32,
    here: SipAddr,
    times: SessionTimes,
) -> Option<Request> {
    let to = uri(&outgoing.to)?;
    let mut target = to.clone();
    target.params.extend(flows::param(transport));
    let mut from = match outgoing.from.host.as_str() {
        "" => Uri {
            scheme: Some(Scheme::Sip),
            // Without our port, as livekit-sip has it: a number is not at a port.
            host_with_port: HostWithPort {
                host: here.addr.host.clone(),
                port: None,
            },
            ..Uri::default()
        },
        _ => uri(&outgoing.from)?,
    };
    from.auth = auth(&outgoing.from);
    let from = TypedFrom {
        display_name: outgoing.display_name.as_deref().map(quoted),
        uri: from,
        params: vec![Param::Tag(outgoing.tag.clone().into())],
    };
    let contact = Uri {
        auth: auth(&outgoing.from),
        ..flows::contact(&here)
    };
    let via = endpoint.get_via(Some(here), None).ok()?;
    let to_header = TypedTo {
        display_name: None,
        uri: to,
        params: Vec::new(),
    };
    let call_id = Some(outgoing.call_id.clone().into());
    let mut request = endpoint.make_request(Method::Invite, target, via, from, to_header, cseq, call_id);
    request
        .headers
        .push(Header::Contact(format!("<{contact}>").into()));
    request.headers.push(Header::Allow(ALLOW.into()));
    request
        .headers
        .push(Header::Supported(SUPPORTED.join(", ").into()));
    let seconds = |time: Duration| time.as_secs().to_string();
    for (name, time) in [(EXPIRES, times.expires), (MIN_SE, times.least)] {
        request.headers.push(make_header(name, seconds(time)));
    }
    request
        .headers
        .push(Header::ContentType("application/sdp".into()));
    for header in extra(outgoing.headers.clone()) {
        request.headers.push(header);
    }
    request.body.clone_from(&outgoing.offer);
    Some(request)
}

/// The same INVITE with the answer to a challenge: Call-ID, From and To stay, `CSeq` and branch are new (RFC 3261 §22.2).
pub(super) fn again(request: &Request, answer: Header) -> Option<Request> {
    let mut request = repeated(request)?;
    let to_proxy = matches!(answer, Header::ProxyAuthorization(_));
    request.headers.retain(|header| match header {
        Header::ProxyAuthorization(_) => !to_proxy,
        Header::Authorization(_) => to_proxy,
        _ => true,
    });
    request.headers.push(answer);
    Some(request)
}

/// The same INVITE for a session of at least `least`, after a 422 (RFC 4028 §7.4).
pub(super) fn longer(request: &Request, least: Duration) -> Option<Request> {
    let mut request = repeated(request)?;
    let is_timing = |header: &Header| {
        [EXPIRES, MIN_SE]
            .iter()
            .any(|name| header.name().eq_ignore_ascii_case(name))
    };
    let asked = request.headers.iter().filter(|header| is_timing(header));
    let asked = asked
        .filter_map(|header| header.value().parse().ok().map(Duration::from_secs))
        .max();
    request.headers.retain(|header| !is_timing(header));
    let seconds = asked.unwrap_or(least).max(least).as_secs().to_string();
    request.headers.push(make_header(EXPIRES, seconds));
    request
        .headers
        .push(make_header(MIN_SE, least.as_secs().to_string()));
    Some(request)
}

fn repeated(request: &Request) -> Option<Request> {
    let mut request = request.clone();
    let seq = number(&request)? + 1;
    request.cseq_header_mut().ok()?.mut_seq(seq).ok()?;
    let mut via = request.via_header().ok()?.typed().ok()?;
    via.params.retain(|param| !matches!(param, Param::Branch(_)));
    via.params.push(make_via_branch());
    request.headers.retain(|header| !matches!(header, Header::Via(_)));
    request.headers.push(via.into());
    Some(request)
}

fn number(request: &Request) -> Option<u32> {
    request.cseq_header().ok()?.seq().ok()
}

/// Whether the request has credentials for a proxy, or for a server.
pub(super) fn has_answered(request: &Request, proxy: bool) -> bool {
    request.headers.iter().any(|header| match header {
        Header::ProxyAuthorization(_) => proxy,
        Header::Authorization(_) => !proxy,
        _ => false,
    })
}

/// RFC 3261 §9.1: the same Request-URI, Call-ID, To, From, `CSeq` number, top Via and Route.
fn cancel_of(invite: &Request) -> Request {
    let mut cancel = invite.clone();
    cancel.method = Method::Cancel;
    cancel.body = Vec::new();
    cancel.headers.retain(|header| {
        matches!(
            header,
            Header::Via(_)
                | Header::From(_)
                | Header::To(_)
                | Header::CallId(_)
                | Header::CSeq(_)
                | Header::MaxForwards(_)
                | Header::Route(_)
                | Header::UserAgent(_)
        )
    });
    if let Ok(cseq) = cancel.cseq_header_mut() {
        // It was read before.
        let _ = cseq.mut_method(Method::Cancel);
    }
    cancel
}

fn uri(uri: &SipUri) -> Option<Uri> {
    let port = uri.port.map(|port| format!(":{port}")).unwrap_or_default();
    let host = HostWithPort::try_from(format!("{}{port}", uri.host)).ok()?;
    Some(Uri {
        scheme: Some(Scheme::Sip),
        auth: auth(uri),
        host_with_port: host,
        ..Uri::default()
    })
}

fn auth(uri: &SipUri) -> Option<Auth> {
    (!uri.user.is_empty()).then(|| Auth {
        user: uri.user.clone(),
        password: None,
    })
}

/// As it stands between quotes (RFC 3261 §25.1).
fn quoted(name: &str) -> String {
    let name = name.chars().filter(|c| !c.is_control());
    name.flat_map(|c| {
        let escape = matches!(c, '"' | '\\').then_some('\\');
        escape.into_iter().chain([c])
    })
    .collect()
}
