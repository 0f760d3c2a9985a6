//! The store on S3: what is its own, beside the suite.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use dev::MiniStack;
use platform::{
    clock::SystemClock,
    config::{self, S3Config, S3Target, StoreConfig},
    store::{MAX_LINK_TTL, Page, S3Store, Store, StoreError, link_to_file},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};

use crate::{
    ministack,
    script::{Answer, Script},
    store_rows::{self, BUCKET},
};

fn parsed(endpoint: &str, prefix: &str, folder: &Path) -> S3Config {
    let url = format!(
        "s3://{BUCKET}/{prefix}?region={}&path_style=true&spool=spool&endpoint={endpoint}",
        MiniStack::REGION
    );
    match config::store(&url, folder, &BTreeMap::new()).unwrap() {
        StoreConfig::S3(config) => config,
        StoreConfig::Folder(_) => panic!("{url}"),
    }
}

async fn open(config: &S3Config) -> S3Store {
    S3Store::new(config, &ministack::access(), Arc::new(SystemClock)).await
}

async fn text(store: &S3Store, key: &str) -> Option<String> {
    let object = store.get(key).await.unwrap()?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named_at_the_start() {
    let (server, folder) = (ministack::lend().await, tempfile::tempdir().unwrap());
    let config = S3Config {
        bucket: "no-such-bucket".to_owned(),
        ..parsed(&server.url(), "", folder.path())
    };
    let missing = open(&config).await.check().await.unwrap_err();
    assert!(matches!(missing, StoreError::Denied { .. }), "{missing:?}");
    assert!(missing.to_string().contains("create the bucket"), "{missing}");
}

#[tokio::test]
async fn a_prefix_keeps_stores_of_one_bucket_apart() {
    let (server, folder) = (ministack::lend().await, tempfile::tempdir().unwrap());
    store_rows::make_bucket(&server).await;
    let name = format!("{:016x}", rand::random::<u64>());
    let one = open(&parsed(&server.url(), &format!("{name}/a"), folder.path())).await;
    let two = open(&parsed(&server.url(), &format!("{name}/a-b"), folder.path())).await;
    one.put("k", Bytes::from_static(b"1")).await.unwrap();
    two.put("k", Bytes::from_static(b"2")).await.unwrap();
    assert_eq!(
        (text(&one, "k").await.unwrap(), text(&two, "k").await.unwrap()),
        ("1".into(), "2".into())
    );
    assert_eq!(one.list("", Page::default()).await.unwrap().entries.len(), 1);
    assert_eq!(one.location("k").unwrap(), format!("s3://{BUCKET}/{name}/a/k"));
    let outer = open(&parsed(&server.url(), "", folder.path())).await;
    let listing = outer.list(&format!("{name}/"), Page::default()).await.unwrap();
    let keys: Vec<String> = listing.entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, [format!("{name}/a-b/k"), format!("{name}/a/k")]);
}

#[tokio::test]
async fn a_file_that_somebody_else_wrote_is_read_by_its_link() {
    let (server, folder) = (ministack::lend().await, tempfile::tempdir().unwrap());
    store_rows::make_bucket(&server).await;
    // What an egress writes: any name, in a bucket that is nobody's store.
    let name = format!("{:016x}", rand::random::<u64>());
    let store = open(&parsed(&server.url(), &name, folder.path())).await;
    store.put("a+b@c.mp4", Bytes::from_static(b"film")).await.unwrap();
    let target = S3Target {
        bucket: BUCKET.to_owned(),
        region: MiniStack::REGION.to_owned(),
        endpoint: Some(server.url()),
        path_style: true,
        access_key: MiniStack::KEY.to_owned(),
        secret: MiniStack::KEY.into(),
    };
    let link = |ttl| link_to_file(&target, "x/a+b@c.mp4", ttl);
    for bad in [Duration::ZERO, MAX_LINK_TTL + Duration::from_secs(1)] {
        assert!(matches!(link(bad).await, Err(StoreError::Refused { .. })));
    }
    let url = link_to_file(&target, &format!("{name}/a+b@c.mp4"), Duration::from_mins(1))
        .await
        .unwrap();
    let film = reqwest::get(url.expose()).await.unwrap();
    assert_eq!(film.status(), 200);
    assert_eq!(film.bytes().await.unwrap().as_ref(), b"film");
}

