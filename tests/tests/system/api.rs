//! The HTTP API before senders who mean no good, and before schemathesis, which asks whatever the document lets it ask.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::future::join_all;
use livekit::id::TrackSid;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::{
    harness::{Options, System, children, shared_turn, turn},
    http::{KEY, answer, ask, head, sections},
    phone::SOON,
    sweep::browser,
};

const ROOM: &str = "fuzz-room";
/// The longest that any answer may take: LiveKit's own time, and a busy machine's.
const ANSWER: Duration = Duration::from_secs(10);

async fn start() -> System {
    System::start(Options {
        sections: sections(),
        ..Options::default()
    })
    .await
}

/// What schemathesis asks for beside what it makes up: things that exist, and targets that policy has an opinion on.
fn asked_for(call: &str, track: &TrackSid) -> String {
    let targets = json!([
        "+14155552671",
        "+14155550001",
        "+19005551234",
        "112",
        "911",
        "sip:ann@pbx.example.com",
        "sip:911@pbx.example.com",
        "sip:ann@169.254.169.254",
        "sip:ann@127.0.0.1:6379",
        "tel:+14155552671;ext=1"
    ]);
    format!(
        "[dictionaries]\ntargets.values = {targets}\nrooms.values = [\"{ROOM}\", \"fuzz-other\"]\n\
         calls.values = [\"{call}\"]\nidentities.values = [\"browser\"]\ntracks.values = [\"{track}\"]\n\
         digits.values = [\"12#\", \"*\"]\n\
         [checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", \"503\"]\n\
         negative_data_rejection.expected-statuses = [\"4xx\", \"503\"]\n\
         [parameters]\n\
         \"path.call\" = {{ dictionary = \"calls\", probability = 0.8 }}\n\
         \"path.room\" = {{ dictionary = \"rooms\", probability = 0.8 }}\n\
         \"path.identity\" = {{ dictionary = \"identities\", probability = 0.8 }}\n\
         \"path.track\" = {{ dictionary = \"tracks\", probability = 0.8 }}\n\
         \"body.name\" = {{ dictionary = \"rooms\", probability = 0.5 }}\n\
         \"body.room\" = {{ dictionary = \"rooms\", probability = 0.5 }}\n\
         \"body.room_name\" = {{ dictionary = \"rooms\", probability = 0.5 }}\n\
         \"body.to\" = {{ dictionary = \"targets\", probability = 0.8 }}\n\
         \"body.digits\" = {{ dictionary = \"digits\", probability = 0.8 }}\n\
         \"body.participant_identity\" = {{ dictionary = \"identities\", probability = 0.8 }}\n"
    )
}

/// `FUZZ_API_SECONDS` makes it go on so long, with another beginning each time.
fn schemathesis(dir: &Path, url: &str, which: [&str; 2]) -> Command {
    let long = std::env::var_os("FUZZ_API_SECONDS");
    let mut command =
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/py/bin/schemathesis"));
    command
        .current_dir(dir)
        .args(["run", &format!("{url}/openapi.json"), "--no-color"])
        .args(which)
        .arg("--header")
        .arg(format!("Authorization: Bearer {KEY}"))
        .arg("--checks")
        .arg(
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
             response_headers_conformance,negative_data_rejection,missing_required_header,unsupported_method,\
             allow_header_conformance,ignored_auth",
        )
        .args(["--request-timeout", "30", "--continue-on-failure"])
        .arg(format!("--max-response-time={}", ANSWER.as_secs()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match long {
        Some(seconds) => command
            .args(["--max-examples=1000", "--generation-database=none", "--max-time"])
            .arg(seconds),
        None => command.args(["--max-examples=20", "--generation-deterministic"]),
    };
    command
}

/// A 503 is no fault where the document says so (no trunk is known here), and anywhere else it is an undocumented status.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_server_error_no_hang_and_no_answer_that_the_document_does_not_have() {
    let _turn = turn().await;
    let system = start().await;
    let before = system.calls();
    let (room, _events) = browser(&system, ROOM).await;
    system.wait_for_new_call(&before).await;
    let track = room.local_participant().track_publications();
    let call = room.sid().await;
    let config = asked_for(call.as_str(), track.keys().next().unwrap());
    std::fs::write(system.dir.path().join("schemathesis.toml"), config).unwrap();

    let url = format!("http://{}", system.http);
    // What exists goes last.
    for which in [["--exclude-method", "DELETE"], ["--include-method", "DELETE"]] {
        let output = schemathesis(system.dir.path(), &url, which).output();
        let output = timeout(Duration::from_hours(2), output).await.unwrap();
        let output = output.expect("schemathesis is installed (`make setup`)");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}; log: {}", system.log.display());
        let cases = told.lines().find(|line| line.contains(" generated, "));
        measured!(
            "schemathesis: {}",
            cases.expect("it tells how much it did").trim()
        );
    }

    // It got as far as what exists, and the process is as it was.
    let done = |route: &str, status: u64| {
        system
            .log_lines()
            .iter()
            .any(|line| line["route"] == route && line["status"] == status)
    };
    for route in [
        "/v1/rooms/{room}/participants/{identity}",
        "/v1/rooms/{room}/participants/{identity}/tracks/{track}/mute",
        "/v1/calls/{call}",
    ] {
        assert!(done(route, 200) || done(route, 204), "{route} was never done");
    }
    assert!(done("/v1/calls", 503), "nothing got as far as LiveKit's trunks");
    assert_eq!(ask(system.http, "GET", "/v1/rooms", None).await.0, 200);
    // The deletions have sent it away.
    assert!(room.close().await.is_err());
    system.stop().await;
}

