//! The command as a user types it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod apply;
mod config;
mod doctor;

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

fn trunkline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn serve(yaml: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trunkline.yaml"), yaml).unwrap();
    trunkline(folder.path(), &["serve"])
}

#[test]
fn five_faults_in_one_configuration_are_five_reports_with_key_and_remedy_and_exit_64() {
    let output = serve(
        "livekit:\n  url: ws://livekit.example.com\n  api_key: key\n  api_secret: short\nhttp:\n  lisen: 127.0.0.1:1\n\
         sip:\n  listen: 127.0.0.1:0\n  rtp_ports: 30000-20000\n  no_agent_timeout: soon\n",
    );
    let report = String::from_utf8(output.stderr).unwrap();
    println!("{report}");
    assert_eq!(output.status.code(), Some(64), "{report}");
    for key in [
        "livekit.url",
        "livekit.api_secret",
        "http.lisen",
        "sip.rtp_ports",
        "sip.no_agent_timeout",
    ] {
        assert!(report.contains(key), "{key} is not in the report:\n{report}");
    }
    assert!(report.starts_with("5 faults"), "{report}");
    for remedy in [
        "use wss://",
        "openssl rand",
        "did you mean `listen`",
        "the lower port first",
        "ms, s, m or h",
    ] {
        assert!(report.contains(remedy), "no remedy {remedy:?}:\n{report}");
    }
    assert!(
        !report.contains("short"),
        "the secret is in the report:\n{report}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_profile_with_faults_is_refused_before_any_port_opens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    std::fs::write(
        folder.path().join("profiles/desk.yaml"),
        "greting: Hello\nrecording: sometimes\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("trunkline.yaml"),
        "livekit:\n  api_key: key\n  api_secret: 0123456789abcdef0123456789abcdef\nsip:\n  listen: 127.0.0.1:0\n\
         agents: [{profile: desk}]\n",
    )
    .unwrap();
    let output = trunkline(folder.path(), &["serve"]);
    let report = String::from_utf8(output.stderr).unwrap();
    println!("{report}");
    assert_eq!(output.status.code(), Some(64), "{report}");
    for key in ["prompt", "greting", "recording"] {
        assert!(report.contains(key), "{key} is not in the report:\n{report}");
    }
}

/// `trunkline serve` in `folder`, ended after ten seconds (exit 124), with memory for a process that reads without end.
fn bounded_serve(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -v 4000000; exec timeout 10 "$@""#, "sh"])
        .arg(env!("CARGO_BIN_EXE_trunkline"))
        .arg("serve")
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        // Each thread of a machine with many cores would take its share of the memory.
        .env("TOKIO_WORKER_THREADS", "2")
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_without_an_end_is_refused_wherever_one_is_named() {
    const CONFIG: &str = "livekit:\n  api_key: key\n  api_secret: 0123456789abcdef0123456789abcdef\nsip:\n  listen: 127.0.0.1:0\n\
                          agents: [{profile: desk}]\n";
    const PROFILE: &str = "prompt: x\nrecording: off\ndialogue: desk.dialogue.yaml\n";
    const DIALOGUE: &str = "intents: [{name: a, phrases: [hello], replies: Hello.}]\nfallback: Sorry.\n";
    let files = [
        ("trunkline.yaml", CONFIG),
        ("profiles/desk.yaml", PROFILE),
        ("profiles/desk.dialogue.yaml", DIALOGUE),
    ];
    for (endless, _) in files {
        for is_pipe in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("profiles")).unwrap();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let path = folder.path().join(endless);
            std::fs::remove_file(&path).unwrap();
            if is_pipe {
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            } else {
                std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            }
            let (code, report) = bounded_serve(folder.path());
            assert_eq!(code, Some(64), "{endless}: {report}");
            assert!(
                report.contains("no regular file") && report.contains(endless),
                "{endless}: {report}"
            );
            assert!(report.lines().count() < 10, "{endless}: {report}");
        }
    }
}

/// The program in a folder of its own, which is ended when it hangs. Signals to it are passed on by `timeout`.
fn bounded(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command
        .args([
            "--foreground",
            "--signal=KILL",
            "60",
            env!("CARGO_BIN_EXE_trunkline"),
        ])
        .args(arguments)
        .current_dir(folder)
        .env_clear();
    command
}

/// `trunkline demo` in a folder of its own.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = bounded(folder, &["demo", "--plain"]);
    command.args(arguments).env("PATH", "/usr/bin:/bin");
    command
}

