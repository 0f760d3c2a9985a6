//! What a sweep leaves, and what late webhooks and living workers make of it.

use std::time::Duration;

use events::{
    CallEvent, CallRecord, Claim, Outcome, Step, agents::NoMatch, keys, livekit::Attributes,
    livekit::Participant,
};
use platform::{queue::Queue, store::Store};
use sweep::{Done, Report, Wrong};

use crate::world::{World, at, call, claim, phone, room};

fn found(report: &Report) -> Vec<(Wrong, &Done)> {
    let findings = report.findings.iter();
    findings.map(|finding| (finding.wrong, &finding.done)).collect()
}

fn closed(outcome: Outcome) -> Done {
    Done::Closed(outcome)
}

fn not_served() -> Outcome {
    Outcome::Failed {
        reason: CallRecord::NOT_SERVED.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_webhook_was_lost_gets_the_job_that_the_webhook_would_have_made() {
    let world = World::new().await;
    world.room_started().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    let report = world.sweep().await;
    assert_eq!(found(&report), [(Wrong::WebhookLost, &Done::Enqueued)]);

    let undisturbed = World::new().await;
    undisturbed.room_started().await;
    assert_eq!(undisturbed.joined().await, "job_enqueued");
    let jobs = world.jobs().await;
    assert_eq!(jobs, undisturbed.jobs().await);
    assert_eq!(jobs[0].dedup_id(), "RM_x:1");
    assert!(world.has(&keys::job(at(0), &call())).await);

    // The next one finds nothing to do.
    assert_eq!(
        world.sweep().await,
        Report {
            calls: 1,
            ..Report::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_come_late_double_nothing() {
    let world = World::new().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    let report = world.sweep().await;
    assert_eq!(found(&report), [(Wrong::WebhookLost, &Done::Enqueued)]);
    assert!(world.is_open().await && world.has(&keys::index(&call())).await);

    assert_eq!(world.room_started().await, "kept");
    assert_eq!(world.joined().await, "job_present");
    assert_eq!(world.left().await, "kept");
    assert_eq!(world.finished().await, "closed");
    assert_eq!(world.jobs().await.len(), 1);
    let record = world.record().await.unwrap();
    assert_eq!(record.outcome, Outcome::Cancelled);
    let steps: Vec<_> = record.timeline.iter().map(|entry| entry.step.as_str()).collect();
    let of = |step| steps.iter().filter(|s| **s == step).count();
    assert_eq!(
        (of("caller_joined"), of("caller_left"), of("job_enqueued")),
        (1, 1, 1),
        "{steps:?}"
    );
    assert!(!world.is_open().await);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_only_on_its_way_is_waited_for() {
    let world = World::new().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    let webhooks = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.room_started().await;
        world.joined().await
    };
    let (report, outcome) = tokio::join!(world.sweep(), webhooks);
    assert_eq!((found(&report), outcome), (vec![], "job_enqueued"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_whom_no_entry_takes_leaves_the_reason() {
    let world = World::new().await;
    let unlisted = Participant {
        attributes: Attributes::default(),
        ..phone()
    };
    world.livekit.has(vec![(room(), vec![unlisted])]);
    let reason = NoMatch::NumberNotListed;
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::WebhookLost, &Done::NoMatch(reason.clone()))]
    );
    assert_eq!(found(&world.sweep().await), [], "once");
    world.livekit.has(vec![]);
    let outcome = Outcome::NoMatch {
        reason: reason.to_string(),
    };
    assert_eq!(found(&world.sweep().await), [(Wrong::Unclosed, &closed(outcome))]);
    assert!(!world.is_open().await && world.jobs().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_end_was_lost_is_closed_as_the_webhook_would_have_closed_it() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.livekit.has(vec![]);
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::Unclosed, &closed(Outcome::NoAgent))]
    );
    let record = world.record().await.unwrap();
    assert_eq!(
        (record.trunk.as_deref(), record.ended_at),
        (Some("ST_x"), at(10_000))
    );
    assert!(!world.is_open().await);

    assert_eq!(world.left().await, "kept");
    assert_eq!(world.finished().await, "left_to_holder");
    // Late webhooks know better than the sweep when the call ended, and who ended it.
    let record = world.record().await.unwrap();
    assert_eq!((record.outcome, record.ended_at), (Outcome::Cancelled, at(500)));
    let finished = record
        .timeline
        .iter()
        .filter(|entry| entry.step == Step::RoomFinished);
    assert_eq!(finished.count(), 1);
    assert!(!world.is_open().await, "a late webhook opens no closed call");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_left_is_cancelled_although_the_rooms_end_was_lost() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.left().await;
    world.livekit.has(vec![]);
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::Unclosed, &closed(Outcome::Cancelled))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_dead_worker_is_closed_with_all_that_it_left() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.was_served(&claim(9_000, false), true).await;
    world.livekit.has(vec![]);
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::Orphaned, &closed(Outcome::Interrupted))]
    );
    let record = world.record().await.unwrap();
    assert_eq!(record.turns.len(), 1);
    assert_eq!(record.recording.unwrap().duration_ms, 8_000);
    assert_eq!(record.ended_at, at(9_000), "as long as the recording");
    let transcript = world
        .store
        .get(&record.transcript.unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&transcript.bytes).contains("canary words"));
    let claim = world
        .store
        .get(&keys::claim(at(0), &call()))
        .await
        .unwrap()
        .unwrap();
    let claim = Claim::decode(&claim.bytes);
    assert_eq!(
        (claim.generation, claim.closed),
        (2, true),
        "a zombie learns that it lost"
    );
    assert!(!world.is_open().await);
    assert_eq!(world.finished().await, "left_to_holder");
}

