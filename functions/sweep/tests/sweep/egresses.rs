//! Egresses whose end nobody was told of, and files for which something else stands in.

use std::time::Duration;

use events::{EgressEnd, OpenEgress, keys, livekit::EgressStatus};
use sweep::{Done, EgressLook, Report, Wrong, plan_egress};

use crate::world::{World, at, call, claim, egress, phone, recorder, room};

fn found(report: &Report) -> Vec<(Wrong, &Done)> {
    let findings = report.findings.iter();
    findings.map(|finding| (finding.wrong, &finding.done)).collect()
}

/// A call that goes on, with an egress that LiveKit believes to go on.
async fn recorded() -> World {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    assert_eq!(world.egress_started().await, "kept");
    world.livekit.has(vec![(room(), vec![phone(), recorder()])]);
    *world.livekit.egresses.lock() = vec![egress(EgressStatus::Active, 0)];
    world
}

#[tokio::test(start_paused = true)]
async fn one_that_records_is_left_alone() {
    let world = recorded().await;
    assert_eq!(found(&world.sweep().await), []);
    assert!(world.is_egress_open().await && world.egress_record().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_active_in_the_list_and_not_in_the_room_is_closed_as_lost_in_the_end() {
    for room_is_gone in [false, true] {
        let world = recorded().await;
        let rooms = if room_is_gone {
            vec![]
        } else {
            vec![(room(), vec![phone()])]
        };
        world.livekit.has(rooms);
        let of_egress = |report: &Report| {
            let found = report
                .findings
                .iter()
                .map(|finding| (finding.wrong, finding.done.clone()));
            let is_of =
                |(wrong, _): &(Wrong, Done)| matches!(wrong, Wrong::EgressMissing | Wrong::EgressDead);
            found.filter(is_of).collect::<Vec<_>>()
        };
        assert_eq!(
            of_egress(&world.sweep().await),
            [(Wrong::EgressMissing, Done::Marked)]
        );
        world.advance(Duration::from_secs(100));
        assert_eq!(
            of_egress(&world.sweep().await),
            [],
            "it may have reached a limit, and store its file"
        );
        assert!(world.egress_record().await.is_none());
        world.advance(Duration::from_secs(20));
        let closed = Done::EgressClosed(EgressEnd::Lost);
        assert_eq!(of_egress(&world.sweep().await), [(Wrong::EgressDead, closed)]);
        let record = world.egress_record().await.unwrap();
        assert_eq!(
            (record.end, record.files[0].filename.as_str()),
            (EgressEnd::Lost, "a.ogg")
        );
        // Its call goes on: what the agent records of it may yet stand in.
        assert_eq!(world.is_egress_open().await, !room_is_gone);
        assert_eq!(of_egress(&world.sweep().await), [], "it is told of once");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_has_left_the_room_and_may_take_long_to_store_its_file() {
    let world = recorded().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    *world.livekit.egresses.lock() = vec![egress(EgressStatus::Ending, 0)];
    world.sweep().await;
    world.advance(Duration::from_mins(14));
    world.sweep().await;
    assert!(world.egress_record().await.is_none());
    assert_eq!(world.egress_ended(EgressStatus::Complete, 900).await, "kept");
    assert_eq!(world.egress_record().await.unwrap().end, EgressEnd::Complete);
    assert!(!world.is_egress_open().await);
}

#[tokio::test(start_paused = true)]
async fn one_that_livekit_has_forgotten_is_lost_too() {
    let world = recorded().await;
    world.livekit.egresses.lock().clear();
    let report = world.sweep().await;
    assert_eq!(
        found(&report),
        [(Wrong::EgressDead, &Done::EgressClosed(EgressEnd::Lost))]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_within_the_patience_is_not_lost() {
    let world = recorded().await;
    let without = vec![(room(), vec![phone()])];
    let with = vec![(room(), vec![phone(), recorder()])];
    // A look goes on with the list behind the one that its calls were taken from.
    *world.livekit.lists.lock() = vec![without.clone(), without, with];
    assert_eq!(found(&world.sweep().await), []);
    assert!(world.egress_record().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_webhook_was_lost_is_made_up_for_and_a_late_one_changes_nothing() {
    let world = recorded().await;
    *world.livekit.egresses.lock() = vec![egress(EgressStatus::Complete, 900)];
    let report = world.sweep().await;
    let closed = Done::EgressClosed(EgressEnd::Complete);
    assert_eq!(found(&report), [(Wrong::EgressWebhookLost, &closed)]);
    let record = world.egress_record().await.unwrap();
    assert_eq!((record.files[0].size_bytes, record.ended_at), (900, at(8_000)));
    assert!(!world.is_egress_open().await);
    assert_eq!(world.egress_ended(EgressStatus::Complete, 900).await, "kept");
    assert_eq!(world.egress_record().await.unwrap(), record);
    assert_eq!(found(&world.sweep().await), []);
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_was_told_of_is_found_while_it_goes_on() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.livekit.has(vec![(room(), vec![phone(), recorder()])]);
    *world.livekit.egresses.lock() = vec![egress(EgressStatus::Active, 0)];
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::EgressUnheard, &Done::Marked)]
    );
    assert!(world.is_egress_open().await);
    assert_eq!(found(&world.sweep().await), [], "it is known now");
    *world.livekit.egresses.lock() = vec![egress(EgressStatus::Complete, 900)];
    world.sweep().await;
    assert_eq!(world.egress_record().await.unwrap().end, EgressEnd::Complete);
    assert!(!world.is_egress_open().await);

    // LiveKit's list may be behind the webhooks.
    *world.livekit.egresses.lock() = vec![egress(EgressStatus::Ending, 0)];
    assert_eq!(found(&world.sweep().await), []);
    assert!(!world.is_egress_open().await);
}

#[tokio::test(start_paused = true)]
async fn the_agents_recording_stands_in_once_the_call_is_closed() {
    let world = recorded().await;
    world.egress_ended(EgressStatus::Failed, 0).await;
    assert!(world.is_egress_open().await);
    assert_eq!(found(&world.sweep().await), [], "the call goes on");
    world.was_served(&claim(9_000, false), true).await;
    world.livekit.has(vec![]);
    let report = world.sweep().await;
    assert!(
        matches!(found(&report)[..], [(Wrong::Orphaned, Done::Closed(_))]),
        "{report:?}"
    );
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::EgressUnfilled, &Done::Filled)]
    );
    let record = world.egress_record().await.unwrap();
    assert_eq!(record.end, EgressEnd::Failed);
    assert_eq!(record.stand_in, Some(keys::recording(at(0), &call())));
    assert!(!world.is_egress_open().await);
    assert_eq!(found(&world.sweep().await), []);
}

#[tokio::test(start_paused = true)]
async fn where_the_agent_recorded_nothing_nothing_stands_in_and_nobody_waits() {
    let world = recorded().await;
    world.egress_ended(EgressStatus::Failed, 0).await;
    world.livekit.has(vec![]);
    world.sweep().await;
    assert!(world.record().await.is_some());
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::EgressUnfilled, &Done::Unmarked)]
    );
    assert_eq!(world.egress_record().await.unwrap().stand_in, None);
    assert!(!world.is_egress_open().await);
}

