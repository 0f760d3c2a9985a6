use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    Age, Append, ETag, Listing, MAX_OBJECT_BYTES, MAX_PAGE, Object, Page, Store, StoreError,
    append::FileAppend,
    key::{Key, parse_prefix},
    listing,
};
use crate::{Secret, private::make_folder};

/// Holds what is not an object: locks and unfinished writes. No key can begin with a dot.
const INTERNAL: &str = ".trunkline";
/// Writers of one key exclude each other by one of so many lock files.
const LOCKS: u8 = 64;

/// The embedded store: a folder, for one machine (or a network file system that has `flock`, `link` and `rename`).
///
/// # How the contract is kept
///
/// - Every object is written to a file of its own under `.trunkline/`, synced (`fdatasync`), and then given its name in
///   one step: `rename` replaces, `link` fails when the name exists. So a name never stands for torn bytes, not even
///   after a power cut.
/// - `put_if_match` compares and renames under an exclusive `flock`, which the kernel drops when a process dies. `put`
///   and `delete` take the same lock.
/// - The folder's own entry is not synced: a power cut can lose the names of the last moments. The calls they belonged
///   to died with the machine, and the sweep closes what is open.
/// - What is not found is asked for a second time of the folder itself: one that is gone, or another one in its place, is an error and
///   not an empty store.
/// - Unfinished writes of processes that died are removed when a store is opened. Each process keeps its own under a
///   folder with a locked file in it, so that nobody's living writes are swept away.
///
/// It has no [links](Store::link): a path on this machine is of no use elsewhere, and cannot expire.
///
/// The etag is the SHA-256 of the bytes. Folders that the store makes are for this user only (mode 0700). Empty folders stay when their last object is deleted.
#[derive(Debug, Clone)]
pub struct FolderStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    locks: PathBuf,
    unfinished: PathBuf,
    /// Locked as long as this process lives; tells others that `unfinished` is in use.
    _alive: File,
    next_name: AtomicU64,
}

impl FolderStore {
    /// Opens the folder, making it when it is not there, and sweeps out what dead processes left unfinished.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the folder cannot be made or written.
    pub async fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref().to_owned();
        let inner = blocking("open its folder", move || Inner::open(&root)).await?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The folder's path.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    async fn write<T: Send + 'static>(
        &self,
        key: &str,
        bytes: Bytes,
        publish: impl FnOnce(&Inner, &Key, &Unfinished) -> io::Result<T> + Send + 'static,
    ) -> Result<(T, ETag), StoreError> {
        let key = Key::parse(key)?;
        if bytes.len() > MAX_OBJECT_BYTES {
            return Err(StoreError::Refused {
                what: "object",
                limit: "at most 64 MiB",
            });
        }
        let inner = Arc::clone(&self.inner);
        blocking("write an object", move || {
            let etag = etag_of(&bytes);
            let unfinished = inner.write_unfinished(&bytes)?;
            let published = publish(&inner, &key, &unfinished)?;
            Ok((published, etag))
        })
        .await
    }
}

