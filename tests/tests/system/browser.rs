//! A browser calls: the page of `docs/frontend.md` in Chromium, with a token of the token endpoint.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use audio::wav;
use providers::Stt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    conversation::{plain, recogniser, turns},
    harness::{Options, System, turn},
    phone::{self, SOON, voice},
};

/// Chromium's start, a refusal, and a call of some twenty seconds.
const LIMIT: Duration = Duration::from_secs(100);
/// Longer than the greeting.
const LEAD: usize = 15 * 16_000 / 2;
/// Chromium repeats nothing: what comes after the question is silence until the end of the call.
const REST: usize = 30 * 16_000;

/// `tests/web/call.mjs`: the page's own server, the identity provider, and the browser.
struct Browser {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/call.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is installed (`make setup`)");
        Self {
            orders: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    async fn line(&mut self, limit: Duration) -> Value {
        let line = timeout(limit, self.lines.next_line()).await;
        let line = line.expect("the browser is done in time").unwrap();
        let line = line.expect("the script says what went wrong, above; `make setup` installs what it needs");
        serde_json::from_str(&line).unwrap()
    }

    async fn call(mut self, system: &System, microphone: &Path) -> Value {
        let order = json!({
            "api": format!("http://{}", system.http), "voice": microphone, "written": phone::OTHER_QUESTION,
        });
        self.orders
            .write_all(format!("{order}\n").as_bytes())
            .await
            .unwrap();
        let told = self.line(LIMIT).await;
        assert!(timeout(SOON, self.child.wait()).await.unwrap().unwrap().success());
        told
    }
}

/// The sections that the page's document says are needed.
fn sections(site: &Value) -> String {
    let access = json!({"jwt": {
        "issuer": site["issuer"], "audience": site["audience"], "jwks_url": site["jwks_url"],
        "scopes": ["token:create"], "rooms": ["web-{sub}~*"],
    }});
    format!(
        "access: {access}\ntoken: {}\n",
        json!({"origins": [site["origin"]]})
    )
}

/// Asks when the greeting is over.
fn microphone(dir: &Path) -> PathBuf {
    let mut samples = vec![0; LEAD];
    samples.extend(voice(phone::QUESTION));
    samples.resize(samples.len() + REST, 0);
    let path = dir.join("microphone.wav");
    wav::write(&mut std::fs::File::create(&path).unwrap(), &samples, 16_000).unwrap();
    path
}

fn samples(utterance: &Value) -> Vec<i16> {
    let samples = utterance.as_array().unwrap().iter();
    samples.map(|sample| sample.as_i64().unwrap() as i16).collect()
}

/// What livekit-client, unchanged, has told the page of the agent and of what was said.
fn is_told(told: &Value) {
    let list = |key: &str| told[key].as_array().unwrap().clone();
    let states = list("states");
    for state in ["listening", "thinking", "speaking"] {
        assert!(states.contains(&json!(state)), "{state} is not in {states:?}");
    }
    let us = told["us"].as_str().unwrap();
    let finals = |ours: bool| {
        let captions = list("captions").into_iter();
        let of = captions.filter(|caption| caption["final"] == true && (caption["from"] == us) == ours);
        let named = of.inspect(|caption| {
            assert!(
                caption["track"]
                    .as_str()
                    .is_some_and(|sid| sid.starts_with("TR_")),
                "{caption}"
            );
        });
        named
            .map(|caption| caption["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(finals(true), [phone::QUESTION]);
    assert_eq!(
        finals(false),
        [phone::GREETING, phone::ANSWER, phone::OTHER_ANSWER]
    );
    // As streams: the agent's grow, and each segment is final once.
    let streams = list("streams");
    let attribute =
        |stream: &Value, key: &str| stream["attributes"][key].as_str().unwrap_or_default().to_owned();
    let ended = streams
        .iter()
        .filter(|stream| attribute(stream, "lk.transcription_final") == "true");
    let texts: Vec<String> = ended
        .map(|stream| {
            assert!(attribute(stream, "lk.segment_id").starts_with("SG_"), "{stream}");
            assert!(
                attribute(stream, "lk.transcribed_track_id").starts_with("TR_"),
                "{stream}"
            );
            let parts = stream["parts"].as_array().unwrap().iter();
            parts.map(|part| part.as_str().unwrap()).collect()
        })
        .collect();
    assert_eq!(
        texts,
        [
            phone::GREETING,
            phone::QUESTION,
            phone::ANSWER,
            phone::OTHER_ANSWER
        ]
    );
    let grows = |stream: &Value| stream["parts"].as_array().unwrap().len() > 2;
    assert!(streams.iter().any(grows), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_gets_a_token_and_talks_to_the_agent_and_another_page_gets_none() {
    let _turn = turn().await;
    let mut browser = Browser::start();
    let site = browser.line(SOON).await;
    let system = System::start(Options {
        agents: "[{profile: reception, rooms: [\"web-*\"]}]",
        sections: sections(&site),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let told = browser.call(&system, &microphone(system.dir.path())).await;

    // The same page from an origin that is not listed: its preflight is refused, and its request never sent.
    let refused = &told["refused"];
    // The browser tells of both in either order.
    let sent = |page: &Value| {
        let mut sent = page["sent"].as_array().unwrap().clone();
        sent.sort_by_key(|request| request["method"].to_string());
        sent
    };
    assert_eq!(
        sent(refused),
        [
            json!({"method": "OPTIONS", "status": 403}),
            json!({"method": "POST"})
        ]
    );
    assert_eq!(refused["errors"], json!(["Failed to fetch"]));

    let called = &told["called"];
    assert_eq!(
        sent(called),
        [
            json!({"method": "OPTIONS", "status": 204}),
            json!({"method": "POST", "status": 201})
        ]
    );
    assert_eq!(called["errors"], json!([]));
    measured!("the browser received {}", called["received"]);
    assert!(called["received"]["packets"].as_u64().unwrap() > 100, "{called}");
    assert!(called["received"]["energy"].as_f64().unwrap() > 0.1, "{called}");
    let heard = called["heard"].as_array().unwrap();
    let answers = [phone::GREETING, phone::ANSWER, phone::OTHER_ANSWER];
    let recogniser = recogniser(&answers);
    for (utterance, expected) in heard.iter().zip(answers) {
        let transcript = recogniser.transcribe(&samples(utterance), "en").await.unwrap();
        measured!("the recogniser heard: {}", transcript.text);
        assert_eq!(plain(&transcript.text), plain(expected));
    }
    assert_eq!(heard.len(), 3);
    is_told(&called["told"]);

    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    assert!(
        record["room"].as_str().unwrap().starts_with("web-ann~"),
        "{record}"
    );
    assert_eq!(
        turns(&record),
        [
            ("agent", phone::GREETING, false),
            ("caller", phone::QUESTION, false),
            ("agent", phone::ANSWER, false),
            ("caller", phone::OTHER_QUESTION, false),
            ("agent", phone::OTHER_ANSWER, false)
        ]
    );
    assert_eq!(system.calls().difference(&before).count(), 1);
    system.stop().await;
}
