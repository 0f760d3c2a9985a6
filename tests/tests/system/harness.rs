//! One system under test: the local stack, `trunkline serve` as a child process, a trunk and a dispatch rule.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dev::{LocalStack, LocalStackConfig, RtpPorts};
use livekit_api::services::{
    ServiceError,
    room::RoomClient,
    sip::{CreateSIPDispatchRuleOptions, CreateSIPInboundTrunkOptions, SIPClient},
};
use livekit_protocol as proto;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use platform::queue::{Queue, SqliteQueue};
use serde_json::Value;
use tokio::{
    process::Child,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Instant, sleep, timeout},
};

use crate::{
    canaries::{self, OPENAI_KEY},
    cloud::Cloud,
    http::KEY,
    outbound::{CALLEE, ELSEWHERE},
    program::{
        LIVEKIT_SECRET, REDIS_URL, config, faked_clock, log_path, spawn_serve, what_happened, write_profile,
    },
    sipp,
    wire::Wire,
};

/// The number that the trunk owns and that callers dial.
pub(crate) const DIALLED: &str = "+15550100100";
/// The number of the caller. It must never be seen in a log.
pub(crate) const CALLER: &str = "+15557654321";

static TURNS: RwLock<()> = RwLock::const_new(());

/// The turn of a test that measures sound, time or memory, or that keeps the machine busy: no other one runs. Held to its end.
pub(crate) async fn turn() -> RwLockWriteGuard<'static, ()> {
    platform::install_providers();
    TURNS.write().await
}

/// The turn of a test that mostly waits, and looks at what happened: others of its kind run beside it. Held to its end.
pub(crate) async fn shared_turn() -> RwLockReadGuard<'static, ()> {
    platform::install_providers();
    TURNS.read().await
}

/// What a test changes about the system.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Options {
    /// The `agents:` section.
    pub(crate) agents: &'static str,
    /// Calls at the same time.
    pub(crate) slots: u32,
    /// The `recording:` key of the profile.
    pub(crate) recording: &'static str,
    /// The `providers:` key of the profile.
    pub(crate) providers: &'static str,
    /// More keys of the profile.
    pub(crate) profile: String,
    /// A dialogue in place of the shipped one.
    pub(crate) dialogue: Option<&'static str>,
    /// Where the OpenAI-compatible service listens. By default nobody does.
    pub(crate) openai: SocketAddr,
    /// The number that the trunk owns.
    pub(crate) trunk_number: &'static str,
    /// Whether a dispatch rule is made for the trunk.
    pub(crate) rule: bool,
    /// Whether functions, worker and gateway are three processes.
    pub(crate) apart: bool,
    /// More keys of the `sip:` section, indented by two spaces.
    pub(crate) sip: &'static str,
    /// Whether livekit-server's webhooks reach the functions.
    pub(crate) webhooks: bool,
    /// By how many seconds the program's clock is ahead of livekit-server's.
    pub(crate) clock_ahead_s: i32,
    /// Whether the program reaches livekit-server by a [`Wire`].
    pub(crate) wired: bool,
    /// More sections of the configuration.
    pub(crate) sections: String,
    /// Queue, store and secrets on AWS, or what stands in for it. Then worker and gateway are two processes, and the functions are
    /// the test's to start at [`System::http`].
    pub(crate) cloud: Option<Cloud>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            agents: "[{profile: reception, numbers: [\"+15550100100\"]}]",
            slots: 8,
            recording: "always",
            providers: "{stt: pocketsphinx, llm: dialogue, tts: flite}",
            profile: String::new(),
            dialogue: None,
            openai: ([127, 0, 0, 1], 9).into(),
            trunk_number: DIALLED,
            rule: true,
            apart: false,
            sip: "",
            webhooks: true,
            clock_ahead_s: 0,
            wired: false,
            sections: String::new(),
            cloud: None,
        }
    }
}

