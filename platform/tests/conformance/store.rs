//! The suite of the store port.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use platform::store::{Entry, MAX_OBJECT_BYTES, Page, Store, StoreError};
use tokio::task::JoinSet;

/// An empty store.
#[async_trait]
pub(crate) trait Fixture: Sync {
    fn store(&self) -> &dyn Store;

    /// The same store through another connection, as another process has it.
    async fn elsewhere(&self) -> Arc<dyn Store>;
}

const WRITERS: usize = 32;

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

async fn all_keys(store: &dyn Store, prefix: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut page = Page { after: None, limit };
    loop {
        let listing = store.list(prefix, page).await.unwrap();
        assert!(listing.entries.len() <= limit);
        found.extend(listing.entries.into_iter().map(|entry| entry.key));
        match listing.next {
            Some(next) => {
                page = Page {
                    after: Some(next),
                    limit,
                }
            }
            None => return found,
        }
    }
}

async fn text(store: &dyn Store, key: &str) -> Option<String> {
    let object = store.get(key).await.unwrap()?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

pub(crate) async fn what_is_put_is_what_is_read(f: &impl Fixture) {
    let (store, elsewhere) = (f.store(), f.elsewhere().await);
    assert_eq!(store.get("a/b.json").await.unwrap(), None);
    let first = store.put("a/b.json", Bytes::from_static(b"1")).await.unwrap();
    let object = elsewhere.get("a/b.json").await.unwrap().unwrap();
    assert_eq!((&object.bytes[..], &object.etag), (&b"1"[..], &first));
    let second = elsewhere
        .put("a/b.json", Bytes::from_static(b"22"))
        .await
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(text(store, "a/b.json").await.as_deref(), Some("22"));
    store.put("empty", Bytes::new()).await.unwrap();
    assert_eq!(text(store, "empty").await.as_deref(), Some(""));
}

pub(crate) async fn of_32_first_writers_exactly_one_wins(f: &impl Fixture) {
    for round in 0..5 {
        let key = format!("claims/{round}.json");
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, key) = (f.elsewhere().await, key.clone());
            writers.spawn(async move {
                let body = Bytes::from(format!("{writer}"));
                store
                    .put_if_absent(&key, body)
                    .await
                    .unwrap()
                    .map(|etag| (writer, etag))
            });
        }
        let winners: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
        let [(winner, etag)] = winners.as_slice() else {
            panic!("{winners:?}")
        };
        let object = f.store().get(&key).await.unwrap().unwrap();
        assert_eq!(
            (object.bytes, &object.etag),
            (Bytes::from(winner.to_string()), etag)
        );
    }
}

pub(crate) async fn of_32_takeovers_exactly_one_wins(f: &impl Fixture) {
    let mut etag = f
        .store()
        .put("claim.json", Bytes::from_static(b"start"))
        .await
        .unwrap();
    for round in 0..5 {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, etag) = (f.elsewhere().await, etag.clone());
            writers.spawn(async move {
                let body = Bytes::from(format!("{round} {writer}"));
                store.put_if_match("claim.json", &etag, body).await.unwrap()
            });
        }
        let winners: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
        let [winner] = winners.as_slice() else {
            panic!("{winners:?}")
        };
        etag = f.store().get("claim.json").await.unwrap().unwrap().etag;
        assert_eq!(*winner, etag);
    }
}

