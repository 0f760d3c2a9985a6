//! Many calls: one after the other, and at once.

use audio::Codec;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    endings::Vitals,
    harness::{Options, System, turn},
    phone::{PAUSE, SOON, answered},
};

/// One short call: answered, the greeting's first words heard, hung up, closed.
async fn short_call(system: &System) {
    let call = answered(system, Codec::G722).await;
    call.ear_from_start().wait_for_speech(SOON).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    call.finish().await;
}

async fn settled(system: &System, before: Vitals) -> Vitals {
    system.assert_clean(before).await;
    system.vitals().await
}

/// So many calls one after the other; `make soak` has 500.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, no configuration")]
fn in_a_row() -> u32 {
    let wanted = std::env::var("TRUNKLINE_SOAK").ok();
    wanted.map_or(30, |count| {
        count.parse().expect("TRUNKLINE_SOAK is a number of calls")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_a_row_and_five_at_once_leave_nothing_behind() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    // What is loaded once is loaded by the first calls.
    for _ in 0..3 {
        short_call(&system).await;
    }
    sleep(SOON / 2).await;
    let before = system.vitals().await;
    let known = system.calls();

    let count = in_a_row();
    for _ in 0..count {
        short_call(&system).await;
    }
    let after = settled(&system, before).await;
    let slope = (after.rss_kb as f64 - before.rss_kb as f64) / f64::from(count);
    measured!("{count} calls in a row: {slope:+.0} kB a call; before {before:?}, after {after:?}");
    let calls = system.calls();
    let closed = calls
        .difference(&known)
        .filter(|call| call.join("record.json").exists());
    assert_eq!(closed.count(), count as usize, "every call has its record");

    // What five at once need stays with the allocator, which has most of its arenas after the third time.
    let mut rss_kb = Vec::new();
    for _ in 0..6 {
        rss_kb.push(five_at_once(&system, before).await.rss_kb as f64);
    }
    let growth = (rss_kb[5] - rss_kb[2]) / 15.0;
    measured!("then six times 5 at once: {growth:+.0} kB a call after the third; {rss_kb:?} kB");
    // A leak of a whole call's buffers would show as a megabyte each; what the engine itself still keeps is far below.
    assert!(slope < 300.0, "memory grows by {slope:.0} kB a call");
    assert!(
        growth < 300.0,
        "memory grows by {growth:.0} kB a call of five at once"
    );
    system.stop().await;
}

async fn five_at_once(system: &System, before: Vitals) -> Vitals {
    let known = system.calls();
    let calls = join_all((0..5).map(|_| async {
        let call = answered(system, Codec::Pcmu).await;
        call.ear_from_start()
            .wait_for_utterance(PAUSE, SOON * 3)
            .await
            .unwrap();
        call
    }))
    .await;
    assert_eq!(calls.len(), 5);
    join_all(calls.iter().map(caller::Call::hang_up)).await;
    for call in calls {
        call.wait_ended(SOON).await.unwrap();
        call.finish().await;
    }
    let last = settled(system, before).await;
    assert_eq!(system.calls().difference(&known).count(), 5);
    last
}
