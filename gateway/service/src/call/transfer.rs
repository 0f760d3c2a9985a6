//! A transfer: what LiveKit asks for, what the phone answers, what comes of it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bus::sipinternal::{self, TRANSFER_PARTICIPANT, TransferParticipant};
use bus::wire::ProtoDuration;
use bus::{Code, Fault, Incoming, Method, Requests, Server};
use platform::targets::Policy;
use sip::TransferEvent;
use tokio::time::{Instant, sleep_until};

use super::outgoing::failure::SipFailure;
use super::outgoing::order;

/// LiveKit's default.
const RINGING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after the new call stands the old one is hung up, as livekit-sip has it: some phones do it themselves meanwhile.
pub(super) const HANG_UP_AFTER: Duration = Duration::from_secs(1);

/// The transfers of one call: one at a time.
pub(super) struct Transfers {
    requests: Requests,
    current: Option<Current>,
}

struct Current {
    to: String,
    waiting: Vec<Incoming>,
    /// The phone has accepted the REFER.
    accepted: bool,
    /// When it is given up; when the phone is hung up on, once it is elsewhere.
    at: Instant,
    is_there: bool,
}

/// What the conversation has to see to.
pub(super) enum Happened {
    Asked(Incoming),
    /// Nothing was heard in time.
    TimedOut,
    /// The phone is elsewhere.
    IsThere,
}

/// Where a phone is to be sent.
pub(super) struct Referral {
    /// A `tel:` or `sip:` URI.
    pub(super) to: String,
    pub(super) headers: Vec<(String, String)>,
    /// Whether the phone hears it ring meanwhile.
    pub(super) rings: bool,
}

/// What became of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Waiting,
    Failed,
    Done,
}

impl Transfers {
    /// Serves the transfers of this call until dropped.
    pub(super) fn serve(server: &Server, sip_call: &str) -> Self {
        let method = Method {
            service: sipinternal::SERVICE,
            method: TRANSFER_PARTICIPANT,
            topic: sip_call,
        };
        Self {
            requests: server.serve(method, Arc::new(|| true)),
            current: None,
        }
    }

    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Happened {
        let at = self.current.as_ref().map(|current| current.at);
        tokio::select! {
            request = self.requests.next() => match request {
                Some(request) => Happened::Asked(request),
                None => pending().await,
            },
            () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => self.due(),
        }
    }

    fn due(&mut self) -> Happened {
        match self.current.take() {
            Some(current) if current.is_there => Happened::IsThere,
            Some(current) => {
                current.answer(&Err(Fault::new(Code::DeadlineExceeded, "request timed out")));
                Happened::TimedOut
            }
            None => Happened::TimedOut,
        }
    }

    /// Where the phone is to be sent; `None` when the request was answered here or waits for the one before. Without `targets` there is nothing to transfer yet.
    pub(super) fn asked(&mut self, request: Incoming, targets: Option<&Policy>) -> Option<Referral> {
        let checked = check(&request, targets).and_then(|(wanted, to)| match &self.current {
            Some(current) if current.to != to => Err(Fault::new(
                Code::InvalidArgument,
                "the call is being transferred elsewhere",
            )),
            _ => Ok((wanted, to)),
        });
        let (wanted, to) = match checked {
            Ok(checked) => checked,
            Err(fault) => {
                tracing::info!(step = "transfer_refused", why = fault.message, "no transfer");
                request.answer::<()>(Err(fault));
                return None;
            }
        };
        if let Some(current) = &mut self.current {
            current.waiting.push(request);
            return None;
        }
        let ringing = wanted.ringing_timeout.and_then(ProtoDuration::to_std);
        let until = Instant::now() + ringing.unwrap_or(RINGING_TIMEOUT);
        self.current = Some(Current {
            to: to.clone(),
            at: until.min(request.deadline()),
            waiting: vec![request],
            accepted: false,
            is_there: false,
        });
        let mut headers: Vec<_> = wanted.headers.into_iter().collect();
        headers.sort();
        Some(Referral {
            to,
            headers,
            rings: wanted.play_dialtone,
        })
    }

    /// We send the phone elsewhere ourselves; `false` when it is being sent somewhere already.
    pub(super) fn begin(&mut self, to: &str) -> bool {
        if self.current.is_some() {
            return false;
        }
        self.current = Some(Current {
            to: to.to_owned(),
            at: Instant::now() + RINGING_TIMEOUT,
            waiting: Vec::new(),
            accepted: false,
            is_there: false,
        });
        true
    }

    pub(super) fn told(&mut self, event: TransferEvent) -> Verdict {
        let Some(current) = self.current.as_mut().filter(|current| !current.is_there) else {
            return Verdict::Waiting;
        };
        let failed = match event {
            TransferEvent::Answered { code, .. } if code < 300 => {
                current.accepted = true;
                return Verdict::Waiting;
            }
            TransferEvent::Answered { code, phrase } => SipFailure { code, phrase }.of_refer(),
            TransferEvent::Notified { is_final: false, .. } => return Verdict::Waiting,
            TransferEvent::Notified { code, phrase, .. } if code >= 300 => {
                SipFailure { code, phrase }.of_transfer()
            }
            // Also a subscription that ends with a provisional word: the phone will tell no more.
            TransferEvent::Notified { .. } => {
                current.done();
                return Verdict::Done;
            }
            TransferEvent::Unanswered => Fault::new(Code::DeadlineExceeded, "request timed out"),
        };
        if let Some(current) = self.current.take() {
            current.answer(&Err(failed));
        }
        Verdict::Failed
    }

    /// The phone has hung up. With a REFER accepted it has gone where it was sent; whether that is so.
    pub(super) fn hung_up(&mut self) -> bool {
        let Some(current) = self.current.as_mut().filter(|current| current.accepted) else {
            return false;
        };
        current.done();
        true
    }

    /// The call is over; whoever still waits is told.
    pub(super) fn ended(&mut self) {
        if let Some(current) = self.current.take() {
            current.answer(&Err(Fault::new(Code::FailedPrecondition, "the call has ended")));
        }
    }
}

impl Current {
    fn done(&mut self) {
        self.is_there = true;
        self.at = Instant::now() + HANG_UP_AFTER;
        for request in self.waiting.drain(..) {
            request.answer(Ok(()));
        }
    }

    fn answer(self, answer: &Result<(), Fault>) {
        for request in self.waiting {
            request.answer(answer.clone());
        }
    }
}

fn check(request: &Incoming, targets: Option<&Policy>) -> Result<(TransferParticipant, String), Fault> {
    let wanted: TransferParticipant = request.message()?;
    let targets = targets.ok_or_else(|| Fault::new(Code::FailedPrecondition, "the call is not answered"))?;
    // livekit-server puts SIP URIs in brackets.
    let to = wanted.transfer_to.trim();
    let to = to
        .strip_prefix('<')
        .and_then(|to| to.strip_suffix('>'))
        .unwrap_or(to);
    let target = targets.check(to, &[]).map_err(order::refused)?;
    if !wanted
        .headers
        .iter()
        .all(|(name, value)| sip::is_extra_header(name, value))
    {
        return Err(Fault::new(Code::InvalidArgument, "a header cannot be sent"));
    }
    Ok((wanted, target.uri()))
}
