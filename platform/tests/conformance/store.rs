//! The suite of the store port. `store_suite!` lists it; a [`StoreRow`] says what it runs on.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use platform::store::{Entry, MAX_LINK_TTL, MAX_OBJECT_BYTES, Page, Store, StoreError};
use tokio::{task::JoinSet, time::Instant};

use crate::store_rows::StoreRow;

/// Makes the tests of one row: `store_suite!(make)`, `make` being a function to `Option<StoreRow>`.
macro_rules! store_suite {
    ($make:path) => {
        crate::suite!(
            $make,
            store,
            [
                what_is_put_is_what_is_read,
                of_32_first_writers_exactly_one_wins,
                of_32_takeovers_exactly_one_wins,
                a_conditional_write_loses_against_any_change,
                the_age_of_an_object_is_told_by_the_stores_own_clock,
                a_reader_never_sees_half_an_object,
                a_deleted_object_is_gone,
                lists_come_in_byte_order_page_by_page,
                what_is_no_key_is_refused_everywhere,
                a_link_reads_the_object_until_its_time_is_over,
            ]
        );
        crate::suite!(
            $make,
            streams,
            [
                lists_show_nothing_of_open_streams,
                what_a_stream_has_flushed_survives_its_writer_and_a_new_stream_goes_on_behind_it,
                what_a_stream_has_synced_survives_its_machine,
                an_object_is_continued_by_another_machine,
                a_writer_that_was_succeeded_adds_nothing_more,
                what_nobody_wrote_is_not_recovered,
                a_finished_stream_can_be_recovered_and_stays_as_it_is,
                a_long_stream_keeps_every_byte_in_order,
                a_stream_of_many_parts_is_continued_and_stays_whole,
                a_deleted_stream_does_not_come_back,
            ]
        );
    };
}
pub(crate) use store_suite;

const WRITERS: usize = 32;

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

pub(crate) async fn all_keys(store: &dyn Store, prefix: &str, limit: usize) -> Vec<String> {
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

pub(crate) async fn text(store: &dyn Store, key: &str) -> Option<String> {
    let object = store.get(key).await.unwrap()?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

pub(crate) async fn what_is_put_is_what_is_read(f: &StoreRow) {
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

/// The store as 32 processes have it.
async fn writers_of(f: &StoreRow) -> Vec<Arc<dyn Store>> {
    let mut stores = Vec::new();
    for _ in 0..WRITERS {
        stores.push(f.elsewhere().await);
    }
    stores
}

pub(crate) async fn of_32_first_writers_exactly_one_wins(f: &StoreRow) {
    let stores = writers_of(f).await;
    for round in 0..5 {
        let key = format!("claims/{round}.json");
        let mut writers = JoinSet::new();
        for (writer, store) in stores.iter().cloned().enumerate() {
            let key = key.clone();
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

pub(crate) async fn of_32_takeovers_exactly_one_wins(f: &StoreRow) {
    let mut etag = f
        .store()
        .put("claim.json", Bytes::from_static(b"start"))
        .await
        .unwrap();
    let stores = writers_of(f).await;
    for round in 0..5 {
        let mut writers = JoinSet::new();
        for (writer, store) in stores.iter().cloned().enumerate() {
            let etag = etag.clone();
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

pub(crate) async fn a_conditional_write_loses_against_any_change(f: &StoreRow) {
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

pub(crate) async fn the_age_of_an_object_is_told_by_the_stores_own_clock(f: &StoreRow) {
    /// How far apart two clocks of one machine may be: the file system's has a tick.
    const TICK: Duration = Duration::from_millis(20);
    let (store, elsewhere) = (f.store(), f.elsewhere().await);
    assert!(store.get_aged("aged").await.unwrap().is_none());
    for _ in 0..2 {
        let sent = Instant::now();
        store.put("aged", Bytes::from_static(b"1")).await.unwrap();
        let written = Instant::now();
        // Time itself is what is looked at.
        for wait in [Duration::ZERO, Duration::from_millis(2_300)] {
            tokio::time::sleep(wait).await;
            let no_less = written.elapsed();
            let (object, age) = elsewhere.get_aged("aged").await.unwrap().unwrap();
            assert_eq!(&object.bytes[..], b"1");
            assert!(age.at_most + TICK >= no_less, "{age:?}, {no_less:?}");
            assert!(
                age.at_least <= sent.elapsed() + TICK,
                "{age:?}, {:?}",
                sent.elapsed()
            );
            let unsure = age.at_most.checked_sub(age.at_least).unwrap();
            assert!(unsure <= Duration::from_secs(2), "{age:?}");
        }
    }
}

pub(crate) async fn a_reader_never_sees_half_an_object(f: &StoreRow) {
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

pub(crate) async fn a_deleted_object_is_gone(f: &StoreRow) {
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

pub(crate) async fn lists_come_in_byte_order_page_by_page(f: &StoreRow) {
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

pub(crate) async fn what_is_no_key_is_refused_everywhere(f: &StoreRow) {
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
        assert!(refused(store.recover(bad).await.map(|_| ())));
        assert!(refused(store.link(bad, Duration::from_mins(1)).await.map(|_| ())));
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

pub(crate) async fn a_link_reads_the_object_until_its_time_is_over(f: &StoreRow) {
    let store = f.store();
    store
        .put("a/b+c=d@e.json", Bytes::from_static(b"{}"))
        .await
        .unwrap();
    for bad in [Duration::ZERO, MAX_LINK_TTL + Duration::from_secs(1)] {
        let refused = store.link("a/b", bad).await;
        assert!(!f.has_links() || matches!(refused, Err(StoreError::Refused { .. })));
    }
    let link = async |ttl| store.link("a/b+c=d@e.json", ttl).await.unwrap();
    if !f.has_links() {
        assert!(link(Duration::from_mins(1)).await.is_none());
        return;
    }
    let http = reqwest::Client::new();
    let read = async |url: &str| {
        let answer = http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let good = link(MAX_LINK_TTL).await.unwrap();
    assert!(!format!("{good:?}").contains("X-Amz"), "a link is a secret");
    assert_eq!(read(good.expose()).await, (200, "{}".to_owned()));
    store.put("a/other", Bytes::from_static(b"secret")).await.unwrap();
    let tampered = good.expose().replace("b%2Bc%3Dd%40e.json", "other");
    assert_ne!(tampered, good.expose());
    assert_eq!(read(&tampered).await.0, 403);
    let extended = good
        .expose()
        .replace("X-Amz-Expires=604800", "X-Amz-Expires=604799");
    assert_ne!(extended, good.expose());
    assert_eq!(read(&extended).await.0, 403);

    let short = link(Duration::from_secs(1)).await.unwrap();
    // The service has the machine's clock, and the second may have begun anywhere in it.
    let expired = async {
        while read(short.expose()).await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), expired)
        .await
        .unwrap();
    assert_eq!(read(short.expose()).await.0, 403);
}
