//! The requests to S3. Names here are whole: they have the bucket's prefix.

use std::{sync::Once, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Builder, Config, Region, ResponseChecksumValidation, retry::RetryConfig},
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier, ServerSideEncryption},
};
use bytes::{Bytes, BytesMut};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

use super::age::AnsweredAt;
use crate::{
    Secret,
    aws::{ATTEMPTS, Access, fault::Fault, limits, pause, retries},
    config::{S3Config, S3Encryption},
    store::Age,
};

/// How often a write is tried that S3 puts off because another one is under way (409).
const CONFLICT_ATTEMPTS: u32 = 12;
/// The slowest line that is served: an attempt may take a second more for so many bytes.
const BYTES_PER_SECOND: u64 = 512 * 1024;
/// The longest pause between two pieces of an answer.
const STALL: Duration = Duration::from_secs(10);
/// Tells a write that was carried out although its answer was lost from somebody else's.
pub(super) const WRITE_ID: &str = "trunkline-write";
/// How many streams have gone into the object.
pub(super) const STREAMS: &str = "trunkline-streams";

/// An object, its tag and its age.
pub(super) type Got = (Bytes, String, Age);

/// What must hold for a write to happen.
#[derive(Clone, Copy)]
pub(super) enum Condition<'a> {
    Always,
    Absent,
    Match(&'a str),
}

/// What is known of an object without reading it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) length: u64,
    pub(super) etag: String,
    pub(super) write_id: Option<String>,
    pub(super) streams: u32,
}

pub(super) struct Item {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: OffsetDateTime,
}

/// Why an object was not read.
pub(super) enum GetError {
    /// It is longer than allowed.
    TooLong,
    Fault(Fault),
}

pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) config: S3Config,
    /// Said once that the service does not tell ages.
    ageless: Once,
}

impl Bucket {
    pub(super) async fn new(config: &S3Config, access: &Access) -> Self {
        let client = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .force_path_style(config.path_style)
            .credentials_provider(access.provider(&config.region).await)
            .retry_config(retries())
            .timeout_config(limits(Duration::ZERO));
        let client = match &config.endpoint {
            Some(endpoint) => client.endpoint_url(endpoint),
            None => client,
        };
        Self {
            client: Client::from_conf(client.build()),
            config: config.clone(),
            ageless: Once::new(),
        }
    }

