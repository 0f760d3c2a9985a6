//! `trunkline doctor` beside a real livekit-server, Redis and `trunkline serve`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use dev::{LocalStackConfig, Program};
use platform::livekit::proto::SipInboundTrunkInfo;
use serde_json::Value;

use crate::{apply::Bench, bounded, trunkline};

const AREAS: [&str; 15] = [
    "livekit",
    "clock",
    "sip",
    "bus",
    "trunks",
    "call",
    "sound",
    "media",
    "gateway",
    "webhook",
    "queue",
    "store",
    "egress",
    "ingress",
    "providers",
];

/// A number with its trunk and its rule, and an agent for it that needs no account.
const DESK: &str = "trunks: {inbound: [{name: provider, numbers: ['+15550111'], allowed_addresses: [198.51.100.7]}]}\n\
                    dispatch_rules: [{name: reception, trunks: [provider], room: voice-ai-call}]\n\
                    agents: [{profile: reception, numbers: ['+15550111']}]\n";
const OFFLINE: &str = "providers: {stt: pocketsphinx, llm: dialogue, tts: flite}\n";

/// `trunkline serve`, which ends with it.
struct Serve {
    process: Child,
    http: String,
    sip: String,
}

impl Serve {
    /// Waits until it is ready, and learns the ports that it has taken.
    fn start(bench: &Bench) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg("serve")
            .current_dir(bench.folder())
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines
            .map(|line| line.unwrap())
            .find(|line| line.contains(r#""message":"ready""#));
        let ready: Value = serde_json::from_str(&ready.expect("it is ready")).unwrap();
        let address = |key: &str| ready.get(key).and_then(Value::as_str).unwrap().to_owned();
        Self {
            http: address("http"),
            sip: address("sip"),
            process,
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The sections that matter, each of which may be another.
#[derive(Clone, Copy)]
struct Sections<'s> {
    secret: &'s str,
    redis: &'s str,
    http: &'s str,
    sip: &'s str,
    queue: &'s str,
    store: &'s str,
}

impl Sections<'_> {
    fn yaml(&self, bench: &Bench) -> String {
        let (url, key, _) = bench.access();
        format!(
            "livekit: {{url: \"{url}\", api_key: {key}, api_secret: {}}}\nredis: {{url: \"{}\"}}\nhttp: {{listen: \"{}\"}}\n\
             sip: {{listen: \"{}\"}}\nqueue: \"{}\"\nstore: \"{}\"\n",
            self.secret, self.redis, self.http, self.sip, self.queue, self.store
        )
    }
}

/// `(area, severity, what is said with its remedy)` of every finding.
fn findings(told: &Value) -> Vec<(&str, &str, String)> {
    let found = told["findings"].as_array().unwrap().iter();
    found
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default();
            let said = format!("{} → {}", text("says"), text("remedy"));
            (text("area"), text("severity"), said)
        })
        .collect()
}

