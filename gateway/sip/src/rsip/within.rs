//! What happens within a dialog that stands, whoever placed the call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rsipstack::dialog::dialog::{DialogState, TransactionHandle};
use rsipstack::sip::headers::make_header;
use rsipstack::sip::{Header, Method, Request, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::convert;
use super::requests::Requests;
use super::timing::{Said, Timing};
use crate::session::Due;
use crate::{ALLOW, CallEvent, Referral, Renegotiation, TransferEvent, is_extra_header};

/// How long the owner may take over a renegotiation.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an ending call waits for the answer to its BYE.
const BYE_TIMEOUT: Duration = Duration::from_secs(4);

pub(super) struct Within {
    ours: Requests,
    events: mpsc::Sender<CallEvent>,
    tasks: TaskTracker,
    /// Whether our 200 to a re-INVITE made an offer, whose answer is in the ACK.
    offered: Arc<AtomicBool>,
    /// Whether we have accepted a REFER that nothing was said of yet.
    followed: Arc<AtomicBool>,
    timing: Timing,
    /// Whether the other side takes UPDATE.
    takes_update: bool,
}

impl Within {
    pub(super) fn new(
        ours: Requests,
        events: mpsc::Sender<CallEvent>,
        tasks: TaskTracker,
        timing: Timing,
        takes_update: bool,
    ) -> Self {
        Self {
            timing,
            takes_update,
            ours,
            events,
            tasks,
            offered: Arc::default(),
            followed: Arc::default(),
        }
    }

    /// Answers a request of the other side, or passes it on.
    pub(super) fn changed(&self, change: DialogState) {
        match change {
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
            DialogState::Notify(_, request, handle) => {
                let Some(event) = notified(&request) else {
                    // RFC 6665 §4.1.3: no subscription of ours.
                    return self.reply(handle, StatusCode::BadEvent);
                };
                // A full queue loses it: the transfer then ends by its timeout.
                let _ = self.events.try_send(CallEvent::Transfer(event));
                self.reply(handle, StatusCode::OK);
            }
            DialogState::Options(_, _, handle) => self.reply(handle, StatusCode::OK),
            DialogState::Confirmed(..) => self.acknowledged(),
            DialogState::Refer(_, request, handle) => self.referred(&request, handle),
            DialogState::Publish(_, _, handle) | DialogState::Message(_, _, handle) => {
                self.reply(handle, StatusCode::MethodNotAllowed);
            }
            _ => {}
        }
    }

    /// Sends REFER and reports its answer.
    pub(super) fn refer(&self, to: &str, headers: Vec<(String, String)>) {
        let mut all = vec![Header::ReferTo(refer_to(to).into())];
        all.extend(extra(headers));
        let (ours, events) = (self.ours.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let event = match ours.ask(Method::Refer, all, Vec::new()).await {
                Some(response) => TransferEvent::Answered {
                    code: response.status_code.code(),
                    phrase: convert::phrase(&response),
                },
                None => TransferEvent::Unanswered,
            };
            let _ = events.try_send(CallEvent::Transfer(event));
        });
    }

    /// Asks the owner what to answer.
    fn referred(&self, request: &Request, handle: TransactionHandle) {
        let mut targets = request.headers.iter().filter(|h| matches!(h, Header::ReferTo(_)));
        // RFC 3515 §2.4.1: one, and one only.
        let (Some(to), None) = (targets.next(), targets.next()) else {
            return self.reply(handle, StatusCode::BadRequest);
        };
        let (answer, answered) = oneshot::channel();
        let referral = Referral {
            to: to.value().to_owned(),
            answer,
        };
        if self.events.try_send(CallEvent::Referred(referral)).is_err() {
            return self.reply(handle, StatusCode::ServerInternalError);
        }
        let followed = Arc::clone(&self.followed);
        self.tasks.spawn(async move {
            let code = match timeout(ANSWER_TIMEOUT, answered).await {
                Ok(Ok(code)) => code,
                _ => 405,
            };
            followed.store((200..300).contains(&code), Ordering::Release);
            let allow = vec![Header::Allow(ALLOW.into())];
            let _ = handle.respond(StatusCode::from(code), Some(allow), None).await;
        });
    }

    /// Sends NOTIFY about a REFER of the other side's.
    pub(super) fn notify(&self, code: u16, phrase: &str, is_final: bool) {
        let (ours, phrase) = (self.ours.clone(), phrase.to_owned());
        self.tasks
            .spawn(async move { notify(&ours, code, &phrase, is_final).await });
    }

    /// Sends BYE; resolves when it was answered, or after [`BYE_TIMEOUT`]. Its transaction repeats it for 64·T1 all the same.
    pub(super) fn bye(&self, headers: Vec<Header>) -> impl Future<Output = ()> + use<> {
        let ours = self.ours.clone();
        let asking = self
            .tasks
            .spawn(async move { drop(ours.ask(Method::Bye, headers, Vec::new()).await) });
        async move {
            // Whatever comes of it, the dialog is over (RFC 3261 §15.1.1).
            let _ = timeout(BYE_TIMEOUT, asking).await;
        }
    }

    /// Resolves when the session is to be refreshed, or has expired. Cancel-safe.
    pub(super) async fn due(&self) -> Due {
        self.timing.due().await
    }

    /// Refreshes the session.
    pub(super) fn refresh(&self) {
        let (timing, ours, events) = (self.timing.clone(), self.ours.clone(), self.events.clone());
        self.tasks.spawn(timing.refresh(ours, self.takes_update, events));
    }

    /// The timer of the session, for the 2xx that opens it.
    pub(super) fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The body of the last ACK.
    pub(super) fn last_ack(&self) -> Vec<u8> {
        self.ours.last_ack().map(|ack| ack.body).unwrap_or_default()
    }

    fn reply(&self, handle: TransactionHandle, status: StatusCode) {
        self.tasks.spawn(async move {
            // The transaction may be gone.
            let _ = handle
                .respond(status, Some(vec![Header::Allow(ALLOW.into())]), None)
                .await;
        });
    }

    /// The ACK of a re-INVITE, or the end of another request.
    fn acknowledged(&self) {
        if self.followed.swap(false, Ordering::AcqRel) {
            // RFC 3515 §2.4.4: at once, whatever is known; and not before the answer, though a peer would have to bear that.
            self.notify(100, "Trying", false);
        }
        if !self.offered.swap(false, Ordering::AcqRel) {
            return;
        }
        let answer = self.last_ack();
        // A full queue loses it: the session then stays as it was.
        let _ = self.events.try_send(CallEvent::OfferAnswered(answer));
    }

    fn renegotiate(&self, request: Request, handle: TransactionHandle) {
        let (session, agreed) = match self.timing.answer(&request) {
            Said::Agreed(headers, agreed) => (headers, agreed),
            Said::TooBrief(min_se) => {
                self.tasks.spawn(async move {
                    let status = StatusCode::SessionIntervalTooSmall;
                    let _ = handle.respond(status, Some(vec![min_se]), None).await;
                });
                return;
            }
        };
        let timing = self.timing.clone();
        let asks_for_offer = request.body.is_empty();
        if asks_for_offer && request.method == Method::Update {
            // It refreshes the session, no more.
            self.tasks.spawn(async move {
                let mut headers = vec![Header::Allow(ALLOW.into())];
                headers.extend(session);
                let _ = handle.respond(StatusCode::OK, Some(headers), None).await;
                timing.agreed(agreed);
            });
            return;
        }
        let offer = (!asks_for_offer).then_some(request.body);
        let (answer, answered) = oneshot::channel();
        if self
            .events
            .try_send(CallEvent::Renegotiation(Renegotiation { offer, answer }))
            .is_err()
        {
            return self.reply(handle, StatusCode::ServerInternalError);
        }
        let offered = Arc::clone(&self.offered);
        self.tasks.spawn(async move {
            let body = match timeout(ANSWER_TIMEOUT, answered).await {
                Ok(Ok(body)) => body,
                _ => None,
            };
            // Before the 200 is out: its ACK may come at once.
            offered.store(asks_for_offer && body.is_some(), Ordering::Release);
            let _ = match body {
                Some(body) => {
                    let mut headers = vec![
                        Header::ContentType("application/sdp".into()),
                        Header::Allow(ALLOW.into()),
                    ];
                    headers.extend(session);
                    let done = handle.respond(StatusCode::OK, Some(headers), Some(body)).await;
                    timing.agreed(agreed);
                    done
                }
                None => handle.respond(StatusCode::NotAcceptableHere, None, None).await,
            };
        });
    }
}

