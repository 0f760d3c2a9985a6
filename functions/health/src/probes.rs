//! One harmless try of each part.

use std::future::Future;

use platform::{
    livekit::{LiveKit, LiveKitError, proto},
    queue::{Depth, Queue},
    store::{Store, StoreError},
};
use tokio::time::{Instant, timeout};

use crate::{Beside, Component, HealthState, PROBE_TIMEOUT, Status};

/// It works, but calls are taken over by the clocks of the workers.
const AGELESS: &str = "written and read back, but it does not tell how old its objects are";

/// All parts, tried at the same time.
pub(crate) async fn all(state: &HealthState) -> Vec<Component> {
    let (rooms, sip, egress, ingress, queue, store) = tokio::join!(
        livekit(&state.livekit),
        sip(&state.livekit),
        egress(&state.livekit),
        ingress(&state.livekit),
        queue(state.queue.as_ref()),
        store(state.store.as_ref()),
    );
    let beside = state.beside.iter().filter_map(Beside::component);
    [rooms, sip, egress, ingress, queue, store]
        .into_iter()
        .chain(beside)
        .collect()
}

/// Whether calls can be taken at all.
pub(crate) async fn ready(state: &HealthState) -> bool {
    let (rooms, queue, store) = tokio::join!(
        livekit(&state.livekit),
        queue(state.queue.as_ref()),
        store(state.store.as_ref())
    );
    [rooms, queue, store]
        .iter()
        .all(|component| component.status == Status::Ok)
}

/// Asks LiveKit for its rooms.
pub async fn livekit(livekit: &LiveKit) -> Component {
    let livekit = livekit.within(PROBE_TIMEOUT);
    api("livekit", async {
        let rooms = livekit.list_rooms(&[]).await?;
        Ok(count(rooms.len(), "rooms"))
    })
    .await
}

/// Asks LiveKit for its trunks.
pub async fn sip(livekit: &LiveKit) -> Component {
    let livekit = livekit.within(PROBE_TIMEOUT);
    api("sip", async {
        let trunks = livekit.list_sip_inbound_trunks().await?.len();
        let outbound = livekit.list_sip_outbound_trunks().await?.len();
        Ok(format!("{trunks} inbound and {outbound} outbound trunks"))
    })
    .await
}

/// Asks LiveKit for the egresses under way.
pub async fn egress(livekit: &LiveKit) -> Component {
    let livekit = livekit.within(PROBE_TIMEOUT);
    let active = proto::ListEgressRequest {
        active: true,
        ..proto::ListEgressRequest::default()
    };
    api("egress", async {
        let found = livekit.list_egress(&active).await?;
        Ok(count(found.len(), "active"))
    })
    .await
}

/// Asks LiveKit for its ingresses.
pub async fn ingress(livekit: &LiveKit) -> Component {
    let livekit = livekit.within(PROBE_TIMEOUT);
    api("ingress", async {
        let found = livekit
            .list_ingress(&proto::ListIngressRequest::default())
            .await?;
        Ok(count(found.len(), "ingresses"))
    })
    .await
}

async fn api(name: &'static str, probe: impl Future<Output = Result<String, LiveKitError>>) -> Component {
    timed(name, probe, |error| {
        let remedy = match error {
            LiveKitError::Unreachable { .. } | LiveKitError::Deadline { .. } => {
                "check livekit.url and that livekit-server runs"
            }
            error => error.remedy().unwrap_or("look at the log of livekit-server"),
        };
        (error.to_string(), remedy)
    })
    .await
}

/// Asks for the queue's depth.
pub async fn queue(queue: &dyn Queue) -> Component {
    let probe = async { queue.depth().await.map(|depth| said(&depth)) };
    timed("queue", probe, |error| {
        (
            error.to_string(),
            "check the key `queue`, the disk's space and the file's rights",
        )
    })
    .await
}

fn said(depth: &Depth) -> String {
    format!(
        "{} waiting, {} in work, {} put aside",
        depth.visible, depth.in_flight, depth.dead
    )
}

/// Writes a small object, reads it back, and removes it.
pub async fn store(store: &dyn Store) -> Component {
    let probe = async {
        let key = format!("health/{:016x}", rand::random::<u64>());
        let written = store.put_if_absent(&key, "probe".into()).await?;
        let read = store.get_aged(&key).await?;
        store.delete(&key).await?;
        let whole = read.filter(|(object, _)| written.is_some() && &*object.bytes == b"probe");
        Ok(match whole {
            Some((_, age)) if age.is_unknown() => AGELESS,
            Some(_) => "written and read back",
            None => "",
        }
        .to_owned())
    };
    let mut component = timed("store", probe, |error: &StoreError| {
        (
            error.to_string(),
            "check the key `store`, the disk's space and the folder's rights",
        )
    })
    .await;
    if component.status == Status::Ok && component.detail.is_empty() {
        component.status = Status::Failed;
        "what was written was not read back".clone_into(&mut component.detail);
    } else if component.detail == AGELESS {
        component.remedy = Some(
            "let the service, or the proxy before it, answer with `Date` and `Last-Modified`, and keep the clocks of all machines together",
        );
    }
    component
}

async fn timed<E>(
    name: &'static str,
    probe: impl Future<Output = Result<String, E>>,
    explain: impl FnOnce(&E) -> (String, &'static str),
) -> Component {
    let started = Instant::now();
    // Cancel-safe: every probe only reads, or leaves a small object behind.
    let done = timeout(PROBE_TIMEOUT, probe).await;
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, detail, remedy) = match done {
        Ok(Ok(detail)) => (Status::Ok, detail, None),
        Ok(Err(error)) => {
            let (detail, remedy) = explain(&error);
            (Status::Failed, detail, Some(remedy))
        }
        Err(_) => (
            Status::Failed,
            format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
            Some("look whether it is overloaded or unreachable"),
        ),
    };
    Component {
        name,
        status,
        ms,
        detail,
        remedy,
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}")
}
