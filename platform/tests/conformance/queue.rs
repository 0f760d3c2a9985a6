//! The suite of the queue port. `queue_suite!` lists it; a [`QueueRow`] says what it runs on.

use std::{collections::HashSet, time::Duration};

use platform::queue::{
    DEDUP_WINDOW, Depth, MAX_BATCH, MAX_BODY_BYTES, MAX_RECEIVES, MAX_WAIT, Queue, QueueError, Received,
};
use tokio::{task::JoinSet, time::Instant};

use crate::queue_rows::QueueRow;

/// Makes the tests of one row: `queue_suite!(make)`, `make` being a function to `Option<QueueRow>`.
macro_rules! queue_suite {
    ($make:path) => {
        crate::suite!(
            $make,
            queue,
            [
                a_group_is_first_in_first_out,
                a_leased_group_is_locked_and_others_are_not,
                a_lease_that_ends_brings_the_body_back_first_of_its_group,
                an_extended_lease_lasts_from_the_extension,
                a_receipt_is_stale_once_its_lease_has_ended,
                a_receipt_whose_lease_has_ended_is_stale_for_another_process_too,
                a_released_body_comes_again_at_once,
                a_dedup_id_counts_for_five_minutes_even_after_a_delete,
                a_poisoned_body_is_put_aside_and_unlocks_its_group,
                a_receive_takes_no_more_than_it_is_asked_for,
                a_receive_takes_one_body_of_a_group,
                arguments_out_of_bounds_are_refused,
                a_waiting_receive_is_woken_by_a_send,
                a_waiting_receive_is_woken_by_an_unlocked_group,
                a_waiting_receive_is_woken_by_the_end_of_a_lease,
                a_waiting_receive_sees_what_another_process_sends,
                a_waiting_receive_ends_empty_when_nothing_comes,
                a_cancelled_receive_keeps_nothing_for_long,
                many_workers_get_each_body_once_and_in_order,
            ]
        );
    };
}
pub(crate) use queue_suite;

/// Long enough that a slow machine never sees it end by itself.
const LEASE: Duration = Duration::from_secs(30);
/// So long before its end a lease or a window surely still runs.
const EARLY: Duration = Duration::from_secs(10);
/// Longer than anything takes: a wait that ends by it has failed.
const LONG: Duration = Duration::from_secs(15);
const AT_ONCE: Duration = Duration::ZERO;

async fn one(queue: &dyn Queue) -> Received {
    let mut received = queue.receive(1, LEASE, LONG).await.unwrap();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

async fn none(queue: &dyn Queue) {
    let received = queue.receive(MAX_BATCH, LEASE, AT_ONCE).await.unwrap();
    assert!(received.is_empty(), "{received:?}");
}

/// At once where the service counts exactly, else in the end.
async fn depth_is(f: &QueueRow, expected: Depth) {
    let deadline = Instant::now() + f.settling();
    loop {
        let depth = f.queue().depth().await.unwrap();
        if depth == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{depth:?}, and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_stale(result: &Result<(), QueueError>) -> bool {
    matches!(result, Err(QueueError::StaleReceipt))
}

pub(crate) async fn a_group_is_first_in_first_out(f: &QueueRow) {
    let queue = f.queue();
    for n in 0..5 {
        assert_eq!(
            queue.send("g", &format!("d{n}"), &n.to_string()).await.unwrap(),
            f.enqueued()
        );
    }
    for n in 0..5 {
        let received = one(queue).await;
        assert_eq!(
            (received.body, received.group.as_str(), received.receive_count),
            (n.to_string(), "g", 1)
        );
        queue.delete(&received.receipt).await.unwrap();
    }
    none(queue).await;
}

pub(crate) async fn a_leased_group_is_locked_and_others_are_not(f: &QueueRow) {
    let queue = f.queue();
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        queue.send(group, body, body).await.unwrap();
    }
    let a1 = one(queue).await;
    assert_eq!(a1.body, "a1");
    let b1 = one(queue).await;
    assert_eq!(b1.body, "b1");
    none(queue).await;
    queue.delete(&a1.receipt).await.unwrap();
    assert_eq!(one(queue).await.body, "a2");
}

pub(crate) async fn a_lease_that_ends_brings_the_body_back_first_of_its_group(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "first").await.unwrap();
    queue.send("g", "2", "second").await.unwrap();
    let lost = one(queue).await;
    f.pass(LEASE.saturating_sub(EARLY)).await;
    none(queue).await;
    f.pass(EARLY).await;
    let again = one(queue).await;
    assert_eq!((again.body.as_str(), again.receive_count), ("first", 2));
    assert_ne!(again.receipt, lost.receipt);
}

pub(crate) async fn an_extended_lease_lasts_from_the_extension(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "body").await.unwrap();
    let held = one(queue).await;
    for _ in 0..3 {
        f.pass(LEASE.saturating_sub(EARLY)).await;
        queue.extend(&held.receipt, LEASE).await.unwrap();
        none(queue).await;
    }
    f.pass(LEASE).await;
    assert_eq!(one(queue).await.receive_count, 2);
}

