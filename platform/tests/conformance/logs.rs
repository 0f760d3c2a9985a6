//! What the adapters on AWS log at TRACE, and what never gets there.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, Bytes};
use platform::{
    aws::Access,
    clock::{ManualClock, SystemClock},
    config::{self, LogConfig, QueueConfig, StoreConfig},
    queue::{Queue, SqsQueue},
    store::{S3Store, Store},
    telemetry,
};

use crate::{
    ministack,
    script::{Answer, Script},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const CANARIES: [&str; 6] = [
    "AKIACANARY",
    "canary-secret-key",
    "canary-body",
    "canary-handle",
    "123456789012",
    "X-Amz-Signature=0",
];

/// What the process logs meanwhile.
async fn logged(level: &str, done: impl Future<Output = ()>) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let config = LogConfig {
        level: level.into(),
        ..LogConfig::default()
    };
    let subscriber = telemetry::subscriber(&config, move || writer.clone()).unwrap();
    let guard = tracing::subscriber::set_default(subscriber);
    done.await;
    drop(guard);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

async fn use_everything(endpoint: &str) {
    let access = Access::Keys {
        id: "AKIACANARY".into(),
        secret: "canary-secret-key".into(),
    };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("s3://bucket/p?region=r&path_style=true&spool=spool&endpoint={endpoint}");
    let StoreConfig::S3(config) = config::store(&url, folder.path(), &BTreeMap::new()).unwrap() else {
        panic!("{url}")
    };
    let store = S3Store::new(&config, &access, Arc::new(SystemClock)).await;
    let _ = store.put("a", Bytes::from_static(b"canary-body")).await;
    let _ = store.get("a").await;
    let link = store.link("a", Duration::from_mins(1)).await.unwrap();
    tracing::error!(?store, ?link, refused = %store.check().await.unwrap_err(), "the store");
    let _ = store.append("b").await.map(|_| ());

    let url = format!("sqs:{endpoint}/123456789012/jobs.fifo?region=r");
    let QueueConfig::Sqs(config) = config::queue(&url, Path::new("."), &BTreeMap::new()).unwrap() else {
        panic!("{url}")
    };
    let queue = SqsQueue::new(&config, &access, Arc::new(ManualClock::default())).await;
    let _ = queue.send("g", "d", "canary-body").await;
    let received = queue.receive(1, Duration::from_secs(9), Duration::ZERO).await;
    let received = received.unwrap().remove(0);
    let stale = queue
        .extend(&received.receipt, Duration::from_secs(9))
        .await
        .unwrap_err();
    let refused = queue.delete(&received.receipt).await.unwrap_err();
    let cause = std::error::Error::source(&refused).map(ToString::to_string);
    tracing::error!(?queue, ?received, receipt = ?received.receipt, %stale, %refused, ?cause, "the queue");
}

#[tokio::test]
async fn no_key_body_handle_or_account_is_logged_at_trace() {
    let service = Script::start(|_, asked| match asked.header("x-amz-target") {
        "AmazonSQS.ReceiveMessage" => Answer::text(
            200,
            r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"canary-handle","Body":"canary-body"}]}"#,
        ),
        "AmazonSQS.SendMessage" => Answer::text(200, "{}"),
        "AmazonSQS.ChangeMessageVisibility" => Answer::sqs_error(500, "InternalFailure", "no"),
        "AmazonSQS.DeleteMessage" => Answer::sqs_error(403, "AccessDeniedException", "the user may not"),
        _ => Answer::s3_error(403, "AccessDenied"),
    })
    .await;
    let text = logged("trace", use_everything(&service.url)).await;
    assert!(text.contains("the store") && text.contains("the queue"), "{text}");
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_tell_ages_is_named_once_with_the_remedy() {
    for (tells, lines) in [(false, 1), (true, 0)] {
        let service = Script::start(move |_, _| {
            let modified = ("last-modified", "Thu, 26 Nov 2026 12:00:00 GMT".to_owned());
            let headers = if tells { vec![modified] } else { Vec::new() };
            Answer::Is(200, headers, Body::from("x"))
        })
        .await;
        let text = logged("warn", async {
            let folder = tempfile::tempdir().unwrap();
            let url = format!(
                "s3://bucket/p?region=r&path_style=true&spool=spool&endpoint={}",
                service.url
            );
            let StoreConfig::S3(config) = config::store(&url, folder.path(), &BTreeMap::new()).unwrap()
            else {
                panic!("{url}")
            };
            let store = S3Store::new(&config, &ministack::access(), Arc::new(SystemClock)).await;
            for _ in 0..3 {
                let (_, age) = store.get_aged("a").await.unwrap().unwrap();
                assert_eq!(age.is_unknown(), !tells);
            }
        })
        .await;
        let told = text.lines().filter(|line| line.contains("Last-Modified"));
        assert_eq!(told.count(), lines, "{text}");
    }
}
