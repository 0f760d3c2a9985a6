//! A program that turns its standard input into its standard output.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::Semaphore,
    time::timeout,
};

use crate::ProviderError;

/// Utterances take 0.02 to 0.2 s on an idle machine; the rest is for a busy one.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Two minutes and more of speech at 22,050 Hz.
const MAX_OUTPUT_BYTES: usize = 8 << 20;
/// The caller's environment is not passed on, since it may hold keys.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How many offline programs may run at once, over all adapters that share the value. The others wait, within their
/// time limit.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Semaphore>);

impl Slots {
    /// At most `at_once` programs, at least one.
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS))))
    }
}

impl Default for Slots {
    /// Two per processor: the programs only compute, and a second one fills the gaps of starting and ending.
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(2, |cores| 2 * cores.get()))
    }
}

/// An installed program.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    /// The adapter's name, for errors.
    pub(super) provider: &'static str,
    /// A path, or a name that is looked up in [`PATH`].
    pub(super) program: PathBuf,
    /// The Debian package that brings it.
    pub(super) package: &'static str,
    pub(super) slots: Slots,
}

impl Tool {
    /// Runs the program to its end, which must be a success. Dropping the future kills it.
    pub(super) async fn run<A: AsRef<OsStr> + Sync>(
        &self,
        arguments: &[A],
        input: &[u8],
    ) -> Result<Vec<u8>, ProviderError> {
        let (status, output) = self.run_to_any_end(arguments, input).await?;
        if status.success() {
            Ok(output)
        } else {
            Err(self.unreadable(format!("the program ended with {status}")))
        }
    }

    /// The same; what its end means is for the caller to say.
    pub(super) async fn run_to_any_end<A: AsRef<OsStr> + Sync>(
        &self,
        arguments: &[A],
        input: &[u8],
    ) -> Result<(ExitStatus, Vec<u8>), ProviderError> {
        let run = async {
            // The semaphore is never closed.
            let _slot = self.slots.0.acquire().await;
            let child = self.spawn(arguments)?;
            self.converse(child, input).await
        };
        timeout(TIME_LIMIT, run)
            .await
            .unwrap_or(Err(ProviderError::Timeout {
                provider: self.provider,
                after: TIME_LIMIT,
            }))
    }

    pub(super) fn unreadable(&self, reason: impl std::fmt::Display) -> ProviderError {
        ProviderError::Protocol {
            provider: self.provider,
            reason: reason.to_string(),
        }
    }

    pub(super) fn refused(&self, reason: impl Into<String>) -> ProviderError {
        ProviderError::Refused {
            provider: self.provider,
            reason: reason.into(),
        }
    }

    fn spawn<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Child, ProviderError> {
        Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What these programs complain about may quote the text.
            .stderr(Stdio::null())
            // Ctrl-C in a terminal reaches this process alone, which lets the calls that are up finish.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::PermissionDenied => self.refused(format!(
                    "cannot run {}: install the Debian package {}",
                    self.program.display(),
                    self.package
                )),
                _ => self.unavailable(format!("cannot start {}: {error}", self.program.display())),
            })
    }

    async fn converse(&self, mut child: Child, input: &[u8]) -> Result<(ExitStatus, Vec<u8>), ProviderError> {
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.unavailable("the program has no pipes".to_owned()));
        };
        let feed = async move {
            // A program that ends before it has read everything says so by its exit status.
            let _ = stdin.write_all(input).await;
        };
        let mut output = Vec::new();
        let mut bounded = stdout.take(MAX_OUTPUT_BYTES as u64 + 1);
        let ((), read) = tokio::join!(feed, bounded.read_to_end(&mut output));
        read.map_err(|error| self.unavailable(format!("reading its output: {error}")))?;
        if output.len() > MAX_OUTPUT_BYTES {
            return Err(self.unreadable("more output than an utterance can have"));
        }
        let status = child
            .wait()
            .await
            .map_err(|error| self.unavailable(format!("waiting for its end: {error}")))?;
        Ok((status, output))
    }

    pub(super) fn unavailable(&self, reason: String) -> ProviderError {
        ProviderError::Unavailable {
            provider: self.provider,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(program: &str) -> Tool {
        Tool {
            provider: "test",
            program: program.into(),
            package: "coreutils",
            slots: Slots::new(1),
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_refused_with_its_package() {
        let error = tool("no-such-program").run::<&str>(&[], b"").await.unwrap_err();
        assert!(
            matches!(&error, ProviderError::Refused { reason, .. } if reason.contains("package coreutils"))
        );
    }

    #[tokio::test]
    async fn input_larger_than_a_pipe_flows_through() {
        let input = vec![7; 1 << 20];
        assert_eq!(tool("cat").run::<&str>(&[], &input).await.unwrap(), input);
    }

    #[tokio::test]
    async fn output_is_bounded() {
        let error = tool("head")
            .run(&["-c", "9000000", "/dev/zero"], b"")
            .await
            .unwrap_err();
        assert!(matches!(error, ProviderError::Protocol { .. }));
    }

    #[tokio::test]
    async fn failure_is_told_by_the_exit_status_and_unread_input_is_none() {
        assert!(tool("false").run::<&str>(&[], &vec![0; 1 << 20]).await.is_err());
        assert!(
            tool("true")
                .run::<&str>(&[], &vec![0; 1 << 20])
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_given_up() {
        let error = tool("sleep").run(&["60"], b"").await.unwrap_err();
        assert!(matches!(error, ProviderError::Timeout { .. }));
    }

    #[tokio::test]
    async fn the_environment_is_not_passed_on() {
        let seen = tool("env").run::<&str>(&[], b"").await.unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), format!("PATH={PATH}\n"));
    }

    #[tokio::test]
    async fn dropping_the_future_kills_the_program_and_frees_its_slot() {
        let tool = tool("sh");
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", pid.display());
        let arguments = ["-c", &script];
        let run = tool.run(&arguments, b"");
        let started = async {
            while !pid.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = run => panic!("it sleeps for a minute"),
            () = started => {}
        }
        let process = format!("/proc/{}/stat", std::fs::read_to_string(&pid).unwrap().trim());
        let is_over = || std::fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
        timeout(Duration::from_secs(5), async {
            while !is_over() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("killed");
        assert!(tool.run(&["-c", "true"], b"").await.is_ok());
    }
}
