//! A user agent client for one call over UDP (RFC 3261 §8.1, §12, §13, §17.1), sans-IO.
//!
//! The owner calls [`Uac::invite`], passes every datagram to [`Uac::handle_datagram`], calls [`Uac::handle_timeout`]
//! at [`Uac::poll_timeout`], and drains [`Uac::poll_transmit`] and [`Uac::poll_event`] after each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::digest::{Challenge, Credentials};
use super::message::{Message, Start};
use super::requests::{ALLOW, Dialog, Identity, Requests};

/// RFC 3261 §17.1.1.1: the estimate of a round trip.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2: the longest interval between repeats of a request other than INVITE.
const T2: Duration = Duration::from_secs(4);
/// Timers B and F: a transaction without an answer is given up after 64 × T1.
const GIVE_UP: Duration = Duration::from_secs(32);
/// How many challenges are answered before the call counts as refused.
const MAX_CHALLENGES: u32 = 3;
/// The longest queue of unread datagrams or events; the owner drains both after every call, so it is never reached.
const MAX_QUEUE: usize = 64;

/// What the owner learns. Times are the owner's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UacEvent {
    /// A 1xx; 100 too.
    Provisional { code: u16, phrase: String },
    /// A challenge that has been answered by another INVITE.
    Challenged { code: u16 },
    /// CANCEL or BYE has been sent.
    Sent { method: &'static str },
    /// The 200, acknowledged. The body is the SDP answer.
    Answered { sdp: Vec<u8> },
    /// A final answer that ended the attempt; 487 after a CANCEL.
    Refused {
        code: u16,
        phrase: String,
        reason: Option<String>,
    },
    /// A re-INVITE has been accepted with the first offer's description.
    Reinvited { sdp: Vec<u8> },
    /// The other side hung up.
    ByeReceived { reason: Option<String> },
    /// Our own BYE has been answered.
    ByeAnswered { code: u16 },
    /// Nobody answered a request.
    NoAnswer { method: &'static str },
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// INVITE sent; `provisional` once any 1xx came.
    Inviting {
        provisional: bool,
        cancel_wanted: bool,
        cancelled: bool,
    },
    Established,
    /// BYE sent.
    Leaving,
    Ended,
}

/// The repeats of one request.
#[derive(Debug)]
struct Repeat {
    method: &'static str,
    transmit: Transmit,
    /// `None` when an answer has stopped the repeats and only the final one is awaited.
    next: Option<Instant>,
    interval: Duration,
    give_up: Instant,
}

/// One call. See the module.
#[derive(Debug)]
pub(crate) struct Uac {
    requests: Requests,
    credentials: Option<Credentials>,
    state: State,
    cseq: u32,
    challenges: u32,
    /// The INVITE that is or was under way, for CANCEL and for ACK of a refusal.
    invite: Option<Message>,
    ack: Option<Transmit>,
    dialog: Option<Dialog>,
    repeat: Option<Repeat>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<UacEvent>,
}

impl Uac {
    pub(crate) fn new(
        identity: Identity,
        credentials: Option<Credentials>,
        extra_headers: Vec<(String, String)>,
        offer: String,
    ) -> Self {
        Self {
            requests: Requests::new(identity, extra_headers, offer),
            credentials,
            state: State::Idle,
            cseq: 0,
            challenges: 0,
            invite: None,
            ack: None,
            dialog: None,
            repeat: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Sends the INVITE. Does nothing when one has been sent.
    pub(crate) fn invite(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.send_invite(None, now);
        }
    }

    /// Ends the call in the way that fits its state: CANCEL while it is being set up (§9.1: only after a provisional
    /// answer, so it may wait for one), BYE when it is established.
    pub(crate) fn hang_up(&mut self, now: Instant) {
        match self.state {
            State::Inviting {
                provisional: true,
                cancelled: false,
                ..
            } => self.send_cancel(now),
            State::Inviting {
                provisional,
                cancelled: false,
                ..
            } => {
                self.state = State::Inviting {
                    provisional,
                    cancel_wanted: true,
                    cancelled: false,
                };
            }
            State::Established => self.send_bye(now),
            State::Idle => self.state = State::Ended,
            State::Inviting { cancelled: true, .. } | State::Leaving | State::Ended => {}
        }
    }

    /// `from` is where answers to requests go. What is no SIP message or not of this call is ignored.
    pub(crate) fn handle_datagram(&mut self, bytes: &[u8], from: SocketAddr, now: Instant) {
        let Some(message) = Message::parse(bytes) else {
            return;
        };
        match &message.start {
            Start::Response { code, phrase } => {
                let (code, phrase) = (*code, phrase.clone());
                if message.header("Call-ID") == Some(self.requests.identity.call_id.as_str()) {
                    self.handle_response(&message, code, phrase, now);
                }
            }
            Start::Request { method, .. } => self.handle_request(&message, &method.clone(), from),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let repeat = self.repeat.as_ref()?;
        Some(
            repeat
                .next
                .map_or(repeat.give_up, |next| next.min(repeat.give_up)),
        )
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(repeat) = self.repeat.as_mut() else {
            return;
        };
        if now >= repeat.give_up {
            let method = repeat.method;
            self.repeat = None;
            self.state = State::Ended;
            self.emit(UacEvent::NoAnswer { method });
            return;
        }
        if repeat.next.is_none_or(|next| now < next) {
            return;
        }
        // Timer A doubles without a limit, timer E up to T2.
        repeat.interval *= 2;
        if repeat.method != "INVITE" {
            repeat.interval = repeat.interval.min(T2);
        }
        repeat.next = Some(now + repeat.interval);
        let transmit = repeat.transmit.clone();
        self.transmit(transmit);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<UacEvent> {
        self.events.pop_front()
    }

    fn handle_response(&mut self, message: &Message, code: u16, phrase: String, now: Instant) {
        let Some((number, method)) = message.cseq() else {
            return;
        };
        match method {
            "INVITE" if number == self.cseq || self.dialog.is_some() => {
                self.handle_invite_response(message, code, phrase, now);
            }
            "CANCEL" => self.stop_repeats("CANCEL"),
            "BYE" if code >= 200 && self.state == State::Leaving => {
                self.repeat = None;
                self.state = State::Ended;
                self.emit(UacEvent::ByeAnswered { code });
            }
            _ => {}
        }
    }

    fn handle_invite_response(&mut self, message: &Message, code: u16, phrase: String, now: Instant) {
        match (code, self.state) {
            (
                100..200,
                State::Inviting {
                    cancel_wanted,
                    cancelled,
                    ..
                },
            ) => {
                self.stop_repeats("INVITE");
                self.state = State::Inviting {
                    provisional: true,
                    cancel_wanted: false,
                    cancelled,
                };
                self.emit(UacEvent::Provisional { code, phrase });
                if cancel_wanted {
                    self.send_cancel(now);
                }
            }
            (
                200..300,
                State::Inviting {
                    cancel_wanted,
                    cancelled,
                    ..
                },
            ) => {
                self.establish(message);
                self.emit(UacEvent::Answered {
                    sdp: message.body.clone(),
                });
                if cancel_wanted || cancelled {
                    // The answer crossed the CANCEL (§9.1): the call is up and has to be ended.
                    self.send_bye(now);
                }
            }
            // The ACK was lost (§13.2.2.4).
            (200..300, State::Established | State::Leaving | State::Ended) => {
                if let Some(ack) = self.ack.clone() {
                    self.transmit(ack);
                }
            }
            (300.., State::Inviting { cancelled, .. }) => {
                self.acknowledge_refusal(message);
                self.repeat = None;
                if matches!(code, 401 | 407) && !cancelled && self.answer_challenge(message, code, now) {
                    return;
                }
                self.state = State::Ended;
                let reason = message.header("Reason").map(str::to_owned);
                self.emit(UacEvent::Refused { code, phrase, reason });
            }
            (300.., State::Ended) => self.acknowledge_refusal(message),
            _ => {}
        }
    }

    fn handle_request(&mut self, request: &Message, method: &str, from: SocketAddr) {
        let ours = request.header("Call-ID") == Some(self.requests.identity.call_id.as_str());
        let answer = |code, phrase| Message::response_to(request, code, phrase);
        let response = match method {
            "ACK" => return,
            "OPTIONS" => answer(200, "OK").with("Allow", ALLOW),
            _ if !ours => answer(481, "Call/Transaction Does Not Exist"),
            "BYE" => {
                if matches!(self.state, State::Established | State::Leaving) {
                    self.repeat = None;
                    self.state = State::Ended;
                    let reason = request.header("Reason").map(str::to_owned);
                    self.emit(UacEvent::ByeReceived { reason });
                }
                answer(200, "OK")
            }
            "INVITE" if self.state == State::Established => {
                self.emit(UacEvent::Reinvited {
                    sdp: request.body.clone(),
                });
                answer(200, "OK")
                    .with("Contact", self.requests.contact())
                    .with_sdp(&self.requests.offer)
            }
            "INVITE" => answer(491, "Request Pending"),
            "INFO" | "UPDATE" | "NOTIFY" => answer(200, "OK"),
            _ => answer(405, "Method Not Allowed").with("Allow", ALLOW),
        };
        self.transmit(Transmit {
            to: from,
            bytes: response.encode(),
        });
    }

    fn send_invite(&mut self, authorization: Option<(&str, String)>, now: Instant) {
        self.cseq += 1;
        let invite = self.requests.invite(self.cseq, authorization);
        self.state = State::Inviting {
            provisional: false,
            cancel_wanted: false,
            cancelled: false,
        };
        self.start("INVITE", &invite, self.requests.identity.target, now);
        self.invite = Some(invite);
    }

    fn send_cancel(&mut self, now: Instant) {
        let Some(invite) = &self.invite else {
            return;
        };
        let cancel = self.requests.cancel(invite, self.cseq);
        self.state = State::Inviting {
            provisional: true,
            cancel_wanted: false,
            cancelled: true,
        };
        self.emit(UacEvent::Sent { method: "CANCEL" });
        self.start("CANCEL", &cancel, self.requests.identity.target, now);
    }

    fn send_bye(&mut self, now: Instant) {
        let Some(dialog) = &self.dialog else {
            return;
        };
        self.cseq += 1;
        let next_hop = dialog.next_hop;
        let bye = self.requests.within(dialog, "BYE", self.cseq);
        self.state = State::Leaving;
        self.emit(UacEvent::Sent { method: "BYE" });
        self.start("BYE", &bye, next_hop, now);
    }

    fn establish(&mut self, answer: &Message) {
        let dialog = Dialog::of(answer, &self.requests.identity);
        let ack = self.requests.within(&dialog, "ACK", self.cseq);
        let ack = Transmit {
            to: dialog.next_hop,
            bytes: ack.encode(),
        };
        self.ack = Some(ack.clone());
        self.transmit(ack);
        self.dialog = Some(dialog);
        self.repeat = None;
        self.state = State::Established;
    }

    fn acknowledge_refusal(&mut self, answer: &Message) {
        let (Some(invite), Some((cseq, _))) = (&self.invite, answer.cseq()) else {
            return;
        };
        let ack = self.requests.acknowledge_refusal(invite, answer, cseq);
        self.transmit(Transmit {
            to: self.requests.identity.target,
            bytes: ack.encode(),
        });
    }

    /// Sends the INVITE again with an answer to the first challenge understood; false when there is none.
    fn answer_challenge(&mut self, message: &Message, code: u16, now: Instant) -> bool {
        let (asks, answers) = match code {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let Some(challenge) = message.headers(asks).find_map(Challenge::parse) else {
            return false;
        };
        let Some(credentials) = &self.credentials else {
            return false;
        };
        // A second challenge that is not about a stale nonce means that the password is wrong.
        if self.challenges >= MAX_CHALLENGES || (self.challenges > 0 && !challenge.stale) {
            return false;
        }
        self.challenges += 1;
        let cnonce = format!("{}{}", self.requests.identity.unique, self.challenges);
        let value = challenge.answer(credentials, "INVITE", &self.requests.identity.to_uri, &cnonce);
        self.emit(UacEvent::Challenged { code });
        self.send_invite(Some((answers, value)), now);
        true
    }

    fn start(&mut self, method: &'static str, request: &Message, to: SocketAddr, now: Instant) {
        let transmit = Transmit {
            to,
            bytes: request.encode(),
        };
        self.transmit(transmit.clone());
        self.repeat = Some(Repeat {
            method,
            transmit,
            next: Some(now + T1),
            interval: T1,
            give_up: now + GIVE_UP,
        });
    }

    /// The other side has the request. An INVITE then waits without a limit of its own: the owner's deadline counts.
    fn stop_repeats(&mut self, method: &str) {
        if self.repeat.as_ref().is_some_and(|repeat| repeat.method == method) {
            if method == "INVITE" {
                self.repeat = None;
            } else if let Some(repeat) = &mut self.repeat {
                repeat.next = None;
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        if self.transmits.len() < MAX_QUEUE {
            self.transmits.push_back(transmit);
        }
    }

    fn emit(&mut self, event: UacEvent) {
        if self.events.len() < MAX_QUEUE {
            self.events.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests;
