//! The store in a folder.

use std::{fs, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use platform::store::{FolderStore, Page, Store};

use crate::{store::Fixture, suite};

struct Folder {
    folder: tempfile::TempDir,
    store: FolderStore,
}

#[async_trait]
impl Fixture for Folder {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn elsewhere(&self) -> Arc<dyn Store> {
        Arc::new(FolderStore::open(self.folder.path().join("store")).await.unwrap())
    }
}

async fn folder() -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path().join("store")).await.unwrap();
    Folder { folder, store }
}

suite!(
    folder,
    store,
    [
        what_is_put_is_what_is_read,
        of_32_first_writers_exactly_one_wins,
        of_32_takeovers_exactly_one_wins,
        a_conditional_write_loses_against_any_change,
        a_reader_never_sees_half_an_object,
        a_deleted_object_is_gone,
        lists_come_in_byte_order_page_by_page,
        what_is_no_key_is_refused_everywhere,
        what_a_stream_has_flushed_is_there_and_a_new_stream_goes_on_behind_it,
        a_long_stream_keeps_every_byte_in_order,
    ]
);

fn unfinished(root: &Path) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(root.join(".trunkline/unfinished")).unwrap();
    folders.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn unfinished_writes_of_the_dead_are_swept_and_those_of_the_living_stay() {
    let fixture = folder().await;
    let root = fixture.store.root().to_owned();
    let [living] = unfinished(&root).try_into().unwrap();
    fs::write(living.join("7"), "in flight").unwrap();
    let dead = root.join(".trunkline/unfinished/of-a-dead-process");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("alive"), "").unwrap();
    fs::write(dead.join("0"), "torn").unwrap();
    fs::create_dir(root.join(".trunkline/unfinished/died-before-its-lock")).unwrap();

    let other = FolderStore::open(&root).await.unwrap();
    assert!(!dead.exists());
    assert!(living.join("7").exists());
    assert_eq!(unfinished(&root).len(), 2, "one for each open store");
    drop(other);
}

#[tokio::test]
async fn writes_leave_nothing_unfinished_and_lists_show_nothing_internal() {
    let fixture = folder().await;
    for n in 0..10 {
        fixture
            .store
            .put("same", Bytes::from(format!("{n}")))
            .await
            .unwrap();
        fixture.store.put_if_absent("same", Bytes::new()).await.unwrap();
    }
    let [own] = unfinished(fixture.store.root()).try_into().unwrap();
    let left: Vec<_> = fs::read_dir(own)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["alive"]);
    let listing = fixture.store.list("", Page::default()).await.unwrap();
    assert_eq!(listing.entries.len(), 1);
}

#[tokio::test]
async fn a_location_is_the_objects_path() {
    let fixture = folder().await;
    fixture
        .store
        .put("a/b.json", Bytes::from_static(b"x"))
        .await
        .unwrap();
    assert_eq!(
        fs::read(fixture.store.location("a/b.json").unwrap()).unwrap(),
        b"x"
    );
}

#[tokio::test]
async fn a_key_below_an_object_is_an_error_of_the_store_and_no_object() {
    let fixture = folder().await;
    fixture.store.put("a", Bytes::from_static(b"x")).await.unwrap();
    assert!(fixture.store.put("a/b", Bytes::from_static(b"x")).await.is_err());
    assert_eq!(fixture.store.get("a/b").await.unwrap(), None);
    assert!(!fixture.store.delete("a/b").await.unwrap());
}
