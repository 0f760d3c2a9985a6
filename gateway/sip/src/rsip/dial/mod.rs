//! A call that we place: INVITE, credentials, CANCEL, and, once it is answered, its dialog.

mod attempt;
mod established;
mod prack;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{HeadersExt as _, Request, Response, StatusCodeKind};
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flows::{Flows, Line, Path};
use super::timing::{Timing, min_se};
use super::{Shared, convert};
use crate::digest::client;
use crate::outgoing::Placement;
use crate::{CallEvent, Command, Destination, HostFault, Outgoing, SessionTimes, Transport};
use attempt::Attempt;
use established::Established;

/// Challenges that are answered: of each proxy on the way one, and of those with stale nonces one more.
const MAX_CHALLENGES: usize = 5;
/// How long an answer that crossed our CANCEL is waited for.
const CROSSING_TIMEOUT: Duration = Duration::from_secs(40);
/// Multiples of T1 that a host may stay silent when there is another one: 4 s, in which an INVITE over UDP is sent four times. The last
/// host has all the time that RFC 3261 gives it (Timer B).
const PATIENCE_T1: u32 = 8;
const MAX_SESSION: Duration = Duration::from_hours(24);

pub(super) struct DialTask {
    pub(super) placement: Placement,
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) flows: Arc<Flows>,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: TaskTracker,
    pub(super) session: SessionTimes,
    pub(super) t1: Duration,
    pub(super) cancel: CancellationToken,
}

/// What has come of an INVITE to one host.
enum Asked {
    Over(CallEvent),
    /// The next host is asked.
    Failed(HostFault, Option<Duration>),
    /// 503: likewise.
    Refused {
        phrase: String,
        retry_after: Option<Duration>,
    },
}

/// What a host has said so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// That it is there: 100, or a challenge.
    Something,
    /// That the call is under way: no other host is to be asked any more.
    Progress,
}

impl Said {
    fn hears(&mut self, response: &Response) {
        *self = match response.status_code.code() {
            101..200 => Self::Progress,
            _ if *self == Self::Progress => Self::Progress,
            _ => Self::Something,
        };
    }

    /// What it means that no more will come.
    fn unanswered(self) -> Asked {
        match self {
            Self::Progress => Asked::Over(CallEvent::Unreachable),
            Self::Nothing | Self::Something => Asked::Failed(HostFault::NoAnswer, None),
        }
    }
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
        let hosts = std::mem::take(&mut self.placement.outgoing.destinations);
        let mut last = CallEvent::Unreachable;
        let mut cseq = 1;
        for (at, host) in hosts.iter().enumerate() {
            // An owner whose queue is full would take what follows for the host's before.
            let _ = self.placement.events.send(CallEvent::Trying(host.clone())).await;
            let is_last = at + 1 == hosts.len();
            let (fault, retry_after) = match self.ask(host, is_last, &mut cseq).await {
                Asked::Over(event) => return event,
                Asked::Failed(fault, retry_after) => (fault, retry_after),
                Asked::Refused { phrase, retry_after } => {
                    last = CallEvent::Refused { code: 503, phrase };
                    (HostFault::Unavailable, retry_after)
                }
            };
            self.flows.locator.failed(host, retry_after);
            let _ = self.placement.events.send(CallEvent::HostFailed(fault)).await;
        }
        last
    }

    /// Sends the INVITE to one host. `cseq`: its number, which must not fall from one host to the next.
    async fn ask(&mut self, host: &Destination, is_last: bool, cseq: &mut u32) -> Asked {
        let path = match self.connected(host).await {
            Ok(Some(path)) => path,
            Ok(None) => return Asked::Failed(HostFault::NotConnected, None),
            Err(last) => return Asked::Over(last),
        };
        let endpoint = &self.dialogs.endpoint;
        let request = self.flows.here(endpoint, &path).and_then(|here| {
            let outgoing = &self.placement.outgoing;
            attempt::invite(endpoint, outgoing, host.transport, *cseq, here, self.session)
        });
        let Some(request) = request else {
            return Asked::Over(CallEvent::Unreachable);
        };
        let mut refusals = self.flows.udp.refusals();
        let mut attempt = Attempt::start(endpoint, request, path.clone(), &self.tasks);
        let is_udp = host.transport == Transport::Udp;
        let mut said = Said::Nothing;
        let mut challenges_left = MAX_CHALLENGES;
        let mut patience = std::pin::pin!(sleep(self.t1 * PATIENCE_T1));
        loop {
            // All arms are cancel-safe.
            let response = tokio::select! {
                () = self.cancel.cancelled() => return Asked::Over(self.take_back(attempt)),
                command = self.placement.commands.recv() => match command {
                    Some(Command::Bye { .. }) | None => return Asked::Over(self.take_back(attempt)),
                    // Everything else has its time later.
                    Some(_) => continue,
                },
                () = &mut patience, if !is_last && said == Said::Nothing => {
                    // Should it wake up after all, its phone is not to ring beside the next host's.
                    self.take_back(attempt);
                    return Asked::Failed(HostFault::NoAnswer, None);
                }
                () = refusals.of(host.address), if is_udp && !is_last && said == Said::Nothing => {
                    self.take_back(attempt);
                    return Asked::Failed(HostFault::NotConnected, None);
                }
                response = attempt.response() => response,
            };
            *cseq = attempt.last_cseq();
            let response = response.filter(|response| !convert::is_local(response));
            let Some(response) = response else {
                return said.unanswered();
            };
            said.hears(&response);
            if said != Said::Progress && response.status_code.code() == 503 {
                return Asked::Refused {
                    phrase: convert::phrase(&response),
                    retry_after: convert::seconds(&response, "Retry-After"),
                };
            }
            self.flows.locator.answered(host);
            match self.step(&mut attempt, response, &mut challenges_left) {
                Step::Waiting => {}
                Step::Again(request) => {
                    let endpoint = &self.dialogs.endpoint;
                    attempt = Attempt::start(endpoint, *request, path.clone(), &self.tasks);
                }
                Step::Answered(response) => return Asked::Over(self.answered(attempt, &response).await),
                Step::Over(event) => return Asked::Over(event),
            }
        }
    }

    /// The way to a host, if there is one; the last event when nobody wants the call any more.
    async fn connected(&mut self, host: &Destination) -> Result<Option<Path>, CallEvent> {
        if host.transport == Transport::Udp {
            return Ok(Some(Path::udp(host.address)));
        }
        let mut connecting = std::pin::pin!(self.flows.to(host));
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = self.cancel.cancelled() => return Err(CallEvent::Ended),
                command = self.placement.commands.recv() => match command {
                    Some(Command::Bye { .. }) | None => return Err(CallEvent::Ended),
                    Some(_) => {}
                },
                flow = &mut connecting => return Ok(flow.map(Path::Flow)),
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