/// livekit-server's Redis is away, so that the gateway is waited for: told to end meanwhile, the process ends well, and at once.
#[test]
fn who_is_told_to_end_while_it_starts_ends() {
    let folder = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, nobody) = (free(), free());
    let yaml = format!(
        "livekit: {{url: \"ws://{nobody}\", api_key: key, api_secret: {}}}\nredis: {{url: \"redis://{nobody}\"}}\n\
         http: {{listen: \"{http}\"}}\nsip: {{listen: \"127.0.0.1:0\", advertised_address: 127.0.0.1}}\n\
         queue: \"sqlite:queue.sqlite\"\nstore: \"file:store\"\n",
        "secret-".repeat(6)
    );
    std::fs::write(folder.path().join("trunkline.yaml"), yaml).unwrap();
    let mut serve = bounded(folder.path(), &["serve"])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut log = String::new();
    let mut lines = BufReader::new(serve.stdout.take().unwrap());
    while !log.contains("the HTTP API is not served") {
        assert!(lines.read_line(&mut log).unwrap() > 0, "it ended early:\n{log}");
    }
    let told = Command::new("kill")
        .args(["-TERM", &serve.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    lines.read_to_string(&mut log).unwrap();
    assert_eq!(serve.wait().unwrap().code(), Some(0), "{log}");
    assert!(log.contains("told to end before it was ready"), "{log}");
}

/// Its servers, profiles and speech programs are found; the call itself is what `make test` runs as a stage, from another
/// folder, too.
#[test]
fn the_demo_comes_up_in_any_folder_and_goes_at_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo(folder.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    let mut lines = BufReader::new(demo.stdout.take().unwrap());
    while !told.contains("the caller's voice is ready") {
        assert!(lines.read_line(&mut told).unwrap() > 0, "it ended early:\n{told}");
    }
    // `timeout` passes it on.
    let interrupted = Command::new("kill")
        .args(["-INT", &demo.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    lines.read_to_string(&mut told).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130), "{told}");
    assert!(
        folder.path().join("demo-out").is_dir(),
        "what it wrote is in the folder that it was called in"
    );
}

#[test]
fn a_livekit_server_that_is_named_and_not_there_is_told_with_the_ways_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let named = demo(folder.path(), &["--livekit-server", "/nowhere/flag"])
        .output()
        .unwrap();
    let variable = demo(folder.path(), &[])
        .env("TRUNKLINE_LIVEKIT_SERVER", "/nowhere/variable")
        .output()
        .unwrap();
    for (output, path) in [(named, "/nowhere/flag"), (variable, "/nowhere/variable")] {
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        for part in [
            path,
            "make setup",
            "go install",
            "--livekit-server",
            "TRUNKLINE_LIVEKIT_SERVER",
        ] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }
}

#[test]
fn an_unknown_command_exits_64_and_help_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(trunkline(folder.path(), &["answer"]).status.code(), Some(64));
    let help = trunkline(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("serve") && text.contains("demo"), "{text}");
}

#[test]
fn an_operator_gets_an_hour_of_livekits_api_and_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("trunkline.yaml"),
        "livekit:\n  api_key: key\n  api_secret: 0123456789abcdef0123456789abcdef\nsip:\n  listen: 127.0.0.1:0\n",
    )
    .unwrap();
    assert_eq!(trunkline(folder.path(), &["token"]).status.code(), Some(64));
    let output = trunkline(folder.path(), &["token", "--admin", "--room", "lobby"]);
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let part = token.trim().split('.').nth(1).unwrap().to_owned();
    let claims = String::from_utf8(base64_url(&part)).unwrap();
    for grant in [
        "\"roomAdmin\":true",
        "\"roomRecord\":true",
        "\"ingressAdmin\":true",
        "\"room\":\"lobby\"",
        "\"call\":true",
    ] {
        assert!(claims.contains(grant), "{grant}: {claims}");
    }
    let number = |name: &str| {
        let rest = claims.split(&format!("\"{name}\":")).nth(1).unwrap();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<i64>().unwrap()
    };
    // An hour, and two minutes for clocks that differ.
    assert_eq!(number("exp") - number("nbf"), 3_600 + 120);
}

fn base64_url(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = text.bytes().flat_map(|letter| {
        let value = LETTERS.iter().position(|known| *known == letter).unwrap();
        (0..6).rev().map(move |bit| value >> bit & 1)
    });
    let bits: Vec<usize> = bits.collect();
    let byte = |bits: &[usize]| bits.iter().fold(0_usize, |byte, bit| byte << 1 | bit);
    bits.chunks_exact(8)
        .map(|bits| u8::try_from(byte(bits)).unwrap())
        .collect()
}

#[test]
fn a_bench_of_an_agent_elsewhere_needs_the_keys_of_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let output = trunkline(
        folder.path(),
        &["bench", "--url", "ws://127.0.0.1:1", "--api-key", "key"],
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("--api-secret") && told.contains("LIVEKIT_API_SECRET"),
        "{told}"
    );
    let output = trunkline(folder.path(), &["bench", "--callers", "1,0"]);
    assert_eq!(output.status.code(), Some(64));
}
