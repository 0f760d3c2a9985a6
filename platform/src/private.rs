//! Folders that only the owner of the process may enter: what is kept in them is about people.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt, path::Path};

/// Makes the folder and what is missing above it, for this user only. A folder that is there keeps its mode.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

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
