//! cargo-lambda's emulator, serving Lambda's interface without building anything.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{harness::free_tcp_port, lambda::Event};

/// It asks cargo about the workspace first.
const START: Duration = Duration::from_mins(1);
const PROGRAM: &str = "../.cache/lambda/bin/cargo-lambda";

/// A running emulator; it ends when dropped.
pub(crate) struct Emulator {
    address: SocketAddr,
    _process: Child,
}

impl Emulator {
    /// Starts it on a free port and waits until it listens.
    pub(crate) async fn start(log: &Path) -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = repository.join(PROGRAM);
        assert!(
            program.exists(),
            "{} is missing: run `make test-lambda`",
            program.display()
        );
        let address = free_tcp_port();
        let out = File::options().append(true).open(log).unwrap();
        let mut process = Command::new(program)
            .args(["lambda", "watch", "--only-lambda-apis", "--ignore-changes", "-A"])
            .arg(Ipv4Addr::LOCALHOST.to_string())
            .args(["-P", &address.port().to_string(), "-p", "lambda"])
            .current_dir(repository)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let until = Instant::now() + START;
        while TcpStream::connect(address).await.is_err() {
            assert!(process.try_wait().unwrap().is_none(), "log: {}", log.display());
            assert!(
                Instant::now() < until,
                "the emulator is not ready; log: {}",
                log.display()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Self {
            address,
            _process: process,
        }
    }

    /// What `AWS_LAMBDA_RUNTIME_API` is for a function.
    pub(crate) fn interface(&self, function: &str) -> String {
        format!("http://{}/.rt/{function}", self.address)
    }

    /// Where events for a function go.
    pub(crate) fn invocations(&self, function: &str) -> String {
        format!(
            "http://{}/2015-03-31/functions/{function}/invocations",
            self.address
        )
    }
}

/// Hands events to the emulator, one at a time, as one instance of a function takes them.
pub(crate) fn hand_over(invocations: String, mut events: mpsc::Receiver<Event>) -> JoinSet<()> {
    let client = reqwest::Client::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(Event { body, answer }) = events.recv().await {
            let handed = client.post(&invocations).body(body.to_string()).send().await;
            let answered = handed.unwrap().json().await.unwrap();
            // Whoever has asked may have gone.
            let _ = answer.send(answered);
        }
    });
    tasks
}