async fn notify(ours: &Requests, code: u16, phrase: &str, is_final: bool) {
    let state = if is_final {
        "terminated;reason=noresource"
    } else {
        "active;expires=60"
    };
    let headers = vec![
        make_header("Event", "refer".to_owned()),
        make_header("Subscription-State", state.to_owned()),
        Header::ContentType("message/sipfrag;version=2.0".into()),
    ];
    let phrase: String = phrase.chars().filter(|c| !c.is_control()).collect();
    let fragment = format!("SIP/2.0 {code} {phrase}\r\n").into_bytes();
    // Whoever does not answer does not want to know.
    drop(ours.ask(Method::Notify, headers, fragment).await);
}

/// Headers from outside, as far as they may be sent.
pub(super) fn extra(headers: Vec<(String, String)>) -> impl Iterator<Item = Header> {
    let allowed = |(name, value): &(String, String)| is_extra_header(name, value);
    let headers = headers.into_iter().filter(allowed);
    headers.map(|(name, value)| make_header(&name, value))
}

/// In brackets, lest the URI's own marks are read as the header's (RFC 3261 §20); a bare number as livekit-sip has it.
fn refer_to(uri: &str) -> String {
    if uri.starts_with("tel:") && !uri.contains([';', '?', ',']) {
        uri.to_owned()
    } else {
        format!("<{uri}>")
    }
}

/// What a NOTIFY says of a transfer (RFC 3515 §2.4.4); `None` when it is about something else.
fn notified(request: &Request) -> Option<TransferEvent> {
    let header = |wanted: fn(&Header) -> bool| request.headers.iter().find(|h| wanted(h)).map(Header::value);
    let event = header(|h| matches!(h, Header::Event(_)))?;
    if !event.split(';').next()?.trim().eq_ignore_ascii_case("refer") {
        return None;
    }
    let subscription = header(|h| matches!(h, Header::SubscriptionState(_))).unwrap_or_default();
    let is_over = subscription.trim().to_ascii_lowercase().starts_with("terminated");
    let fragment = String::from_utf8_lossy(&request.body);
    let mut words = fragment.lines().next()?.trim().splitn(3, ' ');
    let (version, code) = (words.next()?, words.next()?);
    let code = code.parse().ok().filter(|code| (100..700).contains(code));
    let code = code.filter(|_| version.eq_ignore_ascii_case("SIP/2.0"))?;
    Some(TransferEvent::Notified {
        code,
        phrase: words.next().unwrap_or_default().trim().to_owned(),
        is_final: is_over || code >= 200,
    })
}
