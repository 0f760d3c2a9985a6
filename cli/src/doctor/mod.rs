//! `trunkline doctor`: tries everything that a call depends on, one thing by itself, and says what is wrong and what to do.
//!
//! It reads the configuration as `serve` does, and asks the servers as `serve` would. No telephone rings and no agent comes: the sound is
//! tried in a room of its own, which it removes, and a call by what LiveKit would answer to it. It makes queue and store where they are
//! missing, and leaves nothing in them. The providers of the agents are asked for a few words, which costs as much.

mod call;
mod edge;
mod finding;
mod invite;
mod media;
mod providers;
mod server;
mod sound;
mod trunks;
mod watch;

use std::{future::Future, io::Write, path::PathBuf, pin::Pin, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::ValueEnum;
use platform::{
    aws::Access,
    clock::{SharedClock, SystemClock},
    config::{Config, Environment, ProcessEnvironment, WithoutGateway},
    livekit::LiveKit,
    queue, store,
};
use tokio::time::timeout;

use crate::{
    configuration,
    paint::{Line, Paper},
};
use finding::{Finding, Severity};

/// How long one area may take.
const LIMIT: Duration = Duration::from_secs(15);
/// What it exits with when there are warnings, and nothing worse.
const WARNINGS: u8 = 2;

/// The arguments of `trunkline doctor`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
    /// Look at these areas alone.
    #[arg(long, value_name = "AREA", value_delimiter = ',')]
    only: Vec<Area>,
    /// Where webhooks are posted to; default: `http.listen` of the configuration.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// No gateway runs on this machine: `media` and `gateway` are left out.
    #[arg(long)]
    without_gateway: bool,
    /// Print one JSON object; with --watch one a line, for each change.
    #[arg(long)]
    json: bool,
    /// Look again every so many seconds, and tell what has changed. Providers are asked once, unless --only names them.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

/// What can be looked at, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Area {
    /// livekit-server answers, and takes the key.
    Livekit,
    /// Its clock and ours.
    Clock,
    /// It can serve telephones: it has a Redis.
    Sip,
    /// It can be asked over our Redis.
    Bus,
    /// Trunks and rules at the server, and beside the configuration.
    Trunks,
    /// A call to each configured number: trunk, rule, agent. No phone rings.
    Call,
    /// Two participants hear each other in a room.
    Sound,
    /// Addresses and ports of the sound.
    Media,
    /// The gateway answers SIP.
    Gateway,
    /// A signed test webhook is taken.
    Webhook,
    /// Where jobs wait.
    Queue,
    /// Where calls are kept.
    Store,
    /// Recordings by LiveKit.
    Egress,
    /// Streams into rooms.
    Ingress,
    /// What agents hear, think and speak with.
    Providers,
}

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Livekit => "livekit",
            Self::Clock => "clock",
            Self::Sip => "sip",
            Self::Bus => "bus",
            Self::Trunks => "trunks",
            Self::Call => "call",
            Self::Sound => "sound",
            Self::Media => "media",
            Self::Gateway => "gateway",
            Self::Webhook => "webhook",
            Self::Queue => "queue",
            Self::Store => "store",
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Providers => "providers",
        }
    }
}

/// Looks, tells, and exits with 1 when something is broken, with 2 when something is doubtful.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let elsewhere = WithoutGateway(ProcessEnvironment);
    let env: &dyn Environment = if arguments.without_gateway {
        &elsewhere
    } else {
        &ProcessEnvironment
    };
    let config = match configuration::load(&arguments.config, env).await {
        Ok(config) => config,
        Err(refused) => return Ok(refused),
    };
    let livekit = LiveKit::new(&config.livekit).context("setting up LiveKit's API")?;
    let patient = Patient {
        config,
        livekit,
        webhook_url: arguments.webhook_url.clone(),
    };
    if let Some(seconds) = arguments.watch {
        let every = Duration::from_secs(seconds);
        return Box::pin(watch::run(&patient, arguments, every)).await;
    }
    let findings = Box::pin(patient.examine(&arguments.areas())).await;
    if arguments.json {
        let (errors, warnings) = (
            count(&findings, Severity::Error),
            count(&findings, Severity::Warning),
        );
        let told = finding::json(&findings, errors, warnings);
        writeln!(std::io::stdout(), "{told:#}").context("printing the result")?;
    } else {
        print(&findings, arguments);
    }
    Ok(code(&findings))
}