#[tokio::test]
async fn what_a_dead_process_left_is_stored_by_the_next_one() {
    let (server, folder) = (ministack::lend().await, tempfile::tempdir().unwrap());
    store_rows::make_bucket(&server).await;
    let config = parsed(
        &server.url(),
        &format!("{:016x}", rand::random::<u64>()),
        folder.path(),
    );
    let store = open(&config).await;
    let (mut dead, mut living) = (
        store.append("dead").await.unwrap(),
        store.append("living").await.unwrap(),
    );
    for stream in [&mut dead, &mut living] {
        stream.write(b"flushed").await.unwrap();
        stream.flush().await.unwrap();
    }
    drop(dead);
    let next = open(&config).await;
    assert_eq!(
        next.rescue(Duration::from_mins(3)).await.unwrap(),
        0,
        "somebody may just take the call over"
    );
    assert_eq!(next.rescue(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(text(&next, "dead").await.as_deref(), Some("flushed"));
    assert_eq!(text(&next, "living").await, None);
    assert_eq!(living.finish().await.unwrap(), 7);
    assert_eq!(next.rescue(Duration::ZERO).await.unwrap(), 0);
}

/// Passes connections on to a server, until the line is cut.
struct Line {
    url: String,
    up: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Line {
    async fn to(server: &MiniStack) -> Self {
        let target = server.url().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (up, is_up) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (target, mut is_up) = (target.clone(), is_up.clone());
                lines.spawn(async move {
                    let passed = async {
                        let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    };
                    tokio::select! {
                        _ = is_up.wait_for(|up| !up) => {}
                        () = passed => {}
                    }
                });
            }
        });
        Self {
            url,
            up,
            _tasks: tasks,
        }
    }
}

#[tokio::test]
async fn a_stream_outlasts_a_service_that_is_away() {
    let (server, folder) = (ministack::lend().await, tempfile::tempdir().unwrap());
    store_rows::make_bucket(&server).await;
    let line = Line::to(&server).await;
    let config = parsed(
        &line.url,
        &format!("{:016x}", rand::random::<u64>()),
        folder.path(),
    );
    let store = open(&config).await;
    let mut stream = store.append("recording").await.unwrap();
    stream.write(b"before ").await.unwrap();
    stream.sync().await.unwrap();

    line.up.send(false).unwrap();
    // Enough that a segment is due, and a little more.
    let megabyte = "x".repeat(1024 * 1024);
    stream.write(megabyte.as_bytes()).await.unwrap();
    let began = Instant::now();
    stream.flush().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "a flush waits for nobody"
    );
    let failed = stream.sync().await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
    stream.write(b" while").await.unwrap();
    stream.flush().await.unwrap();

    line.up.send(true).unwrap();
    stream.sync().await.unwrap();
    line.up.send(false).unwrap();
    stream.write(b" after").await.unwrap();
    assert!(stream.finish().await.unwrap_err().is_retryable());
    assert!(store.recover("recording").await.unwrap_err().is_retryable());

    line.up.send(true).unwrap();
    let expected = format!("before {megabyte} while after");
    assert_eq!(
        store.recover("recording").await.unwrap(),
        Some(expected.len() as u64)
    );
    assert!(text(&store, "recording").await.unwrap() == expected);
}

#[tokio::test]
async fn an_upload_that_fails_is_aborted_and_the_stream_kept() {
    let service = Script::start(|_, asked| {
        let query = asked.target.split_once('?').map_or("", |(_, query)| query);
        match asked.method.as_str() {
            "GET" => Answer::text(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
            "HEAD" => Answer::text(404, ""),
            "POST" if query.contains("uploads") => Answer::text(
                200,
                "<InitiateMultipartUploadResult><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>",
            ),
            "PUT" if query.contains("partNumber=2") => Answer::s3_error(400, "EntityTooSmall"),
            "DELETE" => Answer::text(204, ""),
            _ => Answer::Is(200, vec![("etag", "\"1\"".into())], Body::empty()),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&parsed(&service.url, "p", folder.path())).await;
    let mut stream = store.append("recording").await.unwrap();
    stream.write(&vec![7; 12 * 1024 * 1024]).await.unwrap();
    assert!(stream.finish().await.is_err());
    let asked = service.asked();
    let aborted = asked
        .iter()
        .filter(|asked| asked.method == "DELETE" && asked.target.contains("uploadId=upload-1"));
    assert_eq!(aborted.count(), 1);
    let created = asked
        .iter()
        .find(|asked| asked.target.contains("uploads"))
        .unwrap();
    assert_eq!(created.header("x-amz-checksum-algorithm"), "CRC32");
    let kept = std::fs::read_dir(folder.path().join("spool")).unwrap();
    let longest = kept
        .map(|file| file.unwrap().metadata().unwrap().len())
        .max()
        .unwrap();
    assert!(longest > 12 * 1024 * 1024, "{longest}");
}
