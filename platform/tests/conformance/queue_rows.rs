//! What the suite of the queue port runs on: one row for each URL.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider},
    types::QueueAttributeName,
};
use platform::{
    aws::Access,
    clock::{ManualClock, SharedClock, SystemClock},
    config::{self, Environment, ProcessEnvironment, QueueConfig, SqsConfig},
    queue::{self, MAX_RECEIVES, Queue, Sent},
};
use tokio::sync::Mutex;

use crate::{Wrong, ministack};

/// An empty queue, and its time.
pub(crate) struct QueueRow {
    config: QueueConfig,
    access: Access,
    time: Time,
    queue: Arc<dyn Queue>,
    wrong: Wrong,
    /// Deletes what the row has made at a service.
    sqs: Option<Client>,
    /// Lives as long as the row.
    _folder: tempfile::TempDir,
}

enum Time {
    /// The queue goes by this clock.
    Manual(ManualClock),
    /// The adapter goes by the clock, and the service behind it by its own, which is moved along.
    Both(ManualClock, Mutex<ministack::Lent>),
    /// It passes by itself.
    Real,
}

/// What MiniStack does otherwise than SQS.
const MINISTACK_IS_WRONG: Wrong = &[(
    "a_receipt_whose_lease_has_ended_is_stale_for_another_process_too",
    "it takes a heartbeat for a lease that is over, as long as nobody has received the body again",
)];

/// A queue in a file.
pub(crate) async fn sqlite() -> Option<QueueRow> {
    let clock = ManualClock::default();
    Some(
        row(
            "sqlite:sub/queue.sqlite",
            Access::DefaultChain,
            Time::Manual(clock),
            &[],
        )
        .await,
    )
}

/// A queue at a MiniStack that the test has started.
pub(crate) async fn sqs_ministack() -> Option<QueueRow> {
    let server = ministack::lend().await;
    let url = format!(
        "sqs:{}/000000000000/jobs.fifo?region={}",
        server.url(),
        dev::MiniStack::REGION
    );
    let time = Time::Both(ManualClock::default(), Mutex::new(server));
    Some(row(&url, ministack::access(), time, MINISTACK_IS_WRONG).await)
}

/// The queue that `TRUNKLINE_TEST_QUEUE` names. At SQS it stands for the beginning of the names of queues that are made,
/// and deleted afterwards.
pub(crate) async fn of_the_environment() -> Option<QueueRow> {
    let Some(url) = ProcessEnvironment.var("TRUNKLINE_TEST_QUEUE") else {
        println!("skipped: TRUNKLINE_TEST_QUEUE is not set");
        return None;
    };
    Some(row(&url, Access::DefaultChain, Time::Real, &[]).await)
}

async fn row(url: &str, access: Access, time: Time, wrong: Wrong) -> QueueRow {
    let folder = tempfile::tempdir().unwrap();
    let env: &dyn Environment = match time {
        Time::Real => &ProcessEnvironment,
        _ => &BTreeMap::<String, String>::new(),
    };
    let mut config = config::queue(url, folder.path(), env).unwrap();
    let mut sqs = None;
    match &mut config {
        QueueConfig::Sqlite(path) => *path = fresh_path(path),
        QueueConfig::Sqs(config) => {
            let client = client(config, &access).await;
            make_queues(&client, config).await;
            sqs = Some(client);
        }
    }
    let queue = queue::open(&config, &access, time.clock()).await.unwrap();
    QueueRow {
        config,
        access,
        time,
        queue,
        wrong,
        sqs,
        _folder: folder,
    }
}

/// Makes a queue at a MiniStack; returns its URL.
pub(crate) async fn fresh_queue(url: &str) -> String {
    let parsed = config::queue(url, Path::new("."), &BTreeMap::<String, String>::new()).unwrap();
    let QueueConfig::Sqs(mut config) = parsed else {
        panic!("{url}")
    };
    make_queues(&client(&config, &ministack::access()).await, &mut config).await;
    format!("sqs:{}?region={}", config.url, config.region)
}

/// Beside what the URL names, so that each test has its own.
fn fresh_path(path: &Path) -> std::path::PathBuf {
    path.with_extension(format!("{:016x}.sqlite", rand::random::<u64>()))
}

