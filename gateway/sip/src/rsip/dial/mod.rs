//! A call that we place: INVITE, credentials, CANCEL, and, once it is answered, its dialog.

mod attempt;
mod established;
mod prack;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{
    HeadersExt as _, HostWithPort, Request, Response, StatusCodeKind, Transport as WireTransport,
};
use rsipstack::transport::SipAddr;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flows::{Flows, Line, Path};
use super::timing::{Timing, min_se};
use super::{Shared, convert};
use crate::digest::client;
use crate::outgoing::Placement;
use crate::{CallEvent, Command, Outgoing, SessionTimes, Transport};
use attempt::Attempt;
use established::Established;

/// Challenges that are answered: of each proxy on the way one, and of those with stale nonces one more.
const MAX_CHALLENGES: usize = 5;
/// How long an answer that crossed our CANCEL is waited for.
const CROSSING_TIMEOUT: Duration = Duration::from_secs(40);
const MAX_SESSION: Duration = Duration::from_hours(24);

pub(super) struct DialTask {
    pub(super) placement: Placement,
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) flows: Arc<Flows>,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: TaskTracker,
    pub(super) session: SessionTimes,
    pub(super) cancel: CancellationToken,
}

/// What an attempt has come to.
enum Step {
    /// It goes on.
    Waiting,
    /// With credentials.
    Again(Box<Request>),
    Answered(Box<Response>),
    Over(CallEvent),
}

