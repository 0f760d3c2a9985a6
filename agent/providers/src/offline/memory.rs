//! A file that is only in memory, for a program that takes its input or leaves its output under a path.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::PathBuf,
};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// It has no name in any folder, so that nothing is left of it when the process is killed, and nothing of it reaches a disk.
#[derive(Debug)]
pub(super) struct MemoryFile(File);

impl MemoryFile {
    pub(super) fn empty() -> io::Result<Self> {
        // Without MFD_CLOEXEC, so that the programs that this process starts have it under the same number.
        Ok(Self(memfd_create("trunkline", MFdFlags::empty())?.into()))
    }

    pub(super) fn holding(bytes: &[u8]) -> io::Result<Self> {
        let mut file = Self::empty()?;
        file.0.write_all(bytes)?;
        Ok(file)
    }

    /// Its path in any program that this process starts while it lives. Each that opens it begins at its beginning.
    pub(super) fn path(&self) -> PathBuf {
        format!("/dev/fd/{}", self.0.as_raw_fd()).into()
    }

    /// What a program has written, up to `most` bytes.
    pub(super) fn into_bytes(self, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
