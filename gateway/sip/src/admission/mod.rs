//! What stands between the sockets and the stack: a pure check of each message.
//!
//! In this order: size, rate of its source, form, method, `Require`, and of INVITEs whether more may be open. Nothing is kept of a
//! message but one token bucket per source and a hash per open INVITE. What is refused here never becomes a transaction.

mod bucket;
mod invites;
mod message;
mod reply;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use bucket::Buckets;
pub use bucket::Rate;
use invites::Invites;
pub(crate) use invites::{KeyFields, Kind, Ticket};
use message::{Head, Malformed, Start};

use crate::{ALLOW, Refusal, SUPPORTED};

/// When to try again after 503, in seconds.
pub(crate) const RETRY_AFTER_S: &str = "10";

/// Limits on what reaches the stack. A source is an IPv4 address or the /64 network of an IPv6 address, which is one subscriber's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Longest datagram, in bytes. At most [`Limits::MAX_DATAGRAM`].
    pub max_datagram: usize,
    /// Messages of one source, over whatever transport. Datagrams beyond it are dropped; connections are read no faster.
    pub per_source: Rate,
    /// Calls that may ring at once, that is: are offered and not answered. A call that was refused counts until its owner has released
    /// what it held. The next gets 503 with Retry-After.
    pub ringing: usize,
    /// How many of them may come from one source.
    pub ringing_per_source: usize,
    /// Connections by TCP and TLS that others may have open to us. The next is closed at once.
    pub connections: usize,
    /// How many of them may come from one source.
    pub connections_per_source: usize,
}

impl Limits {
    /// The wrapped stack's buffer is 8192 bytes; a datagram that fills it may have been cut.
    pub const MAX_DATAGRAM: usize = 8191;
    /// INVITEs of one source that have their answer and wait for its ACK. A caller that sends none costs a transaction of 64·T1 (RFC 3261
    /// §17.2.1); one that does is through within a round trip.
    pub const UNACKNOWLEDGED_PER_SOURCE: usize = 256;
    /// The same of all sources.
    pub const UNACKNOWLEDGED: usize = 2_048;
    /// What a worker of eight slots needs.
    pub(crate) const DEFAULT: Self = Self {
        max_datagram: Self::MAX_DATAGRAM,
        per_source: Rate {
            per_second: 200.0,
            burst: 400.0,
        },
        ringing: 16,
        ringing_per_source: 12,
        connections: 256,
        connections_per_source: 64,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What to do with a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Answer with these bytes, keep no state.
    Reply(Refusal, Vec<u8>),
    Drop(Refusal),
}

/// The check's only state: how fast each source has been, and which INVITEs are open.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    buckets: Buckets,
    pub(crate) invites: Invites,
}

impl Admission {
    pub fn new(limits: Limits) -> Self {
        let max_datagram = limits.max_datagram.min(Limits::MAX_DATAGRAM);
        Self {
            limits: Limits {
                max_datagram,
                ..limits
            },
            buckets: Buckets::new(limits.per_source),
            invites: Invites::new(limits),
        }
    }

    /// Judges a datagram that came from `source`.
    pub fn check(&mut self, datagram: &[u8], source: SocketAddr, now: Instant) -> Verdict {
        if datagram.len() > self.limits.max_datagram {
            return Verdict::Drop(Refusal::TooLarge);
        }
        if !self.may_send(source.ip(), now) {
            return Verdict::Drop(Refusal::TooFast);
        }
        if matches!(datagram, b"\r\n\r\n" | b"\r\n") {
            return Verdict::Pass;
        }
        self.check_message(datagram, source, now)
    }

    /// Whether a source may send one more message now. It counts.
    pub(crate) fn may_send(&mut self, source: IpAddr, now: Instant) -> bool {
        self.buckets.take(network(source), now)
    }

    /// Judges a message whose size and rate are none too many.
    pub(crate) fn check_message(&mut self, message: &[u8], source: SocketAddr, now: Instant) -> Verdict {
        let head = match Head::parse(message) {
            Ok(head) => head,
            Err(Malformed) => return Verdict::Drop(Refusal::Malformed),
        };
        match judge(&head, source) {
            Verdict::Pass if matches!(head.start, Start::Request { method: "INVITE" }) => {
                self.invite(&head, source, now)
            }
            verdict => verdict,
        }
    }

    fn invite(&mut self, head: &Head<'_>, source: SocketAddr, now: Instant) -> Verdict {
        let kind = if head.has_to_tag() {
            Kind::WithinDialog
        } else {
            Kind::Initial
        };
        let key = self.invites.key(KeyFields {
            top_via: head.via.first().copied().unwrap_or_default(),
            from: head.from,
            call_id: head.call_id,
            cseq: head.cseq,
        });
        let Err(refusal) = self.invites.admit(key, network(source.ip()), kind, now) else {
            return Verdict::Pass;
        };
        let reason = refusal.unavailable();
        let extra = [("Retry-After", RETRY_AFTER_S), ("Reason", &reason)];
        let reply = reply::refusal(head, source, 503, "Service Unavailable", &extra);
        Verdict::Reply(refusal, reply)
    }
}

/// What counts as one source.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn judge(head: &Head<'_>, source: SocketAddr) -> Verdict {
    let Start::Request { method } = head.start else {
        return Verdict::Pass;
    };
    // Whether a REFER within a call is followed is for the call's owner to say.
    let is_referral = method == "REFER" && head.has_to_tag();
    let served = is_referral || ALLOW.split(", ").any(|served| served == method);
    let unsupported = unsupported(head);
    let refusal = if head.cseq_method != method || head.body_is_short {
        Some((Refusal::BadRequest, 400, "Bad Request", None))
    } else if !served {
        let allow = Some(("Allow", ALLOW));
        Some((Refusal::NotServed, 405, "Method Not Allowed", allow))
    } else if method == "INVITE" && !head.has_to_tag() && head.max_forwards == Some("0") {
        // A call that comes in is a call that goes on, perhaps to where it came from.
        Some((Refusal::TooManyHops, 483, "Too Many Hops", None))
    } else if unsupported.is_empty() || matches!(method, "ACK" | "CANCEL") {
        None
    } else {
        // RFC 3261 §8.2.2.3.
        let unsupported = Some(("Unsupported", unsupported.as_str()));
        Some((Refusal::BadExtension, 420, "Bad Extension", unsupported))
    };
    match refusal {
        None => Verdict::Pass,
        Some(_) if method == "ACK" => Verdict::Drop(Refusal::Unanswerable),
        Some((why, code, phrase, extra)) => {
            Verdict::Reply(why, reply::refusal(head, source, code, phrase, extra.as_slice()))
        }
    }
}

/// What the request requires and we do not have.
fn unsupported(head: &Head<'_>) -> String {
    let required = head.require.iter().flat_map(|value| value.split(','));
    let is_unsupported =
        |tag: &&str| !tag.is_empty() && !SUPPORTED.iter().any(|ours| ours.eq_ignore_ascii_case(tag));
    let unsupported: Vec<&str> = required.map(str::trim).filter(is_unsupported).collect();
    unsupported.join(", ")
}

#[cfg(test)]
mod tests;
