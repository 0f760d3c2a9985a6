//! Why the local stack did not start, and what to do.

use std::path::PathBuf;
use std::time::Duration;

/// A failed start, restart or stop of the local stack. None is worth a blind retry: port conflicts have been retried
/// already.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("{program} was not found: {looked}; {remedy}")]
    Missing {
        program: &'static str,
        looked: String,
        remedy: &'static str,
    },
    #[error("cannot write {path}: give the stack a writable directory")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start {program}: see that it is executable and that /bin/sh exists")]
    Spawn {
        program: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("no free loopback port: close programs that hold many sockets")]
    NoPort(#[source] std::io::Error),
    #[error("{program} exited at start ({status}): {last_line}; whole log: {log}")]
    Exited {
        program: &'static str,
        status: String,
        last_line: String,
        log: PathBuf,
    },
    #[error("{program} was not ready within {waited:?}; see {log}, and whether the machine is overloaded")]
    NotReady {
        program: &'static str,
        waited: Duration,
        log: PathBuf,
    },
    #[error("{program} (process {pid}) did not end within {waited:?} of SIGKILL: look at it with `ps`")]
    NotEnded {
        program: &'static str,
        pid: u32,
        waited: Duration,
    },
}
