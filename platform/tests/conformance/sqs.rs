//! The queue on SQS: what is its own, beside the suite.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use platform::{
    clock::ManualClock,
    config::{self, QueueConfig, SqsConfig},
    queue::{MAX_RECEIVES, Queue, QueueError, SqsQueue},
};

use crate::{ministack, queue_rows};

const LEASE: Duration = Duration::from_secs(30);

fn parsed(url: &str) -> SqsConfig {
    match config::queue(url, Path::new("."), &BTreeMap::new()).unwrap() {
        QueueConfig::Sqs(config) => config,
        QueueConfig::Sqlite(_) => panic!("{url}"),
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named_at_the_start() {
    let server = ministack::lend().await;
    let config = parsed(&format!(
        "sqs:{}/000000000000/missing.fifo?region=us-east-1",
        server.url()
    ));
    let queue = SqsQueue::new(&config, &ministack::access(), Arc::new(ManualClock::default())).await;
    let missing = queue.check().await.unwrap_err();
    assert!(matches!(missing, QueueError::Denied { .. }), "{missing:?}");
    assert!(missing.to_string().contains("create the queue"), "{missing}");
}

#[tokio::test]
async fn dead_letters_are_counted_where_the_configuration_says() {
    let mut server = ministack::lend().await;
    let clock = ManualClock::default();
    let url = queue_rows::fresh_queue(&format!(
        "sqs:{}/000000000000/counted.fifo?region=us-east-1",
        server.url()
    ))
    .await;
    let own = parsed(&url);
    let elsewhere = parsed(&queue_rows::fresh_queue(&url).await);
    let named = SqsConfig {
        dead_letters: Some(elsewhere.url.clone()),
        ..own.clone()
    };
    let open =
        async |config: &SqsConfig| SqsQueue::new(config, &ministack::access(), Arc::new(clock.clone())).await;
    let (by_policy, by_name) = (open(&own).await, open(&named).await);
    by_policy.send("g", "1", "poison").await.unwrap();
    for _ in 0..MAX_RECEIVES {
        assert_eq!(
            by_policy
                .receive(1, LEASE, Duration::from_secs(5))
                .await
                .unwrap()
                .len(),
            1
        );
        server.advance(LEASE).unwrap();
        clock.advance(LEASE);
    }
    assert!(
        by_policy
            .receive(1, LEASE, Duration::ZERO)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(by_policy.depth().await.unwrap().dead, 1);
    assert_eq!(by_name.depth().await.unwrap().dead, 0);
    let two = open(&elsewhere).await;
    two.send("a", "1", "x").await.unwrap();
    two.send("b", "2", "x").await.unwrap();
    assert_eq!(by_name.depth().await.unwrap().dead, 2);
}

#[tokio::test]
async fn nothing_of_account_or_keys_shows_in_debug() {
    let config = parsed("sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/jobs.fifo");
    let queue = SqsQueue::new(&config, &ministack::access(), Arc::new(ManualClock::default())).await;
    let shown = format!("{queue:?} {config:?} {:?}", ministack::access());
    assert!(
        shown.contains("jobs.fifo") && !shown.contains("123456789012") && !shown.contains("test"),
        "{shown}"
    );
}