    /// Writes an object. `None`: the condition does not hold.
    ///
    /// A conditional write whose answer was lost may have happened, and the next attempt would then lose against itself.
    /// So attempts are made here and not by the SDK, and each write has an id to know it by.
    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        condition: Condition<'_>,
        streams: u32,
    ) -> Result<Option<String>, Fault> {
        let write_id = write_id();
        let (mut attempt, mut may_be_done) = (0, false);
        loop {
            attempt += 1;
            let fault = match self
                .put_once(name, bytes.clone(), condition, &write_id, streams)
                .await
            {
                Ok(etag) => return Ok(Some(etag)),
                Err(fault) => fault,
            };
            if condition.failed(&fault) {
                if !may_be_done {
                    return Ok(None);
                }
                return Ok(self.is_ours(name, &write_id).await?.map(|head| head.etag));
            }
            let conflict = fault.status == Some(409);
            let attempts = if conflict { CONFLICT_ATTEMPTS } else { ATTEMPTS };
            if !fault.is_passing() || attempt >= attempts {
                return Err(fault);
            }
            may_be_done |= fault.may_be_done;
            sleep(pause(attempt)).await;
        }
    }

    /// The object, if it is what the write of this id made.
    pub(super) async fn is_ours(&self, name: &str, write_id: &str) -> Result<Option<Head>, Fault> {
        let head = self.head(name).await?;
        Ok(head.filter(|head| head.write_id.as_deref() == Some(write_id)))
    }

    async fn put_once(
        &self,
        name: &str,
        bytes: Bytes,
        condition: Condition<'_>,
        write_id: &str,
        streams: u32,
    ) -> Result<String, Fault> {
        let (encryption, kms_key) = self.encryption();
        let (none_match, if_match) = condition.headers();
        let once = once(bytes.len() as u64);
        let answer = self
            .client
            .put_object()
            .bucket(&self.config.bucket)
            .key(name)
            .content_type(content_type(name))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_if_none_match(none_match)
            .set_if_match(if_match)
            .metadata(WRITE_ID, write_id)
            .metadata(STREAMS, streams.to_string())
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(Fault::from)?;
        Ok(answer.e_tag.unwrap_or_default())
    }

    pub(super) async fn head(&self, name: &str) -> Result<Option<Head>, Fault> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.config.bucket)
            .key(name)
            .send()
            .await;
        let answer = match answer.map_err(Fault::from) {
            Ok(answer) => answer,
            Err(fault) if fault.status == Some(404) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let mut metadata = answer.metadata.unwrap_or_default();
        Ok(Some(Head {
            length: answer
                .content_length
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0),
            etag: answer.e_tag.unwrap_or_default(),
            write_id: metadata.remove(WRITE_ID),
            streams: metadata.get(STREAMS).and_then(|n| n.parse().ok()).unwrap_or(0),
        }))
    }

    /// Reads an object of at most `limit` bytes, with its etag.
    pub(super) async fn get(&self, name: &str, limit: u64) -> Result<Option<Got>, GetError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.get_once(name, limit).await {
                // Its beginning came and its end did not. The SDK retries only what comes before.
                Err(GetError::Fault(fault))
                    if fault.status.is_none() && fault.is_passing() && attempt < ATTEMPTS =>
                {
                    sleep(pause(attempt)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn get_once(&self, name: &str, limit: u64) -> Result<Option<Got>, GetError> {
        let answered_at = AnsweredAt::default();
        let answer = self
            .client
            .get_object()
            .bucket(&self.config.bucket)
            .key(name)
            .customize()
            .interceptor(answered_at.clone())
            .send()
            .await;
        let mut answer = match answer.map_err(Fault::from) {
            Ok(answer) => answer,
            Err(fault) if fault.status == Some(404) && fault.remedy.is_none() => return Ok(None),
            Err(fault) => return Err(GetError::Fault(fault)),
        };
        let said = answer
            .content_length
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0);
        if said > limit {
            return Err(GetError::TooLong);
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(said).unwrap_or(0));
        loop {
            let Ok(next) = timeout(STALL, answer.body.try_next()).await else {
                return Err(GetError::Fault(Fault::new("the answer stalled")));
            };
            match next {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break,
                Err(_) => return Err(GetError::Fault(Fault::new("the answer broke off"))),
            }
            if bytes.len() as u64 > limit {
                return Err(GetError::TooLong);
            }
        }
        let age = answered_at.age_of(answer.last_modified);
        if age.is_unknown() {
            self.ageless.call_once(|| {
                tracing::warn!(
                    "the store does not tell how old its objects are: calls are taken over by the clocks of the workers. Let the service, \
                     or the proxy before it, answer with `Date` and `Last-Modified`, and keep the clocks of all machines together"
                );
            });
        }
        Ok(Some((bytes.freeze(), answer.e_tag.unwrap_or_default(), age)))
    }

    /// A page of names in byte order, and whether more follow.
    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Item>, bool), Fault> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.config.bucket)
            .prefix(prefix)
            .set_start_after(after)
            .max_keys(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(Fault::from)?;
        let items = answer
            .contents
            .unwrap_or_default()
            .into_iter()
            .filter_map(|object| {
                let modified = object
                    .last_modified
                    .and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos()).ok());
                Some(Item {
                    name: object.key?,
                    size: object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                    modified: modified.unwrap_or(OffsetDateTime::UNIX_EPOCH),
                })
            });
        Ok((items.collect(), answer.is_truncated.unwrap_or(false)))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Fault> {
        self.client
            .delete_object()
            .bucket(&self.config.bucket)
            .key(name)
            .send()
            .await
            .map(|_| ())
            .map_err(Fault::from)
    }

    /// Deletes at most 1,000 objects.
    pub(super) async fn delete_many(&self, names: &[String]) -> Result<(), Fault> {
        let objects = names
            .iter()
            .map(|name| ObjectIdentifier::builder().key(name).build())
            .collect::<Result<Vec<_>, _>>()
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
            .map_err(|error| Fault::new(error.to_string()))?;
        let answer = self
            .client
            .delete_objects()
            .bucket(&self.config.bucket)
            .delete(objects)
            .send()
            .await
            .map_err(Fault::from)?;
        match answer.errors.unwrap_or_default().first() {
            None => Ok(()),
            Some(error) => Err(Fault::new(format!(
                "an object was not deleted: {}",
                error.code().unwrap_or("no error code")
            ))),
        }
    }

    /// A URL that reads the object until `ttl` is over. Makes no request, but may have to fetch credentials.
    pub(super) async fn link(&self, name: &str, ttl: Duration) -> Result<Secret, Fault> {
        let expires = PresigningConfig::expires_in(ttl).map_err(|error| Fault::new(error.to_string()))?;
        // A header for checksums would have to be sent by whoever follows the link.
        let plain = Builder::new().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let request = self
            .client
            .get_object()
            .bucket(&self.config.bucket)
            .key(name)
            .customize()
            .config_override(plain)
            .presigned(expires)
            .await
            .map_err(Fault::from)?;
        Ok(Secret::new(request.uri()))
    }

    pub(super) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.config.encryption {
            S3Encryption::Bucket => (None, None),
            S3Encryption::S3 => (Some(ServerSideEncryption::Aes256), None),
            S3Encryption::Kms(key) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        }
    }
}

impl Condition<'_> {
    /// If-None-Match and If-Match.
    pub(super) fn headers(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Always => (None, None),
            Self::Absent => (Some("*".to_owned()), None),
            Self::Match(etag) => (None, Some(etag.to_owned())),
        }
    }

    /// Whether the fault says that it does not hold: 412, and 404 when the object to be replaced is gone.
    pub(super) fn failed(self, fault: &Fault) -> bool {
        match self {
            Self::Always => false,
            Self::Absent => fault.status == Some(412),
            Self::Match(_) => {
                fault.status == Some(412) || (fault.status == Some(404) && fault.remedy.is_none())
            }
        }
    }
}

pub(super) fn write_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The settings of a request with so many bytes, which the SDK is not to retry.
fn once(bytes: u64) -> Builder {
    transfer(bytes).retry_config(RetryConfig::disabled())
}

/// The settings of a request with so many bytes.
pub(super) fn transfer(bytes: u64) -> Builder {
    Config::builder().timeout_config(limits(Duration::from_secs(bytes / BYTES_PER_SECOND)))
}

pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "ogg")) => "audio/ogg",
        _ => "application/octet-stream",
    }
}
