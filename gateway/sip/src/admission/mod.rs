//! What stands between the socket and the stack: a pure check of each datagram.
//!
//! In this order: size, rate of its source, form, method, `Require`. Nothing is kept of a datagram but one token bucket per source.

mod bucket;
mod message;
mod reply;

use std::net::SocketAddr;
use std::time::Instant;

use bucket::Buckets;
pub use bucket::Rate;
use message::{Head, Malformed, Start};

use crate::{ALLOW, Refusal};

/// Limits on what reaches the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Longest datagram, in bytes. At most [`Limits::MAX_DATAGRAM`].
    pub max_datagram: usize,
    /// Datagrams of one source address.
    pub per_source: Rate,
}

impl Limits {
    /// The wrapped stack's buffer is 8192 bytes; a datagram that fills it may have been cut.
    pub const MAX_DATAGRAM: usize = 8191;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_datagram: Self::MAX_DATAGRAM,
            per_source: Rate {
                per_second: 200.0,
                burst: 400.0,
            },
        }
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

/// The check's only state: how fast each source has been.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    buckets: Buckets,
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
        }
    }

    /// Judges a datagram that came from `source`.
    pub fn check(&mut self, datagram: &[u8], source: SocketAddr, now: Instant) -> Verdict {
        if datagram.len() > self.limits.max_datagram {
            return Verdict::Drop(Refusal::TooLarge);
        }
        if !self.buckets.take(source.ip(), now) {
            return Verdict::Drop(Refusal::TooFast);
        }
        if matches!(datagram, b"\r\n\r\n" | b"\r\n") {
            return Verdict::Pass;
        }
        match Head::parse(datagram) {
            Ok(head) => judge(&head, source),
            Err(Malformed) => Verdict::Drop(Refusal::Malformed),
        }
    }
}

fn judge(head: &Head<'_>, source: SocketAddr) -> Verdict {
    let Start::Request { method } = head.start else {
        return Verdict::Pass;
    };
    let served = ALLOW.split(", ").any(|served| served == method);
    let refusal = if head.cseq_method != method || head.body_is_short {
        Some((Refusal::BadRequest, 400, "Bad Request", None))
    } else if !served {
        let allow = Some(("Allow", ALLOW));
        Some((Refusal::NotServed, 405, "Method Not Allowed", allow))
    } else {
        // RFC 3261 §8.2.2.3. No extension is supported that a peer could require.
        let required = head.require.filter(|_| !matches!(method, "ACK" | "CANCEL"));
        required.map(|required| {
            let unsupported = Some(("Unsupported", required));
            (Refusal::BadExtension, 420, "Bad Extension", unsupported)
        })
    };
    match refusal {
        None => Verdict::Pass,
        Some(_) if method == "ACK" => Verdict::Drop(Refusal::Unanswerable),
        Some((why, code, phrase, extra)) => {
            Verdict::Reply(why, reply::refusal(head, source, code, phrase, extra))
        }
    }
}

#[cfg(test)]
mod tests;
