//! The folder on this machine that a stream is written to before it is stored: one file per stream.
//!
//! A file begins with a line of JSON that says what it is; the rest are the stream's bytes. Whoever writes to it holds a
//! lock on it, which the kernel drops with the process: a file that can be locked is of a stream that nobody writes.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::private::make_folder;

const ENDING: &str = "spool";
/// The longest first line.
const MAX_HEADER_BYTES: u64 = 4 * 1024;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    version: u32,
    /// Which store the stream goes to.
    store: String,
    pub(super) key: String,
    /// The number of the stream among those of its key.
    pub(super) ordinal: u32,
    /// Where in the object it begins.
    pub(super) start: u64,
}

/// One stream's file, locked.
#[derive(Debug)]
pub(super) struct SpoolFile {
    file: File,
    path: PathBuf,
    pub(super) header: Header,
    /// Where its bytes begin.
    begin: u64,
}

/// A file that somebody writes to.
#[derive(Debug, thiserror::Error)]
#[error("another stream of this object is open on this machine")]
pub(super) struct InUse;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: PathBuf,
    store: String,
}

impl Spool {
    /// `store` tells this store's streams from those of others that share the folder, which is made when a stream needs it.
    pub(super) fn new(folder: PathBuf, store: String) -> Self {
        Self { folder, store }
    }

    pub(super) fn create(&self, key: &str, ordinal: u32, start: u64) -> io::Result<SpoolFile> {
        let header = Header {
            version: 1,
            store: self.store.clone(),
            key: key.to_owned(),
            ordinal,
            start,
        };
        let mut line = serde_json::to_vec(&header)?;
        line.push(b'\n');
        let path = self
            .folder
            .join(format!("{}{ordinal:06}.{ENDING}", self.beginning(key)));
        make_folder(&self.folder)?;
        let _guard = self.guard()?;
        let mut file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.lock()?;
        file.write_all(&line)?;
        Ok(SpoolFile {
            file,
            path,
            header,
            begin: line.len() as u64,
        })
    }

    /// A file without a name, for an object that is put together.
    pub(super) fn nameless(&self) -> io::Result<File> {
        make_folder(&self.folder)?;
        let path = self
            .folder
            .join(format!("{:032x}.assembly", rand::random::<u128>()));
        let file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        fs::remove_file(path)?;
        Ok(file)
    }

    /// The streams of `key` that nobody writes any more, oldest first.
    ///
    /// # Errors
    /// [`InUse`] inside, when somebody does.
    pub(super) fn left_behind(&self, key: &str) -> io::Result<Result<Vec<SpoolFile>, InUse>> {
        let beginning = self.beginning(key);
        let mut found = Vec::new();
        if !self.folder.is_dir() {
            return Ok(Ok(found));
        }
        let _guard = self.guard()?;
        for path in self.files()? {
            let is_of_key = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&beginning));
            if !is_of_key {
                continue;
            }
            match self.claim(&path) {
                Some(Ok(Some(file))) => found.push(file),
                Some(Err(InUse)) => return Ok(Err(InUse)),
                _ => {}
            }
        }
        found.sort_by_key(|file| file.header.ordinal);
        Ok(Ok(found))
    }

    /// The keys of streams that nobody writes any more, and nobody has for `age`.
    pub(super) fn keys_left_behind(&self, age: Duration, now: SystemTime) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        if !self.folder.is_dir() {
            return Ok(keys);
        }
        let _guard = self.guard()?;
        for path in self.files()? {
            let Ok(written) = fs::metadata(&path).and_then(|meta| meta.modified()) else {
                continue;
            };
            if now.duration_since(written).unwrap_or_default() < age {
                continue;
            }
            if let Some(Ok(Some(file))) = self.claim(&path)
                && !keys.contains(&file.header.key)
            {
                keys.push(file.header.key.clone());
            }
        }
        Ok(keys)
    }

    fn beginning(&self, key: &str) -> String {
        let digest = Sha256::digest(format!("{}\n{key}", self.store));
        let hex = digest
            .iter()
            .take(16)
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        format!("{hex}-")
    }

    /// Under it nobody is between making a file and locking it.
    fn guard(&self) -> io::Result<File> {
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.folder.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// `None` when it cannot be read; no file inside when it is of another store, or was torn at its beginning.
    fn claim(&self, path: &Path) -> Option<Result<Option<SpoolFile>, InUse>> {
        let file = File::options().read(true).append(true).open(path).ok()?;
        if file.try_lock().is_err() {
            return Some(Err(InUse));
        }
        let mut line = Vec::new();
        BufReader::new(io::Read::take(&file, MAX_HEADER_BYTES))
            .read_until(b'\n', &mut line)
            .ok()?;
        let Ok(header) = serde_json::from_slice::<Header>(&line) else {
            // Its process died before it was told that anything is kept.
            let _ = fs::remove_file(path);
            return Some(Ok(None));
        };
        if header.store != self.store {
            return Some(Ok(None));
        }
        Some(Ok(Some(SpoolFile {
            file,
            path: path.to_owned(),
            header,
            begin: line.len() as u64,
        })))
    }
}