#[test]
fn what_is_wrong_with_an_egress_depends_on_its_record_first() {
    use EgressStatus::{Aborted, Active, Complete, Ending, Failed, LimitReached, Starting};
    let open = OpenEgress {
        call: call(),
        room: room().name,
        created_at: at(0),
        since: at(0),
        missed_at: None,
        files: egress(EgressStatus::Starting, 0).files,
    };
    let look = |listed: Option<EgressStatus>, is_in_room: bool| EgressLook {
        egress: "EG_x".parse().unwrap(),
        open: open.clone(),
        record: None,
        call_is_open: true,
        listed: listed.map(|status| egress(status, 0)),
        is_in_room,
    };
    // How long it has been missed, in seconds.
    for (listed, is_in_room, missed, wrong) in [
        (Some(Starting), true, None, None),
        (Some(Starting), false, None, Some(Wrong::EgressMissing)),
        (Some(Starting), false, Some(119), None),
        (Some(Starting), false, Some(120), Some(Wrong::EgressDead)),
        (Some(Active), true, None, None),
        (Some(Active), true, Some(999), None),
        (Some(Active), false, None, Some(Wrong::EgressMissing)),
        (Some(Active), false, Some(119), None),
        (Some(Active), false, Some(120), Some(Wrong::EgressDead)),
        (Some(Ending), true, None, None),
        (Some(Ending), false, None, Some(Wrong::EgressMissing)),
        (Some(Ending), false, Some(899), None),
        (Some(Ending), false, Some(900), Some(Wrong::EgressDead)),
        (Some(Complete), false, None, Some(Wrong::EgressWebhookLost)),
        (Some(Failed), false, Some(10), Some(Wrong::EgressWebhookLost)),
        (Some(Aborted), false, None, Some(Wrong::EgressWebhookLost)),
        (Some(LimitReached), false, None, Some(Wrong::EgressWebhookLost)),
        (None, false, None, Some(Wrong::EgressDead)),
    ] {
        let mut look = look(listed.clone(), is_in_room);
        let now = at(2_000_000);
        look.open.missed_at = missed.map(|seconds| at(2_000_000 - seconds * 1_000));
        assert_eq!(
            plan_egress(&look, now),
            wrong,
            "{listed:?} {is_in_room} {missed:?}"
        );
        let record = events::EgressRecord::lost(look.egress.clone(), &open, at(0));
        let mut look = EgressLook {
            record: Some(record),
            ..look
        };
        assert_eq!(plan_egress(&look, now), None, "the call is open");
        look.call_is_open = false;
        assert_eq!(plan_egress(&look, now), Some(Wrong::EgressUnfilled));
        look.record.as_mut().unwrap().stand_in = Some("recording.ogg".to_owned());
        assert_eq!(plan_egress(&look, now), Some(Wrong::EgressMarkerLeft));
    }
}