impl DialTask {
    pub(super) async fn run(mut self) {
        let last = self.serve().await;
        // The owner may be gone.
        let _ = self.placement.events.try_send(last);
        self.shared.dialogs.store(self.dialogs.len(), Ordering::Relaxed);
        self.shared.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the last event.
    async fn serve(&mut self) -> CallEvent {
        let path = match self.connected().await {
            Ok(path) => path,
            Err(last) => return last,
        };
        let endpoint = &self.dialogs.endpoint;
        let here = self.flows.here(endpoint, &path);
        let request =
            here.and_then(|here| attempt::invite(endpoint, &self.placement.outgoing, here, self.session));
        let Some(request) = request else {
            return CallEvent::Unreachable;
        };
        let mut attempt = Attempt::start(endpoint, request, path.clone(), &self.tasks);
        let mut challenges_left = MAX_CHALLENGES;
        loop {
            // All arms are cancel-safe.
            let response = tokio::select! {
                () = self.cancel.cancelled() => return self.take_back(attempt),
                command = self.placement.commands.recv() => match command {
                    Some(Command::Bye { .. }) | None => return self.take_back(attempt),
                    // Everything else has its time later.
                    Some(_) => continue,
                },
                response = attempt.response() => response,
            };
            let Some(response) = response else {
                return CallEvent::Unreachable;
            };
            match self.step(&mut attempt, response, &mut challenges_left) {
                Step::Waiting => {}
                Step::Again(request) => {
                    let endpoint = &self.dialogs.endpoint;
                    attempt = Attempt::start(endpoint, *request, path.clone(), &self.tasks);
                }
                Step::Answered(response) => return self.answered(attempt, &response).await,
                Step::Over(event) => return event,
            }
        }
    }

    /// The way to the other side, or the last event when there is none, or nobody wants the call any more.
    async fn connected(&mut self) -> Result<Path, CallEvent> {
        let destination = &self.placement.outgoing.destination;
        if destination.transport == Transport::Udp {
            let address = SipAddr::new(WireTransport::Udp, HostWithPort::from(destination.address));
            return Ok(Path::Udp(Some(address)));
        }
        let mut connecting = std::pin::pin!(self.flows.to(destination));
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = self.cancel.cancelled() => return Err(CallEvent::Ended),
                command = self.placement.commands.recv() => match command {
                    Some(Command::Bye { .. }) | None => return Err(CallEvent::Ended),
                    Some(_) => {}
                },
                flow = &mut connecting => return flow.map(Path::Flow).ok_or(CallEvent::Unreachable),
            }
        }
    }

    fn step(&self, attempt: &mut Attempt, response: Response, challenges_left: &mut usize) -> Step {
        match response.status_code.kind() {
            StatusCodeKind::Provisional => {
                let code = response.status_code.code();
                attempt.acknowledge(&response, &self.flows);
                if code > 100 {
                    let sdp = (!response.body.is_empty()).then(|| response.body.clone());
                    // A full queue loses it: what rings shows in the next one, or in the answer.
                    let _ = self.placement.events.try_send(CallEvent::Progress { code, sdp });
                }
                Step::Waiting
            }
            StatusCodeKind::Successful => Step::Answered(Box::new(response)),
            _ if convert::is_local(&response) => Step::Over(CallEvent::Unreachable),
            _ => {
                // RFC 4028 §7.4. Longer than a day nobody asks for but to keep us asking.
                let longer = min_se(&response).filter(|least| *least <= MAX_SESSION && *challenges_left > 0);
                if let (422, Some(least)) = (response.status_code.code(), longer)
                    && let Some(request) = attempt::longer(attempt.request(), least)
                {
                    *challenges_left -= 1;
                    return Step::Again(Box::new(request));
                }
                if let Some(request) = self.with_credentials(attempt, &response, *challenges_left) {
                    *challenges_left -= 1;
                    return Step::Again(Box::new(request));
                }
                Step::Over(CallEvent::Refused {
                    code: response.status_code.code(),
                    phrase: convert::phrase(&response),
                })
            }
        }
    }

    /// The INVITE again, with the answer to a challenge; `None` when there is none to give, or it was given already and refused.
    fn with_credentials(&self, attempt: &Attempt, response: &Response, left: usize) -> Option<Request> {
        let Outgoing { login, offer, .. } = &self.placement.outgoing;
        let challenges = convert::challenges(response)?;
        let of_proxy = response.status_code.code() == 407;
        let is_stale = client::is_stale(challenges.iter().map(String::as_str));
        if left == 0 || (attempt::has_answered(attempt.request(), of_proxy) && !is_stale) {
            return None;
        }
        let request = attempt.request();
        let uri = request.uri.to_string();
        let answer = convert::authorization(response, login.as_ref()?, request.method, &uri, offer)?;
        attempt::again(request, answer)
    }

    async fn answered(&mut self, attempt: Attempt, response: &Response) -> CallEvent {
        let line = Line::new(&self.flows, attempt.flow());
        let timing = Timing::new(self.session);
        timing.answered(response);
        let cseq = attempt.last_cseq();
        let established = Established::new(&self.dialogs, attempt.request(), response, line, cseq);
        let Some(established) = established else {
            // The ACK is out; without a tag there is no dialog that a BYE could end.
            return CallEvent::Unreachable;
        };
        self.shared.dialogs.store(self.dialogs.len(), Ordering::Relaxed);
        let tag = established.remote_tag();
        self.tasks.spawn(self.end_others(attempt, Some(tag)));
        let answer = convert::answer(response);
        // An owner whose queue is full of progress would never hear of the answer.
        let _ = self.placement.events.send(CallEvent::Answered(answer)).await;
        established
            .serve(
                &mut self.placement,
                &self.dialogs,
                &self.tasks,
                &self.cancel,
                timing,
            )
            .await
    }

    fn end_others(&self, attempt: Attempt, kept: Option<String>) -> impl Future<Output = ()> + use<> {
        let line = Line::new(&self.flows, attempt.flow());
        end_others(Arc::clone(&self.dialogs), attempt, line, kept, self.tasks.clone())
    }

    /// Gives the call up before its answer. The owner need not wait for what comes of it.
    fn take_back(&self, mut attempt: Attempt) -> CallEvent {
        attempt.cancel();
        self.tasks.spawn(self.end_others(attempt, None));
        CallEvent::Ended
    }
}

/// Ends what is answered beside the call that is kept: by other phones that an INVITE was forked to (RFC 3261 §13.2.2.4), or by one whose
/// answer crossed our CANCEL (§9.1).
async fn end_others(
    dialogs: Arc<DialogLayer>,
    mut attempt: Attempt,
    line: Line,
    kept: Option<String>,
    tasks: TaskTracker,
) {
    let mut ended: Vec<String> = kept.into_iter().collect();
    let work = async {
        while let Some(response) = attempt.response().await {
            if response.status_code.kind() == StatusCodeKind::Provisional {
                attempt.cancel_now();
                continue;
            }
            let tag = response.to_header().ok().and_then(|to| to.tag().ok().flatten());
            let tag = tag.map(|tag| tag.value().to_owned()).unwrap_or_default();
            if response.status_code.kind() != StatusCodeKind::Successful || ended.contains(&tag) {
                continue;
            }
            ended.push(tag);
            let cseq = attempt.last_cseq();
            let other = Established::new(&dialogs, attempt.request(), &response, line.clone(), cseq);
            if let Some(other) = other {
                other.end(&dialogs, &tasks).await;
            }
        }
    };
    let _ = tokio::time::timeout(CROSSING_TIMEOUT, work).await;
}
