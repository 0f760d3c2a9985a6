//! Starting the two servers: ports, conflicts, readiness.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::StackError;
use crate::files::{Programs, StackDir};
use crate::livekit::{self, LiveKitPorts, LiveKitSettings};
use crate::redis::{self, RedisSettings};
use crate::server::Server;
use crate::stack::{Keys, LocalStackConfig};

/// How often a start is repeated with other ports when one was taken in between.
const PORT_ATTEMPTS: usize = 5;
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(20);

/// Starts Redis, on another port when its port was taken in between.
pub(crate) async fn start_redis(
    programs: &Programs,
    dir: &StackDir,
    config: &LocalStackConfig,
    keys: &Keys,
    deadline: Instant,
) -> Result<(RedisSettings, Server), StackError> {
    let mut attempt = 1;
    loop {
        let (settings, port) = RedisSettings::reserve(keys.redis_password())?;
        port.release();
        let mut server = settings.spawn(&programs.redis, dir.path())?;
        match redis_ready(&settings, &mut server, config, deadline).await {
            Ok(()) => return Ok((settings, server)),
            Err(error) if attempt == PORT_ATTEMPTS || !is_conflict(&error) => return Err(error),
            Err(error) => tracing::debug!(%error, "another port for Redis"),
        }
        attempt += 1;
    }
}

/// As [`start_redis`], for livekit-server.
pub(crate) async fn start_livekit(
    programs: &Programs,
    dir: &StackDir,
    config: &LocalStackConfig,
    keys: &Keys,
    redis: &RedisSettings,
    deadline: Instant,
) -> Result<(LiveKitSettings, Server), StackError> {
    let mut attempt = 1;
    loop {
        let ports = LiveKitPorts::reserve()?;
        let settings = LiveKitSettings::new(
            &ports,
            redis.clone(),
            config.webhook_url.clone(),
            config.room_empty_timeout,
            config.room_departure_timeout,
            config.media_unreachable,
        );
        ports.release();
        let log_from = length(&dir.path().join("livekit-server.log"));
        let mut server = settings.spawn(&programs.livekit, dir.path(), keys)?;
        match livekit_ready(&settings, &mut server, log_from, config, deadline).await {
            Ok(()) => return Ok((settings, server)),
            Err(error) if attempt == PORT_ATTEMPTS || !is_conflict(&error) => return Err(error),
            Err(error) => tracing::debug!(%error, "other ports for livekit-server"),
        }
        attempt += 1;
    }
}

pub(crate) async fn redis_ready(
    settings: &RedisSettings,
    server: &mut Server,
    config: &LocalStackConfig,
    deadline: Instant,
) -> Result<(), StackError> {
    while !settings.is_ready(server).await {
        server.still_runs()?;
        pause_until(deadline, redis::NAME, server, config).await?;
    }
    Ok(())
}

pub(crate) async fn livekit_ready(
    settings: &LiveKitSettings,
    server: &mut Server,
    log_from: u64,
    config: &LocalStackConfig,
    deadline: Instant,
) -> Result<(), StackError> {
    while !settings.is_ready(server, log_from).await {
        server.still_runs()?;
        pause_until(deadline, livekit::NAME, server, config).await?;
    }
    Ok(())
}

/// Waits for the next probe, or fails at the deadline.
async fn pause_until(
    deadline: Instant,
    program: &'static str,
    server: &Server,
    config: &LocalStackConfig,
) -> Result<(), StackError> {
    if Instant::now() >= deadline {
        return Err(StackError::NotReady {
            program,
            waited: config.start_deadline,
            log: server.log().to_owned(),
        });
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

/// Both servers exit with this text in their last line when a port is taken.
fn is_conflict(error: &StackError) -> bool {
    matches!(error, StackError::Exited { last_line, .. }
        if last_line.to_ascii_lowercase().contains("address already in use") || last_line.contains("Failed listening"))
}

pub(crate) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}
