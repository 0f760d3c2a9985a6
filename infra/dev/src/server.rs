//! One server as a child process: its own process group, its own log file, ended by its own process id.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::StackError;

/// Starts the guard, then becomes the server. `$$` in the guard is this shell, whose process the server takes over by
/// `exec`. A line on the lifeline dismisses the guard; its end without a line means that the starter is gone.
const GUARDED: &str = r#"exec 3<&0
(if read -r _; then exit 0; fi; kill -KILL $$) <&3 >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-"#;

/// How long an ended server may take to disappear after SIGKILL.
const REAP: Duration = Duration::from_secs(5);
/// How often a child's state is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A running server that ends with the process that started it, also when that one is killed. Dropping it ends it at once.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Server {
    /// Starts `program args…` with both its outputs appended to `log`. `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`StackError::Write`] for the log, [`StackError::Spawn`] for the shell. A program that cannot be executed exits,
    /// which [`Self::still_runs`] tells.
    pub fn spawn(
        name: &'static str,
        program: &Path,
        args: &[String],
        log: &Path,
    ) -> Result<Self, StackError> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|source| StackError::Write {
                path: log.to_owned(),
                source,
            })?;
        let spawn = |source| StackError::Spawn {
            program: name,
            source,
        };
        let err = out.try_clone().map_err(spawn)?;
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(GUARDED)
            .arg(name)
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            // Ctrl-C in a terminal reaches the starter alone, which then ends its servers in order.
            .process_group(0)
            .spawn()
            .map_err(spawn)?;
        let lifeline = child.stdin.take();
        Ok(Self {
            name,
            child,
            lifeline,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that its outputs go to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status when the server has ended. An error of the system call counts as running.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// # Errors
    ///
    /// [`StackError::Exited`], with the log's last line, when the server has ended.
    pub fn still_runs(&mut self) -> Result<(), StackError> {
        let Some(status) = self.exited() else {
            return Ok(());
        };
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last_line = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no output");
        Err(StackError::Exited {
            program: self.name,
            status: status.to_string(),
            last_line: last_line.to_owned(),
            log: self.log.clone(),
        })
    }

    /// SIGTERM, and up to `limit` for the end that it asks for; whether that came. A server that drains first may be asked
    /// again.
    pub async fn ask_to_end(&mut self, limit: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        self.ended_within(limit).await
    }

    /// SIGTERM, and SIGKILL after `grace`.
    ///
    /// # Errors
    ///
    /// [`StackError::NotEnded`] when the system does not end it.
    pub async fn stop(&mut self, grace: Duration) -> Result<(), StackError> {
        if !self.ask_to_end(grace).await {
            self.kill().await?;
        }
        self.dismiss_guard();
        Ok(())
    }

    /// SIGKILL, as a crash would be.
    ///
    /// # Errors
    ///
    /// As [`Self::stop`].
    pub async fn kill(&mut self) -> Result<(), StackError> {
        self.signal(Signal::SIGKILL);
        if !self.ended_within(REAP).await {
            return Err(StackError::NotEnded {
                program: self.name,
                pid: self.pid(),
                waited: REAP,
            });
        }
        self.dismiss_guard();
        Ok(())
    }

    /// Sends a signal unless the child has been reaped, after which its process id may be somebody else's.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.exited().is_some() {
            return;
        }
        let Ok(pid) = i32::try_from(self.pid()) else {
            return;
        };
        if let Err(errno) = kill(Pid::from_raw(pid), signal) {
            tracing::debug!(server = self.name, pid, %errno, "signal not delivered");
        }
    }

    async fn ended_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    fn dismiss_guard(&mut self) {
        if let Some(mut lifeline) = self.lifeline.take() {
            // The guard may be gone already.
            let _ = lifeline.write_all(b"\n");
        }
    }
}

impl Drop for Server {
    /// Nothing of a local server is worth saving, so it ends by SIGKILL and the wait is short.
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
        self.dismiss_guard();
    }
}
