//! The store in a folder: what is its own, beside the suite.

use std::{fs, path::Path};

use bytes::Bytes;
use platform::store::{FolderStore, Page, Store};

struct Folder {
    _folder: tempfile::TempDir,
    store: FolderStore,
}

async fn folder() -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path().join("store")).await.unwrap();
    Folder {
        _folder: folder,
        store,
    }
}

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

#[tokio::test]
async fn a_folder_that_is_gone_or_another_in_its_place_is_an_error_and_no_empty_store() {
    let fixture = folder().await;
    let (store, root) = (&fixture.store, fixture.store.root().to_owned());
    store.put("a/b", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(store.get("a/c").await.unwrap(), None);
    let away = root.with_extension("away");
    fs::rename(&root, &away).unwrap();
    for case in ["nothing", "a file", "another folder"] {
        match case {
            "a file" => fs::write(&root, "x").unwrap(),
            "another folder" => {
                fs::remove_file(&root).unwrap();
                fs::create_dir(&root).unwrap();
            }
            _ => {}
        }
        assert!(store.get("a/b").await.is_err(), "{case}");
        assert!(store.get_aged("a/b").await.is_err(), "{case}");
        assert!(store.list("", Page::default()).await.is_err(), "{case}");
        assert!(store.list("a/", Page::default()).await.is_err(), "{case}");
        assert!(store.recover("a/b").await.is_err(), "{case}");
        assert!(store.append("a/s").await.is_err(), "{case}");
        assert!(store.delete("a/b").await.is_err(), "{case}");
        assert!(store.put("a/b", Bytes::new()).await.is_err(), "{case}");
    }
    fs::remove_dir(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    assert!(store.get("a/b").await.unwrap().is_some(), "it is back");
}
