//! How many connections there may be, and how many of one source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::Shared;
use crate::Refusal;
use crate::admission::{Limits, network};

/// The connections that others have opened to us, and the number of our own.
#[derive(Debug)]
pub(crate) struct Slots {
    limits: Limits,
    sources: HashMap<IpAddr, usize>,
    theirs: usize,
    ours: usize,
}

/// A connection's place, given back when it is dropped.
pub(super) struct Slot {
    shared: Arc<Shared>,
    /// `None` for one of ours.
    source: Option<IpAddr>,
}

impl Slots {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            sources: HashMap::new(),
            theirs: 0,
            ours: 0,
        }
    }

    /// All connections, those whose handshake is under way included.
    pub(crate) fn count(&self) -> usize {
        self.theirs + self.ours
    }

    fn take(&mut self, source: IpAddr) -> Result<(), Refusal> {
        let of_source = self.sources.get(&source).copied().unwrap_or_default();
        if of_source >= self.limits.connections_per_source {
            return Err(Refusal::SourceConnections);
        }
        if self.theirs >= self.limits.connections {
            return Err(Refusal::Connections);
        }
        self.sources.insert(source, of_source + 1);
        self.theirs += 1;
        Ok(())
    }

    fn give_back(&mut self, source: IpAddr) {
        self.theirs -= 1;
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl Slot {
    /// For a connection from this address.
    pub(super) fn theirs(shared: &Arc<Shared>, source: IpAddr) -> Result<Self, Refusal> {
        let source = network(source);
        shared.connections.lock().take(source)?;
        Ok(Self {
            shared: Arc::clone(shared),
            source: Some(source),
        })
    }

    /// For one that we open: calls that we place have bounds of their own.
    pub(super) fn ours(shared: &Arc<Shared>) -> Self {
        shared.connections.lock().ours += 1;
        Self {
            shared: Arc::clone(shared),
            source: None,
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.source.is_none()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.shared.connections.lock();
        match self.source {
            Some(source) => slots.give_back(source),
            None => slots.ours -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_gets_its_share_and_all_of_them_the_whole() {
        let mut slots = Slots::new(Limits {
            connections: 3,
            connections_per_source: 2,
            ..Limits::default()
        });
        let source = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(slots.take(source(1)), Ok(()));
        assert_eq!(slots.take(source(1)), Ok(()));
        assert_eq!(slots.take(source(1)), Err(Refusal::SourceConnections));
        assert_eq!(slots.take(source(2)), Ok(()));
        assert_eq!(slots.take(source(3)), Err(Refusal::Connections));
        slots.give_back(source(1));
        assert_eq!(slots.take(source(3)), Ok(()));
        for last in [1, 2, 3] {
            slots.give_back(source(last));
        }
        assert_eq!((slots.count(), slots.sources.len()), (0, 0));
    }
}
