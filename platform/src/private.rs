//! Folders and files that only the owner of the process may read: what is kept in them is about people.

use std::{
    fs::{DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Makes the folder and what is missing above it, for this user only. A folder that is there keeps its mode.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the file, empty, for this user only. From one that is there, what others may do is taken.
pub(crate) fn make_file(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let file = options.create(true).append(true).mode(0o600).open(path)?;
    keep_to_owner(&file)
}

/// Takes from a file what others may do with it; one that is not there needs nothing.
pub(crate) fn close_file(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => keep_to_owner(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn keep_to_owner(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let owners = mode & 0o700;
    if mode == owners {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(owners))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_private_from_its_first_moment_or_from_now_on_and_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        fs::write(&old, "old").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o664)).unwrap();
        make_file(&new).unwrap();
        make_file(&old).unwrap();
        for path in [&new, &old] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read(&old).unwrap(), b"old");
        close_file(&folder.path().join("missing")).unwrap();
        assert!(!folder.path().join("missing").exists());
    }

    #[test]
    fn what_is_made_is_private_and_what_was_there_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (open, inner) = (folder.path().join("open"), folder.path().join("open/a/b"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&inner).unwrap();
        make_folder(&inner).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&open), mode(&folder.path().join("open/a")), mode(&inner)),
            (0o755, 0o700, 0o700)
        );
    }
}
