//! A call in AWS mode: the functions as Lambda binaries, SQS, S3 and SSM on MiniStack, worker and gateway as processes of their own.

use std::{sync::Arc, time::Duration};

use audio::Codec;
use caller::Call;
use dev::MiniStack;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use platform::store::{Page, Store};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    cloud::{API_KEY, Cloud},
    harness::{Options, System, shared_turn},
    lambda::{Front, Function},
    phone::{self, PAUSE, SOON, answered, voice},
    takeover::TAKEN_OVER_WITHIN,
};

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listing = store.list(prefix, Page::default()).await.unwrap();
    listing.entries.into_iter().map(|entry| entry.key).collect()
}

/// The call's folder and its record, once it is there.
async fn record(store: &dyn Store, log: &std::path::Path) -> (String, Value) {
    let until = Instant::now() + SOON * 2;
    loop {
        let keys = keys(store, "calls/").await;
        if let Some(key) = keys.iter().find(|key| key.ends_with("/record.json")) {
            let object = store.get(key).await.unwrap().unwrap();
            let folder = key.trim_end_matches("record.json").to_owned();
            return (folder, serde_json::from_slice(&object.bytes).unwrap());
        }
        assert!(Instant::now() < until, "no record in S3; log: {}", log.display());
        sleep(Duration::from_millis(50)).await;
    }
}

/// What was said, by both.
fn said(record: &Value) -> Vec<&str> {
    let turns = record["turns"].as_array().unwrap().iter();
    turns.map(|turn| turn["text"].as_str().unwrap()).collect()
}

