use std::{fs::File, io::Read, path::Path};

use super::values::{Wrong, wrong};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads the whole file, which has an end: a regular one, or a link to one.
pub(super) fn read(path: &Path) -> Result<String, Wrong> {
    let unreadable = |error: std::io::Error| Wrong {
        problem: format!("the file cannot be read: {error}"),
        remedy: "name another file, or make this one readable UTF-8".to_owned(),
    };
    // Before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return wrong(
            "it is no regular file",
            "name a file; folders, devices and pipes are not read",
        );
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // The length that the system tells may be none, or old.
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return wrong(
            format!("the file has more than {MAX_BYTES} bytes"),
            "name another file; a configuration has some hundreds",
        );
    }
    String::from_utf8(bytes).map_err(|error| unreadable(std::io::Error::other(error.utf8_error())))
}