#[tokio::test(start_paused = true)]
async fn how_an_orphaned_call_ended() {
    for (answered, given_up, outcome) in [
        (true, false, Outcome::Interrupted),
        (false, false, Outcome::Interrupted),
        (false, true, not_served()),
        (true, true, Outcome::Interrupted),
    ] {
        let world = World::new().await;
        world.room_started().await;
        world.joined().await;
        world.was_served(&claim(9_000, given_up), answered).await;
        world.livekit.has(vec![]);
        let report = world.sweep().await;
        assert_eq!(
            found(&report),
            [(Wrong::Orphaned, &closed(outcome))],
            "{answered} {given_up}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_claimed_call_without_any_progress_is_closed_by_its_job() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    let claim = claim(9_000, false);
    let key = keys::claim(at(0), &call());
    world.store.put(&key, claim.encode().into()).await.unwrap();
    world.advance(Duration::from_secs(9));
    world.livekit.has(vec![]);
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::Orphaned, &closed(Outcome::Interrupted))]
    );
    let record = world.record().await.unwrap();
    assert_eq!(record.profile.unwrap().name.as_str(), "reception");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_about_to_close_its_call_is_left_to_it() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.was_served(&claim(60_000, false), true).await;
    world.livekit.has(vec![]);
    let before = world.objects();
    assert_eq!(found(&world.sweep().await), []);
    assert_eq!(world.objects(), before);
    world.advance(Duration::from_mins(1));
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::Orphaned, &closed(Outcome::Interrupted))]
    );
}

/// By how many milliseconds a worker's clock, or the sweep's, is off.
const CLOCKS_MS: [i64; 7] = [0, 9_000, -9_000, 90_000, -90_000, 3_600_000, -3_600_000];