/// A running system.
pub(crate) struct System {
    pub(crate) stack: LocalStack,
    pub(crate) sip: SocketAddr,
    pub(crate) http: SocketAddr,
    /// Where livekit-server sends its webhooks to.
    pub(crate) receiver: SocketAddr,
    pub(crate) dir: Kept,
    pub(crate) log: PathBuf,
    serve: Child,
    /// Of every process.
    env: Vec<(&'static str, String)>,
    pub(crate) wire: Option<Wire>,
    /// The worker and the functions, where each part has a process of its own.
    pub(crate) others: Vec<Child>,
    /// Held, so that no other run gets the same.
    _rtp: RtpPorts,
}

/// The folder of one system. It stays when the test fails, to be looked at; what was logged is printed then, for whoever cannot.
pub(crate) struct Kept {
    dir: tempfile::TempDir,
    log: PathBuf,
}

impl Kept {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            let (dir, log) = (self.dir.path().display(), self.log.display());
            let lines = what_happened(&self.log).join("\n");
            measured!("what the system stored is in {dir}; what it logged, in {log}, ends with\n{lines}");
        }
    }
}

impl System {
    /// Starts everything and waits until the system says that it is ready.
    pub(crate) async fn start(options: Options) -> Self {
        // The API client's futures are large, and every test would carry them.
        Box::pin(Self::launch(options)).await
    }

    async fn launch(options: Options) -> Self {
        let log = log_path();
        let dir = Kept {
            dir: tempfile::tempdir().unwrap(),
            log: log.clone(),
        };
        let http = free_tcp_port();
        let receiver = if options.webhooks { http } else { free_tcp_port() };
        let stack = LocalStack::start(LocalStackConfig {
            webhook_url: Some(format!("http://{receiver}/webhooks/livekit")),
            ..LocalStackConfig::default()
        })
        .await
        .unwrap();
        write_profile(dir.path(), &options);
        if let Some(cloud) = &options.cloud {
            let keys = stack.keys();
            cloud.put_parameter(LIVEKIT_SECRET, keys.api_secret()).await;
            cloud.put_parameter(REDIS_URL, &stack.redis_url()).await;
        }
        let rtp = RtpPorts::reserve().unwrap();
        let wire = if options.wired {
            Some(Wire::to(&stack.ws_url()).await)
        } else {
            None
        };
        let url = wire
            .as_ref()
            .map_or_else(|| stack.ws_url(), |wire| format!("ws://{}", wire.local));
        let yaml = config(&stack, &url, http, &rtp, &options);
        std::fs::write(dir.path().join("trunkline.yaml"), yaml).unwrap();
        let parts: &[&str] = match (&options.cloud, options.apart) {
            (Some(_), _) => &["worker"],
            (None, true) => &["worker", "functions"],
            (None, false) => &[],
        };
        let mut env = options.cloud.as_ref().map(Cloud::env).unwrap_or_default();
        env.extend(faked_clock(options.clock_ahead_s));
        let spawn = |part| spawn_serve(dir.path(), &log, part, &env);
        let others: Vec<Child> = parts.iter().map(|part| spawn(Some(*part))).collect();
        let serve = spawn((!parts.is_empty()).then_some("gateway"));
        let mut system = Self {
            stack,
            sip: ([127, 0, 0, 1], 0).into(),
            http,
            receiver,
            dir,
            log,
            serve,
            env,
            wire,
            others,
            _rtp: rtp,
        };
        system.wait_until_ready(0).await;
        Box::pin(system.make_trunk(&options)).await;
        system
    }

    /// Starts one part in a process of its own.
    pub(crate) fn spawn(&mut self, part: &str) {
        self.spawn_off_by(part, 0);
    }

    /// The same, with a clock that is so many seconds ahead of the others.
    pub(crate) fn spawn_off_by(&mut self, part: &str, ahead_s: i32) {
        let env = [self.env.clone(), faked_clock(ahead_s)].concat();
        self.others
            .push(spawn_serve(self.dir.path(), &self.log, Some(part), &env));
    }