/// Sends a body that goes on until it is refused; the answer, if it could be read.
async fn oversized(system: &System, target: &str, headers: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(system.http).await.unwrap();
    let request = head("POST", target, headers);
    stream.write_all(request.as_bytes()).await.unwrap();
    let piece = [b"10000\r\n".as_slice(), &vec![b' '; 0x1_0000], b"\r\n"].concat();
    let until = Instant::now() + SOON;
    let mut sent = 0;
    while sent < 64 * 1024 * 1024 && stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
        assert!(
            Instant::now() < until,
            "it takes more and more: {sent} bytes so far"
        );
    }
    assert!(sent < 64 * 1024 * 1024, "{target} takes all of it");
    answer(&mut stream, SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end_are_refused_in_little_memory() {
    let _turn = shared_turn().await;
    let system = start().await;
    let before = system.vitals().await;
    let routes = ["/v1/rooms", "/v1/token", "/v1/calls"];
    for target in routes {
        // Announced: refused before a byte of it is taken.
        let mut stream = TcpStream::connect(system.http).await.unwrap();
        let request = head("POST", target, "content-length: 1000000000000\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (status, _) = answer(&mut stream, SOON).await.unwrap();
        assert_eq!(status, 413, "{target}");
    }
    let all = (0..80).map(|at| oversized(&system, routes[at % 3], "transfer-encoding: chunked\r\n"));
    let answers = join_all(all).await;
    for (status, _) in answers.into_iter().flatten() {
        assert_eq!(status, 413);
    }
    // JSON that is deep or wide, as large as a body may be.
    for body in [
        "[".repeat(130_000),
        format!("{{\"headers\": {{{}", "\"x\":\"\",".repeat(16_000)),
    ] {
        let length = format!("content-length: {}\r\n", body.len());
        let mut stream = TcpStream::connect(system.http).await.unwrap();
        let request = head("POST", "/v1/calls", &length) + &body;
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream, SOON).await.unwrap().0, 400);
    }
    let after = system.vitals().await;
    measured!("80 bodies without end: {before:?}, then {after:?}");
    // 80 bodies of the largest size are 10 MB; what they all tried to send is 5 GB.
    assert!(after.rss_kb < before.rss_kb + 40_000, "{before:?} {after:?}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_sent_away_and_keep_nobody_waiting() {
    // Alone: it measures.
    let _turn = turn().await;
    let system = start().await;
    let slow = (0..200).map(|at| {
        let system = &system;
        async move {
            let mut stream = TcpStream::connect(system.http).await.unwrap();
            let target = ["/v1/rooms", "/v1/token"][at % 2];
            let request = head("POST", target, "content-length: 100\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let begun = Instant::now();
            let (mut read, mut write) = stream.into_split();
            // A byte every 200 ms would take 20 s.
            let trickle = async {
                while write.write_all(b" ").await.is_ok() {
                    sleep(Duration::from_millis(200)).await;
                }
                std::future::pending::<()>().await;
            };
            let mut bytes = Vec::new();
            tokio::select! {
                // Both are dropped with the connection. A reset behind the answer ends it as well.
                () = trickle => {}
                all = timeout(SOON * 2, read.read_to_end(&mut bytes)) => drop(all.expect("a slow client is sent away")),
            }
            (String::from_utf8_lossy(&bytes).into_owned(), begun.elapsed())
        }
    });
    let others = async {
        let mut worst = Duration::ZERO;
        for _ in 0..50 {
            let begun = Instant::now();
            assert_eq!(ask(system.http, "GET", "/v1/rooms", None).await.0, 200);
            worst = worst.max(begun.elapsed());
        }
        worst
    };
    let (slow, worst) = tokio::join!(join_all(slow), others);
    measured!("beside 200 slow clients an answer took {worst:?} at most");
    for (text, after) in slow {
        assert!(text.starts_with("HTTP/1.1 408 "), "{text:?} after {after:?}");
    }
    assert!(worst < Duration::from_secs(3), "{worst:?}");
    system.stop().await;
}

/// Every file below `dir`, but for what the process writes for itself.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for path in children(dir) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

const CLIMBING: [&str; 14] = [
    "../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5cetc%5cpasswd",
    "..%252f..%252fetc%252fpasswd",
    "%c0%ae%c0%ae%c0%afetc%c0%afpasswd",
    "..;/..;/etc/passwd",
    "fuzz-room%00.json",
    "fuzz-room/../other",
    "RM_%2e%2e%2f",
    "%ff%fe",
    "fuzz-%0d%0aset-cookie:%20a=b",
    "//etc/passwd",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_that_climb_lead_nowhere() {
    let _turn = shared_turn().await;
    let system = start().await;
    let before: BTreeSet<_> = files(system.dir.path());
    for name in CLIMBING {
        for target in [
            format!("/v1/calls/{name}"),
            format!("/v1/rooms/{name}"),
            format!("/v1/rooms/{name}/participants"),
            format!("/v1/rooms/fuzz-room/participants/{name}"),
            format!("/v1/calls?day={name}"),
            format!("/v1/calls?cursor={name}"),
            format!("/{name}"),
        ] {
            let (status, body) = ask(system.http, "GET", &target, None).await;
            // A room of the caller's own that is not there has nobody in it.
            let is_empty = (status, &body) == (200, &json!([]));
            let is_problem = [400, 404].contains(&status) && body["title"].is_string();
            assert!(is_empty || is_problem, "{target}: {status} {body}");
            assert!(!body.to_string().contains("root:"), "{target}: {body}");
        }
    }
    for name in [
        "../../x",
        "/etc/x",
        "..",
        "a/../fuzz-x",
        "\u{0}",
        "fuzz-\n",
        "fuzz-\u{7f}",
    ] {
        let body = json!({"name": name});
        let (status, _) = ask(system.http, "POST", "/v1/rooms", Some(&body)).await;
        assert!([400, 404].contains(&status), "{name:?}: {status}");
    }
    // These are the caller's own: names of rooms are names, whatever they look like, and no paths.
    for name in ["fuzz-/../../x", "fuzz-..", "fuzz-%2e%2e%2f"] {
        let known = system.calls();
        let body = json!({"name": name});
        let (status, room) = ask(system.http, "POST", "/v1/rooms", Some(&body)).await;
        assert_eq!((status, &room["name"]), (201, &json!(name)));
        system.wait_for_new_call(&known).await;
        let body = json!({"to": "+14155552671", "room": name, "participant_identity": "../../../y"});
        let mut stream = TcpStream::connect(system.http).await.unwrap();
        let text = body.to_string();
        let more = format!(
            "content-length: {}\r\nidempotency-key: ../../../../z\r\n",
            text.len()
        );
        let request = head("POST", "/v1/calls", &more) + &text;
        stream.write_all(request.as_bytes()).await.unwrap();
        let (status, problem) = answer(&mut stream, SOON).await.unwrap();
        assert_eq!(status, 503, "{problem}");
        assert!(
            problem["remedy"].as_str().unwrap().contains("calls.trunks"),
            "{problem}"
        );
    }
    let store = system.store();
    for file in files(system.dir.path()).difference(&before) {
        let is_queue = file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("queue."));
        assert!(file.starts_with(&store) || is_queue, "{}", file.display());
        let shown = file.to_string_lossy();
        assert!(!shown.contains("..") && !shown.contains('%'), "{shown}");
    }
    system.stop().await;
}

/// The only hosts that a client can name are those of SIP URIs (`recordings` and `ingress` check theirs themselves).
#[tokio::test(flavor = "multi_thread")]
async fn no_host_inside_is_called_for_a_client() {
    let _turn = shared_turn().await;
    let system = start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = listener.local_addr().unwrap();
    for host in [
        inside.to_string(),
        "127.0.0.1".into(),
        "localhost".into(),
        "[::1]".into(),
        "169.254.169.254".into(),
        "2130706433".into(),
        "0x7f.1".into(),
        "pbx.example.com@127.0.0.1".into(),
        "127.0.0.1;maddr=pbx.example.com".into(),
        "pbx.example.com;maddr=127.0.0.1".into(),
        "pbx.example.com?route=127.0.0.1".into(),
        "pbx.example.com:6379".into(),
        "pbx.example.com.evil.example.com".into(),
        "pbx.example.com%00.evil.example.com".into(),
        format!("pbx.example.com\r\nroute: <sip:{inside}>"),
    ] {
        let body = json!({"to": format!("sip:ann@{host}"), "wait_until_answered": true});
        let (status, problem) = ask(system.http, "POST", "/v1/calls", Some(&body)).await;
        assert!([400, 403].contains(&status), "{host}: {status} {problem}");
        assert_eq!(problem["field"], "to", "{host}: {problem}");
    }
    // What a client says of itself brings nobody to call it back.
    for (name, value) in [
        ("server_url", json!(format!("ws://{inside}"))),
        ("callback_url", json!(format!("http://{inside}/"))),
        ("webhooks", json!([format!("http://{inside}/")])),
    ] {
        for target in ["/v1/token", "/v1/rooms", "/v1/calls"] {
            let (status, problem) = ask(system.http, "POST", target, Some(&json!({name: value}))).await;
            assert_eq!((status, &problem["field"]), (400, &json!(name)), "{target}");
        }
    }
    assert_eq!(system.rooms().list_rooms(Vec::new()).await.unwrap().len(), 0);
    assert!(
        timeout(Duration::ZERO, listener.accept()).await.is_err(),
        "somebody called"
    );
    system.stop().await;
}
