//! The stack as a whole: find, start, probe, break and stop its two servers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::time::Instant;

use crate::files::{Programs, StackDir};
use crate::livekit::LiveKitSettings;
use crate::redis::RedisSettings;
use crate::server::Server;
use crate::start::{length, livekit_ready, redis_ready, start_livekit, start_redis};
use crate::{StackError, probe};

/// Between SIGTERM and SIGKILL. livekit-server waits for its participants to leave, which is of no use here.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// What to start. [`LocalStackConfig::default`] fits tests.
#[derive(Debug, Clone)]
pub struct LocalStackConfig {
    /// The livekit-server binary; by default the one beside the running program, else `.cache/bin/livekit-server` in this
    /// directory, the program's, or one above either, else the one on the `PATH`.
    pub livekit_server: Option<PathBuf>,
    /// Where livekit-server posts its webhooks; none by default.
    pub webhook_url: Option<String>,
    /// Where logs and configuration go; by default a temporary directory that disappears with the stack.
    pub dir: Option<PathBuf>,
    /// How long both servers together may take to be ready (default 20 s: they need 0.2 s on an idle machine).
    pub start_deadline: Duration,
    /// How long a room stays that nobody has joined (default 30 s, whole seconds).
    pub room_empty_timeout: Duration,
    /// How long a room stays that everybody has left (default 2 s, whole seconds).
    pub room_departure_timeout: Duration,
    /// livekit-server tells an address for media that nobody reaches, as behind a firewall (default false).
    pub media_unreachable: bool,
}

impl Default for LocalStackConfig {
    fn default() -> Self {
        Self {
            livekit_server: None,
            webhook_url: None,
            dir: None,
            start_deadline: Duration::from_secs(20),
            room_empty_timeout: Duration::from_secs(30),
            room_departure_timeout: Duration::from_secs(2),
            media_unreachable: false,
        }
    }
}

/// The API key and secret of one run, and its Redis' password. The secrets stay out of `Debug`.
#[derive(Clone)]
pub struct Keys {
    api_key: String,
    api_secret: String,
    redis_password: String,
}

impl Keys {
    fn random() -> Self {
        Self {
            api_key: format!("API{}", random_text(12)),
            api_secret: random_text(43),
            redis_password: random_text(32),
        }
    }

    /// The key's name, `API…`.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// The secret: 43 letters and digits.
    pub fn api_secret(&self) -> &str {
        &self.api_secret
    }

    /// What Redis asks for: 32 letters and digits.
    pub fn redis_password(&self) -> &str {
        &self.redis_password
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}

/// One of the stack's programs, for fault tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Redis,
    LiveKit,
}

/// Redis and livekit-server, running and ready. Dropping it ends both at once (SIGKILL).
#[derive(Debug)]
pub struct LocalStack {
    // Declared before what they depend on, so that they end first.
    livekit: Server,
    redis: Server,
    livekit_settings: LiveKitSettings,
    redis_settings: RedisSettings,
    programs: Programs,
    keys: Keys,
    config: LocalStackConfig,
    dir: StackDir,
}

impl LocalStack {
    /// Starts both servers and waits until each answers.
    ///
    /// # Errors
    ///
    /// A program that is missing, exits or is not ready by the deadline; the error says what to do.
    pub async fn start(config: LocalStackConfig) -> Result<Self, StackError> {
        let programs = Programs::find(config.livekit_server.as_deref())?;
        let dir = StackDir::new(config.dir.as_deref())?;
        let keys = Keys::random();
        let deadline = Instant::now() + config.start_deadline;
        let started = async {
            let (redis_settings, redis) = start_redis(&programs, &dir, &config, &keys, deadline).await?;
            let livekit = start_livekit(&programs, &dir, &config, &keys, &redis_settings, deadline).await?;
            Ok(((redis_settings, redis), livekit))
        };
        let ((redis_settings, redis), (livekit_settings, livekit)) = match started.await {
            Ok(servers) => servers,
            Err(error) => {
                dir.keep();
                return Err(error);
            }
        };
        tracing::info!(
            redis = redis_settings.port,
            livekit = livekit_settings.http,
            "local stack ready"
        );
        Ok(Self {
            livekit,
            redis,
            livekit_settings,
            redis_settings,
            programs,
            keys,
            config,
            dir,
        })
    }

    /// The keys and secrets of this run.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// `ws://127.0.0.1:<port>`, for SDKs.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", probe::loopback(self.livekit_settings.http))
    }

    /// `http://127.0.0.1:<port>`, for the API.
    pub fn http_url(&self) -> String {
        format!("http://{}", probe::loopback(self.livekit_settings.http))
    }

    /// `redis://:<password>@127.0.0.1:<port>`.
    pub fn redis_url(&self) -> String {
        let RedisSettings { port, password } = &self.redis_settings;
        format!("redis://:{password}@{}", probe::loopback(*port))
    }

    /// Where the logs `redis-server.log` and `livekit-server.log` lie.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process id of one server, for measuring it.
    pub fn pid(&self, program: Program) -> u32 {
        match program {
            Program::Redis => self.redis.pid(),
            Program::LiveKit => self.livekit.pid(),
        }
    }

    /// # Errors
    ///
    /// [`StackError::Exited`] when one of the servers has ended.
    pub fn still_runs(&mut self) -> Result<(), StackError> {
        self.redis.still_runs()?;
        self.livekit.still_runs()
    }

    /// Ends one server by SIGKILL, as a crash would; [`Self::restart`] brings it back.
    ///
    /// # Errors
    ///
    /// [`StackError::NotEnded`] when the system does not end it.
    pub async fn kill(&mut self, program: Program) -> Result<(), StackError> {
        match program {
            Program::Redis => self.redis.kill().await,
            Program::LiveKit => self.livekit.kill().await,
        }
    }

    /// Ends one server if it still runs and starts it on the same ports with the same keys.
    ///
    /// # Errors
    ///
    /// As [`Self::start`]; here a port taken by another program is final.
    pub async fn restart(&mut self, program: Program) -> Result<(), StackError> {
        let deadline = Instant::now() + self.config.start_deadline;
        let dir = self.dir.path();
        match program {
            Program::Redis => {
                self.redis.stop(STOP_GRACE).await?;
                self.redis = self.redis_settings.spawn(&self.programs.redis, dir)?;
                redis_ready(&self.redis_settings, &mut self.redis, &self.config, deadline).await
            }
            Program::LiveKit => {
                self.livekit.stop(STOP_GRACE).await?;
                let log_from = length(self.livekit.log());
                self.livekit = self
                    .livekit_settings
                    .spawn(&self.programs.livekit, dir, &self.keys)?;
                livekit_ready(
                    &self.livekit_settings,
                    &mut self.livekit,
                    log_from,
                    &self.config,
                    deadline,
                )
                .await
            }
        }
    }

    /// Ends both servers: SIGTERM, and SIGKILL after a second.
    ///
    /// # Errors
    ///
    /// [`StackError::NotEnded`] when the system does not end one of them.
    pub async fn stop(mut self) -> Result<(), StackError> {
        let livekit = self.livekit.stop(STOP_GRACE).await;
        let redis = self.redis.stop(STOP_GRACE).await;
        livekit.and(redis)
    }
}

fn random_text(length: usize) -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(length)
        .map(char::from)
        .collect()
}
