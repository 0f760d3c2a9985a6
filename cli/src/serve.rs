//! `trunkline serve`: functions, worker and gateway in one process, beside a livekit-server and its Redis.

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use events::agents::Agents;
use platform::{
    clock::{SharedClock, SystemClock},
    config::{self, Config, ProcessEnvironment, QueueConfig, StoreConfig},
    lifecycle::{Ending, Lifecycle},
    livekit::LiveKit,
    queue::{Queue, SqliteQueue},
    store::{FolderStore, Store},
    telemetry,
};
use service::Gateway;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use webhook::WebhookState;
use worker::{Setup, Worker};

use crate::{agents, http_api::with_api, policy, vitals};

/// The arguments of `trunkline serve`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
}

/// Runs until the process is told to end and all calls have ended, or a part of it has failed.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (config, agents) = match configured(&arguments) {
        Ok(configured) => configured,
        Err(report) => {
            eprint!("{report}");
            return Ok(ExitCode::from(config::EXIT_CODE));
        }
    };
    telemetry::init(&config.log).context("setting up the log")?;
    let ports = Ports::open(&config).await?;
    let life = Lifecycle::new();
    // A part that the process cannot do without has ended by itself.
    let failed = CancellationToken::new();
    let http = functions(&config, &ports, &agents, &life, &failed).await?;
    let gateway = Arc::new(gateway(&config).await?);
    start_worker(&config, &ports, agents, &life);
    life.tasks.spawn(vitals::log(life.soft.clone(), gateway.clone()));
    life.tasks
        .spawn(watch(life.clone(), gateway.clone(), failed.clone()));
    life.tasks
        .spawn(try_livekit(life.soft.clone(), ports.livekit.clone()));
    tracing::info!(%http, sip = %gateway.local_addr(), "ready");

    let ending = life
        .supervise(config.worker.drain_limit)
        .await
        .context("waiting for signals")?;
    gateway.shutdown().await;
    tracing::info!(?ending, "ended");
    let is_well = !failed.is_cancelled() && !matches!(ending, Ending::Abandoned(_));
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// At the first signal the gateway takes no new calls; when its SIP stack has died, the process ends.
async fn watch(life: Lifecycle, gateway: Arc<Gateway>, failed: CancellationToken) {
    tokio::select! {
        // Both are cancel-safe: they only wait.
        () = life.soft.cancelled() => gateway.drain(),
        () = gateway.failed() => {
            tracing::error!("the gateway's SIP stack has ended");
            failed.cancel();
            life.soft.cancel();
        }
    }
}

/// Tells at the start what would otherwise show at the first call: an unreachable server, or keys that it does not take.
async fn try_livekit(stop: CancellationToken, livekit: LiveKit) {
    let tried = tokio::select! {
        // Dropping the request does no harm: it only reads.
        () = stop.cancelled() => return,
        tried = livekit.list_rooms(&[]) => tried,
    };
    match tried {
        Ok(rooms) => tracing::info!(rooms = rooms.len(), "LiveKit's API answers"),
        Err(error) => tracing::error!(%error, remedy = error.remedy(), "LiveKit's API does not do as asked"),
    }
}

/// Configuration and profiles, or the report of all that is wrong with them.
fn configured(arguments: &Arguments) -> Result<(Config, worker::Agents), String> {
    let terminal = std::io::stderr().is_terminal();
    let width = crossterm::terminal::size().map_or(100, |(columns, _)| usize::from(columns));
    let config = config::load(Some(&arguments.config), &ProcessEnvironment)
        .map_err(|faults| faults.report(width, terminal))?;
    let agents = agents::load(&config).map_err(|faults| {
        let list = faults.0.join("\n  ");
        let noun = if faults.0.len() == 1 { "fault" } else { "faults" };
        format!("{} {noun} in the agent profiles\n\n  {list}\n", faults.0.len())
    })?;
    Ok((config, agents))
}

/// What the parts share.
struct Ports {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    clock: SharedClock,
    livekit: LiveKit,
}

impl Ports {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let QueueConfig::Sqlite(path) = &config.queue;
        let queue = SqliteQueue::open(path, clock.clone())
            .await
            .with_context(|| format!("opening the queue {} (key `queue`)", path.display()))?;
        let StoreConfig::Folder(folder) = &config.store;
        let store = FolderStore::open(folder)
            .await
            .with_context(|| format!("opening the store {} (key `store`)", folder.display()))?;
        let livekit = LiveKit::new(&config.livekit).context("setting up LiveKit's API")?;
        Ok(Self {
            store: Arc::new(store),
            queue: Arc::new(queue),
            clock,
            livekit,
        })
    }
}

impl Ports {
    fn for_api(&self) -> api::Parts {
        api::Parts {
            livekit: self.livekit.clone(),
            queue: self.queue.clone(),
            store: self.store.clone(),
            links: Arc::new(api::NoLinks),
            clock: self.clock.clone(),
        }
    }
}

/// How long requests and idle connections may hold up a process that is told to end.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Starts the functions; returns the address that they listen on.
async fn functions(
    config: &Config,
    ports: &Ports,
    agents: &worker::Agents,
    life: &Lifecycle,
    failed: &CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen} (key `http.listen`)"))?;
    let address = listener
        .local_addr()
        .context("asking for the address of the functions")?;
    let router = webhook::router(webhook_state(config, ports, agents)?);
    let router = with_api(router, config, &ports.for_api())?;
    let (soft, hard, failed) = (life.soft.clone(), life.hard.clone(), failed.clone());
    life.tasks.spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(soft.clone().cancelled_owned());
        let last_requests = async {
            soft.cancelled().await;
            tokio::time::sleep(LAST_REQUESTS).await;
        };
        tokio::select! {
            // Dropped with its connections, by either: a request that is under way is sent again by its sender.
            () = hard.cancelled() => {}
            () = last_requests => {}
            ended = server.into_future() => if let Err(error) = ended {
                tracing::error!(%error, "the functions ended");
                failed.cancel();
                soft.cancel();
            }
        }
    });
    Ok(address)
}

fn webhook_state(config: &Config, ports: &Ports, agents: &worker::Agents) -> anyhow::Result<WebhookState> {
    let entries = config.agents.iter().filter_map(|rule| {
        let hash = agents.get(&rule.profile)?.hash.clone();
        Some((rule.clone(), hash))
    });
    let agents = Agents::new(entries.collect())
        .map_err(|overlaps| anyhow::anyhow!("{} entries of `agents` overlap", overlaps.len()))?;
    let keys = config.livekit.webhook_keys.iter();
    Ok(WebhookState {
        keys: webhook::Keys::new(keys.map(|key| (key.api_key.clone(), key.api_secret.clone()))),
        policy: webhook::Policy {
            agents,
            close: policy::close(config),
        },
        queue: ports.queue.clone(),
        store: ports.store.clone(),
        clock: ports.clock.clone(),
        rooms: Some(Arc::new(ports.livekit.clone())),
    })
}

fn start_worker(config: &Config, ports: &Ports, agents: worker::Agents, life: &Lifecycle) {
    let name = format!("worker-{}", std::process::id());
    let setup = Setup::new(
        &name,
        &config.livekit.url,
        ports.livekit.clone(),
        agents,
        worker::Shared {
            store: ports.store.clone(),
            queue: ports.queue.clone(),
            clock: ports.clock.clone(),
        },
        &config.worker,
    );
    life.tasks.spawn(Worker::new(setup).run(life.clone()));
}

async fn gateway(config: &Config) -> anyhow::Result<Gateway> {
    let config = policy::gateway(config)?;
    Gateway::start(config).await.context("starting the gateway")
}