/// For people.
fn print(findings: &[Finding], arguments: &Arguments) {
    let mut paper = Paper::new();
    let title = Line::heading("  Doctor").and(
        format!("   {}", arguments.config.display()),
        crate::paint::Tone::Dim,
    );
    paper.print([Line::empty(), title, Line::empty()]);
    paper.print_wrapped(findings.iter().flat_map(Finding::lines), finding::SAYS_AT);
    paper.print(finding::end(
        count(findings, Severity::Error),
        count(findings, Severity::Warning),
    ));
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    let of_it = findings.iter().filter(|finding| finding.severity == severity);
    of_it.count()
}

fn code(findings: &[Finding]) -> ExitCode {
    match (
        count(findings, Severity::Error),
        count(findings, Severity::Warning),
    ) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(WARNINGS),
        _ => ExitCode::FAILURE,
    }
}

impl Arguments {
    fn areas(&self) -> Vec<Area> {
        let is_wanted = |area: &Area| self.only.is_empty() || self.only.contains(area);
        let is_here = |area: &Area| !self.without_gateway || !matches!(area, Area::Media | Area::Gateway);
        let areas = Area::value_variants().iter().copied();
        areas.filter(|area| is_wanted(area) && is_here(area)).collect()
    }
}

/// Who is examined.
struct Patient {
    config: Config,
    livekit: LiveKit,
    webhook_url: Option<String>,
}

type Examination<'p> = Pin<Box<dyn Future<Output = Vec<Finding>> + Send + 'p>>;

impl Patient {
    /// All areas at the same time, each within its limit.
    async fn examine(&self, areas: &[Area]) -> Vec<Finding> {
        let under_way: Vec<_> = areas
            .iter()
            .map(|&area| async move {
                // Cancel-safe: every examination only asks, or leaves a small object of its own behind.
                timeout(LIMIT, self.area(area)).await.unwrap_or_else(|_| {
                    let says = format!("no answer within {} s", LIMIT.as_secs());
                    vec![Finding::error(
                        area,
                        says,
                        "look whether it is overloaded or unreachable",
                    )]
                })
            })
            .collect();
        let found = futures_util::future::join_all(under_way).await;
        let found: Vec<Finding> = found.into_iter().flatten().collect();
        let fails = |area| found.iter().any(|finding| finding.is_broken(area));
        match (fails(Area::Livekit), fails(Area::Bus)) {
            (true, _) => found.into_iter().map(Finding::unless_livekit_fails).collect(),
            (_, true) => found.into_iter().map(Finding::unless_bus_fails).collect(),
            _ => found,
        }
    }

    fn area(&self, area: Area) -> Examination<'_> {
        match area {
            Area::Livekit => Box::pin(server::livekit(&self.livekit)),
            Area::Clock => Box::pin(server::clock(&self.config)),
            Area::Sip => Box::pin(async move { vec![health::sip(&self.livekit).await.into()] }),
            Area::Egress => Box::pin(async move { vec![health::egress(&self.livekit).await.into()] }),
            Area::Ingress => Box::pin(async move { vec![health::ingress(&self.livekit).await.into()] }),
            Area::Bus => Box::pin(server::bus(&self.config)),
            Area::Trunks => Box::pin(trunks::examine(&self.config, &self.livekit)),
            Area::Call => Box::pin(call::examine(&self.config, &self.livekit)),
            Area::Sound => Box::pin(sound::examine(&self.livekit)),
            Area::Providers => Box::pin(providers::examine(&self.config)),
            Area::Media => Box::pin(async move { media::examine(&self.config.sip) }),
            Area::Gateway => Box::pin(edge::gateway(self.config.sip.listen)),
            Area::Webhook => Box::pin(edge::webhook(&self.config, self.webhook_url.as_deref())),
            Area::Queue => Box::pin(self.queue()),
            Area::Store => Box::pin(self.store()),
        }
    }

    async fn queue(&self) -> Vec<Finding> {
        let clock: SharedClock = Arc::new(SystemClock);
        let opened = queue::open(&self.config.queue, &Access::DefaultChain, clock).await;
        match opened {
            Ok(queue) => vec![health::queue(queue.as_ref()).await.into()],
            Err(error) => {
                let says = format!("{} cannot be opened: {error}", self.config.queue);
                vec![Finding::error(
                    Area::Queue,
                    says,
                    "check the key `queue`, and its rights",
                )]
            }
        }
    }

    async fn store(&self) -> Vec<Finding> {
        let clock: SharedClock = Arc::new(SystemClock);
        let opened = store::open(&self.config.store, &Access::DefaultChain, clock).await;
        match opened {
            Ok(store) => vec![health::store(store.as_ref()).await.into()],
            Err(error) => {
                let says = format!("{} cannot be opened: {error}", self.config.store);
                vec![Finding::error(
                    Area::Store,
                    says,
                    "check the key `store`, and its rights",
                )]
            }
        }
    }
}
