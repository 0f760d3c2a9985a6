//! What is served: shared between those who serve and the link, which subscribes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use super::{Fault, Gate, Incoming, Method};
use crate::{Channel, Code};

#[derive(Default)]
pub(super) struct Registry {
    /// By request channel.
    routes: Mutex<HashMap<String, Arc<Route>>>,
    /// Wakes the link.
    pub(super) changed: Notify,
}

/// One method, or one topic of it.
pub(super) struct Route {
    pub(super) service: String,
    pub(super) request_channel: String,
    pub(super) grant_channel: String,
    pub(super) gate: Gate,
    /// Empty once the link has let a withdrawn route go: that ends the queue.
    incoming: Mutex<Option<mpsc::Sender<Incoming>>>,
    live: watch::Sender<bool>,
    withdrawn: AtomicBool,
}

impl Route {
    pub(super) fn new(
        method: Method<'_>,
        gate: Gate,
        incoming: mpsc::Sender<Incoming>,
        live: watch::Sender<bool>,
    ) -> Self {
        let Method {
            service,
            method,
            topic,
        } = method;
        let request = Channel::Request {
            service,
            method,
            topic,
        };
        let grant = Channel::ClaimGrant {
            service,
            method,
            topic,
        };
        Self {
            service: service.to_owned(),
            request_channel: request.name(),
            grant_channel: grant.name(),
            gate,
            incoming: Mutex::new(Some(incoming)),
            live,
            withdrawn: AtomicBool::new(false),
        }
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    pub(super) fn set_live(&self, live: bool) {
        self.live
            .send_if_modified(|was| std::mem::replace(was, live) != live);
    }

    /// Hands a request on, or answers that nobody takes it.
    pub(super) fn deliver(&self, incoming: Incoming) {
        let sender = self.incoming.lock().clone();
        if let Some(Ok(place)) = sender.as_ref().map(mpsc::Sender::try_reserve) {
            place.send(incoming);
        } else {
            let fault = Fault::new(Code::Unavailable, "the server takes no more requests");
            incoming.answer::<()>(Err(fault));
        }
    }

    fn close(&self) {
        *self.incoming.lock() = None;
    }
}

impl Registry {
    pub(super) fn add(&self, route: Arc<Route>) {
        self.routes.lock().insert(route.request_channel.clone(), route);
        self.changed.notify_one();
    }

    pub(super) fn withdraw(&self, route: &Arc<Route>) {
        route.withdrawn.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// A route that was taken over meanwhile stays.
    pub(super) fn remove(&self, route: &Arc<Route>) {
        route.close();
        let mut routes = self.routes.lock();
        let is_it = routes
            .get(&route.request_channel)
            .is_some_and(|served| Arc::ptr_eq(served, route));
        if is_it {
            routes.remove(&route.request_channel);
            self.changed.notify_one();
        }
    }

    pub(super) fn routes(&self) -> Vec<Arc<Route>> {
        self.routes.lock().values().map(Arc::clone).collect()
    }

    pub(super) fn by_request_channel(&self, channel: &str) -> Option<Arc<Route>> {
        self.routes.lock().get(channel).map(Arc::clone)
    }

    pub(super) fn len(&self) -> usize {
        self.routes.lock().len()
    }
}
