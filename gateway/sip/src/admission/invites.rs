//! INVITEs that are open: neither answered nor refused, or refused and not yet acknowledged.
//!
//! What a call costs begins with its INVITE, long before anybody knows whether the caller means it: questions to LiveKit, a place in a
//! room, an RTP port. So there are bounds on the calls that ring, and on the refusals that are kept for want of an ACK. Of each
//! bound one source address may take a share only: it cannot keep the others out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Limits;
use crate::Refusal;

/// Within this an INVITE that was let through is taken up. One that the stack cannot read never is.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// What makes an INVITE's transaction (RFC 3261 §17.2.3): the same for an INVITE that is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct InviteKey(u64);

/// The header fields that a key is made of, as whole values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyFields<'a> {
    pub(crate) top_via: &'a str,
    pub(crate) from: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: &'a str,
}

/// An INVITE that was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    key: InviteKey,
    /// Another INVITE may come with the same key once this one is over.
    number: u64,
}

/// Whether an INVITE would make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Initial,
    WithinDialog,
}

/// The open INVITEs.
#[derive(Debug)]
pub(crate) struct Invites {
    limits: Limits,
    open: HashMap<InviteKey, Open>,
    sources: HashMap<IpAddr, Counts>,
    total: Counts,
    /// Keys are hashes with a secret, so that nobody can make two INVITEs pass for one.
    secret: RandomState,
    numbers: u64,
    swept_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    number: u64,
    source: IpAddr,
    is_ringing: bool,
    has_transaction: bool,
    /// When it was let through, until it is taken up.
    passed_at: Option<Instant>,
}

/// How many INVITEs are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Calls that were not answered, until all that they held is released.
    pub(crate) ringing: usize,
    /// INVITEs that have their answer, and wait for the ACK; those within a dialog from the first on.
    pub(crate) unacknowledged: usize,
}

impl Counts {
    fn of(&mut self, is_ringing: bool) -> &mut usize {
        if is_ringing {
            &mut self.ringing
        } else {
            &mut self.unacknowledged
        }
    }
}

impl Invites {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: HashMap::new(),
            sources: HashMap::new(),
            total: Counts::default(),
            secret: RandomState::new(),
            numbers: 0,
            swept_at: None,
        }
    }

    pub(crate) fn key(&self, fields: KeyFields<'_>) -> InviteKey {
        let hop = fields.top_via.split(',').next().unwrap_or_default();
        let after_uri = fields.from.rsplit('>').next().unwrap_or_default();
        let number = fields.cseq.split_whitespace().next().unwrap_or_default();
        let parts = (
            param(hop, "branch"),
            param(after_uri, "tag"),
            fields.call_id,
            number,
        );
        InviteKey(self.secret.hash_one(parts))
    }

    /// Lets an INVITE through, or says why not. One that is open already is repeated, and passes.
    pub(super) fn admit(
        &mut self,
        key: InviteKey,
        source: IpAddr,
        kind: Kind,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.open.contains_key(&key) {
            return Ok(());
        }
        if self.room_for(source, kind).is_err() {
            self.forget_lost(now);
            self.room_for(source, kind)?;
        }
        self.numbers += 1;
        let open = Open {
            number: self.numbers,
            source,
            is_ringing: kind == Kind::Initial,
            has_transaction: true,
            passed_at: Some(now),
        };
        self.open.insert(key, open);
        self.count(open, 1);
        Ok(())
    }

    /// Takes up an INVITE that was let through, which can be done once. It is open until [`Invites::forget`], and if it is initial,
    /// until [`Invites::settle`] too.
    pub(crate) fn take_up(
        &mut self,
        key: InviteKey,
        source: IpAddr,
        kind: Kind,
        now: Instant,
    ) -> Result<Ticket, Refusal> {
        // The stack may read another To than the check before it.
        let is_ringing = kind == Kind::Initial;
        let is_other = |open: &Open| open.passed_at.is_some() && open.is_ringing != is_ringing;
        if self.open.get(&key).is_some_and(is_other) {
            self.remove(key);
        }
        // It may also have been given up for lost meanwhile.
        self.admit(key, source, kind, now)?;
        let open = self.open.get_mut(&key).ok_or(Refusal::Busy)?;
        open.passed_at.take().ok_or(Refusal::Busy)?;
        Ok(Ticket {
            key,
            number: open.number,
        })
    }

    /// The call is answered, or nothing is left of it.
    pub(crate) fn settle(&mut self, ticket: Ticket) {
        self.change(ticket, |open| open.is_ringing = false);
    }

    /// The INVITE is acknowledged, or its transaction is over.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.change(ticket, |open| open.has_transaction = false);
    }

    fn change(&mut self, ticket: Ticket, change: impl FnOnce(&mut Open)) {
        let entry = self.open.get_mut(&ticket.key);
        let Some(open) = entry.filter(|open| open.number == ticket.number) else {
            return;
        };
        let before = *open;
        change(open);
        let after = *open;
        self.count(before, -1);
        self.count(after, 1);
        if !after.is_ringing && !after.has_transaction {
            self.remove(ticket.key);
        }
    }

    fn remove(&mut self, key: InviteKey) {
        if let Some(open) = self.open.remove(&key) {
            self.count(open, -1);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.total
    }

    fn room_for(&self, source: IpAddr, kind: Kind) -> Result<(), Refusal> {
        let (limits, total) = (self.limits, self.total);
        let from_source = self.sources.get(&source).copied().unwrap_or_default();
        if kind == Kind::Initial {
            if from_source.ringing >= limits.ringing_per_source {
                return Err(Refusal::SourceRinging);
            }
            if total.ringing >= limits.ringing {
                return Err(Refusal::Ringing);
            }
        }
        let is_full = from_source.unacknowledged >= Limits::UNACKNOWLEDGED_PER_SOURCE
            || total.unacknowledged >= Limits::UNACKNOWLEDGED;
        if is_full {
            Err(Refusal::Unacknowledged)
        } else {
            Ok(())
        }
    }

    /// At most once in [`LOST_AFTER`], whatever comes in.
    fn forget_lost(&mut self, now: Instant) {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= LOST_AFTER;
        if self.swept_at.is_some_and(|at| !is_over(at)) {
            return;
        }
        self.swept_at = Some(now);
        let is_lost = |open: &Open| open.passed_at.is_some_and(is_over);
        let lost = self.open.extract_if(|_, open| is_lost(open));
        let lost: Vec<Open> = lost.map(|(_, open)| open).collect();
        for open in lost {
            self.count(open, -1);
        }
    }

    fn count(&mut self, open: Open, change: isize) {
        let change_to = |count: &mut usize| *count = count.saturating_add_signed(change);
        change_to(self.total.of(open.is_ringing));
        let source = self.sources.entry(open.source).or_default();
        change_to(source.of(open.is_ringing));
        if *source == Counts::default() {
            self.sources.remove(&open.source);
        }
    }
}