#[tokio::test(start_paused = true)]
async fn a_living_call_is_left_alone_and_a_dead_one_is_closed_whatever_the_clocks_say() {
    for off in CLOCKS_MS {
        let world = World::new().await;
        world.room_started().await;
        world.joined().await;
        world.livekit.has(vec![]);
        world.is_served(&claim(19_000 + off, false), true).await;
        assert_eq!(
            (found(&world.sweep().await), world.record().await),
            (vec![], None),
            "{off}"
        );
        // Two heartbeats were lost. And while this is looked at, files grow older by themselves.
        world.advance(Duration::from_secs(6));
        assert_eq!(
            (found(&world.sweep().await), world.record().await),
            (vec![], None),
            "{off}"
        );
        world.advance(Duration::from_secs(3));
        assert_eq!(
            found(&world.sweep().await),
            [(Wrong::Orphaned, &closed(Outcome::Interrupted))],
            "{off}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_workers_have_died_three_times_is_enqueued_again_while_its_phone_waits() {
    let third = Claim {
        generation: 3,
        ..claim(9_000, false)
    };
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    // Three workers have died of it: the queue puts the job aside.
    for _ in 0..3 {
        assert_eq!(world.jobs().await.len(), 1);
        world.clock.advance(Duration::from_secs(9));
    }
    assert_eq!(world.jobs().await.len(), 0);
    assert_eq!(world.queue.depth().await.unwrap().dead, 1);
    world.is_served(&third, true).await;
    world.advance(Duration::from_secs(40));
    assert_eq!(found(&world.sweep().await), [(Wrong::Stranded, &Done::Enqueued)]);
    assert_eq!(*world.livekit.revived.lock(), ["call-x"]);
    let jobs = world.jobs().await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(
        (&jobs[0].call, jobs[0].profile.name.as_str()),
        (&call(), "reception")
    );
    let depth = world.queue.depth().await.unwrap();
    assert_eq!(depth.dead, 1, "the one that was put aside stays there");

    // While nobody takes it there is one.
    world.advance(Duration::from_mins(1));
    assert_eq!(found(&world.sweep().await), [(Wrong::Stranded, &Done::Reported)]);
    let depth = world.queue.depth().await.unwrap();
    assert_eq!(depth.visible + depth.in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_in_the_room_says_whether_a_stranded_call_is_enqueued_again() {
    let agent = Participant {
        sid: "PA_agent".parse().unwrap(),
        kind: events::livekit::ParticipantKind::Agent,
        ..phone()
    };
    let nth = |generation| Claim {
        generation,
        ..claim(-31_000, false)
    };
    for (there, generation, again) in [
        (vec![phone()], 3, true),
        (vec![phone()], 8, true),
        (vec![phone()], 9, false),
        (vec![], 3, false),
        (vec![phone(), agent.clone()], 3, false),
        (vec![agent], 3, false),
    ] {
        let world = World::new().await;
        world.room_started().await;
        world.joined().await;
        world.was_served(&nth(generation), true).await;
        world.livekit.has(vec![(room(), there.clone())]);
        let done = if again { Done::Enqueued } else { Done::Reported };
        assert_eq!(
            found(&world.sweep().await),
            [(Wrong::Stranded, &done)],
            "{there:?} {generation}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_serves_in_a_living_room_is_reported_and_left_alone() {
    for (wrong, claimed) in [(Wrong::Stranded, true), (Wrong::Waiting, false)] {
        let world = World::new().await;
        world.room_started().await;
        world.joined().await;
        if claimed {
            world.was_served(&claim(9_000, true), false).await;
        }
        world.livekit.has(vec![(room(), vec![phone()])]);
        assert_eq!(found(&world.sweep().await), [], "workers may still try");
        world.advance(Duration::from_secs(40));
        // In the case of the one that was claimed, whoever waits has gone.
        if claimed {
            world.livekit.has(vec![(room(), vec![])]);
        }
        let before = world.objects();
        assert_eq!(found(&world.sweep().await), [(wrong, &Done::Reported)]);
        assert_eq!(world.objects(), before);
        assert_eq!(*world.livekit.revived.lock(), ["call-x"]);
        assert_eq!(world.jobs().await.len(), 1, "no second job");
    }
}

/// Its workers died before they had claimed it, so that the queue has put its job aside.
#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_has_claimed_is_enqueued_again_while_its_phone_waits() {
    for (there, done) in [(vec![phone()], Done::Enqueued), (vec![], Done::Reported)] {
        let world = World::new().await;
        world.room_started().await;
        world.joined().await;
        assert_eq!(world.jobs().await.len(), 1);
        world.livekit.has(vec![(room(), there)]);
        world.advance(Duration::from_mins(2));
        assert_eq!(found(&world.sweep().await), [(Wrong::Waiting, &done)]);
        assert_eq!(
            found(&world.sweep().await),
            [(Wrong::Waiting, &Done::Reported)],
            "once"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_older_than_the_room_closes_nothing() {
    let world = World::new().await;
    world.room_started().await;
    *world.livekit.lists.lock() = vec![vec![], vec![(room(), vec![])]];
    let before = world.objects();
    assert_eq!(found(&world.sweep().await), []);
    assert_eq!(world.objects(), before);
}

#[tokio::test(start_paused = true)]
async fn a_later_room_of_the_same_name_is_another_call() {
    let world = World::new().await;
    world.room_started().await;
    let later = events::livekit::Room {
        call: "RM_y".parse().unwrap(),
        created_at: Some(at(8_000)),
        ..room()
    };
    world.livekit.has(vec![(later.clone(), vec![phone()])]);
    let report = world.sweep().await;
    let mut found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.call.as_str(), finding.wrong))
        .collect();
    found.sort_by_key(|(call, _)| *call);
    assert_eq!(found, [("RM_x", Wrong::Unclosed), ("RM_y", Wrong::WebhookLost)]);
    assert_eq!(world.jobs().await[0].call, later.call);
}

#[tokio::test(start_paused = true)]
async fn a_marker_whose_call_has_its_record_is_removed() {
    let world = World::new().await;
    world.room_started().await;
    let outcome = Outcome::Completed;
    let record = CallRecord::new(call(), room().name, outcome, at(0), at(9_000));
    let key = keys::record(at(0), &call());
    world.store.put(&key, record.encode().into()).await.unwrap();
    world.livekit.has(vec![(room(), vec![])]);
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::MarkerLeft, &Done::Unmarked)]
    );
    assert_eq!(world.record().await.unwrap(), record);
    assert_eq!(found(&world.sweep().await), []);
}

#[tokio::test(start_paused = true)]
async fn a_living_call_from_before_there_were_markers_gets_one_and_no_second_job() {
    let world = World::new().await;
    world.room_started().await;
    world.joined().await;
    world.store.delete(&keys::open(&call())).await.unwrap();
    world.livekit.has(vec![(room(), vec![phone()])]);
    assert_eq!(
        found(&world.sweep().await),
        [(Wrong::MarkerMissing, &Done::Marked)]
    );
    assert!(world.is_open().await);
    assert_eq!(world.jobs().await.len(), 1);
    // One that is over and was never marked stays as it is: nothing tells of it.
    world.store.delete(&keys::open(&call())).await.unwrap();
    world.livekit.has(vec![]);
    assert_eq!(world.sweep().await, Report::default());
}

#[tokio::test(start_paused = true)]
async fn what_the_sweep_saw_is_an_event_of_the_call() {
    let world = World::new().await;
    world.livekit.has(vec![(room(), vec![phone()])]);
    world.sweep().await;
    let key = keys::event(at(0), &call(), &"EV_sweep_PA_x".parse().unwrap());
    let object = world.store.get(&key).await.unwrap().unwrap();
    let event = CallEvent::decode(object.bytes).unwrap();
    assert_eq!((event.call, event.received_at), (call(), at(10_000)));
}

#[tokio::test(start_paused = true)]
async fn an_empty_room_of_which_nobody_has_heard_is_marked_and_closed_when_it_is_gone() {
    let world = World::new().await;
    world.livekit.has(vec![(room(), vec![])]);
    assert_eq!(found(&world.sweep().await), [(Wrong::WebhookLost, &Done::Marked)]);
    assert!(world.is_open().await && world.has(&keys::index(&call())).await);
    world.livekit.has(vec![]);
    let outcome = Outcome::NoMatch {
        reason: NoMatch::NoCaller.to_string(),
    };
    assert_eq!(found(&world.sweep().await), [(Wrong::Unclosed, &closed(outcome))]);
}