async fn doctor(bench: &Bench, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments: Vec<&str> = ["doctor", "--json"].iter().chain(arguments).copied().collect();
    let (code, told) = bench.run(&arguments).await;
    (code, serde_json::from_str(&told).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_stack_has_nothing_wrong_and_what_is_broken_is_named_with_its_remedy() {
    let mut bench = Bench::new("").await;
    let (redis, secret) = (bench.redis_url(), bench.access().2);
    let any = Sections {
        secret: &secret,
        redis: &redis,
        http: "127.0.0.1:0",
        sip: "127.0.0.1:0",
        queue: "sqlite:queue.sqlite",
        store: "file:store",
    };
    bench.overwrite(&format!("{}{DESK}", any.yaml(&bench)));
    write_profile(&bench, OFFLINE);
    let (code, told) = bench.run(&["apply"]).await;
    assert_eq!(code, Some(0), "{told}");
    let serve = Serve::start(&bench);
    let healthy = Sections {
        http: &serve.http,
        sip: &serve.sip,
        ..any
    };
    bench.overwrite(&format!("{}{DESK}", healthy.yaml(&bench)));
    nothing_is_wrong(&bench).await;
    a_number_without_an_agent_or_a_rule_is_told(&bench, healthy).await;
    an_open_trunk_is_told(&bench, healthy).await;
    all_that_is_broken_is_told(&bench).await;
    other_keys_are_told(&bench, healthy).await;
    // Redis is there and livekit-server is not, as with two different ones.
    bench.overwrite(&healthy.yaml(&bench));
    bench.kill(Program::LiveKit).await;
    let (code, told) = doctor(&bench, &["--only", "bus,clock,gateway"]).await;
    let found = findings(&told);
    assert_eq!(code, Some(1), "{told:#}");
    assert!(found[0].2.contains("check livekit.url"), "{told:#}");
    assert!(found[1].2.contains("must name one server"), "{told:#}");
    assert!(found[2].2.contains("refused with 503"), "{told:#}");
}

/// Every area is looked at, and is well.
async fn nothing_is_wrong(bench: &Bench) {
    let (code, told) = doctor(bench, &[]).await;
    let found = findings(&told);
    let mut areas: Vec<&str> = found.iter().map(|(area, _, _)| *area).collect();
    // Recogniser, model and synthesiser.
    assert_eq!(
        areas.iter().filter(|area| **area == "providers").count(),
        3,
        "{told:#}"
    );
    areas.dedup();
    assert_eq!(areas, AREAS, "{told:#}");
    assert!(
        found.iter().all(|(_, severity, _)| *severity == "well"),
        "{told:#}"
    );
    assert_eq!(code, Some(0), "{told:#}");
    let (code, told) = bench.run(&["doctor"]).await;
    assert!(code == Some(0) && told.contains("Nothing is wrong."), "{told}");
}

/// The profile that needs no account, with these providers.
fn write_profile(bench: &Bench, providers: &str) {
    let folder = bench.folder().join("profiles");
    std::fs::create_dir_all(&folder).unwrap();
    let profile = include_str!("../../../profiles/reception.yaml");
    std::fs::write(folder.join("reception.yaml"), format!("{profile}{providers}")).unwrap();
    let dialogue = include_str!("../../../profiles/reception.dialogue.yaml");
    std::fs::write(folder.join("reception.dialogue.yaml"), dialogue).unwrap();
}

/// Each time from the trunk's own address, and no phone rings: the questions go over the bus.
async fn a_number_without_an_agent_or_a_rule_is_told(bench: &Bench, healthy: Sections<'_>) {
    for (agents, severity, says) in [
        ("", "warning", "`agents` is empty"),
        (
            "agents: [{profile: reception, numbers: ['+15550122']}]\n",
            "warning",
            "but for its `numbers` → add the number",
        ),
        (
            "agents: [{profile: reception, rooms: [lobby]}]\n",
            "warning",
            "but for its `rooms` → let",
        ),
    ] {
        bench.overwrite(&format!("{}{agents}", healthy.yaml(bench)));
        let (_, told) = doctor(bench, &["--only", "call"]).await;
        let found = findings(&told);
        assert!(found.len() == 1 && found[0].1 == severity, "{told:#}");
        assert!(found[0].2.contains(says), "{says}: {told:#}");
    }
    let rules = bench.livekit.list_sip_dispatch_rules().await.unwrap();
    bench
        .livekit
        .delete_sip_dispatch_rule(&rules[0].sip_dispatch_rule_id)
        .await
        .unwrap();
    let (code, told) = doctor(bench, &["--only", "call"]).await;
    let found = findings(&told);
    assert_eq!((code, found.len()), (Some(1), 1), "{told:#}");
    assert!(found[0].2.contains("no dispatch rule"), "{told:#}");
    for trunk in bench.livekit.list_sip_inbound_trunks().await.unwrap() {
        bench.livekit.delete_sip_trunk(&trunk.sip_trunk_id).await.unwrap();
    }
}

/// It is open, and no rule takes its calls.
async fn an_open_trunk_is_told(bench: &Bench, healthy: Sections<'_>) {
    let open = SipInboundTrunkInfo {
        name: "made-by-hand".to_owned(),
        numbers: vec!["+15550100".to_owned()],
        ..Default::default()
    };
    bench.livekit.create_sip_inbound_trunk(open).await.unwrap();
    let (code, told) = doctor(bench, &["--only", "trunks"]).await;
    let said: Vec<String> = findings(&told).into_iter().map(|(_, _, said)| said).collect();
    assert_eq!(code, Some(1), "{told:#}");
    assert!(
        said.len() == 2 && said[0].contains("made-by-hand is open"),
        "{said:#?}"
    );
    assert!(said[1].contains("no dispatch rule takes"), "{said:#?}");
    // The file means it to be open, and has the rule that the server lacks.
    let telephony = "trunks: {inbound: [{name: made-by-hand, numbers: ['+15550100'], open: true}]}\n\
                     dispatch_rules: [{name: desk, trunks: [made-by-hand], room: call}]\n";
    bench.overwrite(&format!("{}{telephony}", healthy.yaml(bench)));
    let (_, told) = doctor(bench, &["--only", "trunks"]).await;
    let said: Vec<String> = findings(&told).into_iter().map(|(_, _, said)| said).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(
        said[0].contains("differs from the file: dispatch rule desk →"),
        "{said:#?}"
    );
    let (code, told) = bench.run(&["apply"]).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = doctor(bench, &["--only", "trunks"]).await;
    assert_eq!(code, Some(0), "{told:#}");
}

/// All of it at once.
async fn all_that_is_broken_is_told(bench: &Bench) {
    let nobody = "127.0.0.1:1";
    std::fs::write(bench.folder().join("no-folder"), "").unwrap();
    let broken = Sections {
        secret: "another-secret-of-32-characters-or-more",
        redis: &format!("redis://{nobody}"),
        http: nobody,
        sip: nobody,
        queue: "sqlite:no-folder/queue.sqlite",
        store: "file:no-folder/store",
    };
    bench.overwrite(&broken.yaml(bench));
    let (code, told) = doctor(bench, &[]).await;
    assert_eq!(code, Some(1));
    for (area, remedy) in [
        ("livekit", "livekit.api_secret must be the one"),
        ("bus", "check redis.url"),
        ("gateway", "start `trunkline serve`"),
        ("webhook", "check http.listen"),
        ("queue", "check the key `queue`"),
        ("store", "check the key `store`"),
    ] {
        let is_told = |(found, severity, said): &(&str, &str, String)| {
            *found == area && *severity == "error" && said.contains(remedy)
        };
        assert!(findings(&told).iter().any(is_told), "{area}: {remedy}: {told:#}");
    }
    // What hangs on LiveKit's API is not told again.
    assert_eq!(told["errors"], 6, "{told:#}");
}

/// The process that takes webhooks has others.
async fn other_keys_are_told(bench: &Bench, healthy: Sections<'_>) {
    let keys = Sections {
        secret: "another-secret-of-32-characters-or-more",
        ..healthy
    };
    bench.overwrite(&keys.yaml(bench));
    let (code, told) = doctor(bench, &["--only", "webhook"]).await;
    let found = findings(&told);
    assert!(
        code == Some(1) && found[0].2.contains("refuses a test webhook (401)"),
        "{told:#}"
    );
}

/// What a service answers to every request; `None`: nothing.
type Answer = Option<(&'static str, &'static str)>;

/// An HTTP service on loopback with one answer to everything.
fn service(answer: Answer) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some((status, rest)) = answer else {
                held.push(stream);
                continue;
            };
            // A request that is not read to its end is answered by a reset.
            let mut seen = Vec::new();
            let mut piece = [0; 4096];
            while !is_whole(&seen) {
                match stream.read(&mut piece) {
                    Ok(length @ 1..) => seen.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
            let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{rest}");
        }
    });
    address
}