impl Time {
    fn clock(&self) -> SharedClock {
        match self {
            Self::Manual(clock) | Self::Both(clock, _) => Arc::new(clock.clone()),
            Self::Real => Arc::new(SystemClock),
        }
    }
}

impl QueueRow {
    pub(crate) fn queue(&self) -> &dyn Queue {
        &*self.queue
    }

    /// The same queue through another connection, as another process has it.
    pub(crate) async fn elsewhere(&self) -> Arc<dyn Queue> {
        queue::open(&self.config, &self.access, self.time.clock())
            .await
            .unwrap()
    }

    /// Lets time pass for leases and dedup ids.
    pub(crate) async fn pass(&self, by: Duration) {
        match &self.time {
            Time::Manual(clock) => clock.advance(by),
            Time::Both(clock, server) => {
                server.lock().await.advance(by).unwrap();
                clock.advance(by);
            }
            Time::Real => tokio::time::sleep(by).await,
        }
    }

    /// What a send of something new is answered with.
    pub(crate) fn enqueued(&self) -> Sent {
        match self.config {
            QueueConfig::Sqlite(_) => Sent::Enqueued,
            QueueConfig::Sqs(_) => Sent::Accepted,
        }
    }

    /// What a send of something that came before is answered with.
    pub(crate) fn duplicate(&self) -> Sent {
        match self.config {
            QueueConfig::Sqlite(_) => Sent::Duplicate,
            QueueConfig::Sqs(_) => Sent::Accepted,
        }
    }

    /// How long its counts may take to be right.
    pub(crate) fn settling(&self) -> Duration {
        match (&self.config, &self.time) {
            (QueueConfig::Sqlite(_), _) => Duration::ZERO,
            // What an abandoned receive brought is still being given back.
            (_, Time::Manual(_) | Time::Both(..)) => Duration::from_secs(10),
            (_, Time::Real) => Duration::from_mins(3),
        }
    }

    pub(crate) fn wrong(&self) -> Wrong {
        self.wrong
    }

    pub(crate) async fn close(self) {
        let (Some(client), QueueConfig::Sqs(config)) = (self.sqs, self.config) else {
            return;
        };
        for url in [&config.url, &config.url.replace(".fifo", "-dead.fifo")] {
            client.delete_queue().queue_url(url).send().await.unwrap();
        }
    }
}

async fn client(config: &SqsConfig, access: &Access) -> Client {
    let credentials = match access {
        Access::Keys { id, secret } => {
            SharedCredentialsProvider::new(Credentials::new(id, secret.expose(), None, None, "test"))
        }
        Access::DefaultChain => {
            let loaded = aws_config::load_defaults(BehaviorVersion::latest()).await;
            loaded.credentials_provider().unwrap()
        }
    };
    Client::from_conf(
        aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .endpoint_url(&config.endpoint)
            .credentials_provider(credentials)
            .build(),
    )
}

/// Makes a queue with dead letters, named like the one of the URL and no other.
async fn make_queues(client: &Client, config: &mut SqsConfig) {
    use QueueAttributeName::{DeduplicationScope, FifoQueue, FifoThroughputLimit, QueueArn, RedrivePolicy};
    let name = config.name().trim_end_matches(".fifo").to_owned();
    let name = format!("{name}-{:016x}", rand::random::<u64>());
    let make = |name: String| {
        let queue = client.create_queue().queue_name(format!("{name}.fifo"));
        queue.attributes(FifoQueue, "true")
    };
    let dead = make(format!("{name}-dead"))
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let arn = client
        .get_queue_attributes()
        .queue_url(dead)
        .attribute_names(QueueArn)
        .send()
        .await
        .unwrap()
        .attributes
        .unwrap()
        .remove(&QueueArn)
        .unwrap();
    let redrive = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{MAX_RECEIVES}"}}"#);
    config.url = make(name)
        .attributes(DeduplicationScope, "messageGroup")
        .attributes(FifoThroughputLimit, "perMessageGroupId")
        .attributes(RedrivePolicy, redrive)
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
}
