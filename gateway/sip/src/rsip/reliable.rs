//! A 180 that the caller must acknowledge (RFC 3262), for callers that require it.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rsipstack::sip::{Header, HeadersExt as _, Method, Request};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Of the one reliable answer that we send.
const RSEQ: u32 = 1;

/// The acknowledgements that are waited for, by our tags.
#[derive(Default)]
pub(super) struct Awaited(Mutex<HashMap<String, (u32, CancellationToken)>>);

impl Awaited {
    /// Whether `prack` acknowledges an answer of ours.
    pub(super) fn take(&self, prack: &Request) -> bool {
        let tag = prack.to_header().ok().and_then(|to| to.tag().ok().flatten());
        let of = prack.rack_value();
        let (Some(tag), Some((rseq, cseq, Method::Invite))) = (tag, of) else {
            return false;
        };
        match self.0.lock().get(tag.value()) {
            Some((invite, acknowledged)) if (RSEQ, *invite) == (rseq, cseq) => {
                acknowledged.cancel();
                true
            }
            _ => false,
        }
    }
}

/// A reliable answer, from the call's begin to its end.
pub(super) struct Reliable {
    awaited: Arc<Awaited>,
    tag: String,
    acknowledged: CancellationToken,
    t1: Duration,
    sent: Option<Sent>,
}

struct Sent {
    again_at: Instant,
    pause: Duration,
    until: Instant,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send the answer again.
    Again,
    /// Nobody acknowledges it: refuse the call.
    GivenUp,
}

impl Reliable {
    /// For the answers to `invite` under our tag.
    pub(super) fn new(awaited: &Arc<Awaited>, invite: &Request, tag: &str, t1: Duration) -> Option<Self> {
        let cseq = invite.cseq_header().ok()?.seq().ok()?;
        let acknowledged = CancellationToken::new();
        let entry = (cseq, acknowledged.clone());
        awaited.0.lock().insert(tag.to_owned(), entry);
        Some(Self {
            awaited: Arc::clone(awaited),
            tag: tag.to_owned(),
            acknowledged,
            t1,
            sent: None,
        })
    }

    /// Its headers, each time that it is sent.
    pub(super) fn headers(&mut self) -> Vec<Header> {
        if self.sent.is_none() {
            let now = Instant::now();
            self.sent = Some(Sent {
                again_at: now + self.t1,
                pause: self.t1,
                until: now + self.t1 * 64,
            });
        }
        vec![
            Header::Require("100rel".into()),
            Header::RSeq(RSEQ.to_string().into()),
        ]
    }

    /// Resolves when there is something to do; never once it was acknowledged. Cancel-safe.
    pub(super) async fn due(&mut self) -> Due {
        let Some(sent) = &mut self.sent else {
            return pending().await;
        };
        // Both arms are cancel-safe.
        tokio::select! {
            () = self.acknowledged.cancelled() => return pending().await,
            () = sleep_until(sent.again_at) => {}
        }
        if sent.again_at >= sent.until {
            return Due::GivenUp;
        }
        // §3: it doubles each time.
        sent.pause *= 2;
        sent.again_at = (sent.again_at + sent.pause).min(sent.until);
        Due::Again
    }
}

impl Drop for Reliable {
    fn drop(&mut self) {
        self.awaited.0.lock().remove(&self.tag);
    }
}
