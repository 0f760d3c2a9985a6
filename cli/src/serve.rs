//! `trunkline serve`: functions, worker and gateway in one process, beside a livekit-server and its Redis.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use events::agents::Agents;
use host::{Host, Limits};
use platform::{
    aws::{Access, TaskProtection},
    clock::{SharedClock, SystemClock},
    config::{self, Config, Environment, ProcessEnvironment, WithoutGateway},
    lifecycle::{Ending, Lifecycle},
    livekit::LiveKit,
    queue::{self, Queue},
    store::{self, Store},
    targets::Policy,
    telemetry,
};
use service::Gateway;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use webhook::WebhookState;
use worker::{Setup, Worker};

use crate::{agents, configuration, http_api::with_api, policy, registrations, vitals};

/// The arguments of `trunkline serve`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
    /// Run this part alone; the others run elsewhere, with the same queue and store.
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
}

/// What can run in a process of its own.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The webhook function and the sweep.
    Functions,
    /// The worker, which holds the conversations.
    Worker,
    /// The gateway between SIP and rooms.
    Gateway,
}

impl Arguments {
    fn runs(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Runs until the process is told to end and all calls have ended, or a part of it has failed.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let life = Lifecycle::new();
    life.take_signals().context("waiting for signals")?;
    // Secrets may come from elsewhere, and slowly.
    let (config, agents) = match life.prepare(configured(&arguments)).await {
        Some(Ok(configured)) => configured,
        Some(Err(report)) => {
            eprint!("{report}");
            return Ok(ExitCode::from(config::EXIT_CODE));
        }
        None => return Ok(ExitCode::SUCCESS),
    };
    telemetry::init(&config.log).context("setting up the log")?;
    let starting = Box::pin(start(&arguments, &config, &agents, &life));
    let Some(started) = life.prepare(starting).await else {
        tracing::info!("told to end before it was ready");
        // The functions may have served for some seconds.
        let ending = life.supervise(config.worker.drain_limit).await;
        tracing::info!(?ending, "ended");
        return Ok(ExitCode::SUCCESS);
    };
    let Started {
        livekit,
        ports,
        http,
        worker,
        gateway,
    } = started?;
    // A part that the process cannot do without has ended by itself.
    let failed = CancellationToken::new();
    if let Some(ports) = ports.as_ref().filter(|_| arguments.runs(Part::Functions)) {
        start_sweep(&config, ports, &agents, &life)?;
    }
    if let Some(worker) = worker {
        life.tasks.spawn(worker.run(life.clone()));
    }
    life.tasks.spawn(vitals::log(life.soft.clone(), gateway.clone()));
    if let Some(gateway) = gateway.clone() {
        life.tasks.spawn(watch(life.clone(), gateway, failed.clone()));
    }
    life.tasks.spawn(try_livekit(life.soft.clone(), livekit));
    let sip = gateway.as_ref().map(|gateway| gateway.local_addr());
    tracing::info!(
        http = http.map(tracing::field::display),
        sip = sip.map(tracing::field::display),
        "ready"
    );

    let ended = async {
        let ending = life.supervise(config.worker.drain_limit).await;
        life.hard.cancel();
        ending
    };
    let hung_up = async {
        // Not only when all tasks have ended: who is told to stop now waits for none.
        life.hard.cancelled().await;
        if let Some(gateway) = gateway {
            gateway.shutdown().await;
        }
    };
    let (ending, ()) = tokio::join!(ended, hung_up);
    tracing::info!(?ending, "ended");
    let is_well = !failed.is_cancelled() && !matches!(ending, Ending::Abandoned(_));
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The parts that are ready.
struct Started {
    livekit: LiveKit,
    ports: Option<Ports>,
    http: Option<SocketAddr>,
    worker: Option<Worker>,
    gateway: Option<Arc<Gateway>>,
}

async fn start(
    arguments: &Arguments,
    config: &Config,
    agents: &worker::Agents,
    life: &Lifecycle,
) -> anyhow::Result<Started> {
    let livekit = LiveKit::new(&config.livekit).context("setting up LiveKit's API")?;
    let ports = if arguments.only == Some(Part::Gateway) {
        None
    } else {
        Some(Ports::open(config, livekit.clone()).await?)
    };
    let mut http = None;
    // For health, which is served before it.
    let to_come: Arc<OnceLock<Arc<Gateway>>> = Arc::default();
    if let Some(ports) = ports.as_ref().filter(|_| arguments.runs(Part::Functions)) {
        http = Some(functions(config, ports, agents, life, &to_come)?);
    }
    // Before a phone can call: no caller waits for what is prepared once.
    let mut worker = None;
    if let Some(ports) = ports.as_ref().filter(|_| arguments.runs(Part::Worker)) {
        let prepared = new_worker(config, ports, agents.clone())?;
        prepared.prepare().await;
        worker = Some(prepared);
    }
    let mut gateway = None;
    if arguments.runs(Part::Gateway) {
        let store = match &ports {
            Some(ports) => (config.sip.records != Some(false)).then(|| Arc::clone(&ports.store)),
            None if config.sip.records == Some(true) => {
                Some(open_store(config, Arc::new(SystemClock)).await?)
            }
            None => None,
        };
        let started = Arc::new(start_gateway(config, store).await?);
        gateway = Some(Arc::clone(to_come.get_or_init(|| started)));
    }
    Ok(Started {
        livekit,
        ports,
        http,
        worker,
        gateway,
    })
}

/// At the first signal the gateway takes no new calls, and this lasts as long as those that it has; when its SIP stack has died, the
/// process ends.
async fn watch(life: Lifecycle, gateway: Arc<Gateway>, failed: CancellationToken) {
    let drained = async {
        life.soft.cancelled().await;
        gateway.drain();
        gateway.idle().await;
    };
    tokio::select! {
        // All are cancel-safe: they only wait.
        () = drained => {}
        () = life.hard.cancelled() => {}
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
async fn configured(arguments: &Arguments) -> Result<(Config, worker::Agents), String> {
    let elsewhere = WithoutGateway(ProcessEnvironment);
    let env: &dyn Environment = if arguments.runs(Part::Gateway) {
        &ProcessEnvironment
    } else {
        &elsewhere
    };
    let config = configuration::read(&arguments.config, env)
        .await
        .map_err(|faults| configuration::report(&faults))?;
    if arguments.only == Some(Part::Gateway) {
        // It knows no agent, and its machine may have no profiles.
        return Ok((config, worker::Agents::default()));
    }
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
    async fn open(config: &Config, livekit: LiveKit) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let access = Access::DefaultChain;
        let queue = queue::open(&config.queue, &access, clock.clone())
            .await
            .with_context(|| format!("opening the queue {} (key `queue`)", config.queue))?;
        let store = open_store(config, clock.clone()).await?;
        Ok(Self {
            store,
            queue,
            clock,
            livekit,
        })
    }
}

impl Ports {
    fn for_api(&self, config: &Config, beside: api::Beside) -> api::Parts {
        api::Parts {
            livekit: self.livekit.clone(),
            queue: self.queue.clone(),
            store: self.store.clone(),
            link_secret: config.livekit.api_secret.clone(),
            clock: self.clock.clone(),
            beside: vec![beside],
        }
    }
}

/// Starts the functions; returns the address that they listen on.
fn functions(
    config: &Config,
    ports: &Ports,
    agents: &worker::Agents,
    life: &Lifecycle,
    gateway: &Arc<OnceLock<Arc<Gateway>>>,
) -> anyhow::Result<SocketAddr> {
    let listen = config.http.listen;
    let listener =
        host::listen(listen).with_context(|| format!("listening on {listen} (key `http.listen`)"))?;
    let address = listener
        .local_addr()
        .context("asking for the address of the functions")?;
    let router = webhook::router(webhook_state(config, ports, agents)?);
    let given = ports.for_api(config, registrations::beside(gateway));
    let router = with_api(router, config, &given)?;
    let host = Host::new(listener, router, Limits::default());
    life.tasks.spawn(host.run(life.clone()));
    Ok(address)
}

fn webhook_state(config: &Config, ports: &Ports, agents: &worker::Agents) -> anyhow::Result<WebhookState> {
    let entries = config.agents.iter().filter_map(|rule| {
        let hash = agents.get(&rule.profile)?.hash.clone();
        Some((rule.clone(), hash))
    });
    let agents = Agents::new(entries.collect())
        .map_err(|overlaps| anyhow::anyhow!("{} entries of `agents` overlap", overlaps.len()))?;
    Ok(WebhookState::configured(
        config,
        agents,
        &ports.livekit,
        ports.queue.clone(),
        ports.store.clone(),
        ports.clock.clone(),
    ))
}

/// How often the sweep runs, the first time at once.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Repairs what a lost webhook or a dead process left open. It stops with the functions: what is open then, the next start finds.
fn start_sweep(
    config: &Config,
    ports: &Ports,
    agents: &worker::Agents,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let webhook = webhook_state(config, ports, agents)?;
    let state = sweep::State::new(webhook, &ports.livekit, config.worker.heartbeat);
    let soft = life.soft.clone();
    life.tasks.spawn(async move {
        let mut ticks = interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Both are cancel-safe: a run that is cut off is completed by the next one, of this process or another.
            tokio::select! {
                () = soft.cancelled() => return,
                _ = async { ticks.tick().await; sweep::sweep(&state).await } => {}
            }
        }
    });
    Ok(())
}

fn new_worker(config: &Config, ports: &Ports, agents: worker::Agents) -> anyhow::Result<Worker> {
    // The same process id may well be another worker's on another machine.
    let name = format!("worker-{}-{:08x}", std::process::id(), rand::random::<u32>());
    let setup = Setup::new(
        &name,
        &config.livekit.url,
        ports.livekit.clone(),
        agents,
        config.sip.regions(),
        worker::Shared {
            store: ports.store.clone(),
            queue: ports.queue.clone(),
            clock: ports.clock.clone(),
            targets: Policy::new(config.calls.targets.clone()),
        },
        &config.worker,
    );
    let task =
        TaskProtection::of(&ProcessEnvironment).context("setting up the protection of the ECS task")?;
    Ok(Worker::new(match task {
        Some(task) => setup.protected_by(task),
        None => setup,
    }))
}

async fn open_store(config: &Config, clock: SharedClock) -> anyhow::Result<Arc<dyn Store>> {
    store::open(&config.store, &Access::DefaultChain, clock)
        .await
        .with_context(|| format!("opening the store {} (key `store`)", config.store))
}

async fn start_gateway(config: &Config, store: Option<Arc<dyn Store>>) -> anyhow::Result<Gateway> {
    let config = policy::gateway(config)?;
    Gateway::start(config, store)
        .await
        .context("starting the gateway")
}
