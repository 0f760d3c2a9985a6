//! A process killed between any two effects leaves what a retry completes, and nothing that it doubles.

use serde_json::json;

use crate::{
    fakes::Fuse,
    sender::{Function, Webhook, cancelled_call},
};

fn function() -> Function {
    Function::new(&[json!({"profile": "support", "numbers": ["+1*"]})])
}

/// Everything that an undisturbed run leaves.
async fn undisturbed(webhooks: &[Webhook]) -> Function {
    let function = function();
    function.accept_all(webhooks.to_vec()).await;
    function
}

#[tokio::test]
async fn killed_at_any_operation_and_repeated_the_call_ends_as_if_nothing_had_happened() {
    let webhooks = cancelled_call();
    let expected = undisturbed(&webhooks).await;
    let operations = expected.fuse.operations();
    assert!(
        operations >= 30,
        "{operations} operations of {} webhooks",
        webhooks.len()
    );
    for (operation, after) in (0..operations).flat_map(|operation| [(operation, false), (operation, true)]) {
        let survivor = function();
        let victim = survivor.process(Fuse::at(operation, after));
        let mut died = false;
        for webhook in &webhooks {
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
    let webhooks = cancelled_call();
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
