//! What goes wrong between an adapter and its service, and what the adapter makes of it.

mod leases;
mod objects;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::stream;
use platform::{
    aws::Access,
    clock::{ManualClock, SystemClock},
    config::{self, QueueConfig, StoreConfig},
    queue::{MAX_VISIBILITY, Queue, QueueError, Sent, SqsQueue},
    store::{ETag, MAX_OBJECT_BYTES, S3Store, Store, StoreError},
};
use tokio::time::Instant;

use crate::{
    ministack,
    script::{Answer, Asked, Script},
};

const LEASE: Duration = Duration::from_secs(9);
/// Three times what all attempts and pauses of a request that is refused at once can take.
const QUICK: Duration = Duration::from_secs(5);

struct Stores {
    store: S3Store,
    _folder: tempfile::TempDir,
}

async fn store_at(endpoint: &str, options: &str) -> Stores {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("s3://bucket/p?region=r&path_style=true&spool=spool&endpoint={endpoint}{options}");
    let StoreConfig::S3(config) = config::store(&url, folder.path(), &BTreeMap::new()).unwrap() else {
        panic!("{url}")
    };
    let store = S3Store::new(&config, &ministack::access(), Arc::new(SystemClock)).await;
    Stores {
        store,
        _folder: folder,
    }
}

async fn queue_at(endpoint: &str, clock: ManualClock) -> SqsQueue {
    let url = format!("sqs:{endpoint}/1/jobs.fifo?region=r");
    let QueueConfig::Sqs(config) = config::queue(&url, Path::new("."), &BTreeMap::new()).unwrap() else {
        panic!("{url}")
    };
    SqsQueue::new(&config, &ministack::access(), Arc::new(clock)).await
}

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn etag(text: &str) -> Vec<(&'static str, String)> {
    vec![("etag", format!("\"{text}\""))]
}

fn written(asked: &Asked) -> String {
    asked.header("x-amz-meta-trunkline-write").to_owned()
}

