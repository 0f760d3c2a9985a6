//! What the adapters on AWS log at TRACE, and what never gets there.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Bytes;
use platform::{
    aws::Access,
    clock::{ManualClock, SystemClock},
    config::{self, LogConfig, QueueConfig, StoreConfig},
    queue::{Queue, SqsQueue},
    store::{S3Store, Store},
    telemetry,
};

use crate::script::{Answer, Script};

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
    let lines = Lines::default();
    let writer = lines.clone();
    let config = LogConfig {
        level: "trace".into(),
        ..LogConfig::default()
    };
    let subscriber = telemetry::subscriber(&config, move || writer.clone()).unwrap();
    let guard = tracing::subscriber::set_default(subscriber);
    use_everything(&service.url).await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the store") && text.contains("the queue"), "{text}");
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}