pub(crate) async fn a_receipt_is_stale_once_its_lease_has_ended(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "body").await.unwrap();
    let lost = one(queue).await;
    f.pass(LEASE).await;
    // Ended by time, and nobody else has it yet.
    assert!(is_stale(&queue.extend(&lost.receipt, LEASE).await));
    assert!(is_stale(&queue.delete(&lost.receipt).await));
    let heir = one(queue).await;
    // Somebody else has it.
    assert!(is_stale(&queue.extend(&lost.receipt, LEASE).await));
    assert!(is_stale(&queue.release(&lost.receipt).await));
    assert!(is_stale(&queue.delete(&lost.receipt).await));
    queue.extend(&heir.receipt, LEASE).await.unwrap();
    queue.delete(&heir.receipt).await.unwrap();
    assert!(is_stale(&queue.delete(&heir.receipt).await));
}

pub(crate) async fn a_receipt_whose_lease_has_ended_is_stale_for_another_process_too(f: &QueueRow) {
    let elsewhere = f.elsewhere().await;
    f.queue().send("g", "1", "body").await.unwrap();
    let held = one(f.queue()).await;
    elsewhere.extend(&held.receipt, LEASE).await.unwrap();
    f.pass(LEASE).await;
    assert!(is_stale(&elsewhere.extend(&held.receipt, LEASE).await));
}

pub(crate) async fn a_released_body_comes_again_at_once(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "body").await.unwrap();
    let given_back = one(queue).await;
    queue.release(&given_back.receipt).await.unwrap();
    assert!(is_stale(&queue.extend(&given_back.receipt, LEASE).await));
    assert_eq!(one(queue).await.receive_count, 2);
}

pub(crate) async fn a_dedup_id_counts_for_five_minutes_even_after_a_delete(f: &QueueRow) {
    let queue = f.queue();
    assert_eq!(queue.send("g", "same", "first").await.unwrap(), f.enqueued());
    assert_eq!(queue.send("g", "same", "again").await.unwrap(), f.duplicate());
    let received = one(queue).await;
    assert_eq!(received.body, "first");
    queue.delete(&received.receipt).await.unwrap();
    f.pass(DEDUP_WINDOW.saturating_sub(EARLY)).await;
    assert_eq!(queue.send("g", "same", "late").await.unwrap(), f.duplicate());
    assert_eq!(
        queue.send("other", "same", "of another group").await.unwrap(),
        f.enqueued()
    );
    let other = one(queue).await;
    assert_eq!(other.body, "of another group");
    none(queue).await;
    f.pass(EARLY).await;
    assert_eq!(queue.send("g", "same", "new").await.unwrap(), f.enqueued());
    assert_eq!(one(queue).await.body, "new");
}

pub(crate) async fn a_poisoned_body_is_put_aside_and_unlocks_its_group(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "poison").await.unwrap();
    queue.send("g", "2", "good").await.unwrap();
    for receive in 1..=MAX_RECEIVES {
        let received = one(queue).await;
        assert_eq!(
            (received.body.as_str(), received.receive_count),
            ("poison", receive)
        );
        f.pass(LEASE).await;
    }
    assert_eq!(one(queue).await.body, "good");
    let buried = Depth {
        visible: 0,
        in_flight: 1,
        dead: 1,
    };
    depth_is(f, buried).await;
}

