//! Files that operators write.

use std::{fs::File, io, io::Read, path::Path};

/// The largest that is read, in bytes: 1 MiB. People write some 10,000.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Why a file was not read. None is worth a retry.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not let it be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A folder, a device, a pipe: reading it may never end.
    #[error("it is no regular file")]
    NotRegular,
    /// More than [`MAX_BYTES`].
    #[error("the file has more than {MAX_BYTES} bytes")]
    TooLarge,
}

impl FileError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "correct the path, or the file's permissions",
            Self::NotRegular => "name a file; folders, devices and pipes are not read",
            Self::TooLarge => "name another file, or shorten this one",
        }
    }
}

/// Reads the whole file, which has an end: a regular one, or a link to one, of at most [`MAX_BYTES`].
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    // Before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(FileError::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    // The length that the system tells may be none, or old.
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_up_to_a_mebibyte_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let largest = vec![b'#'; 1 << 20];
        std::fs::write(&path, &largest).unwrap();
        assert_eq!(read(&path).unwrap(), largest);
        std::fs::write(&path, [&largest[..], b"#"].concat()).unwrap();
        assert!(matches!(read(&path), Err(FileError::TooLarge)));
        for other in [Path::new("/dev/null"), folder.path()] {
            assert!(
                matches!(read(other), Err(FileError::NotRegular)),
                "{}",
                other.display()
            );
        }
        let missing = folder.path().join("missing");
        assert!(matches!(read(&missing), Err(FileError::Unreadable(_))));
    }
}
