//! The local stack against the real redis-server and livekit-server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use dev::{LocalStack, LocalStackConfig, MiniStack, Program, StackError};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Set in the child process that [`servers_end_when_their_starter_is_killed`] starts of this same test binary.
const STARTER: &str = "DEV_TEST_STARTER";

#[tokio::test]
async fn starts_answers_and_stops() {
    let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let pids = pids(&stack);
    let dir = stack.dir().to_owned();
    assert!(get(&stack.http_url()).await.starts_with("HTTP/1.0 200"));
    assert!(stack.ws_url().starts_with("ws://127.0.0.1:"));
    for secret in [stack.keys().api_secret(), stack.keys().redis_password()] {
        assert!(!format!("{stack:?}").contains(secret));
        assert!(!command_lines(pids).contains(secret));
    }
    stack.stop().await.unwrap();
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert!(!dir.exists());
}

#[tokio::test]
async fn drop_ends_both_servers() {
    let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let pids = pids(&stack);
    drop(stack);
    assert!(pids.iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn several_stacks_run_side_by_side() {
    let start = || LocalStack::start(LocalStackConfig::default());
    let (one, two, three) = tokio::join!(start(), start(), start());
    let urls = [one.unwrap(), two.unwrap(), three.unwrap()].map(|stack| stack.http_url());
    assert!(urls[0] != urls[1] && urls[1] != urls[2] && urls[0] != urls[2]);
}

#[tokio::test]
async fn a_killed_server_comes_back_on_the_same_address() {
    let mut stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let (url, redis_url) = (stack.http_url(), stack.redis_url());
    for program in [Program::LiveKit, Program::Redis] {
        let before = stack.pid(program);
        stack.kill(program).await.unwrap();
        assert!(!alive(before));
        stack.restart(program).await.unwrap();
        assert_ne!(stack.pid(program), before);
    }
    assert_eq!((stack.http_url(), stack.redis_url()), (url.clone(), redis_url));
    let redis = stack.redis_url();
    let (_, redis) = redis.split_once('@').unwrap();
    assert!(
        tell(redis, "PING\r\nQUIT\r\n").await.starts_with("-NOAUTH"),
        "it wants its password"
    );
    assert!(get(&url).await.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn ministack_starts_answers_and_ends() {
    let (one, two) = tokio::join!(MiniStack::start(None), MiniStack::start(None));
    let (mut one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.url(), two.url());
    one.advance(Duration::from_mins(5)).unwrap();
    assert!(get(&one.url()).await.starts_with("HTTP/1."));
    let pids = [one.pid(), two.pid()];
    drop((one, two));
    assert!(pids.iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn a_missing_server_names_the_remedy() {
    let config = LocalStackConfig {
        livekit_server: Some("/nowhere/livekit-server".into()),
        ..Default::default()
    };
    let error = LocalStack::start(config).await.unwrap_err();
    assert!(matches!(error, StackError::Missing { .. }));
    assert!(error.to_string().contains("make setup"), "{error}");
}

/// Runs this test binary as the starter, kills it with SIGKILL, and watches its servers end.
#[tokio::test]
async fn servers_end_when_their_starter_is_killed() {
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "starter_for_the_kill_test",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(STARTER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (pids, dir) = announcement(starter.stdout.take().unwrap()).await;
    starter.kill().unwrap();
    starter.wait().unwrap();
    for pid in pids {
        let gone = async {
            while alive(pid) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    }
    // A killed process cannot remove its temporary folder.
    std::fs::remove_dir_all(dir).unwrap();
}

/// Not a test of its own: the starter of the test above, which kills it. Does nothing when run among the others.
#[tokio::test]
async fn starter_for_the_kill_test() {
    if std::env::var_os(STARTER).is_none() {
        return;
    }
    let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let [redis, livekit] = pids(&stack);
    println!("\nstarted {redis} {livekit} {}", stack.dir().display());
    std::future::pending::<()>().await;
}

/// The process ids and the folder that the starter prints.
async fn announcement(stdout: std::process::ChildStdout) -> ([u32; 2], String) {
    let read = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("started ")).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        (
            [words[1].parse().unwrap(), words[2].parse().unwrap()],
            words[3].to_owned(),
        )
    });
    tokio::time::timeout(Duration::from_secs(30), read)
        .await
        .unwrap()
        .unwrap()
}

fn pids(stack: &LocalStack) -> [u32; 2] {
    [stack.pid(Program::Redis), stack.pid(Program::LiveKit)]
}

fn command_lines(pids: [u32; 2]) -> String {
    pids.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap())
        .concat()
}

fn alive(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), None) != Err(Errno::ESRCH)
}

async fn get(url: &str) -> String {
    tell(url.strip_prefix("http://").unwrap(), "GET / HTTP/1.0\r\n\r\n").await
}

async fn tell(address: &str, text: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}
