//! The store on S3.

mod age;
mod bucket;
mod merge;
mod multipart;
mod segments;
mod spool;
mod stream;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::{
    bucket::{Bucket, Condition, GetError},
    merge::Core,
    segments::INTERNAL,
    spool::Spool,
    stream::S3Append,
};
use super::{
    Age, Append, ETag, Entry, Listing, MAX_LINK_TTL, MAX_OBJECT_BYTES, MAX_PAGE, Object, Page, Store,
    StoreError,
    folder::blocking,
    key::{Key, parse_prefix},
};
use crate::{
    Secret,
    aws::{Access, fault::Fault},
    clock::SharedClock,
    config::{S3Config, S3Encryption, S3Target},
};

/// How often the spool is looked through for streams that nobody writes any more.
const RESCUE_EVERY: Duration = Duration::from_mins(1);
/// A stream without a writer is left to whoever takes its call over for so long.
const RESCUE_AFTER: Duration = Duration::from_mins(3);

/// The store on S3, or on a service that speaks its language, for any number of machines.
///
/// # How the contract is kept
///
/// - Conditional writes are S3's own: `If-None-Match: *` and `If-Match`. A write that S3 puts off because another one is
///   under way (409) is tried again. One whose answer was lost may have happened; each write has an id in the object's
///   metadata (`trunkline-write`), so that the next attempt knows its own and does not lose against itself.
/// - The etag is S3's. Equal etags mean equal bytes for objects that one request wrote without KMS.
/// - [`Store::delete`] asks whether there is an object or a stream and then deletes it: of two that delete one object at
///   the same time, both may be told that there was one.
/// - Names in the bucket that are no keys are not listed.
///
/// # Streams
///
/// S3 cannot append. A stream is written to a file in the spool folder of this machine, which is what
/// [`Append::flush`] waits for. Every [`SYNC_EVERY`](super::SYNC_EVERY), or 1 MiB, what has gathered is uploaded in the
/// background as a small object under `.trunkline/streams/`, so that another machine can go on: it loses at most what was
/// not yet uploaded. [`Append::finish`] uploads the whole as one object and deletes the small ones. Only then is there an
/// object under its key.
///
/// When the writer dies, the next [`Store::append`] goes on at the end of what is stored, and [`Store::recover`] makes the
/// object of it. Both first store what the dead writer left in the spool, if they run on its machine. Whoever opens the
/// store on that machine does so too, after three minutes; what another machine has gone on without by then is dropped
/// with a warning. When S3 fails, streams go on: the spool keeps all, as far as the disk does.
///
/// A stream takes some 100 KiB of memory, and up to 4 MiB while a segment is uploaded after S3 failed, 8 MiB while it is
/// completed, 16 MiB while another machine's segments are read.
#[derive(Clone)]
pub struct S3Store {
    core: Arc<Core>,
    clock: SharedClock,
    _rescuer: Arc<Rescuer>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Store").field(&self.core.bucket.config).finish()
    }
}

/// Stores what streams have left behind, until the store is closed.
struct Rescuer {
    _stop: DropGuard,
    _tasks: TaskTracker,
}

