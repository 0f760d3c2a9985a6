//! Walks a folder in the byte order of the keys, as far as a page needs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use time::OffsetDateTime;

use super::{Entry, Listing, Page};

pub(super) fn list(root: &Path, prefix: &str, page: &Page) -> io::Result<Listing> {
    let mut walk = Walk {
        prefix,
        after: page.after.as_deref(),
        wanted: page.limit + 1,
        entries: Vec::new(),
    };
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (path, name) = if folder.is_empty() {
        (root.to_owned(), String::new())
    } else {
        (root.join(folder), format!("{folder}/"))
    };
    walk.folder(&path, &name)?;
    let mut entries = walk.entries;
    let next = (entries.len() > page.limit)
        .then(|| {
            entries.truncate(page.limit);
            entries.last().map(|entry| entry.key.clone())
        })
        .flatten();
    Ok(Listing { entries, next })
}

struct Walk<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    wanted: usize,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    /// `name` is the folder's part of the keys: empty, or ending with a slash.
    fn folder(&mut self, path: &Path, name: &str) -> io::Result<()> {
        // A folder's keys sort by its name with the slash, between `a-b` and `a0` for a folder `a`.
        let mut children: Vec<(String, PathBuf)> = Vec::new();
        let listed = match fs::read_dir(path) {
            Ok(listed) => listed,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        for entry in listed {
            let entry = entry?;
            let Ok(file_name) = entry.file_name().into_string() else {
                continue;
            };
            if file_name.starts_with('.') {
                continue;
            }
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            children.push((format!("{name}{file_name}{slash}"), entry.path()));
        }
        children.sort_unstable();
        for (key, path) in children {
            if self.entries.len() >= self.wanted {
                break;
            }
            if key.ends_with('/') {
                if self.may_hold_wanted(&key) {
                    self.folder(&path, &key)?;
                }
            } else if key.starts_with(self.prefix) && self.after.is_none_or(|after| key.as_str() > after) {
                self.file(key, &path)?;
            }
        }
        Ok(())
    }

    fn may_hold_wanted(&self, folder: &str) -> bool {
        let in_prefix = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        // All keys of the folder come before `after` unless `after` is in it or sorts before it.
        in_prefix
            && self
                .after
                .is_none_or(|after| after.starts_with(folder) || folder > after)
    }

    fn file(&mut self, key: String, path: &Path) -> io::Result<()> {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            // Deleted since it was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let modified = meta
            .modified()
            .map_or(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::from);
        self.entries.push(Entry {
            key,
            size: meta.len(),
            modified,
        });
        Ok(())
    }
}
