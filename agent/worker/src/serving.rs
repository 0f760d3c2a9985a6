//! The calls that this process serves at this moment.
//!
//! The claim decides between workers. Within one process there is something surer: a copy of the job may come while the call is served,
//! as when the machine's clock was set forward and its queue and store believe that the lease is over.

use std::collections::HashSet;

use events::CallId;
use tokio::sync::watch;

/// At most as many as there are slots.
#[derive(Default)]
pub(crate) struct Serving(watch::Sender<HashSet<CallId>>);

/// A call that is served until this is dropped.
pub(crate) struct Served<'a> {
    all: &'a Serving,
    call: CallId,
}

impl Serving {
    /// `None`: this process serves the call already.
    pub(crate) fn begin(&self, call: &CallId) -> Option<Served<'_>> {
        let is_new = self.0.send_if_modified(|calls| calls.insert(call.clone()));
        is_new.then(|| Served {
            all: self,
            call: call.clone(),
        })
    }

    /// All of them, as they come and go.
    pub(crate) fn calls(&self) -> watch::Receiver<HashSet<CallId>> {
        self.0.subscribe()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.all.0.send_modify(|calls| {
            calls.remove(&self.call);
        });
    }
}
