//! Configuration, log and clients, once for each process.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use axum::Router;
use platform::{
    aws::{Access, AwsSecrets},
    clock::{SharedClock, SystemClock},
    config::{self, Config, Environment as _, Fault, LogConfig, Place, ProcessEnvironment, WithoutGateway},
    livekit::LiveKit,
    queue::{self, Queue},
    store::{self, Store},
    telemetry,
};
use webhook::WebhookState;

use crate::{LambdaError, agents, exit_code};

/// Where Lambda unpacks a function, unless `LAMBDA_TASK_ROOT` says otherwise.
const TASK_ROOT: &str = "/var/task";

/// A function whose configuration has been read and whose log has begun.
pub struct Start {
    config: Config,
    livekit: LiveKit,
    clock: SharedClock,
}

/// Queue and store. The token function must not have them.
pub struct Ports {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
}

impl Start {
    pub(crate) async fn read() -> Result<Self, LambdaError> {
        let env = WithoutGateway(ProcessEnvironment);
        let clock: SharedClock = Arc::new(SystemClock);
        let secrets = AwsSecrets::new(Access::DefaultChain, &env, clock.clone());
        let root = PathBuf::from(
            env.var("LAMBDA_TASK_ROOT")
                .unwrap_or_else(|| TASK_ROOT.to_owned()),
        );
        let file = root.join("trunkline.yaml");
        let read = if file.exists() {
            config::load_resolved(Some(&file), &env, &secrets).await
        } else {
            config::parse_resolved("", None, &root, &env, &secrets).await
        };
        let config = read.map_err(|faults| LambdaError::Config(faults.iter().cloned().collect()))?;
        telemetry::init(&config.log).map_err(open("the log"))?;
        let livekit = LiveKit::new(&config.livekit).map_err(open("LiveKit's API"))?;
        Ok(Self {
            config,
            livekit,
            clock,
        })
    }

    /// Opens queue and store, without asking them: the webhook's role may only send, and each question would make a start longer.
    ///
    /// # Errors
    /// [`LambdaError::Open`].
    pub async fn ports(&self) -> Result<Ports, LambdaError> {
        let access = Access::DefaultChain;
        let queue = queue::connect(&self.config.queue, &access, self.clock.clone());
        let store = store::connect(&self.config.store, &access, self.clock.clone());
        let (queue, store) = tokio::join!(queue, store);
        Ok(Ports {
            queue: queue.map_err(open("the queue (key `queue`)"))?,
            store: store.map_err(open("the store (key `store`)"))?,
        })
    }

    /// The webhook function.
    ///
    /// # Errors
    /// [`LambdaError::Config`] when a profile is missing or entries of `agents` overlap.
    pub fn webhook(&self, ports: &Ports) -> Result<Router, LambdaError> {
        Ok(webhook::router(self.webhook_state(ports)?))
    }

    /// The sweep.
    ///
    /// # Errors
    /// As [`Start::webhook`].
    pub fn sweep(&self, ports: &Ports) -> Result<sweep::State, LambdaError> {
        let webhook = self.webhook_state(ports)?;
        Ok(sweep::State::new(
            webhook,
            &self.livekit,
            self.config.worker.heartbeat,
        ))
    }

    /// The HTTP API.
    ///
    /// # Errors
    /// [`LambdaError::Config`] without `access`; [`LambdaError::Open`].
    pub fn api(&self, ports: &Ports) -> Result<Router, LambdaError> {
        let shared = api::Parts {
            livekit: self.livekit.clone(),
            queue: ports.queue.clone(),
            store: ports.store.clone(),
            link_secret: self.config.livekit.api_secret.clone(),
            clock: self.clock.clone(),
            beside: Vec::new(),
        };
        let (router, _) = api::build(self.settings()?, &shared).map_err(open("key `access.jwt`"))?;
        Ok(router)
    }

    /// The token endpoint alone.
    ///
    /// # Errors
    /// As [`Start::api`].
    pub fn token(&self) -> Result<Router, LambdaError> {
        let settings = self.settings()?;
        api::token_endpoint(&settings, self.livekit.clone(), self.clock.clone())
            .map_err(open("key `access.jwt`"))
    }

    fn webhook_state(&self, ports: &Ports) -> Result<WebhookState, LambdaError> {
        let agents = agents::load(&self.config).map_err(LambdaError::Config)?;
        Ok(WebhookState::configured(
            &self.config,
            agents,
            &self.livekit,
            ports.queue.clone(),
            ports.store.clone(),
            self.clock.clone(),
        ))
    }

    fn settings(&self) -> Result<api::Settings, LambdaError> {
        api::Settings::of(&self.config).ok_or_else(|| {
            LambdaError::Config(vec![Fault {
                key: "access".to_owned(),
                place: Place::Nowhere,
                problem: "it is missing, so that nobody may use this function".to_owned(),
                remedy: "say who may use the HTTP API (docs/configuration.md)".to_owned(),
            }])
        })
    }
}

fn open<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> LambdaError {
    move |source| LambdaError::Open {
        what,
        source: Box::new(source),
    }
}

/// Logs why the function ends, and says by which code.
pub(crate) fn report(error: &LambdaError) -> ExitCode {
    // Where the configuration could not be read, nothing logs yet; otherwise the log that has begun goes on.
    let _ = telemetry::init(&LogConfig::default());
    match error {
        LambdaError::Config(faults) => {
            for fault in faults {
                tracing::error!(
                    key = fault.key,
                    place = place(&fault.place),
                    problem = fault.problem,
                    remedy = fault.remedy,
                    "the configuration has a fault"
                );
            }
        }
        LambdaError::Open { source, .. } | LambdaError::Runtime(source) => {
            let mut causes = vec![source.to_string()];
            let mut next = source.source();
            while let Some(cause) = next {
                causes.push(cause.to_string());
                next = cause.source();
            }
            tracing::error!(cause = causes.join(": "), "{error}");
        }
    }
    exit_code(error)
}

fn place(place: &Place) -> String {
    match place {
        Place::File(Some(line)) => format!("line {line}"),
        Place::Environment(name) => name.clone(),
        Place::File(None) | Place::Nowhere => String::new(),
    }
}
