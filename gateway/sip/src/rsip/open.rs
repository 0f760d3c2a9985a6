//! The places of INVITEs among those that may be open, each given back when its holder is dropped.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rsipstack::sip::{CSeq, CallId, From, Header, HeadersExt as _, Request};
use tokio::time::Instant;

use super::Shared;
use crate::Refusal;
use crate::admission::{KeyFields, Kind, Ticket, network};

/// The place of an INVITE's transaction.
pub(super) struct OpenInvite(Place);

/// The place of a call that rings, for its owner.
pub(crate) struct RingingCall(Place);

/// A view of the place.
#[derive(Clone)]
pub(super) struct Place {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl OpenInvite {
    /// Takes the place up that admission has kept for `invite`.
    pub(super) fn take(
        shared: &Arc<Shared>,
        invite: &Request,
        source: IpAddr,
        kind: Kind,
    ) -> Result<Self, Refusal> {
        let now = Instant::now().into_std();
        let mut admission = shared.admission.lock();
        let key = admission.invites.key(fields(invite));
        let ticket = admission.invites.take_up(key, network(source), kind, now)?;
        drop(admission);
        let shared = Arc::clone(shared);
        Ok(Self(Place { shared, ticket }))
    }

    /// For the owner of the call that the INVITE makes.
    pub(super) fn ringing(&self) -> RingingCall {
        RingingCall(self.0.clone())
    }

    pub(super) fn place(&self) -> Place {
        self.0.clone()
    }
}

impl Place {
    /// The call is answered.
    pub(super) fn settle(&self) {
        self.shared.admission.lock().invites.settle(self.ticket);
    }
}

impl Drop for OpenInvite {
    fn drop(&mut self) {
        self.0.shared.admission.lock().invites.forget(self.0.ticket);
    }
}

impl Drop for RingingCall {
    fn drop(&mut self) {
        self.0.settle();
    }
}

impl fmt::Debug for RingingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingingCall(..)")
    }
}

fn fields(invite: &Request) -> KeyFields<'_> {
    let mut vias = invite.headers.iter().filter_map(|header| match header {
        Header::Via(via) => Some(via.value()),
        _ => None,
    });
    KeyFields {
        top_via: vias.next().unwrap_or_default(),
        from: invite.from_header().map(From::value).unwrap_or_default(),
        call_id: invite.call_id_header().map(CallId::value).unwrap_or_default(),
        cseq: invite.cseq_header().map(CSeq::value).unwrap_or_default(),
    }
}
