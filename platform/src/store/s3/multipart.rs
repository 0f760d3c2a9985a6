//! Objects that are too long for one request, or that begin with another object.

use std::time::Duration;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;

use super::bucket::{Bucket, Condition, Head, STREAMS, WRITE_ID, content_type, transfer, write_id};
use crate::aws::{fault::Fault, limits};

/// The smallest part but the last, as S3 demands.
pub(super) const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;
/// What is uploaded at once, and so kept in memory.
pub(super) const PART_BYTES: u64 = 8 * 1024 * 1024;
/// What is copied at once: S3 takes 5 GiB.
const COPY_BYTES: u64 = 1024 * 1024 * 1024;
/// S3 answers a copy and a completion when it has done it, which takes time with large parts.
const LARGE: Duration = Duration::from_mins(1);

/// An upload that is under way. Nothing is seen of it before [`Upload::complete`].
pub(super) struct Upload<'a> {
    bucket: &'a Bucket,
    name: String,
    id: String,
    write_id: String,
    parts: Vec<CompletedPart>,
    length: u64,
}

impl<'a> Upload<'a> {
    pub(super) async fn create(bucket: &'a Bucket, name: String, streams: u32) -> Result<Self, Fault> {
        let (encryption, kms_key) = bucket.encryption();
        let write_id = write_id();
        let answer = bucket
            .client
            .create_multipart_upload()
            .bucket(&bucket.config.bucket)
            .key(&name)
            .content_type(content_type(&name))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            // Else the parts' checksums, which the SDK sends, would not be taken by every service.
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .metadata(WRITE_ID, &write_id)
            .metadata(STREAMS, streams.to_string())
            .send()
            .await
            .map_err(Fault::from)?;
        let id = answer
            .upload_id
            .ok_or_else(|| Fault::new("the upload has no id"))?;
        Ok(Self {
            bucket,
            name,
            id,
            write_id,
            parts: Vec::new(),
            length: 0,
        })
    }

    fn next_number(&self) -> Result<i32, Fault> {
        i32::try_from(self.parts.len() + 1).map_err(|_| Fault::new("the upload has too many parts"))
    }

    pub(super) async fn part(&mut self, bytes: Bytes) -> Result<(), Fault> {
        let (number, length) = (self.next_number()?, bytes.len() as u64);
        let answer = self
            .bucket
            .client
            .upload_part()
            .bucket(&self.bucket.config.bucket)
            .key(&self.name)
            .upload_id(&self.id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(transfer(length))
            .send()
            .await
            .map_err(Fault::from)?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32);
        self.parts.push(part.build());
        self.length += length;
        Ok(())
    }

    /// Begins with the bytes of an object, which S3 copies by itself.
    pub(super) async fn copy(&mut self, head: &Head) -> Result<(), Fault> {
        for (from, to) in ranges(head.length) {
            let number = self.next_number()?;
            let answer = self
                .bucket
                .client
                .upload_part_copy()
                .bucket(&self.bucket.config.bucket)
                .key(&self.name)
                .upload_id(&self.id)
                .part_number(number)
                .copy_source(format!("{}/{}", self.bucket.config.bucket, escaped(&self.name)))
                .copy_source_if_match(&head.etag)
                .copy_source_range(format!("bytes={from}-{}", to - 1))
                .customize()
                .config_override(aws_sdk_s3::Config::builder().timeout_config(limits(LARGE)))
                .send()
                .await
                .map_err(Fault::from)?;
            let copied = answer.copy_part_result;
            let part = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(copied.as_ref().and_then(|part| part.e_tag.clone()))
                .set_checksum_crc32(copied.and_then(|part| part.checksum_crc32));
            self.parts.push(part.build());
            self.length += to - from;
        }
        Ok(())
    }

    /// Makes the object. False: the condition does not hold, and nothing has changed.
    pub(super) async fn complete(&mut self, condition: Condition<'_>) -> Result<bool, Fault> {
        let (none_match, if_match) = condition.headers();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts)));
        let answer = self
            .bucket
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket.config.bucket)
            .key(&self.name)
            .upload_id(&self.id)
            .set_if_none_match(none_match)
            .set_if_match(if_match)
            .multipart_upload(parts.build())
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(limits(LARGE)))
            .send()
            .await;
        let Err(error) = answer else { return Ok(true) };
        let fault = Fault::from(error);
        // It may have been completed by an attempt whose answer was lost, and then the next one finds no upload.
        let made = self.bucket.is_ours(&self.name, &self.write_id).await?;
        if made.is_some_and(|head| head.length == self.length) {
            return Ok(true);
        }
        if condition.failed(&fault) {
            return Ok(false);
        }
        Err(fault)
    }

    /// Lets go of what was uploaded. What this misses, the bucket's lifecycle rule finds.
    pub(super) async fn abort(self) {
        let answer = self
            .bucket
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket.config.bucket)
            .key(&self.name)
            .upload_id(&self.id)
            .send()
            .await;
        if let Err(error) = answer {
            let error = Fault::from(error);
            tracing::warn!(%error, "an upload was not aborted; the bucket's lifecycle rule ends it");
        }
    }
}

/// Equal parts, so that none is too small.
fn ranges(length: u64) -> Vec<(u64, u64)> {
    let count = length.div_ceil(COPY_BYTES).max(1);
    let each = length.div_ceil(count);
    (0..count)
        .map(|n| (n * each, ((n + 1) * each).min(length)))
        .collect()
}

/// For a header that S3 reads as a URL's path. Keys are ASCII; of what they may hold only these mean something there.
fn escaped(name: &str) -> String {
    name.replace('%', "%25")
        .replace('+', "%2B")
        .replace('=', "%3D")
        .replace('@', "%40")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_whole_and_no_part_is_too_small() {
        const GIB: u64 = 1024 * 1024 * 1024;
        for length in [MIN_PART_BYTES, GIB, GIB + 1, 5 * GIB, 5 * GIB + 3] {
            let ranges = ranges(length);
            let mut at = 0;
            for (from, to) in ranges {
                assert!(from == at && to - from >= MIN_PART_BYTES && to - from <= GIB);
                at = to;
            }
            assert_eq!(at, length);
        }
    }
}