/// The value of a header parameter; empty when there is none.
fn param<'a>(text: &'a str, name: &str) -> &'a str {
    text.split(';')
        .skip(1)
        .filter_map(|param| param.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        ringing: 4,
        ringing_per_source: 3,
        ..Limits::DEFAULT
    };

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn key(n: usize) -> InviteKey {
        InviteKey(u64::try_from(n).expect("small"))
    }

    /// Those of a thousand INVITEs of a source that are let through and taken up.
    fn flood(invites: &mut Invites, first: usize, source: IpAddr, kind: Kind, now: Instant) -> Vec<Ticket> {
        let keys = first..first + 1_000;
        keys.filter_map(|n| invites.take_up(key(n), source, kind, now).ok())
            .collect()
    }

    #[test]
    fn one_source_gets_its_share_and_all_of_them_the_whole() {
        let (mut invites, now) = (Invites::new(LIMITS), start());
        let calls = flood(&mut invites, 0, source(1), Kind::Initial, now);
        assert_eq!(calls.len(), 3);
        let refused = invites.admit(key(5_000), source(1), Kind::Initial, now);
        assert_eq!(refused, Err(Refusal::SourceRinging));
        assert_eq!(
            flood(&mut invites, 10_000, source(2), Kind::Initial, now).len(),
            1
        );
        let refused = invites.admit(key(5_000), source(3), Kind::Initial, now);
        assert_eq!(refused, Err(Refusal::Ringing));
        invites.settle(calls[0]);
        assert_eq!(invites.admit(key(5_000), source(3), Kind::Initial, now), Ok(()));
        let open = Counts {
            ringing: 4,
            unacknowledged: 1,
        };
        assert_eq!(invites.counts(), open);
    }

    #[test]
    fn a_repeated_invite_passes_when_all_is_taken_and_counts_once() {
        let (mut invites, now) = (Invites::new(LIMITS), start());
        flood(&mut invites, 0, source(1), Kind::Initial, now);
        assert_eq!(invites.admit(key(0), source(1), Kind::Initial, now), Ok(()));
        assert_eq!(invites.counts().ringing, 3);
        let twice = invites.take_up(key(0), source(1), Kind::Initial, now);
        assert_eq!(twice, Err(Refusal::Busy));
    }

    #[test]
    fn refusals_that_are_not_acknowledged_are_bounded_too() {
        let (mut invites, now) = (Invites::new(LIMITS), start());
        let share = Limits::UNACKNOWLEDGED_PER_SOURCE;
        let refused: Vec<Ticket> = (0..share)
            .map(|n| {
                let ticket = invites
                    .take_up(key(n), source(1), Kind::Initial, now)
                    .expect("room");
                invites.settle(ticket);
                ticket
            })
            .collect();
        let kinds = [Kind::Initial, Kind::WithinDialog];
        for kind in kinds {
            let next = invites.admit(key(share), source(1), kind, now);
            assert_eq!(next, Err(Refusal::Unacknowledged));
            assert_eq!(invites.room_for(source(2), kind), Ok(()));
        }
        invites.forget(refused[0]);
        assert_eq!(invites.admit(key(share), source(1), Kind::Initial, now), Ok(()));
        let sources = (2..=20).map(|n| (usize::from(n) * 1_000, source(n)));
        let more: usize = sources
            .map(|(first, source)| flood(&mut invites, first, source, Kind::WithinDialog, now).len())
            .sum();
        assert_eq!(more + share - 1, Limits::UNACKNOWLEDGED);
    }

    #[test]
    fn an_invite_that_never_arrives_gives_its_place_back() {
        let (mut invites, now) = (Invites::new(LIMITS), start());
        for n in 0..3 {
            invites
                .admit(key(n), source(1), Kind::Initial, now)
                .expect("room");
        }
        invites
            .take_up(key(0), source(1), Kind::Initial, now)
            .expect("there");
        let almost = now + LOST_AFTER / 2;
        assert!(invites.admit(key(9), source(1), Kind::Initial, almost).is_err());
        let later = almost + LOST_AFTER;
        assert_eq!(invites.admit(key(9), source(1), Kind::Initial, later), Ok(()));
        assert_eq!(invites.counts().ringing, 2);
        // The one that was given up arrives after all.
        assert!(invites.take_up(key(1), source(1), Kind::Initial, later).is_ok());
    }

    #[test]
    fn a_call_counts_until_its_owner_and_its_transaction_are_through() {
        let (mut invites, now) = (Invites::new(LIMITS), start());
        let counts = |ringing, unacknowledged| Counts {
            ringing,
            unacknowledged,
        };
        let calls = flood(&mut invites, 0, source(1), Kind::Initial, now);
        invites.forget(calls[0]);
        assert_eq!(
            invites.counts(),
            counts(3, 0),
            "its owner still holds what it needed"
        );
        invites.settle(calls[1]);
        assert_eq!(invites.counts(), counts(2, 1));
        invites.settle(calls[0]);
        invites.forget(calls[1]);
        assert_eq!(invites.counts(), counts(1, 0));
        // What is said of a call that is over does not concern the next with the same key.
        let again = invites
            .take_up(key(0), source(1), Kind::Initial, now)
            .expect("room");
        invites.settle(calls[0]);
        invites.forget(calls[0]);
        assert_eq!(invites.counts(), counts(2, 0));
        for call in [calls[2], again] {
            invites.forget(call);
            invites.settle(call);
        }
        assert_eq!(invites.counts(), counts(0, 0));
        assert!(invites.open.is_empty() && invites.sources.is_empty());
    }

    #[test]
    fn what_the_stack_reads_counts() {
        let (mut invites, now) = (Invites::new(LIMITS), start());
        for n in 0..3 {
            invites
                .admit(key(n), source(1), Kind::WithinDialog, now)
                .expect("room");
            invites
                .take_up(key(n), source(1), Kind::Initial, now)
                .expect("room");
        }
        invites
            .admit(key(3), source(1), Kind::WithinDialog, now)
            .expect("room");
        let refused = invites.take_up(key(3), source(1), Kind::Initial, now);
        assert_eq!(refused, Err(Refusal::SourceRinging));
    }

    #[test]
    fn a_key_is_that_of_the_transaction() {
        let invites = Invites::new(LIMITS);
        let fields = KeyFields {
            top_via: "SIP/2.0/UDP 10.0.0.9;rport;branch=z9hG4bK1, SIP/2.0/UDP p;branch=z9hG4bK0",
            from: "\"a;tag=b\" <sip:200@10.0.0.9;tag=c>;tag=d",
            call_id: "x",
            cseq: "1 INVITE",
        };
        let same = KeyFields {
            top_via: "SIP/2.0/UDP 10.0.0.9;Branch=z9hG4bK1;received=10.0.0.9;rport=5",
            from: "<sip:200@10.0.0.9> ; tag = d",
            ..fields
        };
        assert_eq!(invites.key(fields), invites.key(same));
        let others = [
            KeyFields {
                top_via: "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2",
                ..fields
            },
            KeyFields {
                from: "<sip:200@10.0.0.9>;tag=e",
                ..fields
            },
            KeyFields {
                call_id: "y",
                ..fields
            },
            KeyFields {
                cseq: "2 INVITE",
                ..fields
            },
        ];
        for other in others {
            assert_ne!(invites.key(fields), invites.key(other), "{other:?}");
        }
    }
}