#[tokio::test]
async fn nobody_listening_is_unavailable_soon() {
    let endpoint = nowhere().await;
    let began = Instant::now();
    let refused = store_at(&endpoint, "").await.store.get("a").await;
    let Err(StoreError::Unavailable { source, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert!(source.to_string().contains("refused"), "{source}");
    let queue = queue_at(&endpoint, ManualClock::default()).await;
    let refused = queue.send("g", "d", "b").await.unwrap_err();
    assert!(matches!(refused, QueueError::Unavailable { .. }) && refused.is_retryable());
    let refused = queue
        .receive(1, LEASE, Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(refused.is_retryable());
    assert!(began.elapsed() < QUICK * 3, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_service_that_speaks_no_tls_is_unavailable_and_no_panic() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ =
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let stores = store_at(&format!("https://{address}"), "").await;
    let failed = stores.store.get("a").await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
}

#[tokio::test]
async fn a_silent_service_is_given_up_in_time() {
    let service = Script::start(|_, _| Answer::Silence).await;
    let began = Instant::now();
    let stores = store_at(&service.url, "").await;
    let queue = queue_at(&service.url, ManualClock::default()).await;
    let (got, put, sent) = tokio::join!(
        stores.store.get("a"),
        stores.store.put_if_absent("a", Bytes::from_static(b"x")),
        queue.send("g", "d", "b"),
    );
    assert!(got.unwrap_err().is_retryable());
    assert!(put.unwrap_err().is_retryable());
    assert!(sent.unwrap_err().is_retryable());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_overloaded_service_is_asked_again_with_pauses_and_then_given_up() {
    let slow_down = |_: usize, _: &Asked| Answer::s3_error(503, "SlowDown");
    let service = Script::start(slow_down).await;
    let stores = store_at(&service.url, "").await;
    for write in [false, true] {
        let (before, began) = (service.asked().len(), Instant::now());
        let failed = if write {
            stores.store.put("a", Bytes::from_static(b"x")).await.map(|_| ())
        } else {
            stores.store.get("a").await.map(|_| ())
        };
        let failed = failed.unwrap_err();
        assert!(
            matches!(&failed, StoreError::Unavailable { source, .. } if source.to_string().contains("SlowDown"))
        );
        assert_eq!(service.asked().len() - before, 3);
        // The SDK's pauses may be as short as nothing, those of writes may not.
        assert!(
            !write || began.elapsed() > Duration::from_millis(180),
            "without a pause"
        );
    }

    let recovers = Script::start(|n, _| match n {
        0 | 1 => Answer::s3_error(503, "SlowDown"),
        _ => Answer::Is(200, etag("1"), Body::from("body")),
    })
    .await;
    let stores = store_at(&recovers.url, "").await;
    assert_eq!(stores.store.get("a").await.unwrap().unwrap().bytes, "body");
}

#[tokio::test]
async fn refusals_that_a_person_must_mend_say_what_to_do_and_are_not_repeated() {
    for (status, code, remedy) in [
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "renew"),
        (403, "AccessDenied", "allow this role"),
        (403, "RequestTimeTooSkewed", "NTP"),
        (404, "NoSuchBucket", "create the bucket"),
        (301, "PermanentRedirect", "region"),
        (501, "NotImplemented", "conditional writes"),
        (400, "SomethingElse", "speaks S3"),
    ] {
        let service = Script::start(move |_, _| Answer::s3_error(status, code)).await;
        let stores = store_at(&service.url, "").await;
        for failed in [
            stores.store.get("a").await.map(|_| ()),
            stores.store.put_if_absent("a", Bytes::new()).await.map(|_| ()),
            stores.store.check().await,
        ] {
            let failed = failed.unwrap_err();
            assert!(
                !failed.is_retryable() && failed.to_string().contains(remedy),
                "{code}: {failed}"
            );
        }
        if status != 501 {
            assert_eq!(service.asked().len(), 3, "{code}");
        }
    }
    for (code, remedy) in [
        ("InvalidClientTokenId", "AWS_ACCESS_KEY_ID"),
        ("UnrecognizedClientException", "AWS_ACCESS_KEY_ID"),
        ("AccessDeniedException", "allow this role"),
        ("QueueDoesNotExist", "create the queue"),
    ] {
        let service = Script::start(move |_, _| Answer::sqs_error(400, code, "canary")).await;
        let queue = queue_at(&service.url, ManualClock::default()).await;
        for failed in [
            queue.send("g", "d", "b").await.map(|_| ()),
            queue.receive(1, LEASE, Duration::ZERO).await.map(|_| ()),
            queue.check().await,
        ] {
            let failed = failed.unwrap_err();
            assert!(
                !failed.is_retryable() && failed.to_string().contains(remedy),
                "{code}: {failed}"
            );
        }
        assert_eq!(service.asked().len(), 3, "{code}");
    }
}

const ENDPOINT: &str = "TRUNKLINE_TEST_VICTIM_URL";

#[tokio::test]
#[ignore = "a process without credentials; started by the test below"]
async fn victim_without_credentials() {
    use platform::config::{Environment, ProcessEnvironment};
    let Some(url) = ProcessEnvironment.var(ENDPOINT) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = config::store(&url, folder.path(), &ProcessEnvironment).unwrap();
    let opened = platform::store::open(&config, &Access::DefaultChain, Arc::new(SystemClock)).await;
    let error = opened.err().unwrap();
    println!("\nretryable {}: {error}", error.is_retryable());
}

#[tokio::test]
async fn a_process_without_credentials_is_told_so() {
    let service = Script::start(|_, _| Answer::s3_error(500, "InternalError")).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "faults::victim_without_credentials",
            "--ignored",
            "--nocapture",
        ])
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent")
        .env(ENDPOINT, format!("s3://bucket?region=r&endpoint={}", service.url))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines.find(|line| line.starts_with("retryable"))
    });
    let said = said.await.unwrap().unwrap();
    child.wait().unwrap();
    assert!(
        said.starts_with("retryable false") && said.contains("give this process AWS credentials"),
        "{said}"
    );
    assert!(service.asked().is_empty());
}