async fn status(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// The four functions, and what leads to three of them.
struct Functions {
    sweep: Function,
    _others: [Function; 3],
    _front: Front,
}

impl Functions {
    async fn start(system: &System, env: &[(&'static str, String)]) -> Self {
        let start = async |name: &str| Function::start(name, system.dir.path(), env, &system.log).await;
        let [webhook, token, api, sweep] = [
            start("webhook").await,
            start("token").await,
            start("api").await,
            start("sweep").await,
        ];
        let front = Front::start(system.http, &webhook, &token, &api).await;
        Self {
            sweep,
            _others: [webhook, token, api],
            _front: front,
        }
    }
}

/// A whole system in AWS mode.
struct Aws {
    // In the order in which they end.
    functions: Functions,
    system: System,
    store: Arc<dyn Store>,
    ministack: MiniStack,
    _spool: tempfile::TempDir,
}

impl Aws {
    async fn start() -> Self {
        Self::saying(None).await
    }

    /// With a dialogue in place of the shipped one.
    async fn saying(dialogue: Option<&'static str>) -> Self {
        let ministack = MiniStack::start(None).await.unwrap();
        let cloud = Cloud::on(&ministack).await;
        let (env, spool) = (cloud.env(), tempfile::tempdir().unwrap());
        let store = cloud.store(spool.path()).await;
        let system = System::start(Options {
            cloud: Some(cloud),
            dialogue,
            ..Options::default()
        })
        .await;
        Self {
            functions: Functions::start(&system, &env).await,
            system,
            store,
            ministack,
            _spool: spool,
        }
    }

    /// Waits until a second worker has claimed the only call.
    async fn taken_over(&self) {
        let until = Instant::now() + TAKEN_OVER_WITHIN + SOON;
        loop {
            let keys = keys(&*self.store, "calls/").await;
            let key = keys.iter().find(|key| key.ends_with("/claim.json")).unwrap();
            let claim = self.store.get(key).await.unwrap().unwrap();
            if serde_json::from_slice::<Value>(&claim.bytes).unwrap()["generation"] == 2 {
                return;
            }
            assert!(Instant::now() < until, "log: {}", self.system.log.display());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Hangs up; the caller did, and it was greeted at first and answered at last.
    async fn ends_well(&self, call: &Call) {
        call.hang_up().await;
        call.wait_ended(SOON).await.unwrap();
        let (_, record) = record(&*self.store, &self.system.log).await;
        assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
        let said = said(&record);
        assert_eq!(
            (said[0], said.last()),
            (phone::GREETING, Some(&phone::ANSWER)),
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_on_lambda_with_queue_and_store_on_aws_serve_a_call_as_one_process_does() {
    let _turn = shared_turn().await;
    let aws = Aws::start().await;

    let call = answered(&aws.system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice(phone::QUESTION)).await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();

    let (folder, record) = record(&*aws.store, &aws.system.log).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    assert_eq!(record["turns"][1]["speaker"], "caller");
    assert_eq!(record["turns"][1]["text"], phone::QUESTION);
    assert_eq!(record["turns"][2]["text"], phone::ANSWER);
    let objects = keys(&*aws.store, &folder).await;
    for name in ["recording.ogg", "transcript.json", "claim.json", "job.json"] {
        let key = format!("{folder}{name}");
        assert!(objects.contains(&key), "{key} is not in {objects:?}");
    }
    assert_eq!(record["recording"]["key"], format!("{folder}recording.ogg"));
    let recording = aws
        .store
        .get(&format!("{folder}recording.ogg"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&recording.bytes[..4], b"OggS");

    // The operators' function finds the call, and knows nobody without a key; so does the token endpoint.
    let http = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", aws.system.http);
    let (refused, problem) = status(http.get(url("/v1/calls"))).await;
    assert_eq!(refused, 401, "{problem}");
    let (found, list) = status(http.get(url("/v1/calls")).bearer_auth(API_KEY)).await;
    assert_eq!(found, 200, "{list}");
    assert_eq!(list["calls"][0]["call"], record["call"], "{list}");
    let wanted = http
        .post(url("/v1/token"))
        .body("{}")
        .header("content-type", "application/json");
    let (refused, _) = status(wanted.try_clone().unwrap()).await;
    assert_eq!(refused, 401);
    let (created, issued) = status(wanted.bearer_auth(API_KEY)).await;
    assert_eq!(created, 201, "{issued}");
    assert!(issued["participant_token"].is_string());
    let (unsigned, _) = status(http.post(url("/webhooks/livekit")).body("x")).await;
    assert_eq!(unsigned, 401);

    // A run of the sweep finds nothing left open.
    let swept = aws
        .functions
        .sweep
        .invoke(json!({"source": "aws.scheduler"}))
        .await;
    assert_eq!(swept["failures"], 0, "{swept}");
    assert_eq!(keys(&*aws.store, "open/").await, Vec::<String>::new());
    aws.system.stop().await;
}

/// Whose one answer takes longer to say than a claim lasts.
const STORY: &str = r"
intents:
  - name: tomorrow
    phrases: [what time do you open tomorrow]
    replies: Tomorrow we are open from nine in the morning until six in the evening.
  - name: parking
    phrases: [do you have parking]
    replies: >-
      Yes, we have, and it is a long story. Behind the house there was a garden with old trees, and in the garden there was a pond,
      and in the pond there were seven green frogs that sang the whole night long, so that nobody who lived in our street could sleep,
      until one day in spring the owner of the house went out and brought them all to the river, one after the other, in a hat.
fallback: Sorry?
";

/// SQS, S3 and SSM take every request and answer none. Nothing is said by who may not hold the call any more.
#[tokio::test(flavor = "multi_thread")]
async fn ten_seconds_without_an_answer_from_queue_and_store_cost_a_call_no_more_than_a_pause() {
    let _turn = shared_turn().await;
    let aws = Aws::saying(Some(STORY)).await;
    let call = answered(&aws.system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice(phone::OTHER_QUESTION)).await.unwrap();

    // What was asked is being written when the answer begins.
    let server = Pid::from_raw(i32::try_from(aws.ministack.pid()).unwrap());
    kill(server, Signal::SIGSTOP).unwrap();
    let stopped_at = Instant::now();
    ear.wait_for_speech(SOON).await.unwrap();
    // Seven seconds after the last renewal the claim is over for sure.
    let expired = "the claim has expired; this worker is silent from here on";
    while aws.system.count("message", expired) == 0 {
        assert!(stopped_at.elapsed() < SOON, "log: {}", aws.system.log.display());
        sleep(Duration::from_millis(20)).await;
    }
    let expired_at = Instant::now();
    let silent = ear.wait_for_silence(PAUSE, PAUSE + Duration::from_secs(1)).await;
    measured!(
        "silent, as is known {:?} after the claim expired",
        expired_at.elapsed()
    );
    assert!(silent.is_ok(), "the agent spoke on without a claim");
    sleep(Duration::from_secs(10).saturating_sub(stopped_at.elapsed())).await;
    kill(server, Signal::SIGCONT).unwrap();

    // The claim has expired meanwhile: whoever has it now says the bridge.
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice(phone::QUESTION)).await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    aws.ends_well(&call).await;
    let lines = aws.system.log_lines();
    let named = |line: &Value| {
        let message = line["message"].as_str();
        message.is_some_and(|text| text.starts_with("the claim was not renewed"))
    };
    assert!(lines.iter().any(named), "log: {}", aws.system.log.display());
    aws.system.stop().await;
}

/// Queue and store have a clock of their own, so the workers' need not agree: an heir by whose clock the dead worker's claim is good for
/// another minute and a half takes the call all the same, and so does one that is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn an_heir_whose_clock_differs_by_90_seconds_takes_the_call() {
    let _turn = shared_turn().await;
    for clock_ahead_s in [0, -90, 90] {
        let mut aws = Aws::start().await;
        let call = answered(&aws.system, Codec::G722).await;
        let mut ear = call.ear_from_start();
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
        let mut victim = aws.system.others.remove(0);
        aws.system.spawn_off_by("worker", clock_ahead_s);
        let until = Instant::now() + SOON;
        while aws.system.count("message", "waiting for calls") < 2 {
            assert!(Instant::now() < until, "log: {}", aws.system.log.display());
            sleep(Duration::from_millis(20)).await;
        }

        victim.start_kill().unwrap();
        let killed_at = Instant::now();
        aws.taken_over().await;
        let taken_after = killed_at.elapsed();
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
        let heard_after = killed_at.elapsed();
        measured!(
            "clock {clock_ahead_s:+} s: taken over after {taken_after:?}, the bridge was heard to its end after {heard_after:?}"
        );
        // S3 tells ages in whole seconds, and where the clocks are of no help the heir waits for the next one, or the one after.
        let within = TAKEN_OVER_WITHIN + Duration::from_secs(if clock_ahead_s < 0 { 2 } else { 0 });
        assert!(taken_after <= within, "{taken_after:?}");
        call.speak(&voice(phone::QUESTION)).await.unwrap();
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
        aws.ends_well(&call).await;
        aws.system.stop().await;
    }
}