/// Whether a request has come whole: its head, and as much body as that announces.
fn is_whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    if head.contains("transfer-encoding: chunked") {
        return seen.ends_with(b"0\r\n\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    let head_end = seen.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    seen.len() >= head_end + length
}

/// A configuration that needs no server, since the area does not either.
fn alone(livekit: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "livekit: {{url: \"ws://{livekit}\", api_key: key, api_secret: {}}}\nsip: {{listen: \"127.0.0.1:0\"}}\n{more}",
        "secret-".repeat(6)
    );
    std::fs::write(folder.path().join("trunkline.yaml"), yaml).unwrap();
    folder
}

fn doctor_alone(folder: &Path, area: &str) -> (Option<i32>, Value) {
    let output = trunkline(folder, &["doctor", "--json", "--only", area]);
    let told = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        !told.contains("canary") && !complaint.contains("canary"),
        "{told}{complaint}"
    );
    eprintln!("{complaint}");
    (output.status.code(), serde_json::from_str(&told).unwrap())
}

#[test]
fn a_clock_that_is_two_minutes_off_is_told() {
    let ahead = time::OffsetDateTime::now_utc() + time::Duration::minutes(2);
    let date = ahead
        .format(&time::format_description::well_known::Rfc2822)
        .unwrap();
    let head = format!(
        "date: {}\r\ncontent-length: 0\r\n\r\n",
        date.replace("+0000", "GMT")
    );
    let server = service(Some(("200 OK", head.leak())));
    let (code, told) = doctor_alone(alone(&server.to_string(), "").path(), "clock");
    assert_eq!(code, Some(1), "{told:#}");
    let said = &findings(&told)[0].2;
    assert!(
        said.contains("ahead: tokens are refused → set the clocks"),
        "{said}"
    );
}