#[async_trait]
impl Store for FolderStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<ETag, StoreError> {
        let ((), etag) = self
            .write(key, bytes, |inner, key, unfinished| {
                let _lock = inner.lock(key)?;
                inner.rename(unfinished, key)
            })
            .await?;
        Ok(etag)
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        let (won, etag) = self.write(key, bytes, Inner::link).await?;
        Ok(won.then_some(etag))
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        let expected = etag.clone();
        let (won, etag) = self
            .write(key, bytes, move |inner, key, unfinished| {
                let _lock = inner.lock(key)?;
                if inner.read(key)?.is_none_or(|found| etag_of(&found) != expected) {
                    return Ok(false);
                }
                inner.rename(unfinished, key)?;
                Ok(true)
            })
            .await?;
        Ok(won.then_some(etag))
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let (key, inner) = (Key::parse(key)?, Arc::clone(&self.inner));
        let found = blocking("read an object", move || inner.read(&key)).await?;
        match found {
            Some(bytes) if bytes.len() > MAX_OBJECT_BYTES => Err(StoreError::Refused {
                what: "object",
                limit: "at most 64 MiB",
            }),
            Some(bytes) => Ok(Some(Object {
                etag: etag_of(&bytes),
                bytes: bytes.into(),
            })),
            None => Ok(None),
        }
    }

    async fn get_aged(&self, key: &str) -> Result<Option<(Object, Age)>, StoreError> {
        let Some(object) = self.get(key).await? else {
            return Ok(None);
        };
        // The object first: of one that is written in between, the age is younger and the tag another, so that nothing is done by it.
        let (key, inner) = (Key::parse(key)?, Arc::clone(&self.inner));
        let age = blocking("read an object's age", move || inner.age(&key)).await?;
        Ok(age.map(|age| (object, age)))
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        parse_prefix(prefix)?;
        if page.limit == 0 || page.limit > MAX_PAGE {
            return Err(StoreError::Refused {
                what: "page limit",
                limit: "1 to 1,000 keys",
            });
        }
        let (prefix, inner) = (prefix.to_owned(), Arc::clone(&self.inner));
        blocking("list its objects", move || {
            let listing = listing::list(&inner.root, &prefix, &page)?;
            if listing.entries.is_empty() {
                inner.is_there()?;
            }
            Ok(listing)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        let (key, inner) = (Key::parse(key)?, Arc::clone(&self.inner));
        blocking("delete an object", move || {
            let _lock = inner.lock(&key)?;
            match fs::remove_file(key.path_below(&inner.root)) {
                Ok(()) => Ok(true),
                Err(e) if is_absent(&e) => Ok(false),
                Err(e) => Err(e),
            }
        })
        .await
    }

    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError> {
        let (key, inner) = (Key::parse(key)?, Arc::clone(&self.inner));
        let (file, length) = blocking("open a stream", move || {
            // It would be made anew.
            inner.is_there()?;
            let path = key.path_below(&inner.root);
            make_folder_of(&path)?;
            let file = File::options().create(true).append(true).open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        })
        .await?;
        Ok(Box::new(FileAppend::new(file, length)))
    }

    async fn recover(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let (key, inner) = (Key::parse(key)?, Arc::clone(&self.inner));
        // What was flushed is in the object already.
        blocking("look at an object", move || {
            match fs::metadata(key.path_below(&inner.root)) {
                Ok(meta) => Ok(meta.is_file().then_some(meta.len())),
                Err(e) if is_absent(&e) => inner.is_there().map(|()| None),
                Err(e) => Err(e),
            }
        })
        .await
    }

    async fn link(&self, key: &str, _: Duration) -> Result<Option<Secret>, StoreError> {
        Key::parse(key).map(|_| None)
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        Ok(Key::parse(key)?
            .path_below(&self.inner.root)
            .display()
            .to_string())
    }
}

impl Inner {
    fn open(root: &Path) -> io::Result<Self> {
        let internal = root.join(INTERNAL);
        let locks = internal.join("locks");
        let all_unfinished = internal.join("unfinished");
        make_folder(root)?;
        make_folder(&locks)?;
        make_folder(&all_unfinished)?;
        let root = root.canonicalize()?;
        // Under this lock nobody is between making its folder and locking the file in it.
        let opening = File::options()
            .create(true)
            .append(true)
            .open(internal.join("opening"))?;
        opening.lock()?;
        sweep(&all_unfinished)?;
        let unfinished = all_unfinished.join(format!("{:032x}", rand::random::<u128>()));
        fs::create_dir(&unfinished)?;
        let alive = File::create_new(unfinished.join("alive"))?;
        alive.lock()?;
        Ok(Self {
            root,
            locks,
            unfinished,
            _alive: alive,
            next_name: AtomicU64::new(0),
        })
    }

    /// Excludes other writers of the key, in this process and in others, until the file is dropped.
    fn lock(&self, key: &Key) -> io::Result<File> {
        let stripe = Sha256::digest(key.as_str()).first().copied().unwrap_or(0) % LOCKS;
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.locks.join(stripe.to_string()))?;
        file.lock()?;
        Ok(file)
    }

    /// Fails where the folder that was opened is not at its path any more. What only this process has made in it tells.
    fn is_there(&self) -> io::Result<()> {
        fs::metadata(&self.unfinished).map(drop)
    }

    fn unfinished(&self) -> Unfinished {
        let name = self.next_name.fetch_add(1, Ordering::Relaxed).to_string();
        Unfinished(self.unfinished.join(name))
    }

    fn write_unfinished(&self, bytes: &[u8]) -> io::Result<Unfinished> {
        let unfinished = self.unfinished();
        let mut file = File::create_new(&unfinished.0)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        Ok(unfinished)
    }

    fn rename(&self, unfinished: &Unfinished, key: &Key) -> io::Result<()> {
        let path = key.path_below(&self.root);
        make_folder_of(&path)?;
        fs::rename(&unfinished.0, path)
    }

    /// True: the name was free and is ours now.
    fn link(&self, key: &Key, unfinished: &Unfinished) -> io::Result<bool> {
        let path = key.path_below(&self.root);
        make_folder_of(&path)?;
        match fs::hard_link(&unfinished.0, path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// By the file system's clock, which a new file tells.
    fn age(&self, key: &Key) -> io::Result<Option<Age>> {
        let written = match fs::metadata(key.path_below(&self.root)) {
            Ok(metadata) => metadata.modified()?,
            Err(e) if is_absent(&e) => return self.is_there().map(|()| None),
            Err(e) => return Err(e),
        };
        let probe = self.unfinished();
        let now = File::create_new(&probe.0)?.metadata()?.modified()?;
        let age = now.duration_since(written).unwrap_or_default();
        Ok(Some(Age {
            at_least: age,
            at_most: age,
        }))
    }

    /// The object's bytes, and one more than allowed when it is too long.
    fn read(&self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(key.path_below(&self.root)) {
            Ok(file) if file.metadata()?.is_file() => file,
            Ok(_) => return Ok(None),
            Err(e) if is_absent(&e) => return self.is_there().map(|()| None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(MAX_OBJECT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// A file that has no name yet as an object; removed when dropped, so that a failed write leaves nothing.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename it is gone already; a file that cannot be removed is swept at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes the unfinished writes of processes that live no more.
fn sweep(all_unfinished: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all_unfinished)? {
        let folder = entry?.path();
        let alive = match File::open(folder.join("alive")) {
            Ok(file) => file.try_lock().is_err(),
            Err(_) => false,
        };
        if !alive && let Err(error) = fs::remove_dir_all(&folder) {
            tracing::warn!(%error, folder = %folder.display(), "could not sweep unfinished writes");
        }
    }
    Ok(())
}

fn make_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), make_folder)
}

/// `NotADirectory`: an object stands where the key has a folder, so there is no such object.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn etag_of(bytes: &[u8]) -> ETag {
    ETag::new(format!("{:x}", Sha256::digest(bytes)))
}

/// Runs file work on the blocking pool. The caller may go away meanwhile; the work then still ends in one piece.
pub(super) async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let unavailable =
        |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable { action, source };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| unavailable(Box::new(e)))?
        .map_err(|e| unavailable(Box::new(e)))
}
