use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
};

use async_trait::async_trait;

use super::{Append, MAX_STREAM_BYTES, StoreError, folder::blocking};

/// Bytes gathered before they go to the kernel without a flush being asked for.
const BUFFER_BYTES: usize = 64 * 1024;

/// A stream into a file under its final name: what reached the kernel survives the death of the process. It is synced
/// to the disk once, at the end: a recording is not worth an fsync per second of every call.
pub(super) struct FileAppend {
    /// `None` while a blocking task holds it, and for good after that task failed.
    file: Option<File>,
    buffer: Vec<u8>,
    /// Of the object, with all that was written.
    length: u64,
}

impl FileAppend {
    /// `length` is how long the file is.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self {
            file: Some(file),
            buffer: Vec::new(),
            length,
        }
    }

    async fn drain(&mut self, and_then: fn(&mut File) -> std::io::Result<u64>) -> Result<u64, StoreError> {
        let mut file = self.file.take().ok_or_else(|| StoreError::Unavailable {
            action: "go on with a stream that failed before",
            source: "an earlier write failed or was cancelled".into(),
        })?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let (file, buffer, length) = blocking("write to a stream", move || {
            file.write_all(&buffer)?;
            buffer.clear();
            let length = and_then(&mut file)?;
            Ok((file, buffer, length))
        })
        .await?;
        self.file = Some(file);
        self.buffer = buffer;
        Ok(length)
    }
}

#[async_trait]
impl Append for FileAppend {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.length += bytes.len() as u64;
        if self.length > MAX_STREAM_BYTES {
            return Err(StoreError::Refused {
                what: "stream",
                limit: "at most 5 GiB",
            });
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.drain(|_| Ok(0)).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.drain(|_| Ok(0)).await.map(|_| ())
    }

    async fn sync(&mut self) -> Result<(), StoreError> {
        self.drain(|file| file.sync_data().map(|()| 0)).await.map(|_| ())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        self.drain(|file| {
            file.sync_data()?;
            file.seek(SeekFrom::End(0))
        })
        .await
    }
}