#[test]
fn each_trouble_of_a_provider_is_told_with_its_remedy_and_without_the_key() {
    const KEY: &str = "content-type: application/json\r\n\r\n{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"canary\"}}";
    const MODEL: &str = "content-type: application/json\r\n\r\n{\"error\":{\"code\":\"model_not_found\"}}";
    for (answer, says) in [
        (
            Some(("401 Unauthorized", KEY)),
            "HTTP 401 (invalid_api_key): check the key → set a key that the service takes: providers.openai.api_key",
        ),
        (
            Some(("404 Not Found", MODEL)),
            "→ the service does not know the model",
        ),
        (
            Some(("429 Too Many Requests", "\r\n")),
            "→ the account is over its limits",
        ),
        (None, "no answer within 10 s → look at the service's status page"),
    ] {
        let service = service(answer);
        told_of_each_stage(&format!("http://{service}/v1"), says);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    told_of_each_stage(
        &format!("http://{nobody}/v1"),
        "→ check providers.openai.base_url, DNS",
    );
}

/// Recogniser, model and synthesiser are of that service.
fn told_of_each_stage(base_url: &str, says: &str) {
    let more = format!(
        "providers: {{openai: {{api_key: sk-canary-of-the-provider, base_url: \"{base_url}\"}}}}\nagents: [{{profile: desk}}]\n"
    );
    let folder = alone("127.0.0.1:1", &more);
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    let profile = "prompt: x\nrecording: off\nproviders: {stt: openai, llm: openai, tts: openai}\n";
    std::fs::write(folder.path().join("profiles/desk.yaml"), profile).unwrap();
    let (code, told) = doctor_alone(folder.path(), "providers");
    let found = findings(&told);
    assert_eq!((code, found.len()), (Some(1), 3), "{told:#}");
    for ((_, severity, said), stage) in found.iter().zip(["stt", "llm", "tts"]) {
        assert_eq!(*severity, "error", "{said}");
        assert!(said.starts_with(stage) && said.contains(says), "{says}: {said}");
    }
}

/// As behind a firewall: the room is joined, and no sound gets through.
#[tokio::test(flavor = "multi_thread")]
async fn media_that_do_not_get_through_are_told_and_the_room_is_removed() {
    let config = LocalStackConfig {
        media_unreachable: true,
        ..LocalStackConfig::default()
    };
    let bench = Bench::on(config, "").await;
    let (code, told) = doctor(&bench, &["--only", "sound", "--without-gateway"]).await;
    let found = findings(&told);
    assert_eq!((code, found.len()), (Some(1), 1), "{told:#}");
    assert!(
        found[0].2.contains("(ICE)") && found[0].2.contains("rtc.node_ip"),
        "{told:#}"
    );
    assert!(bench.livekit.list_rooms(&[]).await.unwrap().is_empty());
}

/// The second look differs from the first in the store alone, and only that is told.
#[test]
fn watching_tells_all_at_first_and_then_what_has_changed() {
    let folder = alone(
        "127.0.0.1:1",
        "queue: \"sqlite:queue.sqlite\"\nstore: \"file:store\"\n",
    );
    let mut doctor = bounded(
        folder.path(),
        &["doctor", "--only", "queue,store", "--watch", "1"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(doctor.stdout.take().unwrap()).lines();
    let mut until = |end: &str| {
        let mut told = Vec::new();
        loop {
            let line = lines.next().expect("it goes on").unwrap();
            let is_end = line.contains(end);
            told.push(line);
            if is_end {
                return told.join("\n");
            }
        }
    };
    let first = until("Nothing is wrong.");
    assert!(first.contains("✓ queue") && first.contains("✓ store"), "{first}");
    let store = folder.path().join("store");
    std::fs::rename(&store, folder.path().join("gone")).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    let broken = until("1 error.");
    assert!(
        broken.contains("✗ store") && !broken.contains("queue"),
        "{broken}"
    );
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(folder.path().join("gone"), &store).unwrap();
    let mended = until("Nothing is wrong.");
    assert!(
        mended.contains("✓ store") && !mended.contains("queue"),
        "{mended}"
    );
    assert!(!mended.contains('\u{1b}') && !mended.contains('\r'), "{mended:?}");
    let told = Command::new("kill")
        .args(["-INT", &doctor.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(doctor.wait().unwrap().code(), Some(0));
}