impl SpoolFile {
    /// How many bytes the stream has in it.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(self.begin))
    }

    /// They survive this process when it returns.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    pub(super) fn read(&self, from: u64, length: u64) -> io::Result<Bytes> {
        read(&self.file, self.begin + from, length)
    }

    /// Removes the file: all of it is stored elsewhere, or not wanted.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Exactly these bytes of a file.
pub(super) fn read(file: &File, from: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"), "s3://bucket".into());
        (folder, spool)
    }

    #[test]
    fn a_stream_is_found_again_when_its_writer_is_gone_and_not_before() {
        let (_folder, spool) = spool();
        assert!(spool.left_behind("a/b").unwrap().unwrap().is_empty() && !spool.folder.exists());
        let file = spool.create("a/b", 3, 70).unwrap();
        file.append(b"one ").unwrap();
        file.append(b"two").unwrap();
        assert_eq!(
            (file.length().unwrap(), &file.read(2, 4).unwrap()[..]),
            (7, &b"e tw"[..])
        );
        assert!(spool.left_behind("a/b").unwrap().is_err(), "it is in use");
        assert!(spool.left_behind("a/c").unwrap().unwrap().is_empty());
        drop(file);

        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(
            spool.keys_left_behind(Duration::from_mins(3), now).unwrap(),
            ["a/b"]
        );
        let found = spool.left_behind("a/b").unwrap().unwrap();
        let [found] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((found.header.ordinal, found.header.start), (3, 70));
        assert_eq!(&found.read(0, 7).unwrap()[..], b"one two");
        found.remove().unwrap();
        assert!(spool.files().unwrap().is_empty());
    }

    #[test]
    fn a_fresh_file_is_left_alone_and_a_torn_one_is_removed() {
        let (_folder, spool) = spool();
        drop(spool.create("a", 1, 0).unwrap());
        let written = fs::metadata(spool.files().unwrap().remove(0))
            .unwrap()
            .modified()
            .unwrap();
        assert!(
            spool
                .keys_left_behind(Duration::from_secs(1), written)
                .unwrap()
                .is_empty()
        );
        let torn = spool
            .folder
            .join(format!("{}000009.{ENDING}", spool.beginning("t")));
        fs::write(&torn, "{\"version\":1,\"sto").unwrap();
        assert!(spool.left_behind("t").unwrap().unwrap().is_empty());
        assert!(!torn.exists());
    }

    #[test]
    fn stores_that_share_a_folder_do_not_touch_each_others_streams() {
        let (_folder, spool) = spool();
        let other = Spool::new(spool.folder.clone(), "s3://other".into());
        drop(spool.create("a", 1, 0).unwrap());
        assert!(other.left_behind("a").unwrap().unwrap().is_empty());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert!(other.keys_left_behind(Duration::ZERO, now).unwrap().is_empty());
        assert_eq!(spool.left_behind("a").unwrap().unwrap().len(), 1);
    }
}
