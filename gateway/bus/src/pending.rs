//! The calls under way: who bid, who won, who waits.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::BusError;
use crate::wire::{ClaimRequest, ClaimResponse, Framed as _, Response};

/// Calls that may be under way at once.
pub const MAX_PENDING: usize = 1024;

/// Shared between the callers, who wait, and the link, which routes what it hears.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    calls: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    grant_channel: String,
    winner: Option<String>,
    claimed: Option<oneshot::Sender<()>>,
    response: oneshot::Sender<Response>,
}

/// One caller's place in the table. Dropping it forgets the call.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) claimed: oneshot::Receiver<()>,
    pub(crate) response: oneshot::Receiver<Response>,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    request_id: String,
    pending: Arc<Pending>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.calls.lock().remove(&self.request_id);
    }
}

/// The grant to publish after a winning bid.
#[derive(Debug, PartialEq)]
pub(crate) struct Grant {
    pub(crate) channel: String,
    pub(crate) payload: Vec<u8>,
}

impl Pending {
    pub(crate) fn register(
        self: &Arc<Self>,
        request_id: &str,
        grant_channel: String,
    ) -> Result<Ticket, BusError> {
        let (claimed_tx, claimed) = oneshot::channel();
        let (response_tx, response) = oneshot::channel();
        let mut calls = self.calls.lock();
        if calls.len() >= MAX_PENDING {
            return Err(BusError::Busy);
        }
        let entry = Entry {
            grant_channel,
            winner: None,
            claimed: Some(claimed_tx),
            response: response_tx,
        };
        calls.insert(request_id.to_owned(), entry);
        let place = Place {
            request_id: request_id.to_owned(),
            pending: Arc::clone(self),
        };
        Ok(Ticket {
            claimed,
            response,
            _place: place,
        })
    }

    /// The first bid wins, whatever its affinity.
    pub(crate) fn bid(&self, claim: &ClaimRequest) -> Option<Grant> {
        let mut calls = self.calls.lock();
        let entry = calls.get_mut(&claim.request_id)?;
        if entry.winner.is_some() {
            return None;
        }
        entry.winner = Some(claim.server_id.clone());
        if let Some(claimed) = entry.claimed.take() {
            // The caller may have given up this instant; the grant is then harmless.
            let _ = claimed.send(());
        }
        let grant = ClaimResponse {
            request_id: claim.request_id.clone(),
            server_id: claim.server_id.clone(),
        };
        Some(Grant {
            channel: entry.grant_channel.clone(),
            payload: grant.frame(),
        })
    }

    /// Hands a response to its caller. A response of a server that did not win is ignored.
    pub(crate) fn complete(&self, response: Response) {
        let mut calls = self.calls.lock();
        let won = calls
            .get(&response.request_id)
            .is_some_and(|entry| entry.winner.as_deref() == Some(response.server_id.as_str()));
        if won && let Some(entry) = calls.remove(&response.request_id) {
            let _ = entry.response.send(response);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(server: &str) -> ClaimRequest {
        ClaimRequest {
            request_id: "REQ_1".into(),
            server_id: server.into(),
            affinity: 0.0,
        }
    }

    fn response(server: &str) -> Response {
        Response {
            request_id: "REQ_1".into(),
            server_id: server.into(),
            ..Response::default()
        }
    }

    #[test]
    fn the_first_bid_wins_and_only_the_winner_is_heard() {
        let pending = Arc::new(Pending::default());
        let mut ticket = pending.register("REQ_1", "S|M|RCLAIM".into()).expect("room");

        pending.complete(response("SRV_a"));
        assert!(
            ticket.response.try_recv().is_err(),
            "a response without a claim was taken"
        );

        let grant = pending.bid(&claim("SRV_a")).expect("the first bid is granted");
        assert_eq!(grant.channel, "S|M|RCLAIM");
        assert_eq!(pending.bid(&claim("SRV_b")), None);
        assert!(ticket.claimed.try_recv().is_ok());

        pending.complete(response("SRV_b"));
        assert!(
            ticket.response.try_recv().is_err(),
            "a loser's response was taken"
        );
        pending.complete(response("SRV_a"));
        assert_eq!(ticket.response.try_recv().expect("response").server_id, "SRV_a");
    }

    #[test]
    fn a_caller_that_gives_up_leaves_nothing_behind() {
        let pending = Arc::new(Pending::default());
        drop(pending.register("REQ_1", String::new()).expect("room"));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn the_table_is_bounded() {
        let pending = Arc::new(Pending::default());
        let tickets: Vec<_> = (0..MAX_PENDING)
            .map(|i| pending.register(&i.to_string(), String::new()).expect("room"))
            .collect();
        assert!(matches!(
            pending.register("one more", String::new()),
            Err(BusError::Busy)
        ));
        drop(tickets);
        assert!(pending.register("one more", String::new()).is_ok());
    }
}
