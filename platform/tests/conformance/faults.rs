//! What goes wrong between an adapter and its service, and what the adapter makes of it.

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

#[tokio::test]
async fn a_conditional_write_whose_answer_was_lost_does_not_lose_against_itself() {
    for ours in [true, false] {
        let writer: Arc<Mutex<String>> = Arc::default();
        let service = Script::start(move |n, asked| match (n, asked.method.as_str()) {
            (0, _) => {
                let id = if ours {
                    written(asked)
                } else {
                    "somebody else's".to_owned()
                };
                *writer.lock().unwrap() = id;
                Answer::s3_error(500, "InternalError")
            }
            (_, "PUT") => Answer::s3_error(412, "PreconditionFailed"),
            _ => {
                let mut headers = etag("won");
                headers.push(("x-amz-meta-trunkline-write", writer.lock().unwrap().clone()));
                Answer::Is(200, headers, Body::empty())
            }
        })
        .await;
        let stores = store_at(&service.url, "").await;
        let won = stores
            .store
            .put_if_absent("claim", Bytes::from_static(b"me"))
            .await
            .unwrap();
        assert_eq!(won, ours.then(|| ETag::new("\"won\"")));
        let asked = service.asked();
        let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["PUT", "PUT", "HEAD"]);
        assert_eq!(written(&asked[0]), written(&asked[1]), "attempts share their id");
    }
}

#[tokio::test]
async fn an_attempt_that_was_refused_for_sure_is_lost_without_a_question() {
    let service = Script::start(|_, _| Answer::s3_error(412, "PreconditionFailed")).await;
    let stores = store_at(&service.url, "").await;
    assert_eq!(stores.store.put_if_absent("a", Bytes::new()).await.unwrap(), None);
    let tag = ETag::new("\"1\"");
    assert_eq!(
        stores.store.put_if_match("a", &tag, Bytes::new()).await.unwrap(),
        None
    );
    let asked = service.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[0].header("if-none-match"), asked[1].header("if-match")),
        ("*", "\"1\"")
    );
}

#[tokio::test]
async fn a_write_that_is_put_off_by_another_one_is_tried_again() {
    let service = Script::start(|n, _| match n {
        0..5 => Answer::s3_error(409, "ConditionalRequestConflict"),
        _ => Answer::Is(200, etag("won"), Body::empty()),
    })
    .await;
    let stores = store_at(&service.url, "").await;
    let won = stores.store.put_if_absent("a", Bytes::new()).await.unwrap();
    assert_eq!(won, Some(ETag::new("\"won\"")));
    assert_eq!(service.asked().len(), 6);
}

#[tokio::test]
async fn no_more_is_read_than_an_object_may_have() {
    let claimed = MAX_OBJECT_BYTES + 1;
    let service = Script::start(move |_, asked| {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]));
        let endless = Body::from_stream(stream::repeat_with(chunk));
        if asked.target.contains("claims") {
            let length = vec![("content-length", claimed.to_string())];
            return Answer::Is(200, length, endless);
        }
        Answer::Is(200, etag("1"), endless)
    })
    .await;
    let stores = store_at(&service.url, "").await;
    for key in ["claims", "endless"] {
        let refused = stores.store.get(key).await;
        assert!(
            matches!(refused, Err(StoreError::Refused { .. })),
            "{key}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_read_again() {
    let service = Script::start(|n, _| {
        if n == 0 {
            let broken = stream::iter([Ok(Bytes::from_static(b"ha")), Err(std::io::Error::other("cut"))]);
            return Answer::Is(
                200,
                vec![("content-length", "4".into())],
                Body::from_stream(broken),
            );
        }
        Answer::Is(200, etag("1"), Body::from("half"))
    })
    .await;
    let stores = store_at(&service.url, "").await;
    assert_eq!(stores.store.get("a").await.unwrap().unwrap().bytes, "half");
}

#[tokio::test]
async fn objects_are_encrypted_as_configured_and_typed_by_their_ending() {
    let service = Script::start(|_, _| Answer::Is(200, etag("1"), Body::empty())).await;
    for (options, encryption, key) in [
        ("", "", ""),
        ("&encryption=s3", "AES256", ""),
        ("&encryption=kms", "aws:kms", ""),
        ("&kms_key=alias/calls", "aws:kms", "alias/calls"),
    ] {
        let stores = store_at(&service.url, options).await;
        stores.store.put("a.json", Bytes::new()).await.unwrap();
        let asked = service.asked().pop().unwrap();
        assert_eq!(asked.header("x-amz-server-side-encryption"), encryption);
        assert_eq!(asked.header("x-amz-server-side-encryption-aws-kms-key-id"), key);
        assert_eq!(asked.header("content-type"), "application/json");
        assert!(asked.target.starts_with("/bucket/p/a.json"), "{}", asked.target);
    }
}

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
