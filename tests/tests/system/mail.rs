//! Webhooks as a bad network delivers them: twice, in the wrong order, a minute late. What is left of the call is the same.

use std::{sync::Arc, time::Duration};

use audio::Codec;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use caller::{Caller, EndedBy};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    harness::{Options, System, shared_turn},
    phone::{GOODBYE, PAUSE, QUESTION, SOON, answered, config, voice},
};

/// Webhooks that are on their way together, if they come within this time of each other.
const TOGETHER: Duration = Duration::from_millis(150);

/// A webhook on its way.
struct Letter {
    received: Instant,
    headers: HeaderMap,
    body: Bytes,
}

/// Takes livekit-server's webhooks and acknowledges them at once. They reach the functions as `deliver` has it.
struct Mail {
    letters: Arc<Mutex<mpsc::Receiver<Letter>>>,
    functions: String,
    _tasks: JoinSet<()>,
}

async fn take(State(letters): State<mpsc::Sender<Letter>>, headers: HeaderMap, body: Bytes) {
    let received = Instant::now();
    let letter = Letter {
        received,
        headers,
        body,
    };
    letters.send(letter).await.unwrap();
}

impl Mail {
    async fn of(system: &System) -> Self {
        let (told, letters) = mpsc::channel(256);
        let listener = TcpListener::bind(system.receiver).await.unwrap();
        let router = Router::new()
            .route("/webhooks/livekit", post(take))
            .with_state(told);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            letters: Arc::new(Mutex::new(letters)),
            functions: format!("http://{}/webhooks/livekit", system.http),
            _tasks: tasks,
        }
    }

    /// Delivers each so long after it was sent, in order.
    fn deliver_late(&self, by: Duration) -> JoinSet<()> {
        let (letters, functions) = (self.letters.clone(), self.functions.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut letters = letters.lock().await;
            while let Some(letter) = letters.recv().await {
                sleep_until(letter.received + by).await;
                hand_over(&functions, &letter).await;
            }
        });
        tasks
    }

    /// Delivers those that are on their way together in reverse, and each twice.
    fn deliver_in_disorder(&self) -> JoinSet<()> {
        let (letters, functions) = (self.letters.clone(), self.functions.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut letters = letters.lock().await;
            while let Some(first) = letters.recv().await {
                let mut bundle = vec![first];
                while let Ok(Some(next)) = timeout(TOGETHER, letters.recv()).await {
                    bundle.push(next);
                }
                for letter in bundle.iter().rev().chain(&bundle) {
                    hand_over(&functions, letter).await;
                }
            }
        });
        tasks
    }
}

async fn hand_over(functions: &str, letter: &Letter) {
    let request = reqwest::Client::new()
        .post(functions)
        .headers(letter.headers.clone())
        .body(letter.body.clone())
        .timeout(SOON);
    // At the end of a test the functions go first.
    if let Ok(answer) = request.send().await {
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

/// What must be the same however the webhooks came.
fn essence(record: &Value) -> Value {
    let turns = record["turns"].as_array().unwrap().iter();
    let turns: Vec<_> = turns.map(|turn| (&turn["speaker"], &turn["text"])).collect();
    serde_json::json!({
        "outcome": record["outcome"],
        "caller": record["caller"],
        "called": record["called"],
        "profile": record["profile"]["name"],
        "answered": record["answered_at"].is_string(),
        "turns": turns,
    })
}

async fn assert_all_is_closed(system: &System) {
    let until = Instant::now() + SOON;
    while system.jobs().await > 0 || !system.open_calls().is_empty() {
        assert!(
            Instant::now() < until,
            "{} jobs, {:?} are left; log: {}",
            system.jobs().await,
            system.open_calls(),
            system.log.display()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Greeting, a question, goodbye.
async fn conversation(system: &System) -> Value {
    let before = system.calls();
    let call = answered(system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    for words in [QUESTION, GOODBYE] {
        call.speak(&voice(words)).await.unwrap();
        if words == QUESTION {
            ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
        }
    }
    call.wait_ended(SOON).await.unwrap();
    call.finish().await;
    let (_, record) = system.new_record(&before, SOON).await;
    essence(&record)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_in_the_wrong_order_and_twice_leave_what_the_right_ones_leave() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        webhooks: false,
        ..Options::default()
    })
    .await;
    let mail = Mail::of(&system).await;
    let prompt = mail.deliver_late(Duration::ZERO);
    let expected = conversation(&system).await;
    assert_all_is_closed(&system).await;
    drop(prompt);
    let _disorder = mail.deliver_in_disorder();
    assert_eq!(conversation(&system).await, expected);
    assert_all_is_closed(&system).await;
    assert_eq!(system.calls().len(), 2);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_come_a_minute_late_leave_what_prompt_ones_leave() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        webhooks: false,
        apart: true,
        ..Options::default()
    })
    .await;
    let mail = Mail::of(&system).await;
    let _late = mail.deliver_late(Duration::from_mins(1));
    let before = system.calls();
    let call = Caller::new(config(&system, Codec::G722)).place().await.unwrap();
    let ended = call.wait_ended(Duration::from_secs(15)).await.unwrap();
    assert!(matches!(ended, EndedBy::Refused { code: 480, .. }), "{ended:?}");
    let (folder, record) = system.new_record(&before, Duration::from_secs(75)).await;
    let late = essence(&record);
    // What a caller leaves whom no agent answers, see `endings`.
    assert_eq!(late["outcome"]["kind"], "no_agent", "{record}");
    assert_eq!(late["profile"], "reception", "{record}");
    assert_all_is_closed(&system).await;
    // The room's end is the last webhook.
    let until = Instant::now() + SOON;
    while crate::harness::children(&folder.join("events")).len() < 4 {
        assert!(Instant::now() < until, "{}", folder.display());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(system.calls().len(), 1);
    system.stop().await;
}
