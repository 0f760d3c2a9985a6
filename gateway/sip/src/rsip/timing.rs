//! A dialog's session timer: its headers, its clock, its refreshes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::{Header, Headers, Method, Request, Response};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::requests::Requests;
use super::within::ANSWER_TIMEOUT;
use crate::session::{Answer, Due, Expires, Role, SessionTimes, Timer, answer};
use crate::{CallEvent, Renegotiation};

/// How long both sides' refreshes that met are waited out (RFC 3261 §14.1 has 2.1 to 4 s for whoever placed the call).
const GLARE: Duration = Duration::from_secs(3);

/// Cheap to clone; clones share the timer.
#[derive(Clone)]
pub(super) struct Timing {
    times: SessionTimes,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    timer: Mutex<Timer>,
    /// The timer was set anew.
    changed: Notify,
}

/// What a 2xx of ours says of the session.
pub(super) enum Said {
    /// 422 in its place, with this header.
    TooBrief(Header),
    /// Its headers, and what is agreed once it is out.
    Agreed(Vec<Header>, Option<(Duration, bool)>),
}

impl Timing {
    pub(super) fn new(times: SessionTimes) -> Self {
        Self {
            times,
            shared: Arc::default(),
        }
    }

    /// Our answer to a request that opens or refreshes the session.
    pub(super) fn answer(&self, request: &Request) -> Said {
        let is_supported = has_token(&request.headers, &["Supported", "k", "Require"], "timer");
        match answer(expires(&request.headers), is_supported, self.times) {
            Answer::Untimed => Said::Agreed(Vec::new(), None),
            Answer::TooBrief => Said::TooBrief(self.min_se()),
            Answer::Timed(expires) => {
                let mut headers = vec![make_header("Session-Expires", expires.value())];
                // RFC 4028 §9: where the other side has to do it.
                if expires.refresher == Some(Role::Uac) {
                    headers.push(Header::Require("timer".into()));
                }
                let we = expires.refresher == Some(Role::Uas);
                Said::Agreed(headers, Some((expires.interval, we)))
            }
        }
    }

    /// The session is opened or refreshed.
    pub(super) fn agreed(&self, agreed: Option<(Duration, bool)>) {
        self.shared.timer.lock().agreed(agreed, now());
        self.shared.changed.notify_one();
    }

    /// By a 2xx to a request of ours.
    pub(super) fn answered(&self, response: &Response) {
        let agreed = expires(&response.headers);
        // Whoever says 0 shall not have us refresh without a pause.
        let interval = |it: Expires| it.interval.max(self.times.least);
        self.agreed(agreed.map(|it| (interval(it), it.refresher != Some(Role::Uas))));
    }

    /// Resolves when there is something to do. Cancel-safe.
    pub(super) async fn due(&self) -> Due {
        loop {
            let at = self.shared.timer.lock().poll_timeout();
            // Both arms are cancel-safe.
            tokio::select! {
                () = self.shared.changed.notified() => continue,
                () = sleep_until(at.map_or_else(Instant::now, Instant::from_std)), if at.is_some() => {}
            }
            let due = self.shared.timer.lock().handle_timeout(now());
            if let Some(due) = due {
                return due;
            }
        }
    }

    fn min_se(&self) -> Header {
        make_header("Min-SE", self.times.least.as_secs().to_string())
    }

    /// Refreshes the session: by UPDATE where the other side takes it, else by a re-INVITE with what the owner offers.
    pub(super) async fn refresh(self, ours: Requests, takes_update: bool, events: mpsc::Sender<CallEvent>) {
        let interval = self.shared.timer.lock().interval();
        let Some(mut interval) = interval else { return };
        let mut by_update = takes_update;
        // Once more for each of: too brief, and UPDATE not taken after all.
        for _ in 0..3 {
            let expires = Expires {
                interval,
                refresher: Some(Role::Uac),
            };
            let mut headers = vec![
                make_header("Session-Expires", expires.value()),
                self.min_se(),
                Header::Supported("timer".into()),
            ];
            let (method, body) = if by_update {
                (Method::Update, Vec::new())
            } else {
                let Some(offer) = offer(&events).await else { return };
                headers.push(Header::ContentType("application/sdp".into()));
                (Method::Invite, offer)
            };
            let Some(response) = ours.ask(method, headers, body).await else {
                return self.lost();
            };
            match response.status_code.code() {
                200..300 => {
                    self.answered(&response);
                    if !by_update {
                        // A full queue loses it: the session then stays as it was.
                        let _ = events.try_send(CallEvent::OfferAnswered(response.body));
                    }
                    return;
                }
                422 => interval = interval.max(min_se(&response).unwrap_or(interval)),
                408 | 481 => return self.lost(),
                491 => {
                    self.shared.timer.lock().again_at(now() + GLARE);
                    return self.shared.changed.notify_one();
                }
                _ if by_update => by_update = false,
                // What is refused now may be refused for good: then the session expires.
                _ => return,
            }
        }
    }

    fn lost(&self) {
        self.shared.timer.lock().lost();
        self.shared.changed.notify_one();
    }
}

/// What the owner offers now.
async fn offer(events: &mpsc::Sender<CallEvent>) -> Option<Vec<u8>> {
    let (answer, answered) = oneshot::channel();
    let asked = Renegotiation { offer: None, answer };
    events.try_send(CallEvent::Renegotiation(asked)).ok()?;
    timeout(ANSWER_TIMEOUT, answered).await.ok()?.ok()?
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn values<'a>(headers: &'a Headers, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let wanted = move |header: &&Header| names.iter().any(|name| header.name().eq_ignore_ascii_case(name));
    headers.iter().filter(wanted).map(Header::value)
}

fn expires(headers: &Headers) -> Option<Expires> {
    values(headers, &["Session-Expires", "x"]).find_map(Expires::parse)
}

/// What a 422 asks for at least.
pub(super) fn min_se(response: &Response) -> Option<Duration> {
    let value = values(&response.headers, &["Min-SE"]).next()?;
    let seconds: u32 = value.split(';').next()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// Whether one of these headers lists `token`.
pub(super) fn has_token(headers: &Headers, names: &[&str], token: &str) -> bool {
    values(headers, names)
        .flat_map(|value| value.split(','))
        .any(|it| it.trim().eq_ignore_ascii_case(token))
}
