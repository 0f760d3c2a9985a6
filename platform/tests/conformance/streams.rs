//! The part of the store port's suite that is about streams.

use bytes::Bytes;
use platform::store::{Store, StoreError};

use crate::{
    store::{all_keys, text},
    store_rows::StoreRow,
};

const KEY: &str = "calls/1/recording.ogg";

/// Writes and flushes without finishing, and dies.
async fn die_after(store: &dyn Store, flushed: &[u8]) {
    let mut stream = store.append(KEY).await.unwrap();
    stream.write(flushed).await.unwrap();
    stream.flush().await.unwrap();
    stream.write(b"lost or not ").await.unwrap();
}

pub(crate) async fn what_a_stream_has_flushed_survives_its_writer_and_a_new_stream_goes_on_behind_it(
    f: &StoreRow,
) {
    let (store, elsewhere) = (f.store(), f.elsewhere().await);
    die_after(store, b"one two ").await;
    let length = elsewhere.recover(KEY).await.unwrap().unwrap();
    let kept = text(store, KEY).await.unwrap();
    assert!(
        kept.starts_with("one two ") && length == kept.len() as u64,
        "{kept}"
    );

    // The next one goes on without anybody having recovered it.
    die_after(elsewhere.as_ref(), b"three ").await;
    let mut stream = store.append(KEY).await.unwrap();
    stream.write(b"four").await.unwrap();
    let length = stream.finish().await.unwrap();
    let whole = text(store, KEY).await.unwrap();
    assert!(
        whole.starts_with(&format!("{kept}three ")) && whole.ends_with("four"),
        "{whole}"
    );
    assert_eq!(length, whole.len() as u64);
}

pub(crate) async fn what_a_stream_has_synced_survives_its_machine(f: &StoreRow) {
    let Some(other_machine) = f.another_machine().await else {
        return;
    };
    let mut stream = f.store().append(KEY).await.unwrap();
    stream.write(b"synced ").await.unwrap();
    stream.sync().await.unwrap();
    stream.write(b"flushed ").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let mut stream = other_machine.append(KEY).await.unwrap();
    stream.write(b"continued").await.unwrap();
    assert_eq!(stream.finish().await.unwrap(), 16);
    assert_eq!(text(f.store(), KEY).await.as_deref(), Some("synced continued"));
    // What the first machine still has comes too late, and harms nothing.
    assert_eq!(f.store().recover(KEY).await.unwrap(), Some(16));
    assert_eq!(text(f.store(), KEY).await.as_deref(), Some("synced continued"));
}

pub(crate) async fn an_object_is_continued_by_another_machine(f: &StoreRow) {
    let Some(other_machine) = f.another_machine().await else {
        return;
    };
    for (n, store) in [f.store(), other_machine.as_ref(), f.store()]
        .into_iter()
        .enumerate()
    {
        let mut stream = store.append(KEY).await.unwrap();
        stream.write(format!("{n} ").as_bytes()).await.unwrap();
        assert_eq!(stream.finish().await.unwrap(), 2 * (n as u64 + 1));
    }
    // One dies with a part synced, and whoever finds nothing else recovers that.
    let mut stream = other_machine.append(KEY).await.unwrap();
    stream.write(b"3 ").await.unwrap();
    stream.sync().await.unwrap();
    drop(stream);
    assert_eq!(f.store().recover(KEY).await.unwrap(), Some(8));
    assert_eq!(text(f.store(), KEY).await.as_deref(), Some("0 1 2 3 "));
}

pub(crate) async fn a_writer_that_was_succeeded_adds_nothing_more(f: &StoreRow) {
    let Some(other_machine) = f.another_machine().await else {
        return;
    };
    let mut zombie = f.store().append(KEY).await.unwrap();
    zombie.write(b"before ").await.unwrap();
    zombie.sync().await.unwrap();
    let mut heir = other_machine.append(KEY).await.unwrap();
    zombie.write(b"zombie ").await.unwrap();
    zombie.sync().await.unwrap();
    heir.write(b"after").await.unwrap();
    heir.sync().await.unwrap();
    zombie.write(b"zombie again").await.unwrap();
    assert!(matches!(zombie.finish().await, Err(StoreError::Refused { .. })));
    assert_eq!(heir.finish().await.unwrap(), 12);
    assert_eq!(text(f.store(), KEY).await.as_deref(), Some("before after"));
    assert_eq!(f.store().recover(KEY).await.unwrap(), Some(12));
}