pub(crate) async fn a_conditional_write_loses_against_any_change(f: &impl Fixture) {
    let store = f.store();
    let held = store
        .put_if_absent("claim", Bytes::from_static(b"me"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        store
            .put_if_absent("claim", Bytes::from_static(b"you"))
            .await
            .unwrap(),
        None
    );
    let renewed = store
        .put_if_match("claim", &held, Bytes::from_static(b"me 2"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        store
            .put_if_match("claim", &held, Bytes::from_static(b"zombie"))
            .await
            .unwrap(),
        None
    );
    store.put("claim", Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(
        store
            .put_if_match("claim", &renewed, Bytes::from_static(b"zombie"))
            .await
            .unwrap(),
        None
    );
    assert_eq!(text(store, "claim").await.as_deref(), Some("other"));
    assert!(store.delete("claim").await.unwrap());
    assert_eq!(
        store
            .put_if_match("claim", &renewed, Bytes::from_static(b"zombie"))
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.get("claim").await.unwrap(), None);
}

pub(crate) async fn a_reader_never_sees_half_an_object(f: &impl Fixture) {
    const BYTES: usize = 300_000;
    let store = f.store();
    store.put("big", Bytes::from(vec![0; BYTES])).await.unwrap();
    let writer = f.elsewhere().await;
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        for fill in 1..=20 {
            writer.put("big", Bytes::from(vec![fill; BYTES])).await.unwrap();
        }
    });
    let mut last = 0;
    while last < 20 {
        let object = store.get("big").await.unwrap().unwrap();
        let fill = object.bytes[0];
        assert!(object.bytes.len() == BYTES && object.bytes.iter().all(|byte| *byte == fill));
        assert!(fill >= last, "an older object after a newer one");
        last = fill;
        if writing.is_empty() {
            break;
        }
        if let Some(done) = writing.try_join_next() {
            done.unwrap();
        }
    }
    writing.join_all().await;
}

pub(crate) async fn a_deleted_object_is_gone(f: &impl Fixture) {
    let store = f.store();
    assert!(!store.delete("a/b").await.unwrap());
    store.put("a/b", Bytes::from_static(b"x")).await.unwrap();
    assert!(store.delete("a/b").await.unwrap());
    assert!(!store.delete("a/b").await.unwrap());
    assert_eq!(store.get("a/b").await.unwrap(), None);
    assert!(all_keys(store, "", 10).await.is_empty());
    assert!(
        store
            .put_if_absent("a/b", Bytes::from_static(b"y"))
            .await
            .unwrap()
            .is_some()
    );
}

pub(crate) async fn lists_come_in_byte_order_page_by_page(f: &impl Fixture) {
    let store = f.store();
    // Byte order puts `a-b` before `a/…` before `a0`, which no walk by folders does by itself.
    let sorted = [
        "a-b", "a.x", "a/1", "a/1-", "a/2/x", "a/2/y", "a/20", "a0", "b/c/d/e", "b=", "z",
    ];
    for key in sorted.iter().rev() {
        store.put(key, Bytes::from_static(b"12345")).await.unwrap();
    }
    for limit in [1, 2, 3, 5, 11, 1_000] {
        assert_eq!(all_keys(store, "", limit).await, sorted, "pages of {limit}");
    }
    assert_eq!(
        all_keys(store, "a/", 2).await,
        ["a/1", "a/1-", "a/2/x", "a/2/y", "a/20"]
    );
    assert_eq!(all_keys(store, "a/2", 2).await, ["a/2/x", "a/2/y", "a/20"]);
    assert_eq!(all_keys(store, "a/2/", 1).await, ["a/2/x", "a/2/y"]);
    assert_eq!(all_keys(store, "a", 4).await.len(), 8);
    assert!(all_keys(store, "nothing/", 4).await.is_empty());
    assert!(all_keys(store, "z/", 4).await.is_empty());
    let after = Page {
        after: Some("a/2".into()),
        limit: 2,
    };
    let listing = store.list("", after).await.unwrap();
    assert_eq!(
        (keys(&listing.entries), listing.next.as_deref()),
        (vec!["a/2/x", "a/2/y"], Some("a/2/y"))
    );
    assert_eq!(listing.entries[0].size, 5);
    for limit in [0, 1_001] {
        let page = Page { after: None, limit };
        assert!(matches!(
            store.list("", page).await,
            Err(StoreError::Refused { .. })
        ));
    }
}

pub(crate) async fn what_is_no_key_is_refused_everywhere(f: &impl Fixture) {
    let store = f.store();
    for bad in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../../b",
        ".trunkline/x",
        "a\0",
        "a\\b",
        "a b",
    ] {
        let refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Key(_)));
        let etag = platform::store::ETag::new("x");
        assert!(refused(store.put(bad, Bytes::new()).await.map(|_| ())), "{bad:?}");
        assert!(refused(store.put_if_absent(bad, Bytes::new()).await.map(|_| ())));
        assert!(refused(
            store.put_if_match(bad, &etag, Bytes::new()).await.map(|_| ())
        ));
        assert!(refused(store.get(bad).await.map(|_| ())));
        assert!(refused(store.delete(bad).await.map(|_| ())));
        assert!(refused(store.append(bad).await.map(|_| ())));
        assert!(refused(store.location(bad).map(|_| ())));
    }
    assert!(matches!(
        store.list("../", Page::default()).await,
        Err(StoreError::Key(_))
    ));
    let too_long = Bytes::from(vec![0; MAX_OBJECT_BYTES + 1]);
    assert!(matches!(
        store.put("a", too_long).await,
        Err(StoreError::Refused { .. })
    ));
}

pub(crate) async fn what_a_stream_has_flushed_is_there_and_a_new_stream_goes_on_behind_it(f: &impl Fixture) {
    let (store, elsewhere) = (f.store(), f.elsewhere().await);
    let mut stream = store.append("calls/1/recording.ogg").await.unwrap();
    stream.write(b"one ").await.unwrap();
    stream.write(b"two ").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(
        text(elsewhere.as_ref(), "calls/1/recording.ogg").await.as_deref(),
        Some("one two ")
    );
    stream.write(b"lost or not ").await.unwrap();
    drop(stream);
    let kept = text(store, "calls/1/recording.ogg").await.unwrap();
    assert!(kept.starts_with("one two "));

    let mut stream = elsewhere.append("calls/1/recording.ogg").await.unwrap();
    stream.write(b"three").await.unwrap();
    let length = stream.finish().await.unwrap();
    let whole = text(store, "calls/1/recording.ogg").await.unwrap();
    assert_eq!(whole, format!("{kept}three"));
    assert_eq!(length, whole.len() as u64);
}

pub(crate) async fn a_long_stream_keeps_every_byte_in_order(f: &impl Fixture) {
    let store = f.store();
    let mut stream = store.append("long").await.unwrap();
    let mut expected = Vec::new();
    for n in 0_u32..2_000 {
        let chunk = n.to_le_bytes().repeat(25);
        stream.write(&chunk).await.unwrap();
        expected.extend_from_slice(&chunk);
        if n % 300 == 0 {
            stream.flush().await.unwrap();
        }
    }
    assert_eq!(stream.finish().await.unwrap(), expected.len() as u64);
    assert!(store.get("long").await.unwrap().unwrap().bytes == expected);
}
