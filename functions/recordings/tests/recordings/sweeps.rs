//! What is killed is found by the sweep.

use std::time::Duration;

use events::EgressEnd;
use sweep::{Done, Wrong};

use crate::{
    host::{Host, KEY, file},
    log,
};

#[tokio::test]
async fn an_egress_that_stays_active_after_its_service_was_killed_is_closed_by_the_sweep() {
    let host = Host::start().await;
    let peer = host.peer().await;
    let call = host.room("crm-1").await;
    // Recorded with the service and its handler killed: it stays active for ever.
    let egress = host.record(&peer, "EG_AgvJpr6DaCWU", &file("crm-1", "ogg")).await;
    assert!(peer.advance(&egress).await && !peer.advance(&egress).await);
    host.webhook("egress_updated", &egress).await;
    drop(peer);
    let path = format!("/v1/egress/{egress}");
    let (_, listed) = host.ask("GET", &path, KEY, None).await;
    assert_eq!(listed["status"], "active", "{listed}");
    let (status, problem) = host.ask("DELETE", &path, KEY, None).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("lost"), "{problem}");

    // It may only be storing its file: not at once.
    host.sweep().await;
    assert!(host.egress_record(&call, &egress).await.is_none());
    let report = host.sweep_after(Duration::from_mins(2)).await;
    let found = report
        .findings
        .iter()
        .find(|finding| finding.wrong == Wrong::EgressDead);
    assert_eq!(
        found.unwrap().done,
        Done::EgressClosed(EgressEnd::Lost),
        "{report:?}"
    );
    let record = host.egress_record(&call, &egress).await.unwrap();
    assert_eq!((record.end.clone(), record.files.len()), (EgressEnd::Lost, 1));
    assert_eq!(log::lines("an egress has failed", &egress).len(), 1);

    // Once the call is closed nothing of it is open any more, and nobody is told again.
    host.agent_recorded(&call, "crm-1", b"OggS").await;
    host.sweep().await;
    assert!(!host.is_marked(&egress).await);
    assert!(
        host.egress_record(&call, &egress)
            .await
            .unwrap()
            .stand_in
            .is_some()
    );
    assert_eq!(log::lines("an egress has failed", &egress).len(), 1);
}