    /// Kills the process with SIGKILL, as a crash would.
    pub(crate) async fn kill_serve(&mut self) {
        self.serve.start_kill().unwrap();
        self.serve.wait().await.unwrap();
    }

    /// Starts the process again on the same data.
    pub(crate) async fn restart_serve(&mut self) {
        let old = std::fs::read_to_string(&self.log).unwrap().lines().count();
        self.serve = spawn_serve(self.dir.path(), &self.log, None, &self.env);
        self.wait_until_ready(old).await;
    }

    /// The same, with the functions at a port that livekit-server does not know: no webhook reaches the process, not even a repeated one.
    pub(crate) async fn restart_serve_unheard(&mut self) {
        let path = self.dir.path().join("trunkline.yaml");
        let config = std::fs::read_to_string(&path).unwrap();
        let elsewhere = free_tcp_port();
        let config = config.replace(&format!("listen: {}", self.http), &format!("listen: {elsewhere}"));
        std::fs::write(&path, config).unwrap();
        self.http = elsewhere;
        self.restart_serve().await;
    }

    /// Takes the only job out of the queue, as one that has been put aside is, once the worker's lease is over.
    pub(crate) async fn lose_job(&self) {
        let queue = self.queue().await;
        let lease = Duration::from_mins(1);
        let received = queue.receive(1, lease, Duration::from_secs(20)).await.unwrap();
        queue.delete(&received[0].receipt).await.unwrap();
    }

    /// Asks the process twice to end, which drops the calls that are left, and goes on as [`System::stop`].
    pub(crate) async fn stop_now(self) {
        self.terminate();
        // The second signal counts only when the first one was taken.
        let until = Instant::now() + Duration::from_secs(10);
        while !self.log_lines().iter().any(|line| line["message"] == "draining") {
            assert!(
                Instant::now() < until,
                "serve does not drain; log: {}",
                self.log.display()
            );
            sleep(Duration::from_millis(20)).await;
        }
        self.stop().await;
    }

    /// Asks the process to end.
    pub(crate) fn terminate(&self) {
        if let Some(pid) = self.pid() {
            kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        }
    }

    /// Asks every process to end and waits for it; then holds its log against everything that it must not contain.
    pub(crate) async fn stop(mut self) {
        // A test may have killed it.
        let was_killed = self.pid().is_none();
        self.terminate();
        let ended = timeout(Duration::from_secs(20), self.serve.wait()).await;
        assert!(
            ended.is_ok(),
            "serve did not end within 20 s of SIGTERM; its log: {}",
            self.log.display()
        );
        let ended = ended.unwrap().unwrap();
        assert!(
            was_killed || ended.success(),
            "{ended}; log: {}",
            self.log.display()
        );
        for mut other in self.others.drain(..) {
            let pid = other.id().and_then(|id| i32::try_from(id).ok()).unwrap();
            kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
            let ended = timeout(Duration::from_secs(20), other.wait()).await;
            assert!(ended.unwrap().unwrap().success(), "log: {}", self.log.display());
        }
        self.scan_log();
        self.stack.stop().await.unwrap();
    }

