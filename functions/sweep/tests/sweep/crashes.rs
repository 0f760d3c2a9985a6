//! A sweep that is killed between any two operations leaves what the next one completes, and two at once do what one does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use events::{CallRecord, Outcome, Party, keys, livekit::EgressStatus};
use platform::store::Store;
use sweep::{Done, sweep};

use crate::{
    fuse::Fuse,
    world::{World, at, call, claim, egress, phone, room},
};

#[derive(Debug, Clone, Copy)]
enum Scenario {
    AllWebhooksLost,
    JoinLost,
    EndLost,
    WorkerDied,
    WorkersGaveUp,
    MarkerLeft,
    EgressDied,
    EgressEndLost,
    EgressUnfilled,
}

const ALL: [Scenario; 9] = [
    Scenario::AllWebhooksLost,
    Scenario::JoinLost,
    Scenario::EndLost,
    Scenario::WorkerDied,
    Scenario::WorkersGaveUp,
    Scenario::MarkerLeft,
    Scenario::EgressDied,
    Scenario::EgressEndLost,
    Scenario::EgressUnfilled,
];

impl Scenario {
    async fn world(self) -> World {
        let world = World::new().await;
        if !matches!(self, Self::AllWebhooksLost) {
            world.room_started().await;
        }
        match self {
            Self::AllWebhooksLost | Self::JoinLost => world.livekit.has(vec![(room(), vec![phone()])]),
            Self::EndLost => drop(world.joined().await),
            Self::WorkerDied | Self::WorkersGaveUp => {
                world.joined().await;
                let gave_up = matches!(self, Self::WorkersGaveUp);
                world.was_served(&claim(9_000, gave_up), !gave_up).await;
            }
            Self::EgressDied | Self::EgressEndLost => {
                world.joined().await;
                world.egress_started().await;
                world.livekit.has(vec![(room(), vec![phone()])]);
                let (status, size) = match self {
                    Self::EgressDied => (EgressStatus::Active, 0),
                    _ => (EgressStatus::Complete, 900),
                };
                *world.livekit.egresses.lock() = vec![egress(status, size)];
                if matches!(self, Self::EgressDied) {
                    world.egress_missed(at(-110_000)).await;
                }
            }
            Self::EgressUnfilled => {
                world.joined().await;
                world.egress_ended(EgressStatus::Failed, 0).await;
                world.finished().await;
            }
            Self::MarkerLeft => {
                let record = CallRecord::new(call(), room().name, Outcome::Completed, at(0), at(9_000));
                let key = keys::record(at(0), &call());
                world.store.put(&key, record.encode().into()).await.unwrap();
            }
        }
        world
    }
}

/// Every object, and the jobs in the queue. Without the claim: where there is a record, an expired one is as good as a closed one. Without
/// the events that are made up: once the call has its job or its record, nobody makes them up again, and nobody needs them.
async fn state(world: &World) -> (BTreeMap<String, String>, usize) {
    let mut objects = world.objects();
    objects.retain(|key, _| !key.contains("/EV_sweep_") && !key.ends_with("claim.json"));
    (objects, world.jobs().await.len())
}

/// What becomes of the call once its room is gone.
async fn ending(world: &World) -> (Outcome, Option<Party>, Option<Party>) {
    world.livekit.has(vec![]);
    world.sweep().await;
    let record = world.record().await.unwrap();
    (record.outcome, record.caller, record.called)
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_operation_and_repeated_the_sweep_leaves_the_same() {
    for scenario in ALL {
        let undisturbed = scenario.world().await;
        let fuse = Arc::new(Fuse::default());
        sweep(&undisturbed.process(&fuse)).await;
        let expected = state(&undisturbed).await;
        let expected_ending = ending(&undisturbed).await;
        let operations = fuse.operations();
        assert!(operations >= 5, "{scenario:?}: {operations}");
        for (operation, after) in (0..operations).flat_map(|n| [(n, false), (n, true)]) {
            let world = scenario.world().await;
            let report = sweep(&world.process(&Arc::new(Fuse::at(operation, after)))).await;
            assert!(report.failures > 0, "{scenario:?} at {operation}");
            if matches!(scenario, Scenario::WorkerDied | Scenario::WorkersGaveUp) {
                // The claim of the sweep that died has to expire.
                world.advance(Duration::from_secs(31));
            }
            world.sweep().await;
            let case = format!("{scenario:?} at {operation}, after: {after}");
            assert_eq!(state(&world).await, expected, "{case}");
            assert_eq!(ending(&world).await, expected_ending, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_sweeps_at_once_leave_what_one_leaves() {
    for scenario in ALL {
        let alone = scenario.world().await;
        alone.sweep().await;
        let expected = state(&alone).await;
        let world = scenario.world().await;
        let (a, b, c) = tokio::join!(world.sweep(), world.sweep(), world.sweep());
        assert_eq!(state(&world).await, expected, "{scenario:?}");
        let findings = [a, b, c].into_iter().flat_map(|report| report.findings);
        let done: Vec<_> = findings.map(|finding| finding.done).collect();
        let enqueued = done.iter().filter(|done| **done == Done::Enqueued).count();
        let closed = done.iter().filter(|done| matches!(done, Done::Closed(_))).count();
        assert!(enqueued <= 1 && closed <= 1, "{scenario:?}: {done:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_dropped_in_its_patience_has_done_nothing() {
    for scenario in ALL {
        let world = scenario.world().await;
        let before = world.objects();
        let cut = tokio::time::timeout(Duration::from_secs(3), world.sweep()).await;
        assert!(cut.is_err(), "{scenario:?}");
        assert_eq!(world.objects(), before);
    }
}
