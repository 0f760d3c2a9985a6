//! What SQS answers to receives and leases, well or not.

use super::*;

fn one_message(handle: &str) -> Answer {
    Answer::text(
        200,
        format!(
            r#"{{"Messages":[{{"MessageId":"m","ReceiptHandle":"{handle}","Body":"body","Attributes":{{"MessageGroupId":"g",
            "ApproximateReceiveCount":"2","SentTimestamp":"1700000000123"}}}}]}}"#
        ),
    )
}

/// A service that has one message, and takes whatever is asked of it then.
async fn one_message_and_then_yes() -> Script {
    Script::start(|n, _| {
        if n == 0 {
            one_message("AQEB")
        } else {
            Answer::text(200, "{}")
        }
    })
    .await
}

#[tokio::test]
async fn a_receive_whose_answer_was_lost_asks_for_the_same_bodies_again() {
    let service = Script::start(|n, _| match n {
        0 => Answer::sqs_error(500, "InternalFailure", "lost"),
        _ => one_message("AQEB"),
    })
    .await;
    let queue = queue_at(&service.url, ManualClock::default()).await;
    let received = queue
        .receive(1, LEASE, Duration::from_secs(20))
        .await
        .unwrap()
        .remove(0);
    assert_eq!((received.group.as_str(), received.receive_count), ("g", 2));
    assert_eq!(received.sent_at.unix_timestamp_nanos(), 1_700_000_000_123_000_000);
    let asked: Vec<serde_json::Value> = service.asked().iter().map(Asked::json).collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1], "with the same attempt id");
    assert_eq!(asked[0]["ReceiveRequestAttemptId"].as_str().unwrap().len(), 32);
    assert_eq!(
        (&asked[0]["VisibilityTimeout"], &asked[0]["MaxNumberOfMessages"]),
        (&9.into(), &1.into())
    );
    assert!(asked[0]["WaitTimeSeconds"].as_u64().unwrap() <= 20);
}

#[tokio::test]
async fn a_lease_that_is_over_here_is_not_asked_about() {
    let service = one_message_and_then_yes().await;
    let clock = ManualClock::default();
    let queue = queue_at(&service.url, clock.clone()).await;
    let held = queue.receive(1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    queue.extend(&held.receipt, LEASE).await.unwrap();
    let extended = service.asked().pop().unwrap().json();
    assert_eq!(
        (&extended["ReceiptHandle"], &extended["VisibilityTimeout"]),
        (&"AQEB".into(), &9.into())
    );
    clock.advance(LEASE);
    let before = service.asked().len();
    assert!(matches!(
        queue.extend(&held.receipt, LEASE).await,
        Err(QueueError::StaleReceipt)
    ));
    assert!(matches!(
        queue.delete(&held.receipt).await,
        Err(QueueError::StaleReceipt)
    ));
    assert_eq!(service.asked().len(), before);
}

#[tokio::test]
async fn no_lease_is_asked_for_beyond_twelve_hours() {
    let service = one_message_and_then_yes().await;
    let clock = ManualClock::default();
    let queue = queue_at(&service.url, clock.clone()).await;
    let held = queue
        .receive(1, MAX_VISIBILITY, Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    clock.advance(MAX_VISIBILITY.saturating_sub(Duration::from_secs(100)));
    queue
        .extend(&held.receipt, Duration::from_mins(10))
        .await
        .unwrap();
    let seconds = service.asked().pop().unwrap().json()["VisibilityTimeout"]
        .as_u64()
        .unwrap();
    assert!((90..=99).contains(&seconds), "{seconds}");
    clock.advance(Duration::from_secs(99));
    assert!(matches!(
        queue.extend(&held.receipt, LEASE).await,
        Err(QueueError::StaleReceipt)
    ));
}

#[tokio::test]
async fn what_sqs_says_of_a_lost_lease_is_a_stale_receipt() {
    for (code, message) in [
        ("ReceiptHandleIsInvalid", "The input receipt handle is invalid."),
        ("MessageNotInflight", "not in flight"),
        ("InvalidParameterValue", "Reason: The receipt handle has expired."),
    ] {
        let service = Script::start(move |n, _| match n {
            0 => one_message("AQEB"),
            _ => Answer::sqs_error(400, code, message),
        })
        .await;
        let queue = queue_at(&service.url, ManualClock::default()).await;
        let held = queue.receive(1, LEASE, Duration::ZERO).await.unwrap().remove(0);
        assert!(
            matches!(
                queue.extend(&held.receipt, LEASE).await,
                Err(QueueError::StaleReceipt)
            ),
            "{code}"
        );
        assert!(matches!(
            queue.delete(&held.receipt).await,
            Err(QueueError::StaleReceipt)
        ));
        assert_eq!(service.asked().len(), 2, "once lost, it stays lost");
    }
}

#[tokio::test]
async fn a_dropped_receive_gives_back_what_it_was_sent() {
    let service = one_message_and_then_yes().await;
    let queue = queue_at(&service.url, ManualClock::default()).await;
    tokio::select! {
        biased;
        _ = queue.receive(1, LEASE, Duration::from_secs(20)) => panic!("nobody has answered yet"),
        () = tokio::task::yield_now() => {}
    }
    let given_back = async {
        while service.asked().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), given_back)
        .await
        .unwrap();
    let asked = service.asked().pop().unwrap();
    assert_eq!(asked.header("x-amz-target"), "AmazonSQS.ChangeMessageVisibility");
    assert_eq!(asked.json()["VisibilityTimeout"], 0);
    assert_eq!(queue.send("g", "d", "b").await.unwrap(), Sent::Accepted);
}