pub(crate) async fn a_receive_takes_no_more_than_it_is_asked_for(f: &QueueRow) {
    let queue = f.queue();
    for n in 0..5 {
        queue.send(&format!("g{n}"), "d", "body").await.unwrap();
    }
    let waiting = Depth {
        visible: 5,
        ..Depth::default()
    };
    depth_is(f, waiting).await;
    let mut held = 0;
    while held < 5 {
        let batch = queue.receive(3, LEASE, LONG).await.unwrap().len();
        assert!((1..=3).contains(&batch), "{batch}");
        held += batch;
    }
    none(queue).await;
    let leased = Depth {
        in_flight: 5,
        ..Depth::default()
    };
    depth_is(f, leased).await;
}

pub(crate) async fn a_receive_takes_one_body_of_a_group(f: &QueueRow) {
    let queue = f.queue();
    for n in 0..3 {
        queue.send("g", &n.to_string(), &n.to_string()).await.unwrap();
    }
    for n in 0..3 {
        let batch = queue.receive(MAX_BATCH, LEASE, LONG).await.unwrap();
        let bodies: Vec<&str> = batch.iter().map(|received| received.body.as_str()).collect();
        assert_eq!(bodies, [n.to_string()]);
        queue.delete(&batch[0].receipt).await.unwrap();
    }
}

pub(crate) async fn arguments_out_of_bounds_are_refused(f: &QueueRow) {
    let queue = f.queue();
    let (long_id, long_body) = ("x".repeat(129), "x".repeat(MAX_BODY_BYTES + 1));
    for (group, dedup_id, body) in [
        ("", "d", "b"),
        ("g", "", "b"),
        ("g", "d", ""),
        (&long_id, "d", "b"),
        ("g", &long_id, "b"),
        ("g", "d", &long_body),
        ("a b", "d", "b"),
        ("ä", "d", "b"),
        ("g", "d", "a\u{0}b"),
        ("g", "d", "\u{1b}[31m"),
    ] {
        let refused = queue.send(group, dedup_id, body).await;
        assert!(
            matches!(refused, Err(QueueError::Refused { .. })),
            "{group} {dedup_id}"
        );
    }
    for (max, visibility, wait) in [
        (0, LEASE, AT_ONCE),
        (MAX_BATCH + 1, LEASE, AT_ONCE),
        (1, Duration::ZERO, AT_ONCE),
        (1, Duration::from_hours(13), AT_ONCE),
        (1, LEASE, MAX_WAIT + Duration::from_secs(1)),
    ] {
        assert!(matches!(
            queue.receive(max, visibility, wait).await,
            Err(QueueError::Refused { .. })
        ));
    }
    queue.send("g", "d", &"x".repeat(MAX_BODY_BYTES)).await.unwrap();
    assert_eq!(one(queue).await.body.len(), MAX_BODY_BYTES);
}

pub(crate) async fn a_waiting_receive_is_woken_by_a_send(f: &QueueRow) {
    let queue = f.queue();
    let started = Instant::now();
    let (received, sent) = tokio::join!(queue.receive(1, LEASE, LONG), async {
        tokio::task::yield_now().await;
        queue.send("g", "1", "body").await
    });
    assert_eq!((received.unwrap().len(), sent.unwrap()), (1, f.enqueued()));
    assert!(
        started.elapsed() < LONG,
        "it came by the wake-up, not by the end of the wait"
    );
}

pub(crate) async fn a_waiting_receive_is_woken_by_an_unlocked_group(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "first").await.unwrap();
    queue.send("g", "2", "second").await.unwrap();
    let first = one(queue).await;
    let started = Instant::now();
    let (received, deleted) = tokio::join!(queue.receive(1, LEASE, LONG), queue.delete(&first.receipt));
    deleted.unwrap();
    assert_eq!(
        received.unwrap().first().map(|r| r.body.clone()).as_deref(),
        Some("second")
    );
    assert!(started.elapsed() < LONG);
}

