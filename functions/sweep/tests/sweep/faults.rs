//! LiveKit or the store does not answer: nothing is done about what they would have told of.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use events::keys;
use platform::store::Store;
use sweep::{Report, sweep};

use crate::{
    fuse::Fuse,
    world::{World, call, claim, phone, room},
};

fn failed(calls: usize) -> Report {
    Report {
        calls,
        failures: 1,
        ..Report::default()
    }
}

#[tokio::test(start_paused = true)]
async fn without_livekit_nothing_is_closed() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.was_served(&claim(9_000, false), true).await;
    let before = world.objects();
    *world.livekit.down.lock() = true;
    assert_eq!(world.sweep().await, failed(0));
    assert_eq!(world.objects(), before);
}

#[tokio::test(start_paused = true)]
async fn a_livekit_that_goes_away_between_the_looks_closes_nothing_either() {
    let world = World::new().await;
    world.room_started().await;
    let before = world.objects();
    let outage = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        *world.livekit.down.lock() = true;
    };
    let (report, ()) = tokio::join!(world.sweep(), outage);
    assert_eq!(report, failed(1));
    assert_eq!(world.objects(), before);
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nothing_is_enqueued() {
    let world = World::new().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    let dead = world.process(&Arc::new(Fuse::at(0, false)));
    assert_eq!(sweep(&dead).await, failed(0));
    assert!(world.jobs().await.is_empty() && world.objects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_cannot_be_read_is_reported_and_hinders_no_other_call() {
    let world = World::new().await;
    world.room_started().await;
    let torn = Bytes::from_static(b"{");
    world.store.put("open/RM_torn", torn.clone()).await.unwrap();
    world.store.put("open/no-call", torn.clone()).await.unwrap();
    world.livekit.has(vec![]);
    let report = world.sweep().await;
    assert_eq!((report.calls, report.failures, report.findings.len()), (2, 1, 1));
    assert!(world.has("open/RM_torn").await && !world.is_open().await);

    // One whose index can be read is not lost.
    let world = World::new().await;
    world.room_started().await;
    world.store.put(&keys::open(&call()), torn).await.unwrap();
    let report = world.sweep().await;
    assert_eq!((report.failures, report.findings.len()), (0, 1));
    assert!(world.record().await.is_some());
}

/// A call whose worker has died and whose room is gone.
async fn left_behind() -> World {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.was_served(&claim(9_000, false), true).await;
    world.livekit.has(vec![]);
    world
}

#[tokio::test(start_paused = true)]
async fn calls_are_repaired_though_livekit_tells_nothing_of_egresses() {
    let world = left_behind().await;
    *world.livekit.egress_down.lock() = true;
    let report = world.sweep().await;
    assert_eq!((report.calls, report.failures, report.findings.len()), (1, 1, 1));
    assert!(world.record().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn calls_are_repaired_though_livekit_takes_a_minute_to_tell_of_egresses() {
    let world = left_behind().await;
    *world.livekit.egress_takes.lock() = Duration::from_mins(1);
    let report = world.sweep().await;
    assert_eq!((report.calls, report.failures, report.findings.len()), (1, 1, 1));
    assert!(world.record().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_the_store_never_completes_keeps_its_call_open_for_a_day() {
    let world = left_behind().await;
    let state = world.process(&Arc::new(Fuse::without_recovery()));
    for _ in 0..2 {
        assert_eq!(sweep(&state).await.failures, 1);
        assert!(world.record().await.is_none() && world.is_open().await);
        world.advance(Duration::from_mins(1));
    }
    world.advance(Duration::from_hours(24));
    let report = sweep(&state).await;
    assert_eq!((report.failures, report.findings.len()), (0, 1));
    assert!(world.record().await.is_some() && !world.is_open().await);
}
