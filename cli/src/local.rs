//! What the commands share that bring a local stack of their own: `demo` and `bench`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use dev::{LocalStack, LocalStackConfig, Server, StackError};
use platform::Secret;
use platform::clock::{Clock, SystemClock};
use platform::config::{ApiKey, Environment, LiveKitConfig, ProcessEnvironment};
use platform::livekit::LiveKit;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The variable that names livekit-server.
const LIVEKIT_SERVER: &str = "TRUNKLINE_LIVEKIT_SERVER";
/// How long `trunkline serve` may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How often its log is read meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// The livekit-server that the user names, by a flag or the variable; an empty variable names none.
fn livekit_server(flag: Option<PathBuf>) -> Option<PathBuf> {
    let named = || {
        ProcessEnvironment
            .var(LIVEKIT_SERVER)
            .filter(|path| !path.is_empty())
    };
    flag.or_else(|| named().map(PathBuf::from))
}

/// Redis and livekit-server, whose webhooks go to the port that is returned: livekit-server has to know it before `serve` starts, so it is
/// held until then.
pub(crate) async fn stack(
    folder: &Path,
    livekit_server_flag: Option<PathBuf>,
) -> anyhow::Result<(LocalStack, TcpListener)> {
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    let stack = LocalStack::start(LocalStackConfig {
        livekit_server: livekit_server(livekit_server_flag),
        webhook_url: Some(format!("http://{}/webhooks/livekit", http.local_addr()?)),
        dir: Some(folder.join("stack")),
        ..LocalStackConfig::default()
    })
    .await
    .map_err(with_flag)?;
    Ok((stack, http))
}

/// `trunkline serve` with this configuration, at the port that was held for it.
pub(crate) fn serve(folder: &Path, config: &Path, http: TcpListener) -> anyhow::Result<Server> {
    drop(http);
    let program = std::env::current_exe().context("finding this program")?;
    let command = [
        "serve".to_owned(),
        "--config".to_owned(),
        config.display().to_string(),
    ];
    let serve = Server::spawn("trunkline serve", &program, &command, &folder.join("serve.log"))?;
    Ok(serve)
}

/// Says how to name a livekit-server that was not found.
fn with_flag(error: StackError) -> anyhow::Error {
    match &error {
        StackError::Missing { program, .. } if *program == "livekit-server" => {
            anyhow!("{error}; or name it by --livekit-server FILE or the variable {LIVEKIT_SERVER}")
        }
        _ => error.into(),
    }
}

/// LiveKit's API at `url`.
pub(crate) fn livekit(url: &str, api_key: &str, api_secret: &str) -> anyhow::Result<LiveKit> {
    let secret = Secret::new(api_secret.to_owned());
    let config = LiveKitConfig {
        url: url.to_owned(),
        api_key: api_key.to_owned(),
        api_secret: secret.clone(),
        webhook_keys: vec![ApiKey {
            api_key: api_key.to_owned(),
            api_secret: secret,
        }],
    };
    LiveKit::new(&config).context("setting up LiveKit's API")
}

/// Writes a file that holds secrets: for the owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Waits for the line of its log in which `find` finds that `trunkline serve` is ready.
pub(crate) async fn ready<T>(serve: &mut Server, find: fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let log = std::fs::read_to_string(serve.log()).unwrap_or_default();
        if let Some(found) = log.lines().find_map(find) {
            return Ok(found);
        }
        if let Err(error) = serve.still_runs() {
            bail!("{error}\n{}", log.trim_end());
        }
        if Instant::now() >= deadline {
            bail!(
                "trunkline serve was not ready within {READY_LIMIT:?}; see {}",
                serve.log().display()
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A folder named after the time, below `out`. Where `default` cannot be written, it is made in the system's temporary folder.
pub(crate) fn output_folder(out: &Path, default: &str) -> anyhow::Result<PathBuf> {
    let now = SystemClock.now();
    let format = time::macros::format_description!("[year]-[month]-[day]-[hour][minute][second]");
    let name = now.format(format).context("naming the output folder")?;
    let unique = format!("{name}-{}", std::process::id());
    let make = |base: &Path| {
        let folder = base.join(&unique);
        std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize())
    };
    let folder = if out == Path::new(default) {
        make(out).or_else(|_| make(&std::env::temp_dir().join(format!("trunkline-{default}"))))
    } else {
        make(out)
    };
    folder.with_context(|| format!("making a folder below {}: name another with --out", out.display()))
}

/// Cancelled by Ctrl-C or SIGTERM.
pub(crate) fn interruption() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancelled.cancel();
    });
    tasks.close();
    Ok(token)
}
