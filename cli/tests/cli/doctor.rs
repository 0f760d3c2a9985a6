//! `trunkline doctor` beside a real livekit-server, Redis and `trunkline serve`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use dev::Program;
use platform::livekit::proto::SipInboundTrunkInfo;
use serde_json::Value;

use crate::apply::Bench;

const AREAS: [&str; 12] = [
    "livekit", "clock", "sip", "bus", "trunks", "media", "gateway", "webhook", "queue", "store", "egress",
    "ingress",
];

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
    bench.overwrite(&any.yaml(&bench));
    let serve = Serve::start(&bench);
    let healthy = Sections {
        http: &serve.http,
        sip: &serve.sip,
        ..any
    };
    bench.overwrite(&healthy.yaml(&bench));
    nothing_is_wrong(&bench).await;
    an_open_trunk_is_told(&bench, healthy).await;
    all_that_is_broken_is_told(&bench).await;
    other_keys_are_told(&bench, healthy).await;
    // Redis is there and livekit-server is not, as with two different ones.
    bench.overwrite(&any.yaml(&bench));
    bench.kill(Program::LiveKit).await;
    let (code, told) = doctor(&bench, &["--only", "bus,clock", "--without-gateway"]).await;
    let found = findings(&told);
    assert_eq!(code, Some(1), "{told:#}");
    assert!(found[0].2.contains("check livekit.url"), "{told:#}");
    assert!(found[1].2.contains("must name one server"), "{told:#}");
}

/// Every area is looked at, and is well.
async fn nothing_is_wrong(bench: &Bench) {
    let (code, told) = doctor(bench, &[]).await;
    let found = findings(&told);
    let areas: Vec<&str> = found.iter().map(|(area, _, _)| *area).collect();
    assert_eq!(areas, AREAS, "{told:#}");
    assert!(
        found.iter().all(|(_, severity, _)| *severity == "well"),
        "{told:#}"
    );
    assert_eq!(code, Some(0), "{told:#}");
    let (code, told) = bench.run(&["doctor"]).await;
    assert!(code == Some(0) && told.contains("Nothing is wrong."), "{told}");
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
