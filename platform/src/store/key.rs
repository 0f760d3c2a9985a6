use std::path::{Path, PathBuf};

use super::StoreError;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest segment of a key, in bytes: file systems allow 255, and a temporary name needs room.
pub const MAX_SEGMENT_BYTES: usize = 200;
/// The most segments of a key.
pub const MAX_SEGMENTS: usize = 16;

/// A key that is safe to use as a relative path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        if text.is_empty() || text.len() > MAX_KEY_BYTES {
            return Err(StoreError::Key("it must have 1 to 512 bytes"));
        }
        if text.split('/').count() > MAX_SEGMENTS {
            return Err(StoreError::Key("it has more than 16 segments"));
        }
        text.split('/').try_for_each(check_segment)?;
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Below `root`, never outside: no segment can be empty, `.` or `..`.
    pub(super) fn path_below(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

/// A listing's prefix: whole segments, then the beginning of one (which may be empty).
pub(super) fn parse_prefix(prefix: &str) -> Result<(&str, &str), StoreError> {
    if prefix.len() > MAX_KEY_BYTES || prefix.split('/').count() > MAX_SEGMENTS {
        return Err(StoreError::Key("the prefix is longer than any key"));
    }
    let (folder, begin) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    if prefix.contains('/') {
        folder.split('/').try_for_each(check_segment)?;
    }
    if !begin.is_empty() {
        check_segment(begin)?;
    }
    Ok((folder, begin))
}

fn check_segment(segment: &str) -> Result<(), StoreError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.=@+".contains(&b);
    match segment.as_bytes() {
        [] => Err(StoreError::Key("a segment is empty")),
        [b'.', ..] => Err(StoreError::Key("a segment begins with a dot")),
        bytes if bytes.len() > MAX_SEGMENT_BYTES => Err(StoreError::Key("a segment has more than 200 bytes")),
        bytes if !bytes.iter().copied().all(allowed) => Err(StoreError::Key(
            "a segment has a character other than ASCII letters, digits and -_.=@+",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_leave_the_folder_are_refused() {
        let long_segment = "a".repeat(MAX_SEGMENT_BYTES + 1);
        let long_key = vec!["abcdefgh"; 70].join("/");
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "../a",
            "a/../b",
            "a/./b",
            "a/..",
            ".hidden",
            "a/.hidden",
            "a\\b",
            "a\0b",
            "a b",
            "ä",
            "C:",
            "a\nb",
            &long_segment,
            &long_key,
        ] {
            assert!(matches!(Key::parse(bad), Err(StoreError::Key(_))), "{bad:?}");
        }
    }

    #[test]
    fn keys_of_calls_are_taken() {
        for good in ["a", "calls/2026-11-20/RM_x9/events/EV_1.json", "a.b/c-d_e=f@g+h"] {
            assert_eq!(
                Key::parse(good).unwrap().path_below(Path::new("/r")),
                Path::new("/r").join(good)
            );
        }
    }

    #[test]
    fn prefixes_split_into_folder_and_beginning() {
        assert_eq!(parse_prefix("").unwrap(), ("", ""));
        assert_eq!(parse_prefix("cal").unwrap(), ("", "cal"));
        assert_eq!(parse_prefix("calls/").unwrap(), ("calls", ""));
        assert_eq!(parse_prefix("calls/2026/RM").unwrap(), ("calls/2026", "RM"));
        for bad in ["/", "//", "../", "a/../", "a/.b", "."] {
            assert!(parse_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
