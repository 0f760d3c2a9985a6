//! A process killed between any two effects leaves what a retry completes, and nothing that it doubles.

use serde_json::json;

use crate::{
    fakes::Fuse,
    sender::{Function, Webhook, aborted, cancelled_call, has_aborted},
};

/// The job is made for the phone, or, where no phone gets so far, for its room.
fn function(webhooks: &[Webhook]) -> Function {
    let key = if has_aborted(webhooks) { "rooms" } else { "numbers" };
    let pattern = if has_aborted(webhooks) { "*" } else { "+1*" };
    Function::new(&[json!({"profile": "support", key: [pattern]})])
}

/// Everything that an undisturbed run leaves.
async fn undisturbed(webhooks: &[Webhook]) -> Function {
    let function = function(webhooks);
    function.accept_all(webhooks.to_vec()).await;
    function
}

#[tokio::test]
async fn killed_at_any_operation_and_repeated_the_call_ends_as_if_nothing_had_happened() {
    is_survived(&cancelled_call(), 25).await;
}

#[tokio::test]
async fn killed_at_any_operation_webhooks_that_come_behind_the_rooms_end_complete_its_record() {
    let mut webhooks = cancelled_call();
    webhooks.reverse();
    is_survived(&webhooks, 25).await;
}

#[tokio::test]
async fn the_record_is_read_once_for_what_may_complete_it_and_for_its_repeat() {
    let webhooks = cancelled_call();
    let function = function(&webhooks);
    let reads = || std::mem::take(&mut *function.world.reads.lock());
    for webhook in webhooks {
        for is_repeat in [false, true] {
            function.accept(webhook.clone()).await;
            let of_record = reads()
                .into_iter()
                .filter(|key| key.ends_with("/record.json"))
                .count();
            assert!(of_record <= 1, "{of_record}, repeat: {is_repeat}");
        }
    }
}

#[tokio::test]
async fn killed_at_any_operation_a_phone_whose_connection_was_aborted_leaves_the_same_as_well() {
    let webhooks = aborted(cancelled_call());
    assert!(has_aborted(&webhooks));
    is_survived(&webhooks, 15).await;
}

/// Whatever the process is killed at, of at least so many operations.
async fn is_survived(webhooks: &[Webhook], at_least: usize) {
    let expected = undisturbed(webhooks).await;
    let operations = expected.fuse.operations();
    assert!(
        operations >= at_least,
        "{operations} operations of {} webhooks",
        webhooks.len()
    );
    assert_eq!(expected.world.messages.lock().len(), 1, "one job");
    for (operation, after) in (0..operations).flat_map(|operation| [(operation, false), (operation, true)]) {
        let survivor = function(webhooks);
        let victim = survivor.process(Fuse::at(operation, after));
        let mut died = false;
        for webhook in webhooks {
            // The victim serves until it dies; whatever it did not acknowledge is sent again, to the survivor.
            if !died {
                let (status, _) = victim.send(webhook.clone()).await;
                died = status != 200;
                assert!(status == 200 || status == 503, "{status}: LiveKit repeats a 503");
            }
            if died {
                survivor.accept(webhook.clone()).await;
            }
        }
        assert_eq!(
            *survivor.world.objects.lock(),
            *expected.world.objects.lock(),
            "at {operation}, after: {after}"
        );
        assert_eq!(
            *survivor.world.messages.lock(),
            *expected.world.messages.lock(),
            "at {operation}, after: {after}"
        );
    }
}

#[tokio::test]
async fn a_repeat_of_every_webhook_changes_nothing() {
    for webhooks in [cancelled_call(), aborted(cancelled_call())] {
        let function = undisturbed(&webhooks).await;
        let (objects, messages) = (
            function.world.objects.lock().clone(),
            function.world.messages.lock().clone(),
        );
        let outcomes = function.accept_all(webhooks).await;
        assert!(outcomes.iter().all(|outcome| outcome == "replay"), "{outcomes:?}");
        assert_eq!(*function.world.objects.lock(), objects);
        assert_eq!(*function.world.messages.lock(), messages);
    }
}