pub(crate) async fn a_waiting_receive_is_woken_by_the_end_of_a_lease(f: &QueueRow) {
    let queue = f.queue();
    queue.send("g", "1", "body").await.unwrap();
    one(queue).await;
    // All but its last seconds pass before the wait begins, so that a queue with a clock of its own ends it in the wait.
    f.pass(LEASE.saturating_sub(EARLY)).await;
    let (received, ()) = tokio::join!(queue.receive(1, LEASE, MAX_WAIT), async {
        tokio::task::yield_now().await;
        f.pass(EARLY).await;
    });
    assert_eq!(received.unwrap().remove(0).receive_count, 2);
}

pub(crate) async fn a_waiting_receive_sees_what_another_process_sends(f: &QueueRow) {
    let (queue, elsewhere) = (f.queue(), f.elsewhere().await);
    let started = Instant::now();
    let (received, sent) = tokio::join!(queue.receive(1, LEASE, LONG), elsewhere.send("g", "1", "body"));
    assert_eq!((received.unwrap().len(), sent.unwrap()), (1, f.enqueued()));
    assert!(started.elapsed() < LONG);
}

pub(crate) async fn a_waiting_receive_ends_empty_when_nothing_comes(f: &QueueRow) {
    let wait = Duration::from_millis(600);
    let started = Instant::now();
    assert!(f.queue().receive(1, LEASE, wait).await.unwrap().is_empty());
    assert!(started.elapsed() >= wait);
}

pub(crate) async fn a_cancelled_receive_keeps_nothing_for_long(f: &QueueRow) {
    let queue = f.queue();
    for round in 0..40 {
        queue.send("g", &round.to_string(), "body").await.unwrap();
        {
            let mut receive = queue.receive(1, LEASE, LONG);
            // Polled a few times and dropped wherever it is then. Not so often that the body becomes a dead letter, since
            // a release leaves the receive counted.
            for _ in 0..u32::min(round % 4, MAX_RECEIVES - 1) {
                tokio::select! {
                    biased;
                    received = &mut receive => {
                        for received in received.unwrap() {
                            queue.release(&received.receipt).await.unwrap();
                        }
                        receive = queue.receive(1, LEASE, LONG);
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let mut received = queue.receive(1, LEASE, LONG).await.unwrap();
        queue.delete(&received.remove(0).receipt).await.unwrap();
    }
    depth_is(f, Depth::default()).await;
}

pub(crate) async fn many_workers_get_each_body_once_and_in_order(f: &QueueRow) {
    const GROUPS: usize = 8;
    const EACH: usize = 10;
    let queue = f.queue();
    for n in 0..EACH {
        for group in 0..GROUPS {
            queue
                .send(&format!("g{group}"), &n.to_string(), &n.to_string())
                .await
                .unwrap();
        }
    }
    let mut workers = JoinSet::new();
    for _ in 0..6 {
        let queue = f.elsewhere().await;
        workers.spawn(async move {
            let mut done = Vec::new();
            loop {
                let batch = queue.receive(2, LEASE, Duration::from_millis(300)).await.unwrap();
                if batch.is_empty() {
                    return done;
                }
                for received in batch {
                    queue.delete(&received.receipt).await.unwrap();
                    done.push((received.group, received.body.parse::<usize>().unwrap()));
                }
            }
        });
    }
    let done: Vec<Vec<(String, usize)>> = workers.join_all().await;
    for worker in &done {
        for group in worker.iter().map(|(group, _)| group).collect::<HashSet<_>>() {
            let of_group: Vec<usize> = worker
                .iter()
                .filter(|(g, _)| g == group)
                .map(|(_, n)| *n)
                .collect();
            assert!(of_group.is_sorted(), "{of_group:?}");
        }
    }
    let all: Vec<(String, usize)> = done.into_iter().flatten().collect();
    assert_eq!(all.len(), GROUPS * EACH);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), GROUPS * EACH);
}