    /// The process id of `trunkline serve` while it runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.serve.id().and_then(|id| i32::try_from(id).ok())
    }

    /// The log's lines as JSON, those that are.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// How many lines of the log say so.
    pub(crate) fn count(&self, key: &str, value: &str) -> usize {
        let lines = self.log_lines();
        lines.iter().filter(|line| line[key] == value).count()
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// A client of the room server's API.
    pub(crate) fn rooms(&self) -> RoomClient {
        let keys = self.stack.keys();
        RoomClient::with_api_key(&self.stack.http_url(), keys.api_key(), keys.api_secret())
    }

    /// The folders of all calls so far, in the order of their names.
    pub(crate) fn calls(&self) -> BTreeSet<PathBuf> {
        let mut calls = BTreeSet::new();
        for day in children(&self.store().join("calls")) {
            calls.extend(children(&day));
        }
        calls
    }

    /// The markers of calls that are not closed.
    pub(crate) fn open_calls(&self) -> Vec<PathBuf> {
        children(&self.store().join("open"))
    }

    /// Waits until a call that is not in `before` is known to the functions.
    pub(crate) async fn wait_for_new_call(&self, before: &BTreeSet<PathBuf>) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.calls().difference(before).next().is_none() {
            assert!(Instant::now() < until, "no new call; log: {}", self.log.display());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Jobs in the queue, waiting or leased.
    pub(crate) async fn jobs(&self) -> u64 {
        let depth = self.queue().await.depth().await.unwrap();
        depth.visible + depth.in_flight + depth.dead
    }

    pub(crate) async fn queue(&self) -> SqliteQueue {
        let clock = Arc::new(platform::clock::SystemClock);
        let path = self.dir.path().join("queue.sqlite");
        SqliteQueue::open(path, clock).await.unwrap()
    }

    /// Waits for the record of a call that is not in `before`.
    pub(crate) async fn new_record(&self, before: &BTreeSet<PathBuf>, limit: Duration) -> (PathBuf, Value) {
        let until = Instant::now() + limit;
        loop {
            for call in self.calls().difference(before) {
                if let Some(record) = read_json(&call.join("record.json")) {
                    return (call.clone(), record);
                }
            }
            assert!(
                Instant::now() < until,
                "no new record within {limit:?}; log: {}",
                self.log.display()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_until_ready(&mut self, skip_lines: usize) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let ready = text.lines().skip(skip_lines).find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "ready" && line["sip"].is_string()).then_some(line)
            });
            if let Some(ready) = ready {
                self.sip = ready["sip"].as_str().unwrap().parse().unwrap();
                return;
            }
            if let Some(status) = self.serve.try_wait().unwrap() {
                panic!("serve ended with {status}: {text}");
            }
            assert!(Instant::now() < until, "serve is not ready: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn make_trunk(&self, options: &Options) {
        let keys = self.stack.keys();
        let sip = SIPClient::with_api_key(&self.stack.http_url(), keys.api_key(), keys.api_secret());
        let trunk = sip
            .create_sip_inbound_trunk(
                "phone".to_owned(),
                vec![options.trunk_number.to_owned()],
                CreateSIPInboundTrunkOptions::default(),
            )
            .await
            .unwrap();
        if options.rule {
            Box::pin(make_rule(&sip, trunk.sip_trunk_id)).await.unwrap();
        }
    }

    /// No secret, no number and no word of the test may stand in the log, whatever its level, and no panic.
    fn scan_log(&self) {
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(
            !log.contains("panicked"),
            "a task panicked; log: {}",
            self.log.display()
        );
        let secrets = [
            self.stack.keys().api_secret(),
            self.stack.keys().redis_password(),
            OPENAI_KEY,
            // With and without the country.
            CALLER,
            &CALLER[1..],
            &CALLER[2..],
            DIALLED,
            &DIALLED[1..],
            &DIALLED[2..],
            CALLEE,
            &CALLEE[2..],
            ELSEWHERE,
            &ELSEWHERE[2..],
            KEY,
            "eyJhbGciOi",
        ];
        if let Some((canary, line)) = canaries::find(&log, &secrets) {
            panic!("{} contains {canary:?}: {line}", self.log.display());
        }
    }
}

async fn make_rule(sip: &SIPClient, trunk: String) -> Result<proto::SipDispatchRuleInfo, ServiceError> {
    let rule = proto::SipDispatchRuleIndividual {
        room_prefix: "voice-ai-call".to_owned(),
        ..Default::default()
    };
    Box::pin(sip.create_sip_dispatch_rule(
        proto::sip_dispatch_rule::Rule::DispatchRuleIndividual(rule),
        CreateSIPDispatchRuleOptions {
            trunk_ids: vec![trunk],
            ..Default::default()
        },
    ))
    .await
}

/// For a server that is started later: nobody gets it by chance meanwhile.
pub(crate) fn free_tcp_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, sipp::free_port()).into()
}

pub(crate) fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(crate) fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