pub(crate) async fn what_nobody_wrote_is_not_recovered(f: &StoreRow) {
    let store = f.store();
    assert_eq!(store.recover(KEY).await.unwrap(), None);
    let empty = store.append(KEY).await.unwrap().finish().await.unwrap();
    assert_eq!((empty, text(store, KEY).await.as_deref()), (0, Some("")));
    assert_eq!(store.recover(KEY).await.unwrap(), Some(0));
}

pub(crate) async fn a_finished_stream_can_be_recovered_and_stays_as_it_is(f: &StoreRow) {
    let (store, elsewhere) = (f.store(), f.elsewhere().await);
    let mut stream = store.append(KEY).await.unwrap();
    stream.write(b"whole").await.unwrap();
    stream.finish().await.unwrap();
    let etag = store.get(KEY).await.unwrap().unwrap().etag;
    let (one, two) = tokio::join!(store.recover(KEY), elsewhere.recover(KEY));
    assert_eq!((one.unwrap(), two.unwrap()), (Some(5), Some(5)));
    assert_eq!(store.get(KEY).await.unwrap().unwrap().etag, etag);
}

pub(crate) async fn lists_show_nothing_of_open_streams(f: &StoreRow) {
    let store = f.store();
    for key in ["+first", "-second", "0", "a/1", "z"] {
        store.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut streams = Vec::new();
    for n in 0..7 {
        let mut stream = store.append(&format!("open/{n}")).await.unwrap();
        stream.write(b"bytes").await.unwrap();
        stream.sync().await.unwrap();
        streams.push(stream);
    }
    for limit in [1, 2, 3, 1_000] {
        let found = all_keys(store, "", limit).await;
        let objects: Vec<&String> = found.iter().filter(|key| !key.starts_with("open/")).collect();
        assert_eq!(
            objects,
            ["+first", "-second", "0", "a/1", "z"],
            "pages of {limit}"
        );
    }
}

/// Bytes that differ at every place within 16 MB.
fn pattern(from: u32, to: u32) -> Vec<u8> {
    (from..to).flat_map(u32::to_le_bytes).collect()
}

pub(crate) async fn a_stream_of_many_parts_is_continued_and_stays_whole(f: &StoreRow) {
    const QUARTERS: u32 = 850_000;
    let store = f.store();
    // Above 13 MB, then continued by as much: what is there is more than a part, and so is what comes.
    for half in 0..2 {
        let mut stream = store.append("long").await.unwrap();
        for n in 0..4 {
            let from = (half * 4 + n) * QUARTERS;
            for chunk in pattern(from, from + QUARTERS).chunks(100_000) {
                stream.write(chunk).await.unwrap();
            }
            stream.flush().await.unwrap();
        }
        let length = stream.finish().await.unwrap();
        assert_eq!(length, u64::from((half + 1) * 4 * QUARTERS * 4));
    }
    // A few bytes behind a long object, by a writer that dies.
    let mut stream = store.append("long").await.unwrap();
    stream.write(b"end").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let length = u64::from(8 * QUARTERS * 4) + 3;
    assert_eq!(f.elsewhere().await.recover("long").await.unwrap(), Some(length));
    let found = store.get("long").await.unwrap().unwrap().bytes;
    assert_eq!(found.len() as u64, length);
    let (numbers, end) = found.split_at(found.len() - 3);
    assert!(numbers == pattern(0, 8 * QUARTERS) && end == b"end");
}

pub(crate) async fn a_deleted_stream_does_not_come_back(f: &StoreRow) {
    let store = f.store();
    let mut stream = store.append(KEY).await.unwrap();
    stream.write(b"first").await.unwrap();
    stream.finish().await.unwrap();
    assert!(store.delete(KEY).await.unwrap());
    assert_eq!(f.elsewhere().await.recover(KEY).await.unwrap(), None);
    die_after(store, b"unfinished").await;
    assert!(store.delete(KEY).await.unwrap());
    assert!(!store.delete(KEY).await.unwrap());
    assert_eq!(store.recover(KEY).await.unwrap(), None);
    let mut stream = store.append(KEY).await.unwrap();
    stream.write(b"second").await.unwrap();
    assert_eq!(stream.finish().await.unwrap(), 6);
    assert_eq!(text(store, KEY).await.as_deref(), Some("second"));
}

pub(crate) async fn a_long_stream_keeps_every_byte_in_order(f: &StoreRow) {
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