impl S3Store {
    /// Makes the client, and begins to store what earlier processes have left in the spool. Asks nothing of S3 if they
    /// have left nothing.
    pub async fn new(config: &S3Config, access: &Access, clock: SharedClock) -> Self {
        let place = format!(
            "{}/{}/{}",
            config.endpoint.as_deref().unwrap_or("aws"),
            config.bucket,
            config.prefix
        );
        let core = Arc::new(Core {
            bucket: Bucket::new(config, access).await,
            spool: Spool::new(config.spool.clone(), place),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(rescue_until(stop.clone(), Arc::downgrade(&core), clock.clone()));
        Self {
            core,
            clock,
            _rescuer: Arc::new(Rescuer {
                _stop: stop.drop_guard(),
                _tasks: tasks,
            }),
        }
    }

    /// Asks whether the bucket can be used.
    ///
    /// # Errors
    /// [`StoreError::Denied`] with the remedy, or [`StoreError::Unavailable`].
    pub async fn check(&self) -> Result<(), StoreError> {
        let listed = self.core.bucket.list(&self.core.name(""), None, 1).await;
        listed
            .map(|_| ())
            .map_err(|fault| failed("list its objects", fault))
    }

    /// Stores and completes the streams of this machine's spool that nobody has written for `age`. Returns how many keys
    /// that were. It is done by itself every minute, with three minutes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the spool cannot be read. A stream that cannot be stored is left for the next time.
    pub async fn rescue(&self, age: Duration) -> Result<usize, StoreError> {
        rescue(&self.core, age, self.clock.now().into()).await
    }

    async fn write(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition<'_>,
    ) -> Result<Option<ETag>, StoreError> {
        let key = Key::parse(key)?;
        if bytes.len() > MAX_OBJECT_BYTES {
            return Err(too_long());
        }
        let written = self
            .core
            .bucket
            .put(&self.core.name(key.as_str()), bytes, condition, 0)
            .await;
        written
            .map(|etag| etag.map(ETag::new))
            .map_err(|fault| failed("write an object", fault))
    }
}

async fn rescue_until(stop: CancellationToken, core: Weak<Core>, clock: SharedClock) {
    let mut ticks = interval(RESCUE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Both are cancel-safe.
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(core) = core.upgrade() else { return };
        if let Err(error) = rescue(&core, RESCUE_AFTER, clock.now().into()).await {
            tracing::warn!(%error, "the spool was not looked through");
        }
    }
}

async fn rescue(core: &Core, age: Duration, now: SystemTime) -> Result<usize, StoreError> {
    let spool = core.spool.clone();
    let keys = blocking("look through its spool", move || spool.keys_left_behind(age, now)).await?;
    let mut rescued = 0;
    for key in keys {
        match core.recover(&key).await {
            Ok(_) => {
                rescued += 1;
                tracing::info!(key, "a stream that was left behind is stored");
            }
            Err(error) => tracing::warn!(%error, key, "a stream that was left behind waits on this machine"),
        }
    }
    Ok(rescued)
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<ETag, StoreError> {
        let written = self.write(key, bytes, Condition::Always).await?;
        written.ok_or_else(|| {
            failed(
                "write an object",
                Fault::new("it was refused without a condition"),
            )
        })
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.write(key, bytes, Condition::Absent).await
    }

    async fn put_if_match(&self, key: &str, etag: &ETag, bytes: Bytes) -> Result<Option<ETag>, StoreError> {
        self.write(key, bytes, Condition::Match(etag.as_str())).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        Ok(self.get_aged(key).await?.map(|(object, _)| object))
    }

    async fn get_aged(&self, key: &str) -> Result<Option<(Object, Age)>, StoreError> {
        let name = self.core.name(Key::parse(key)?.as_str());
        match self.core.bucket.get(&name, MAX_OBJECT_BYTES as u64).await {
            Ok(found) => Ok(found.map(|(bytes, etag, age)| {
                let etag = ETag::new(etag);
                (Object { bytes, etag }, age)
            })),
            Err(GetError::TooLong) => Err(too_long()),
            Err(GetError::Fault(fault)) => Err(failed("read an object", fault)),
        }
    }

    fn age_slack(&self) -> Duration {
        age::SLACK
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        parse_prefix(prefix)?;
        if page.limit == 0 || page.limit > MAX_PAGE {
            return Err(StoreError::Refused {
                what: "page limit",
                limit: "1 to 1,000 keys",
            });
        }
        let root = self.core.name("");
        let after = page.after.map(|after| format!("{root}{after}"));
        let (items, more) = self
            .core
            .bucket
            .list(&format!("{root}{prefix}"), after, page.limit)
            .await
            .map_err(|fault| failed("list its objects", fault))?;
        let last = items
            .last()
            .and_then(|item| item.name.strip_prefix(&root))
            .map(behind);
        let entries = items.into_iter().filter_map(|item| {
            let key = item.name.strip_prefix(&root)?;
            Key::parse(key).ok()?;
            Some(Entry {
                key: key.to_owned(),
                size: item.size,
                modified: item.modified,
            })
        });
        Ok(Listing {
            entries: entries.collect(),
            next: last.filter(|_| more),
        })
    }

    async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        let key = Key::parse(key)?;
        self.core.delete(key.as_str()).await
    }

    async fn append(&self, key: &str) -> Result<Box<dyn Append>, StoreError> {
        let key = Key::parse(key)?;
        Ok(Box::new(S3Append::open(self.core.clone(), key.as_str()).await?))
    }

    async fn recover(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.core.recover(Key::parse(key)?.as_str()).await
    }

    async fn link(&self, key: &str, ttl: Duration) -> Result<Option<Secret>, StoreError> {
        let key = Key::parse(key)?;
        check_ttl(ttl)?;
        let link = self.core.bucket.link(&self.core.name(key.as_str()), ttl).await;
        link.map(Some).map_err(|fault| failed("make a link", fault))
    }

    fn location(&self, key: &str) -> Result<String, StoreError> {
        let key = Key::parse(key)?;
        let bucket = &self.core.bucket.config.bucket;
        Ok(format!("s3://{bucket}/{}", self.core.name(key.as_str())))
    }
}

/// A URL that reads the file `key` of `recordings.s3` until `ttl` is over, which is at most [`MAX_LINK_TTL`]. Makes no request.
///
/// # Errors
/// [`StoreError::Refused`] for a time out of bounds; [`StoreError::Unavailable`] when no link can be made of it.
pub async fn link_to_file(target: &S3Target, key: &str, ttl: Duration) -> Result<Secret, StoreError> {
    check_ttl(ttl)?;
    let access = Access::Keys {
        id: target.access_key.clone(),
        secret: target.secret.clone(),
    };
    let config = S3Config {
        bucket: target.bucket.clone(),
        prefix: String::new(),
        region: target.region.clone(),
        endpoint: target.endpoint.clone(),
        path_style: target.path_style,
        encryption: S3Encryption::Bucket,
        spool: PathBuf::new(),
    };
    let bucket = Bucket::new(&config, &access).await;
    let link = bucket.link(key, ttl).await;
    link.map_err(|fault| failed("make a link", fault))
}

fn check_ttl(ttl: Duration) -> Result<(), StoreError> {
    if ttl < Duration::from_secs(1) || ttl > MAX_LINK_TTL {
        return Err(StoreError::Refused {
            what: "the time of a link",
            limit: "1 s to 7 days",
        });
    }
    Ok(())
}

/// Where the next page begins: behind all that is internal, if the last name was.
fn behind(last: &str) -> String {
    if last.starts_with(INTERNAL) {
        // `0` is the byte behind `/`.
        return format!("{}0", INTERNAL.trim_end_matches('/'));
    }
    last.to_owned()
}

fn too_long() -> StoreError {
    StoreError::Refused {
        what: "object",
        limit: "at most 64 MiB",
    }
}

fn failed(action: &'static str, fault: Fault) -> StoreError {
    match fault.remedy {
        Some(remedy) => StoreError::Denied {
            action,
            remedy,
            source: Box::new(fault),
        },
        None => StoreError::Unavailable {
            action,
            source: Box::new(fault),
        },
    }
}
