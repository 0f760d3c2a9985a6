//! MiniStack: SQS and S3 on loopback, nothing on disk, with a clock that tests move.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::files::{StackDir, cached};
use crate::ports::TcpReservation;
use crate::server::Server;
use crate::{StackError, probe};

const NAME: &str = "ministack";
/// It needs half a second on an idle machine.
const START: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const PORT_ATTEMPTS: usize = 5;
/// The file that the server's clock is moved by.
const CLOCK: &str = "clock";

/// Starts the server with `time.time` moved on by what the clock's file says, in seconds. Leases, deduplication and
/// retention go by it. What reads the time in other ways (signatures, dates of objects) keeps the machine's.
const LAUNCH: &str = r#"
import os, time
path, real = os.environ["DEV_CLOCK"], time.time
def moved():
    with open(path) as offset:
        return real() + float(offset.read())
time.time = moved
from ministack.app import main
main()
"#;

/// A running MiniStack. Dropping it ends it at once (SIGKILL).
#[derive(Debug)]
pub struct MiniStack {
    // Declared before its folder, so that it ends first.
    server: Server,
    port: u16,
    offset: Duration,
    dir: StackDir,
}

impl MiniStack {
    /// The access key that it takes; the secret is the same.
    pub const KEY: &'static str = "test";
    /// The region that its queues and buckets are in.
    pub const REGION: &'static str = "us-east-1";

    /// Starts it on a free port and waits until it answers. Its log and clock lie in `dir`, which must be its own; by
    /// default in a temporary folder that disappears with it.
    ///
    /// # Errors
    ///
    /// It is missing, exits, or is not ready within 30 s; the error says what to do.
    pub async fn start(dir: Option<&Path>) -> Result<Self, StackError> {
        let python = cached("ministack/bin/python").ok_or_else(|| StackError::Missing {
            program: NAME,
            looked: "no .cache/ministack here or above".to_owned(),
            remedy: "run `make setup` in the repository",
        })?;
        let dir = StackDir::new(dir)?;
        let deadline = Instant::now() + START;
        let mut attempt = 1;
        loop {
            match Self::start_once(&python, dir.path(), deadline).await {
                Ok((server, port)) => {
                    return Ok(Self {
                        server,
                        port,
                        offset: Duration::ZERO,
                        dir,
                    });
                }
                Err(error) if attempt == PORT_ATTEMPTS || !is_conflict(&error) => {
                    dir.keep();
                    return Err(error);
                }
                Err(error) => tracing::debug!(%error, "another port for MiniStack"),
            }
            attempt += 1;
        }
    }

    async fn start_once(python: &Path, dir: &Path, deadline: Instant) -> Result<(Server, u16), StackError> {
        set_clock(dir, Duration::ZERO)?;
        let reserved = TcpReservation::new()?;
        let port = reserved.port();
        let log = dir.join("ministack.log");
        let args = [
            "BIND_HOST=127.0.0.1".to_owned(),
            format!("GATEWAY_PORT={port}"),
            format!("MINISTACK_REGION={}", Self::REGION),
            format!("DEV_CLOCK={}", dir.join(CLOCK).display()),
            format!("TMPDIR={}", dir.display()),
            "LOG_LEVEL=WARNING".to_owned(),
            python.display().to_string(),
            "-c".to_owned(),
            LAUNCH.to_owned(),
        ];
        reserved.release();
        let mut server = Server::spawn(NAME, Path::new("/usr/bin/env"), &args, &log)?;
        // The file says that it is this process that has the port.
        let pid_file = dir.join(format!("ministack-{port}.pid"));
        let is_ours = |server: &Server| {
            fs::read_to_string(&pid_file).is_ok_and(|pid| pid.trim() == server.pid().to_string())
        };
        while !(is_ours(&server) && probe::http_ok(port, "/_ministack/health").await) {
            server.still_runs()?;
            if Instant::now() >= deadline {
                return Err(StackError::NotReady {
                    program: NAME,
                    waited: START,
                    log,
                });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok((server, port))
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", probe::loopback(self.port))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// How far its clock has been moved on.
    pub fn advanced_by(&self) -> Duration {
        self.offset
    }

    /// Moves its clock on.
    ///
    /// # Errors
    ///
    /// [`StackError::Write`] for the clock's file.
    pub fn advance(&mut self, by: Duration) -> Result<(), StackError> {
        self.offset += by;
        set_clock(self.dir.path(), self.offset)
    }
}

/// Replaces the file in one step, so that it is never read half.
fn set_clock(dir: &Path, offset: Duration) -> Result<(), StackError> {
    let (new, path) = (dir.join("clock.new"), dir.join(CLOCK));
    let write = |path: &PathBuf, source| StackError::Write {
        path: path.clone(),
        source,
    };
    fs::write(&new, offset.as_secs_f64().to_string()).map_err(|source| write(&new, source))?;
    fs::rename(&new, &path).map_err(|source| write(&path, source))
}

/// It looks whether the port is taken, and says what else to try.
fn is_conflict(error: &StackError) -> bool {
    matches!(error, StackError::Exited { last_line, .. }
        if last_line.contains("GATEWAY_PORT") || last_line.contains("in use"))
}
